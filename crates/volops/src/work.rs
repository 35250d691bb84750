//! What GPUs are told to do, counted.
//!
//! A launch costs the calling thread microseconds, whatever the kernel does: below about 64³ voxels a
//! step takes as long as its launches.

use std::collections::BTreeMap;

/// What GPUs were told to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// How often each kernel was launched, whosever it is.
    pub launches: BTreeMap<String, u64>,
    /// Bytes of the buffers that the kernels of this crate were given, each launch's once: what has
    /// to be read and written at least.
    pub bytes: u64,
    /// Bytes of the largest buffer that the kernels of this crate filled.
    pub largest: u64,
}

impl Work {
    /// Launches of all kernels.
    pub fn total(&self) -> u64 {
        self.launches.values().sum()
    }
}

/// The result of `f`, and the work that it gave to GPUs from the thread that calls this. Only one
/// thread may count at a time.
#[cfg(feature = "cube")]
pub fn count_work<R>(f: impl FnOnce() -> R) -> (R, Work) {
    use std::{
        sync::{Arc, Mutex, PoisonError},
        thread::{self, ThreadId},
    };

    use cubecl::logging::{LaunchObservation, LaunchObserver};

    use crate::gpu::{bytes_given, largest_made};

    struct Launches {
        thread: ThreadId,
        of: Mutex<BTreeMap<&'static str, u64>>,
    }

    impl LaunchObserver for Launches {
        fn launched(&self, kernel: &'static str) {
            if thread::current().id() == self.thread {
                let mut launches = self.of.lock().unwrap_or_else(PoisonError::into_inner);
                *launches.entry(kernel).or_default() += 1;
            }
        }
    }

    let launches = Arc::new(Launches { thread: thread::current().id(), of: Mutex::default() });
    let before = bytes_given();
    largest_made();
    let observation = LaunchObservation::new(launches.clone());
    let result = f();
    drop(observation);
    let bytes = bytes_given() - before;
    let mut work = Work { bytes, largest: largest_made(), ..Work::default() };
    for (name, count) in launches.of.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        *work.launches.entry(short(name)).or_default() += count;
    }
    (result, work)
}

/// The last part of a kernel's name, without what it is generic over.
#[cfg(feature = "cube")]
fn short(name: &str) -> String {
    let name = name.split('<').next().unwrap_or(name);
    name.rsplit("::").next().unwrap_or(name).into()
}

/// The result of `f`. A build without GPUs gives them no work.
#[cfg(not(feature = "cube"))]
pub fn count_work<R>(f: impl FnOnce() -> R) -> (R, Work) {
    (f(), Work::default())
}
