//! Where the voxels of an NRRD file are: which of its axes lie in space, and how.
//!
//! Read as ITK does where the format leaves it open: a space without anatomical names, or none, is
//! taken for left-posterior-superior, spacings without directions for steps along its axes, four
//! axes that could all lie in space for three and a series. Departures, towards the format: units
//! of length are converted to mm, and a space whose axes have only spacings is no error.

use super::fields::Fields;
use super::per_axis::{Parsed, PerAxis, in_three, origin, split};
use crate::affine::{Affine, cross, norm};
use crate::io::fault::{HeaderFault, Unsupported};
use crate::io::place::Place;
use crate::io::remark::Remark;

/// What the axes of a file are.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axes {
    /// The axes in space, of two or three, the fastest first.
    pub in_space: Vec<usize>,
    /// (depth, height, width)
    pub shape: [usize; 3],
    /// How many channels there are.
    pub channels: usize,
    /// How many axes in space are faster than that of the channels.
    pub channels_at: usize,
    /// Whether two channels are the parts of a complex number.
    pub complex: bool,
}

impl Axes {
    /// The axes in space by their directions, or else by their kinds, or else by their spacings.
    ///
    /// # Errors
    /// Too many of them, or too few.
    pub(super) fn of(each: &PerAxis, sizes: &[usize]) -> Result<Self, Unsupported> {
        let all = 0..sizes.len();
        let mut in_space: Vec<usize> = match &each.directions {
            Some(directions) => all
                .clone()
                .filter(|&axis| directions[axis].as_deref().is_some_and(is_in_space))
                .collect(),
            None => {
                let spaced = each.spacings.iter().any(Option::is_some);
                let in_space = |axis: &usize| match each.kinds[*axis].as_deref() {
                    Some("domain" | "space") => true,
                    Some(_) => false,
                    None => !spaced || each.spacings[*axis].is_some(),
                };
                let mut in_space: Vec<usize> = all.clone().filter(in_space).collect();
                in_space.truncate(3);
                in_space
            }
        };
        // An axis of one voxel says nothing where there are enough others.
        while in_space.len() > 3 {
            let Some(flat) = in_space.iter().rposition(|&axis| sizes[axis] == 1) else { break };
            in_space.remove(flat);
        }
        let series: Vec<usize> =
            all.filter(|axis| !in_space.contains(axis) && sizes[*axis] > 1).collect();
        if !(2..=3).contains(&in_space.len()) || series.len() > 1 {
            return Err(Unsupported::Axes {
                sizes: sizes.to_vec(),
                in_space: in_space.len(),
                of_channels: series.len(),
            });
        }
        let extent = |n: usize| in_space.get(n).map_or(1, |&axis| sizes[axis]);
        let faster = |channels: usize| in_space.iter().filter(|&&axis| axis < channels).count();
        let channel_axis = series.first().copied();
        Ok(Self {
            shape: [extent(2), extent(1), extent(0)],
            channels: channel_axis.map_or(1, |axis| sizes[axis]),
            channels_at: match channel_axis.map(faster) {
                Some(faster) if faster < in_space.len() => faster,
                _ => 3,
            },
            complex: channel_axis
                .is_some_and(|axis| each.kinds[axis].as_deref() == Some("complex")),
            in_space,
        })
    }
}

/// Not only in time.
fn is_in_space(direction: &[f64]) -> bool {
    direction.len() < 4 || direction[..3].iter().any(|&step| step != 0.0)
}

/// From voxels to mm in RAS+.
///
/// # Errors
/// What is wrong.
pub(super) fn affine(fields: &Fields, each: &PerAxis, axes: &Axes) -> Parsed<Affine> {
    let signs = signs(fields.get("space"))?;
    let (mut steps, first) = match &each.directions {
        Some(directions) => {
            // The fourth is of time.
            let units = split(fields.get("spaceunits").unwrap_or("")).into_iter().take(3);
            let mm = mm_per_unit(units)?;
            let steps = axes.in_space.iter().filter_map(|&axis| directions[axis].as_deref());
            let steps: Vec<_> = steps.map(|step| in_three(step).map(|v| v * mm)).collect();
            (steps, origin(fields)?.unwrap_or_default().map(|v| v * mm))
        }
        None => along_axes(fields, each, axes)?,
    };
    if let [x, y] = *steps {
        // The third direction of a slice, whose thickness nobody says.
        let normal = cross(x, y);
        let length = norm(normal);
        steps.push(normal.map(|v| v / length));
    }
    let mut matrix = Affine::IDENTITY.0;
    for (column, step) in steps.iter().chain([&first]).enumerate() {
        for row in 0..3 {
            // Without a zero of negative sign.
            matrix[row][column] = step[row] * signs[row] + 0.0;
        }
    }
    let affine = Affine(matrix);
    if affine.is_invertible() { Ok(affine) } else { Err(HeaderFault::singular(&affine)) }
}

