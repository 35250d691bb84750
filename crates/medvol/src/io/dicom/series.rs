//! A series: the one image in a folder of slices, or in a file, in the order of its slices.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::attributes as tags;
use super::data_set::DataSet;
use super::head::{Head, Kind, Slice};
use super::object::{Object, START, has_mark};
use super::pixels::PixelFormat;
use super::place::{Place, Unstackable, stack};
use super::problem::{Difference, LeftOut, Problem, SeriesSummary};
use super::voxels::Plane;
use crate::error::{Error, Result};
use crate::io::{Grid, NumberType, Remark};

/// A series of slices on one grid.
#[derive(Debug)]
pub struct Series {
    /// The folder or the file.
    pub path: PathBuf,
    pub(super) grid: Grid,
    /// The plane of a slice.
    pub(super) place: Place,
    /// In their order.
    pub(super) planes: Vec<Plane>,
    /// How stored values are handed on.
    pub(super) numbers: NumberType,
    /// Value = number · slope + intercept; (1, 0) where slices have scales of their own.
    pub(super) scale: (f64, f64),
    /// The objects that the planes are from, in the order of the planes.
    pub(super) objects: Vec<ObjectId>,
    /// What the first object says of patient, study and series.
    pub(super) data: DataSet,
    pub(super) left_out: LeftOut,
}

/// How an object is referred to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ObjectId {
    /// What kind of object it is.
    pub class: String,
    /// Which one it is.
    pub instance: String,
}

/// A slice and the object it is of.
struct Placed<'a> {
    head: &'a Head,
    format: PixelFormat,
    slice: &'a Slice,
}

impl Series {
    /// Reads the heads of all files of a folder, or of one file.
    ///
    /// # Errors
    /// [`Error::Read`] and [`Error::Dicom`]: nothing that is one image, or not as a regular grid.
    pub fn open(path: &Path) -> Result<Self> {
        let (heads, mut left_out) = heads(path)?;
        let dicom = |problem| dicom(path, problem);
        let placed = images(&heads, &mut left_out);
        check_one_series(&placed).map_err(dicom)?;
        let [first, ..] = placed.as_slice() else {
            return Err(dicom(Problem::NoImages { left_out }));
        };
        if let Some(head) = unplaced(&heads, &placed) {
            let needed = "other slices of its series have a place in space";
            let problem = Problem::Missing { attribute: tags::POSITION, needed };
            return Err(self::dicom(&head.path, problem));
        }
        check_alike(&placed).map_err(dicom)?;
        let places: Vec<_> = placed.iter().map(|placed| placed.slice.place).collect();
        let paths: Vec<_> = placed.iter().map(|placed| placed.head.path.as_path()).collect();
        let stacked = stack(&places, false).map_err(|why| dicom(irregular(why, &paths)))?;
        for slices in &stacked.planes {
            if let [first, other, ..] = slices[..] {
                let volumes = stacked.planes.iter().all(|plane| plane.len() == slices.len());
                return Err(dicom(same_place(&placed[first], &placed[other], volumes)));
            }
        }
        let order: Vec<&Placed> = stacked.planes.iter().map(|slices| &placed[slices[0]]).collect();
        let (numbers, scale) = numbers(&order);
        let PixelFormat { rows, columns, .. } = first.format;
        Ok(Self {
            path: path.to_path_buf(),
            grid: Grid {
                channels: 1,
                shape: [order.len(), rows as usize, columns as usize],
                affine: stacked.affine,
            },
            planes: order
                .iter()
                .map(|placed| Plane {
                    path: placed.head.path.clone(),
                    frame: placed.slice.frame,
                    format: placed.format,
                    scale: placed.slice.scale,
                    position: placed.slice.place.position,
                })
                .collect(),
            place: first.slice.place,
            numbers,
            scale,
            objects: order.iter().map(|placed| ObjectId::of(&placed.head.data)).collect(),
            data: order[0].head.data.clone(),
            left_out,
        })
    }

    /// What else was in the folder.
    pub fn left_out(&self) -> &LeftOut {
        &self.left_out
    }

    /// What is to be said of it.
    pub(super) fn remarks(&self) -> Vec<Remark> {
        let mut remarks = Vec::new();
        if !self.left_out.is_empty() {
            remarks.push(Remark::LeftOut { left_out: self.left_out.clone() });
        }
        let shared = self.shared_identifiers();
        if shared > 0 {
            remarks.push(Remark::SharedIdentifiers { slices: shared });
        }
        if self.planes.len() == 1 && !self.place.tells_spacing() {
            remarks.push(Remark::NoThickness);
        }
        remarks
    }

    /// How many slices are of a file whose identifier another one has, too.
    fn shared_identifiers(&self) -> usize {
        let mut files: BTreeMap<&ObjectId, BTreeSet<&Path>> = BTreeMap::new();
        let slices = || self.objects.iter().zip(&self.planes);
        for (id, plane) in slices().filter(|(id, _)| !id.instance.is_empty()) {
            files.entry(id).or_default().insert(&plane.path);
        }
        slices().filter(|(id, _)| files.get(id).is_some_and(|files| files.len() > 1)).count()
    }
}

