//! Preprocessed cases of a run, wherever their voxels are: in memory, or on disk where there are too
//! many. Whoever uses them sees the same bits.

use std::collections::BTreeMap;

use medvol::augment::{Augmentation, Patch};
use medvol::{Case, CtSample, CtStatistics, DrawnVoxel, Part};
use ndarray::{Array3, Array4, ArrayView3, Axis};
use rand::Rng;

use crate::data::cache::CachedCase;
use crate::data::facts::{Box3, Facts};
use crate::error::{CasesFault, Result};

/// A preprocessed case.
#[derive(Debug)]
pub struct KeptCase {
    facts: Facts,
    voxels: Voxels,
}

/// Where the voxels are.
#[derive(Debug)]
enum Voxels {
    Memory(Box<Case>),
    Disk(Box<CachedCase>),
}

impl From<Case> for KeptCase {
    fn from(case: Case) -> Self {
        Self { facts: Facts::of(&case), voxels: Voxels::Memory(Box::new(case)) }
    }
}

impl From<(Facts, CachedCase)> for KeptCase {
    fn from((facts, case): (Facts, CachedCase)) -> Self {
        Self { facts, voxels: Voxels::Disk(Box::new(case)) }
    }
}

impl KeptCase {
    /// What is known of it without its voxels.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// The case, where its voxels are in memory.
    pub fn into_memory(self) -> Option<Case> {
        match self.voxels {
            Voxels::Memory(case) => Some(*case),
            Voxels::Disk(_) => None,
        }
    }

    /// Whether its voxels are in memory.
    pub fn in_memory(&self) -> bool {
        matches!(self.voxels, Voxels::Memory(_))
    }

    /// A patch, varied: see [`Augmentation::apply`].
    ///
    /// # Errors
    /// Voxels that cannot be read back from the disk, nor made again.
    pub fn patch(
        &self,
        augmentation: &Augmentation,
        corner: [isize; 3],
        patch: [usize; 3],
    ) -> Result<Patch> {
        let Facts { shape, spacing_mm, places, .. } = &self.facts;
        match &self.voxels {
            Voxels::Memory(case) => Ok(augmentation.apply(&case.part(), corner, patch)),
            Voxels::Disk(case) => {
                let reach = augmentation.reach(*shape, *spacing_mm, corner, patch);
                let image = case.image(&reach)?;
                let classes = places.as_ref().map(|_| case.classes(&reach)).transpose()?;
                let classes = classes.as_ref().map(|classes| classes.view());
                let part = self.part(&reach, &image, classes);
                Ok(augmentation.apply(&part, corner, patch))
            }
        }
    }

    /// The window of the image at `corner`, padded with 0.
    ///
    /// # Shapes
    /// - result: `[channels, patch depth, patch height, patch width]`, flattened, width fastest
    ///
    /// # Errors
    /// As [`Self::patch`].
    pub fn window(&self, corner: [isize; 3], patch: [usize; 3]) -> Result<Vec<f32>> {
        let Facts { shape, spacing_mm, .. } = self.facts;
        match &self.voxels {
            Voxels::Memory(case) => Ok(case.part().image_at(corner, patch)),
            Voxels::Disk(case) => {
                let reach = Augmentation::default().reach(shape, spacing_mm, corner, patch);
                let image = case.image(&reach)?;
                Ok(self.part(&reach, &image, None).image_at(corner, patch))
            }
        }
    }

    fn part<'a>(
        &self,
        held: &Box3,
        image: &'a Array4<f32>,
        classes: Option<ArrayView3<'a, u8>>,
    ) -> Part<'a> {
        let Facts { shape, spacing_mm, .. } = self.facts;
        let start = held.each_ref().map(|range| range.start);
        Part { shape, spacing_mm, start, image: image.view(), classes }
    }

    /// All class indices `[depth, height, width]`.
    ///
    /// # Errors
    /// [`CasesFault::NoLabels`]; as [`Self::patch`].
    pub fn classes(&self) -> Result<Array3<u8>> {
        self.classes_in(&self.facts.shape.map(|size| 0..size))
    }

    fn classes_in(&self, wanted: &Box3) -> Result<Array3<u8>> {
        let no_labels = || CasesFault::NoLabels { case: self.facts.name.clone() };
        match &self.voxels {
            Voxels::Memory(case) => {
                let [k, j, i] = wanted.clone();
                let classes = case.classes.as_ref().ok_or_else(no_labels)?;
                Ok(classes.slice(ndarray::s![k, j, i]).to_owned())
            }
            Voxels::Disk(_) if self.facts.places.is_none() => Err(no_labels().into()),
            Voxels::Disk(case) => case.classes(wanted),
        }
    }

    /// Draws a foreground voxel (depth, height, width): see [`medvol::ClassPlaces::draw`]. `None`
    /// if there is no foreground.
    ///
    /// # Errors
    /// As [`Self::patch`].
    pub fn draw_foreground(&self, rng: &mut impl Rng) -> Result<Option<[usize; 3]>> {
        self.find(self.facts.places.as_ref().and_then(|places| places.draw(rng)))
    }

    /// Draws a voxel (depth, height, width) that is not ignored: see
    /// [`medvol::ClassPlaces::draw_known`].
    ///
    /// # Errors
    /// As [`Self::patch`].
    pub fn draw_known(&self, rng: &mut impl Rng) -> Result<Option<[usize; 3]>> {
        let [_, height, width] = self.facts.shape;
        let places = self.facts.places.as_ref();
        self.find(places.and_then(|places| places.draw_known(height * width, rng)))
    }

    fn find(&self, drawn: Option<DrawnVoxel>) -> Result<Option<[usize; 3]>> {
        let Some(drawn) = drawn else { return Ok(None) };
        let [_, height, width] = self.facts.shape;
        let plane = self.classes_in(&[drawn.plane..drawn.plane + 1, 0..height, 0..width])?;
        Ok(drawn.find(plane.index_axis(Axis(0), 0)))
    }

    /// Values of a channel that is in Hounsfield units.
    ///
    /// # Errors
    /// As [`Self::patch`].
    pub fn sample(&self, channel: usize) -> Result<CtSample> {
        match &self.voxels {
            Voxels::Memory(case) => {
                let classes = case.classes.as_ref().map(|classes| classes.view());
                Ok(CtSample::of(case.image.index_axis(Axis(0), channel), classes))
            }
            Voxels::Disk(case) => case.sample(channel),
        }
    }

    /// Normalises a channel that is in Hounsfield units.
    pub fn normalise(&mut self, channel: usize, statistics: CtStatistics) {
        match &mut self.voxels {
            Voxels::Memory(case) => {
                statistics.normalise(case.image.index_axis_mut(Axis(0), channel));
            }
            Voxels::Disk(case) => case.normalise(channel, statistics),
        }
    }
}

/// The checksum of each case, by name: what says that a resumed run sees the data it began with.
pub fn checksums<'a>(cases: impl IntoIterator<Item = &'a KeptCase>) -> BTreeMap<String, u32> {
    cases.into_iter().map(|case| (case.facts.name.clone(), case.facts.checksum)).collect()
}