/// What is to be said of the place, of which `affine` is the reading.
pub(super) fn place(fields: &Fields, each: &PerAxis, affine: Affine) -> Place {
    let mut place = Place::default();
    let anatomical = fields.get("space").is_some_and(|space| {
        !["scanner", "3d-"].iter().any(|start| space.to_ascii_lowercase().starts_with(start))
    });
    if !anatomical {
        place.remarks.push(Remark::UnnamedSpace);
        // By programs that take its space for theirs.
        let mut turned = affine.0;
        turned[..2].iter_mut().flatten().for_each(|value| *value = 0.0 - *value);
        place.others.push(Affine(turned));
    }
    if each.directions.is_none() && each.spacings.iter().all(Option::is_none) {
        place.remarks.push(Remark::NoSpacing { fields: "space directions or spacings" });
    }
    place
}

/// Steps along the axes of space and the place of the first voxel, from spacings.
fn along_axes(fields: &Fields, each: &PerAxis, axes: &Axes) -> Parsed<(Vec<[f64; 3]>, [f64; 3])> {
    let mm = mm_per_unit(axes.in_space.iter().filter_map(|&axis| each.units[axis].as_deref()))?;
    let mut steps = Vec::new();
    let mut first = Some([0.0; 3]);
    for (n, &axis) in axes.in_space.iter().enumerate() {
        let spacing = each.spacings[axis].unwrap_or(1.0);
        let mut step = [0.0; 3];
        step[n] = spacing * mm;
        steps.push(step);
        let half = if each.nodes[axis] { 0.0 } else { spacing / 2.0 };
        match (each.minima[axis], &mut first) {
            (Some(minimum), Some(first)) => first[n] = (minimum + half) * mm,
            _ => first = None,
        }
    }
    let origin = origin(fields)?.map(|origin| origin.map(|v| v * mm));
    Ok((steps, origin.or(first).unwrap_or_default()))
}

/// What turns the axes of a space into right, anterior, superior.
fn signs(space: Option<&str>) -> Parsed<[f64; 3]> {
    let Some(space) = space else { return Ok([-1.0, -1.0, 1.0]) };
    let name = space.to_ascii_lowercase();
    Ok(match name.strip_suffix("-time").unwrap_or(&name) {
        "right-anterior-superior" | "ras" | "rast" => [1.0, 1.0, 1.0],
        "left-anterior-superior" | "las" | "last" => [-1.0, 1.0, 1.0],
        "left-posterior-superior"
        | "lps"
        | "lpst"
        | "scanner-xyz"
        | "scannerxyz"
        | "3d-right-handed"
        | "3d-left-handed" => [-1.0, -1.0, 1.0],
        _ => {
            let expected = "one of the format, such as left-posterior-superior";
            return Err(HeaderFault::value("space", expected, space));
        }
    })
}

/// Millimetres of the unit that all axes have; an unknown one is taken for millimetres.
fn mm_per_unit<'a>(units: impl Iterator<Item = &'a str>) -> Parsed<f64> {
    let mut factors = units.map(|unit| match unit.to_ascii_lowercase().as_str() {
        "m" | "meter" | "meters" | "metre" | "metres" => 1e3,
        "cm" | "centimeter" | "centimeters" | "centimetre" | "centimetres" => 10.0,
        "um" | "µm" | "μm" | "micron" | "microns" | "micrometer" | "micrometers" => 1e-3,
        _ => 1.0,
    });
    let first = factors.next().unwrap_or(1.0);
    if factors.all(|factor| factor == first) { Ok(first) } else { Err(HeaderFault::MixedUnits) }
}
