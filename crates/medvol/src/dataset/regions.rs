//! Labels that stand for several values, nnU-Net's regions: what each is written as in a label map,
//! and whether a smaller one is lost under a larger one.

use std::collections::BTreeSet;

use serde_json::Value;

use super::json::{integer, shown};
use super::said::Said;
use crate::class_map::{ClassMap, Label};
use crate::target::{Region, Target};

/// A label as it stands there: its name and its values, mostly one.
pub(super) type Named = (String, BTreeSet<u16>);

/// Every value of labels, some of which stand for several, ascending; a value that no label has for
/// itself is called after the region that is written as it.
pub(super) fn values(named: &[Named], written: &[u16]) -> Vec<Label> {
    let all: BTreeSet<u16> = named.iter().flat_map(|(_, values)| values.iter().copied()).collect();
    let regions = || named.iter().filter(|(_, values)| !values.contains(&0));
    let name = |value: u16| {
        let own = named.iter().find(|(_, values)| values.iter().eq([&value]));
        let writing = || regions().zip(written).find(|(_, other)| **other == value);
        own.or_else(|| writing().map(|(region, _)| region)).map(|(name, _)| name.clone())
    };
    let label =
        |value| Label { value, name: name(value).unwrap_or_else(|| format!("label {value}")) };
    all.into_iter().map(label).collect()
}

/// The values as which the regions among `named` are written into label maps, in their order; none
/// if there is any problem.
pub(super) fn order(named: &[Named], order: Option<&Value>, said: &mut Said) -> Vec<u16> {
    let regions: Vec<&Named> = named.iter().filter(|(_, values)| !values.contains(&0)).collect();
    let names = || regions.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let Some(order) = order else {
        let several = regions.iter().filter(|(_, values)| values.len() > 1);
        let several: Vec<String> =
            several.map(|(name, values)| format!("{name:?}: {values:?}")).collect();
        said.problem(format!(
            "labels stand for several values ({}), and nothing says as which of them a voxel is \
             predicted; write one value for each of {}, such as \"regions_class_order\": {:?}",
            several.join(", "),
            names(),
            proposed(&regions)
        ));
        return Vec::new();
    };
    let written = order.as_array().and_then(|values| {
        let value = |value: &Value| u16::try_from(integer(value)?).ok();
        values.iter().map(value).collect::<Option<Vec<u16>>>()
    });
    let Some(written) = written.filter(|written| written.len() == regions.len()) else {
        said.problem(format!(
            "\"regions_class_order\": expected {} value(s), one for each of {}, such as {:?}; found \
             {}",
            regions.len(),
            names(),
            proposed(&regions),
            shown(order)
        ));
        return Vec::new();
    };
    for value in &written {
        if !regions.iter().any(|(_, values)| values.contains(value)) {
            said.problem(format!(
                "\"regions_class_order\": {value} is the value of no label but the background; \
                 expected values such as {:?}",
                proposed(&regions)
            ));
            return Vec::new();
        }
    }
    written
}

/// Of each region a value that no later one holds, as far as there is one.
fn proposed(regions: &[&Named]) -> Vec<u16> {
    let own = |(n, (_, values)): (usize, &&Named)| {
        let later = |value: &&u16| regions[n + 1..].iter().any(|(_, other)| other.contains(value));
        values.iter().find(|value| !later(value)).or(values.first()).copied()
    };
    regions.iter().enumerate().filter_map(own).collect()
}

/// The regions among `named`, written as `written` says. Class `n` is `labels[n]`.
pub(super) fn target(
    named: &[Named],
    written: &[u16],
    labels: &[Label],
    said: &mut Said,
) -> Target {
    let map = ClassMap::new(labels);
    let regions = named.iter().filter(|(_, values)| !values.contains(&0)).zip(written);
    let region = |((name, values), written): (&Named, &u16)| Region {
        name: name.clone(),
        classes: values.iter().filter_map(|value| map.class(*value)).collect(),
        written: map.class(*written).unwrap_or(0),
    };
    let regions: Vec<Region> = regions.map(region).collect();
    let target = Target::Regions(regions.clone());
    let holding = |class: u8| -> BTreeSet<&str> {
        let regions = regions.iter().filter(|region| region.holds(class));
        regions.map(|region| region.name.as_str()).collect()
    };
    let lost = labels.iter().find_map(|label| {
        let class = map.class(label.value)?;
        let written = target.class_written(class);
        let (expected, found) = (holding(class), holding(written));
        (expected != found).then(|| (label.value, map.value(written.into()), expected, found))
    });
    if let Some((value, Some(written), expected, found)) = lost {
        said.notice(
            format!(
                "\"regions_class_order\": voxels of {value} lie in {expected:?}, but even if all \
                 is predicted rightly they are written as {written}, which lies in {found:?}"
            ),
            "let the regions that lie in others come after these, both under \"labels\" and in \
             \"regions_class_order\"",
        );
    }
    target
}