impl ObjectId {
    /// The object's own; empty where it does not say.
    pub fn of(data: &DataSet) -> Self {
        Self {
            class: data.text(tags::SOP_CLASS).unwrap_or_default(),
            instance: data.text(tags::SOP_INSTANCE).unwrap_or_default(),
        }
    }
}

/// Whether a path is a folder with a DICOM file, or with files that are called so.
pub(super) fn is_in(path: &Path) -> bool {
    let any = files_in(path).is_ok_and(|files| {
        files.iter().any(|file| {
            let mut start = Vec::new();
            crate::open_file(file)
                .is_ok_and(|opened| opened.take(START).read_to_end(&mut start).is_ok())
                && has_mark(&start)
        })
    });
    any || is_image(path)
}

/// Whether the images of a folder are slices of one. Several objects of many frames each are an
/// image each. Where all pictures are at fault, they are taken for slices: what is wrong is said
/// where they are opened.
pub(super) fn is_image(folder: &Path) -> bool {
    let (mut objects, mut segmentations, mut faulty) = (0, 0, false);
    for file in files_in(folder).unwrap_or_default() {
        match Head::read(&file).map(|head| head.kind) {
            Ok(Kind::Image { slices, .. }) if slices.len() == 1 => return true,
            Ok(Kind::Image { .. }) => objects += 1,
            Ok(Kind::Segmentation) => segmentations += 1,
            Ok(Kind::Localizer | Kind::NoPixels) => {}
            Err(Problem::NoMark | Problem::Read(_)) if !is_called_dicom(&file) => {}
            Ok(Kind::NotPlaced) | Err(_) => faulty = true,
        }
    }
    objects == 1 || (objects + segmentations == 0 && faulty)
}

/// The visible files of a folder but for its list of contents, in the order of their names.
fn files_in(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries: std::io::Result<Vec<PathBuf>> =
        folder.read_dir()?.map(|entry| entry.map(|entry| entry.path())).collect();
    let passed_over = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        name.starts_with(b".") || name.eq_ignore_ascii_case(b"DICOMDIR")
    };
    let mut files: Vec<PathBuf> =
        entries?.into_iter().filter(|path| path.is_file() && !passed_over(path)).collect();
    files.sort();
    Ok(files)
}

pub(super) fn dicom(path: &Path, problem: Problem) -> Error {
    Error::Dicom { path: path.to_path_buf(), problem: Box::new(problem) }
}

/// The heads of the DICOM files of a folder in the order of their names, or of one file.
fn heads(path: &Path) -> Result<(Vec<Head>, LeftOut)> {
    let read = |path: &Path| Head::read(path).map_err(|problem| dicom(path, problem));
    if !path.is_dir() {
        return Ok((vec![read(path)?], LeftOut::default()));
    }
    let files =
        files_in(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
    let count = files.len();
    let heads: Vec<Result<Option<Head>>> = files
        .into_par_iter()
        .map(|file| match Head::read(&file) {
            Err(Problem::NoMark) if !is_called_dicom(&file) => Ok(None),
            Err(problem) => Err(dicom(&file, problem)),
            Ok(head) => Ok(Some(head)),
        })
        .collect();
    let heads: Vec<Head> =
        heads.into_iter().filter_map(Result::transpose).collect::<Result<_>>()?;
    let left_out = LeftOut { other: count - heads.len(), ..LeftOut::default() };
    Ok((heads, left_out))
}

/// Whether a file has the ending of DICOM: a slice, should it be damaged.
fn is_called_dicom(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    [".dcm", ".ima"].iter().any(|ending| name.ends_with(ending))
}

/// The slices of all images; what else there is, and copies, are counted.
fn images<'a>(heads: &'a [Head], left_out: &mut LeftOut) -> Vec<Placed<'a>> {
    let mut seen: BTreeMap<String, Vec<&Head>> = BTreeMap::new();
    let mut placed = Vec::new();
    for head in heads {
        match &head.kind {
            Kind::Segmentation => left_out.segmentations += 1,
            Kind::Localizer => left_out.localizers += 1,
            Kind::NotPlaced | Kind::NoPixels => left_out.not_placed += 1,
            Kind::Image { format, slices } => {
                let id = ObjectId::of(&head.data).instance;
                let alike = seen.entry(id.clone()).or_default();
                if !id.is_empty() && alike.iter().any(|other| is_copy(other, head)) {
                    left_out.copies += 1;
                    continue;
                }
                alike.push(head);
                placed.extend(slices.iter().map(|slice| Placed { head, format: *format, slice }));
            }
        }
    }
    placed
}

