//! What is predicted of a data set's classes: each class by itself, or regions, which are sets of
//! classes that may share voxels (as nnU-Net has them, Isensee et al. 2021).

use serde::{Deserialize, Serialize};

use crate::class_map::Label;
use crate::metrics::Structures;

/// What the outputs of a network say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// An output a class. They exclude each other: of a voxel, the highest one counts.
    #[default]
    Classes,
    /// An output a region. Each says by itself whether a voxel lies in it. In the order in which
    /// they are written into a label map: later ones over earlier ones.
    Regions(Vec<Region>),
}

/// A set of classes that is learnt and scored as one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// The classes it consists of, ascending; never the background.
    pub classes: Vec<u8>,
    /// The class that its voxels have in a predicted label map, unless a later region covers them.
    pub written: u8,
}

impl Region {
    /// Above this probability a voxel lies in a region.
    pub const THRESHOLD: f32 = 0.5;

    /// Whether a voxel of this class lies in it.
    pub fn holds(&self, class: u8) -> bool {
        self.classes.contains(&class)
    }
}

impl Target {
    /// Whether it is the classes themselves.
    pub fn is_classes(&self) -> bool {
        *self == Self::Classes
    }

    /// Outputs of a network for so many classes, background included.
    pub fn outputs(&self, classes: usize) -> usize {
        match self {
            Self::Classes => classes,
            Self::Regions(regions) => regions.len(),
        }
    }

    /// Names of the structures that are predicted and scored: the foreground classes, or the
    /// regions. Class `n` is `labels[n]`.
    pub fn names(&self, labels: &[Label]) -> Vec<String> {
        match self {
            Self::Classes => labels.iter().skip(1).map(|label| label.name.clone()).collect(),
            Self::Regions(regions) => regions.iter().map(|region| region.name.clone()).collect(),
        }
    }

    /// The classes of each structure, for so many classes, background included.
    pub fn structures(&self, classes: usize) -> Vec<Vec<u8>> {
        match self {
            Self::Classes => {
                (1..u8::MAX).take(classes.saturating_sub(1)).map(|c| vec![c]).collect()
            }
            Self::Regions(regions) => regions.iter().map(|region| region.classes.clone()).collect(),
        }
    }

    /// What is scored of label maps that hold the values of `labels`; voxels whose reference is
    /// `ignore` are left out.
    pub fn scored(&self, labels: &[Label], ignore: Option<u16>) -> Structures {
        let value = |class: &u8| labels.get(usize::from(*class)).map(|label| label.value);
        let structures = self.structures(labels.len());
        let values = |classes: &Vec<u8>| classes.iter().filter_map(value).collect();
        Structures { values: structures.iter().map(values).collect(), ignore }
    }

    /// The class of a voxel of `class` once it is taken out of structure number `structure`: that
    /// of the last region which still holds it, or the background.
    pub fn class_without(&self, structure: usize, class: u8) -> u8 {
        let Self::Regions(regions) = self else { return 0 };
        let stays_out = |region: &&Region| {
            region.holds(class)
                && !regions.get(structure).is_some_and(|left| left.holds(region.written))
        };
        regions.iter().rfind(stays_out).map_or(0, |region| region.written)
    }

    /// The class that a voxel of `class` has in a label map of which all regions are predicted as
    /// they are.
    pub fn class_written(&self, class: u8) -> u8 {
        match self {
            Self::Classes => class,
            Self::Regions(regions) => {
                let last = regions.iter().rfind(|region| region.holds(class));
                last.map_or(0, |region| region.written)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn region(name: &str, classes: &[u8], written: u8) -> Region {
        Region { name: name.into(), classes: classes.to_vec(), written }
    }

    /// As in BraTS: each holds the next.
    fn nested() -> Target {
        Target::Regions(vec![
            region("whole", &[1, 2, 3], 1),
            region("core", &[2, 3], 2),
            region("enhancing", &[3], 3),
        ])
    }

    #[test]
    fn a_voxel_taken_out_of_a_region_stays_in_those_around_it() {
        let target = nested();
        // Out of the core, an enhancing voxel is oedema; out of the whole tumour it is nothing.
        assert_eq!([1, 2].map(|structure| target.class_without(structure, 3)), [1, 2]);
        assert_eq!([1, 2, 3].map(|class| target.class_without(0, class)), [0; 3]);
        assert_eq!(Target::Classes.class_without(0, 1), 0);
    }

    #[test]
    fn structures_are_scored_by_the_values_of_their_classes() {
        let labels = [(0, "background"), (2, "oedema"), (5, "necrosis"), (7, "enhancing")]
            .map(|(value, name)| Label { value, name: name.into() });
        let scored = nested().scored(&labels, Some(9));
        assert_eq!(scored.values, [vec![2, 5, 7], vec![5, 7], vec![7]]);
        assert_eq!(scored.ignore, Some(9));
        let classes = Target::Classes.scored(&labels, None);
        assert_eq!(classes.values, [[2], [5], [7]]);
        assert_eq!(nested().names(&labels), ["whole", "core", "enhancing"]);
        assert_eq!(Target::Classes.names(&labels), ["oedema", "necrosis", "enhancing"]);
        assert_eq!([nested().outputs(4), Target::Classes.outputs(4)], [3, 4]);
    }

    #[test]
    fn a_plan_without_a_target_is_one_of_classes_and_regions_read_back() {
        let text = serde_json::to_string(&nested()).unwrap();
        assert!(text.starts_with(r#"{"regions":[{"name":"whole","classes":[1,2,3],"written":1}"#));
        assert_eq!(serde_json::from_str::<Target>(&text).unwrap(), nested());
        assert_eq!(Target::default(), Target::Classes);
    }

    proptest! {
        #[test]
        fn a_region_set_that_is_a_partition_predicts_the_sets_it_should(
            // Of every class but the background, the region it is in.
            places in prop::collection::vec(0_usize..4, 1..9),
        ) {
            let classes = |n: usize| -> Vec<u8> {
                (1..).zip(&places).filter(|(_, place)| **place == n).map(|(class, _)| class).collect()
            };
            let sets: Vec<Vec<u8>> = (0..4).map(classes).filter(|set| !set.is_empty()).collect();
            let target = Target::Regions(sets.iter().map(|set| region("", set, set[0])).collect());
            for class in (1..).take(places.len()) {
                let written = target.class_written(class);
                for set in &sets {
                    prop_assert_eq!(set.contains(&class), set.contains(&written));
                }
            }
            prop_assert_eq!(target.class_written(0), 0);
        }
    }
}
