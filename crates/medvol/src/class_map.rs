//! Label values (what files hold) and class indices (what is computed with): class `n` is the
//! `n`-th label of the data set.

use ndarray::{Array3, ArrayView3};
use serde::{Deserialize, Serialize};

/// A structure that a data set labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Label {
    /// The voxel value in label files; 0 is the background.
    pub value: u16,
    /// Its name.
    pub name: String,
}

/// The two-way map between label values and class indices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassMap {
    values: Vec<u16>,
    /// Class by label value, as far as the largest value.
    classes: Vec<Option<u8>>,
}

impl ClassMap {
    /// Stands for voxels of which nothing is known: no loss, no score.
    pub const IGNORED: u8 = u8::MAX;

    /// Most classes a map can hold, background included.
    pub const MAX_CLASSES: usize = Self::IGNORED as usize;

    /// Class `n` stands for `labels[n]`. Labels beyond [`Self::MAX_CLASSES`] get no class
    /// ([`Dataset::open`](crate::Dataset::open) refuses them).
    pub fn new(labels: &[Label]) -> Self {
        let values: Vec<u16> = labels.iter().take(Self::MAX_CLASSES).map(|l| l.value).collect();
        let largest = values.iter().copied().max().unwrap_or(0);
        let mut classes = vec![None; usize::from(largest) + 1];
        for (class, &value) in values.iter().enumerate() {
            classes[usize::from(value)] = u8::try_from(class).ok();
        }
        Self { values, classes }
    }

    /// The same, where voxels of the value `ignore` are [ignored](Self::IGNORED).
    pub fn ignoring(mut self, ignore: Option<u16>) -> Self {
        if let Some(value) = ignore.map(usize::from) {
            self.classes.resize(self.classes.len().max(value + 1), None);
            self.classes[value] = Some(Self::IGNORED);
        }
        self
    }

    /// The class of a label value, or `None` where the data set does not list it.
    pub fn class(&self, value: u16) -> Option<u8> {
        self.classes.get(usize::from(value)).copied().flatten()
    }

    /// The label value of a class, or `None` where there are fewer classes.
    pub fn value(&self, class: usize) -> Option<u16> {
        self.values.get(class).copied()
    }

    /// The label values that have a class, ascending, and these classes.
    pub fn named(&self) -> Vec<(u16, u8)> {
        let values = (0..=u16::MAX).zip(&self.classes);
        values.filter_map(|(value, class)| Some((value, (*class)?))).collect()
    }

    /// The label values that have a class, ascending.
    pub fn listed(&self) -> Vec<u16> {
        self.named().into_iter().map(|(value, _)| value).collect()
    }

    /// The classes of a volume of label values, of any shape.
    ///
    /// # Errors
    /// The first voxel (depth, height, width) whose label value is not listed, and that value.
    pub fn classes(
        &self,
        values: ArrayView3<u16>,
    ) -> std::result::Result<Array3<u8>, ([usize; 3], u16)> {
        if let Some(((k, j, i), &value)) =
            values.indexed_iter().find(|(_, value)| self.class(**value).is_none())
        {
            return Err(([k, j, i], value));
        }
        Ok(values.mapv(|value| self.class(value).unwrap_or(0)))
    }
}
