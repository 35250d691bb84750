//! Filling the cache: few cases at a time, so that memory is bounded however many there are, and with
//! an eye on the disk, so that it is known early whether there is room for all.
//!
//! Several processes may fill one cache at once. Each begins at another case, and passes over those
//! that are there by then.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use medvol::CaseFiles;
use medvol::check::examine;

use crate::data::cache::bytes_of;
use crate::data::kept::KeptCase;
use crate::data::loading::{LoadedCases, Loading, Made, Need, coarser};
use crate::data::workers::shared_out;
use crate::disk;
use crate::error::{Error, Purpose, Result};
use crate::message::Message;
use crate::settings::Numbers;

/// Bytes of disk that are left for what a run writes besides.
const SPARED: f64 = (256_u64 << 20) as f64;

/// What is unsure about what cases to come will take.
const MARGIN: f64 = 1.1;

/// Filling the cache with the cases that are not in it yet.
pub(super) struct Fill<'a> {
    loading: &'a Loading<'a>,
    /// Cases that have to be made before the first few tell what the others take.
    few: usize,
    progress: Mutex<Progress>,
}

/// What was done so far.
struct Progress {
    start: Instant,
    /// Cases that are there.
    done: usize,
    /// Cases that were not there at the beginning, and still are not.
    missing: usize,
    /// Bytes that their files take, as headers say.
    to_come: f64,
    /// Cases that were made here.
    made: usize,
    /// Bytes of their files, and what headers said of them.
    bytes: f64,
    expected: f64,
}

impl<'a> Fill<'a> {
    /// Of the cases that are to be loaded.
    pub fn new(loading: &'a Loading<'a>) -> Self {
        let progress = Progress {
            start: Instant::now(),
            done: 0,
            missing: 0,
            to_come: 0.0,
            made: 0,
            bytes: 0.0,
            expected: 0.0,
        };
        let few = 2 * rayon::current_num_threads();
        Self { loading, few, progress: Mutex::new(progress) }
    }

    /// Opens or makes the cases that are not among `all` yet.
    ///
    /// # Errors
    /// As [`Loading::load`]; also [`Error::Stopped`] with what is made kept.
    pub fn run(self, mut all: LoadedCases) -> Result<LoadedCases> {
        let Loading { files, needs, room, examined, observer, .. } = self.loading;
        let first = if *examined { all.examinations.len() } else { all.cases.len() };
        let (files, needs) = (&files[first..], &needs[first..]);
        let there = |file: &CaseFiles| Ok(room.cache.open(file)?.is_some());
        let there = files.iter().map(there).collect::<Result<Vec<bool>>>()?;
        let missing = || needs.iter().zip(&there).filter(|(_, there)| !**there);
        self.with_progress(|progress| {
            progress.done = first;
            progress.missing = missing().count();
            progress.to_come = missing().map(|(need, _)| self.file_bytes(need)).sum();
        });
        self.check_disk()?;
        let what = match (missing().count(), examined) {
            (_, true) => "checking cases, which are held on disk",
            (0, false) => "opening cases that are held on disk",
            (_, false) => "bringing cases to disk",
        };
        observer.begin(what, first, first + files.len());
        // Another place for every process.
        let start = std::process::id() as usize % files.len().max(1);
        let made = shared_out(self.workers(files, needs)?, files.len(), start, |index| {
            let (made, bytes) = self.one(&files[index], &needs[index])?;
            self.count(&needs[index], there[index], bytes);
            self.check_disk()?;
            // What is there is kept: another start goes on from here.
            if observer.stop() { Err(Error::Stopped) } else { Ok(made) }
        })?;
        for made in made {
            let case = all.add(made, *examined)?;
            all.cases.extend(case);
        }
        Ok(all)
    }

