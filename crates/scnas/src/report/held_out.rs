//! Where the files of a run's held-out cases lie: what pictures of them are drawn from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf, absolute};

use medvol::io::{self, Source};
use medvol::{CaseFiles, Dataset, Image, LabelMap};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Purpose, Result};
use crate::report::document::read;
use crate::store::run_folder::HELD_OUT;

/// Most bytes that reading takes for each number of an image: twice one, while they are brought
/// into order.
const READ_NUMBER: u64 = 2 * 4;

/// Most bytes that drawing takes a voxel: two label maps of two, three masks, the numbers of
/// components.
const DRAWN_VOXEL: u64 = 2 * 2 + 3 + 4;

/// The files of held-out cases, by the cases' names.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldOut(BTreeMap<String, Files>);

/// The files of a case, with whole paths.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Files {
    /// In the order of the channels.
    images: Vec<PathBuf>,
    label: Option<PathBuf>,
}

impl HeldOut {
    /// Of these cases.
    pub fn of<'a>(cases: impl IntoIterator<Item = &'a CaseFiles>) -> Self {
        let whole = |source: &Source| {
            absolute(source.path()).unwrap_or_else(|_| source.path().to_path_buf())
        };
        let files = |case: &CaseFiles| Files {
            images: case.images.iter().map(whole).collect(),
            label: case.label.as_ref().map(whole),
        };
        Self(cases.into_iter().map(|case| (case.name.clone(), files(case))).collect())
    }

    /// Of all labelled cases of the data set at `data`.
    ///
    /// # Errors
    /// A data set that cannot be opened.
    pub fn of_data(data: &Path) -> Result<Self> {
        let dataset = Dataset::open(data)?;
        Ok(Self::of(dataset.cases.iter().filter(|case| case.label.is_some())))
    }

    /// Those of a run; `None` where it does not say.
    ///
    /// # Errors
    /// A file that cannot be read or understood.
    pub fn read(run: &Path) -> Result<Option<Self>> {
        let file = run.join(HELD_OUT);
        file.exists().then(|| read(&file)).transpose()
    }

    /// The image of a case and its reference on the same grid; `None` of a case that is not known.
    /// `free` is the memory in bytes that drawing it may take, where that is known.
    ///
    /// # Errors
    /// Files that cannot be read, or that do not belong together; [`Error::Memory`].
    pub fn load(
        &self,
        case: &str,
        free: Option<u64>,
    ) -> Result<Option<(Image, io::Header, LabelMap)>> {
        let Some(Files { images, label: Some(label) }) = self.0.get(case) else { return Ok(None) };
        let sources: Vec<Source> = images.iter().map(Source::from).collect();
        let opened = io::open(&sources)?;
        let header = opened.header().clone();
        let (numbers, channels) = (header.grid.voxels(), header.grid.channels.max(1));
        let needed = READ_NUMBER * numbers + DRAWN_VOXEL * numbers / channels as u64;
        if let Some(allowed) = free.filter(|&free| free < needed) {
            let purpose = Purpose::Picture { name: case.into() };
            return Err(Error::Memory { purpose, needed, allowed });
        }
        let reference = on_grid(&header, label, sources.first())?;
        Ok(Some((opened.image()?, header, reference)))
    }
}

/// A label map on the grid of an image.
///
/// # Errors
/// A file that cannot be read, or that does not lie on the image.
pub fn on_grid(image: &io::Header, label: &Path, of: Option<&Source>) -> Result<LabelMap> {
    let source = Source::from(label);
    let opened = source.open()?.on_grid_of(image);
    if let Some(of) = of {
        image.check_same_place(of, &source, opened.header())?;
    }
    Ok(opened.labels()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::plan::to_json;
    use medvol::phantom::{PhantomTask, write_task};

    #[test]
    fn cases_are_read_back_from_where_they_lie() -> Result<()> {
        let folder = tempfile::tempdir().unwrap();
        let task = PhantomTask { seed: 1, cases: 2, test_cases: 1, coarseness: 4.0 };
        write_task(folder.path(), &task)?;
        let all = HeldOut::of_data(folder.path())?;
        medvol::atomic_write(folder.path().join(HELD_OUT), &to_json(&all)?)?;
        assert_eq!(HeldOut::read(folder.path())?, Some(all.clone()));
        let dataset = Dataset::open(folder.path())?;
        let Some((image, _, labels)) = all.load(&dataset.cases[0].name, None)? else {
            panic!("{all:?}")
        };
        assert_eq!(image.shape(), labels.shape());
        assert!(all.load("another", None)?.is_none());
        let refused = all.load(&dataset.cases[0].name, Some(1000));
        assert!(matches!(refused, Err(Error::Memory { .. })), "{refused:?}");
        Ok(())
    }
}
