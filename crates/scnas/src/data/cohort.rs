//! A data set with what its headers say: read once, and handed down to all that wants to know.

use std::collections::BTreeMap;
use std::path::Path;

use medvol::io::{self, Grid};
use medvol::{CaseFiles, Dataset, MAX_VOXELS, Orientation, canonical_spacing, median_spacing};
use rayon::prelude::*;

use crate::error::{CasesFault, Result};

/// A data set and the headers of its labelled cases.
#[derive(Clone, Debug)]
pub struct Cohort {
    /// Its description and files.
    pub dataset: Dataset,
    headers: BTreeMap<String, Header>,
}

/// What the headers of a case's images say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Header {
    /// Shape, channels and place.
    pub grid: Grid,
    /// The most bytes that the voxels take as their files store them.
    pub raw_bytes: u64,
}

impl Header {
    /// Shape `[depth, height, width]` in voxels of `spacing` mm, in canonical orientation; an axis
    /// of one voxel keeps it.
    pub fn resampled(&self, spacing: [f64; 3]) -> [f64; 3] {
        let Grid { affine, shape, .. } = &self.grid;
        let (own, axes) =
            (canonical_spacing(affine), Orientation::of(affine).canonical_axes(*shape));
        [0, 1, 2].map(|axis| match axes[axis] {
            1 => 1.0,
            voxels => voxels as f64 * own[axis] / spacing[axis],
        })
    }
}

impl Cohort {
    /// Opens a data set and reads the headers of its labelled cases.
    ///
    /// # Errors
    /// A description that cannot be understood; headers that cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        Self::read(Dataset::open(path)?)
    }

    /// Reads the headers of a data set's labelled cases.
    ///
    /// # Errors
    /// Those that cannot be read.
    pub fn read(dataset: Dataset) -> Result<Self> {
        let cases: Vec<&CaseFiles> = labelled(&dataset).collect();
        let header = |case: &&CaseFiles| -> Result<_> {
            let opened = io::open(&case.images)?;
            let header = Header { grid: opened.grid(), raw_bytes: opened.raw_bytes() };
            Ok((case.name.clone(), header))
        };
        let headers = cases.par_iter().map(header).collect::<Result<_>>()?;
        Ok(Self { dataset, headers })
    }

    /// The labelled cases, sorted by name.
    pub fn labelled(&self) -> impl Iterator<Item = &CaseFiles> {
        labelled(&self.dataset)
    }

    /// The median spacing `[depth, height, width]` of the labelled cases in mm, in canonical
    /// orientation.
    pub fn usual_spacing(&self) -> [f64; 3] {
        let spacings = self.headers.values().map(|header| canonical_spacing(&header.grid.affine));
        median_spacing(spacings).unwrap_or([1.0; 3])
    }

    /// Whether a case has more voxels of the usual spacing than any is prepared with: it is in
    /// another unit, most likely.
    pub fn swells(&self) -> bool {
        let spacing = self.usual_spacing();
        let voxels = |header: &Header| header.resampled(spacing).into_iter().product::<f64>();
        self.headers.values().any(|header| voxels(header) > MAX_VOXELS)
    }

    /// What the headers of a labelled case's images say.
    ///
    /// # Errors
    /// [`CasesFault::NoLabels`] for any other case.
    pub fn header(&self, case: &CaseFiles) -> Result<&Header> {
        let unlabelled = || CasesFault::NoLabels { case: case.name.clone() };
        Ok(self.headers.get(&case.name).ok_or_else(unlabelled)?)
    }
}

fn labelled(dataset: &Dataset) -> impl Iterator<Item = &CaseFiles> {
    dataset.cases.iter().filter(|case| case.label.is_some())
}