    /// A case, from the cache if it is there; and the bytes of its file, if it was made.
    fn one(&self, file: &CaseFiles, need: &Need) -> Result<(Made<KeptCase>, Option<f64>)> {
        let Loading { room, examined, .. } = self.loading;
        if let Some(case) = room.cache.open(file)? {
            let examination = examined.then(|| examine(room.cache.recipe().dataset(), file).0);
            return Ok(((examination, Ok(Some(case.into()))), None));
        }
        let (examination, made) = self.loading.make(file);
        let case = match made {
            Ok(Some(case)) => case,
            Ok(None) => return Ok(((examination, Ok(None)), None)),
            Err(error) => return Ok(((examination, Err(error)), None)),
        };
        let voxels = case.image.len() as f64 / need.channels.max(1) as f64;
        let kept = room.cache.keep(file, &case)?;
        let bytes = bytes_of(need.channels, voxels, self.numbers());
        Ok(((examination, Ok(Some(kept.into()))), Some(bytes)))
    }

    fn numbers(&self) -> Numbers {
        self.loading.room.cache.recipe().numbers
    }

    /// What headers say of a case's file.
    fn file_bytes(&self, need: &Need) -> f64 {
        bytes_of(need.channels, need.voxels, self.numbers())
    }

    /// Cases at a time: as many as there are threads, and as fit into memory beside each other.
    fn workers(&self, files: &[CaseFiles], needs: &[Need]) -> Result<usize> {
        let both = needs.iter().map(Need::made).zip(files);
        let Some((bytes, file)) = both.max_by(|(a, _), (b, _)| a.total_cmp(b)) else {
            return Ok(1);
        };
        let memory = self.loading.memory();
        if bytes > memory {
            return Err(Error::Memory {
                purpose: Purpose::Case { name: file.name.clone() },
                needed: bytes as u64,
                allowed: memory as u64,
            });
        }
        // A float beyond usize's range saturates.
        Ok(((memory / bytes) as usize).clamp(1, rayon::current_num_threads()))
    }

    /// A case is there, which was `before` or not, and was made here or not, with a file of so many
    /// bytes. As soon as a few were made, says what all take.
    fn count(&self, need: &Need, before: bool, bytes: Option<f64>) {
        let expected = self.file_bytes(need);
        let observer = self.loading.observer;
        self.with_progress(|progress| {
            progress.done += 1;
            observer.advance(progress.done);
            if !before {
                progress.missing -= 1;
                progress.to_come -= expected;
            }
            let Some(bytes) = bytes else { return };
            progress.made += 1;
            progress.bytes += bytes;
            progress.expected += expected;
            if progress.made == self.few && progress.missing > 0 {
                let more = progress.to_come / progress.expected;
                observer.message(&Message::Filling {
                    bytes: (progress.bytes * more) as u64,
                    folder: self.loading.room.cache.folder().to_path_buf(),
                    seconds: progress.start.elapsed().as_secs_f64() * more,
                });
            }
        });
    }

    /// Refuses to go on where the disk will not do for the cases that are missing, as soon as some
    /// that were made tell; headers do not know how much is cropped away.
    fn check_disk(&self) -> Result<()> {
        let folder = self.loading.room.cache.folder();
        let Some(free) = disk::free(folder) else { return Ok(()) };
        let (cases, to_come, kept) = self.with_progress(|progress| {
            let known = progress.made >= self.few;
            let kept = if known { MARGIN * progress.bytes / progress.expected } else { 0.0 };
            (progress.missing, progress.to_come, kept)
        });
        let needed = to_come * kept + SPARED;
        let there = free as f64;
        if cases == 0 || needed <= there {
            return Ok(());
        }
        let half_fits = self.numbers() == Numbers::F32 && needed / 2.0 <= there;
        let coarser = coarser(self.loading.plan, MARGIN * needed / there.max(1.0));
        let (path, needed) = (folder.into(), needed as u64);
        Err(Error::CacheDisk { path, cases, needed, free, half_fits, coarser })
    }

    fn with_progress<T>(&self, f: impl FnOnce(&mut Progress) -> T) -> T {
        f(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
