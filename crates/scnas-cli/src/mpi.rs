//! Ranks that MPI connects.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, bail};
use mpi::Threading;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator as _, CommunicatorCollectives as _};
use scnas::ranks::Ranks;

use crate::output::{code_of, failure, note, silence};

/// What ends all ranks is mostly found by all; the others leave it to the first to say so.
const PATIENCE: Duration = Duration::from_secs(3);

/// Exit code of a program that panicked.
const PANICKED: i32 = 101;

/// This process among all that were started together.
#[derive(Debug)]
struct World {
    rank: usize,
    count: usize,
    /// Whether all have agreed to stop.
    stopping: AtomicBool,
}

impl Ranks for World {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.count
    }

    fn gather(&self, own: &[u8]) -> Vec<u8> {
        let mut all = vec![0; own.len() * self.count];
        SimpleCommunicator::world().all_gather_into(own, &mut all[..]);
        all
    }

    fn exchange(&self, own: &[u8]) -> Vec<u8> {
        let mut all = vec![0; own.len()];
        SimpleCommunicator::world().all_to_all_into(own, &mut all[..]);
        all
    }

    fn stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }
}

/// Joins the others for a piece of work, and leaves with them when it is done, or all were asked to
/// stop. Anything else ends all of them: they would wait for this one for ever.
///
/// # Errors
/// On the first rank, that the work was stopped; an MPI that does not let threads call it.
pub fn together<T>(work: impl FnOnce(&dyn Ranks) -> Result<T>) -> Result<Option<T>> {
    let joined = mpi::initialize_with_threading(Threading::Serialized);
    let (universe, threading) = joined.context("MPI is in use already")?;
    if threading < Threading::Serialized {
        bail!("expected an MPI that any thread may call; found one for the main thread alone");
    }
    let communicator = universe.world();
    let (rank, count) = (communicator.rank() as usize, communicator.size() as usize);
    let world = World { rank, count, stopping: AtomicBool::new(false) };
    silence(rank > 0);
    let done = catch_unwind(AssertUnwindSafe(|| work(&world)));
    match done {
        Ok(Err(error)) if !world.stopping.load(Ordering::Relaxed) => {
            communicator.abort(say(&error, rank))
        }
        // A panic says itself what it is.
        Err(_) => communicator.abort(PANICKED),
        // Left together: whoever came first waits where MPI ends.
        Ok(done) if rank == 0 => {
            drop(universe);
            done.map(Some)
        }
        Ok(_) => Ok(None),
    }
}

/// Says what ends all ranks, and gives the exit code.
fn say(error: &Error, rank: usize) -> i32 {
    if rank > 0 {
        sleep(PATIENCE);
        silence(false);
        note(format_args!("on rank {rank}:"));
    }
    failure(error);
    code_of(error).into()
}