/// Whether an object is another one over again: not only by its identifier, which careless
/// programs give to all slices.
fn is_copy(first: &Head, other: &Head) -> bool {
    let (Kind::Image { format, slices }, Kind::Image { format: of_other, slices: others }) =
        (&first.kind, &other.kind)
    else {
        return false;
    };
    let alike = |(a, b): (&Slice, &Slice)| {
        a.place.is_at(&b.place) && a.scale == b.scale && {
            let values = |head: &Head, format: &PixelFormat, slice: &Slice| {
                let mut object = Object::open(&head.path).ok()?;
                format.frame(&mut object, slice.frame).ok()
            };
            let first = values(first, format, a);
            first.is_some() && first == values(other, of_other, b)
        }
    };
    slices.len() == others.len() && slices.iter().zip(others).all(alike)
}

/// A picture without a place, of a series whose others have one.
fn unplaced<'a>(heads: &'a [Head], placed: &[Placed]) -> Option<&'a Head> {
    let of_series = |head: &Head| [tags::SERIES_INSTANCE, tags::SOP_CLASS].map(|a| head.text(a));
    let series = of_series(placed.first()?.head);
    heads.iter().find(|head| matches!(head.kind, Kind::NotPlaced) && of_series(head) == series)
}

fn check_one_series(placed: &[Placed]) -> std::result::Result<(), Problem> {
    let mut series: BTreeMap<String, SeriesSummary> = BTreeMap::new();
    let mut last: Option<&Path> = None;
    for Placed { head, .. } in placed {
        if last == Some(&head.path) {
            continue;
        }
        last = Some(&head.path);
        let uid = head.text(tags::SERIES_INSTANCE);
        let summary = series.entry(uid.clone()).or_insert_with(|| {
            let words = [tags::MODALITY, tags::SERIES_NUMBER, tags::SERIES_DESCRIPTION]
                .map(|a| head.text(a));
            SeriesSummary {
                uid,
                description: words.join(" ").trim().to_owned(),
                files: 0,
                example: head.path.clone(),
            }
        });
        summary.files += 1;
    }
    match series.len() {
        0 | 1 => Ok(()),
        _ => Err(Problem::SeveralSeries(series.into_values().collect())),
    }
}

/// Slices of one volume have one size, one orientation and one frame of reference.
fn check_alike(placed: &[Placed]) -> std::result::Result<(), Problem> {
    let Some((first, others)) = placed.split_first() else { return Ok(()) };
    let size = |placed: &Placed| {
        let PixelFormat { rows, columns, .. } = placed.format;
        format!("{rows} x {columns}")
    };
    let frame = |placed: &Placed| placed.head.text(tags::FRAME_OF_REFERENCE);
    for other in others {
        let differing = |attribute, value: &dyn Fn(&Placed) -> String| {
            let values = [value(first), value(other)];
            (values[0] != values[1]).then_some(Difference { attribute, values })
        };
        let found = differing("Rows and Columns", &size)
            .or_else(|| first.slice.place.differs(&other.slice.place))
            .or_else(|| differing(tags::FRAME_OF_REFERENCE.name, &frame));
        if let Some(difference) = found {
            let [first, other] = [first, other].map(|placed| placed.head.path.clone());
            return Err(Problem::Differ { first, other, difference });
        }
    }
    Ok(())
}

/// What is irregular, by the files of the slices.
pub(super) fn irregular(why: Unstackable, paths: &[&Path]) -> Problem {
    let path = |slice: usize| paths[slice].to_path_buf();
    match why {
        Unstackable::Gap { before, after, gap_mm, spacing_mm, missing } => {
            Problem::Gap { before: path(before), after: path(after), gap_mm, spacing_mm, missing }
        }
        Unstackable::Uneven { smallest_mm, largest_mm } => {
            Problem::Uneven { smallest_mm, largest_mm }
        }
        Unstackable::Drift { slice, off_mm } => Problem::OffTheGrid { slice: path(slice), off_mm },
        Unstackable::Tilt { degrees } => Problem::Tilt { degrees },
    }
}

fn same_place(first: &Placed, other: &Placed, volumes: bool) -> Problem {
    Problem::SamePlace {
        first: first.head.path.clone(),
        other: other.head.path.clone(),
        position_mm: first.slice.place.position,
        apart: first.slice.apart(other.slice).map(Box::new),
        volumes,
    }
}

/// The numbers that hold the values of all slices: as they are stored if all have one scale, else
/// scaled, as floats.
fn numbers(order: &[&Placed]) -> (NumberType, (f64, f64)) {
    let scale = order[0].slice.scale;
    if order.iter().any(|placed| placed.slice.scale != scale) {
        return (NumberType::F32, (1.0, 0.0));
    }
    let ranges = order.iter().map(|placed| placed.format.range());
    let (low, high) = ranges.fold((0, 0), |(low, high), (l, h)| (l.min(low), h.max(high)));
    let fits = |least: i64, most: i64| least <= low && high <= most;
    let numbers = if fits(i16::MIN.into(), i16::MAX.into()) {
        NumberType::I16
    } else if fits(0, u16::MAX.into()) {
        NumberType::U16
    } else if fits(i32::MIN.into(), i32::MAX.into()) {
        NumberType::I32
    } else {
        NumberType::I64
    };
    (numbers, scale)
}
