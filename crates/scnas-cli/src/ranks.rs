//! Whether this process is one of several that MPI has started to do a piece of work together.

use std::env;

use anyhow::Result;
use scnas::ranks::{Alone, Ranks};

/// Variables in which starters of MPI say how many processes there are: Open MPI; MPICH, Intel MPI
/// and Slurm's PMI-2; MVAPICH.
const COUNTS: [&str; 3] = ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"];

/// Does a piece of work, together with the others where MPI has started several. What comes of it is
/// for the first of them to say; `None` on the others.
///
/// # Errors
/// Those of the work, on the first: on the others one ends the whole program.
pub fn together<T>(work: impl FnOnce(&dyn Ranks) -> Result<T>) -> Result<Option<T>> {
    match started() {
        1 => work(&Alone).map(Some),
        several => of_several(several, work),
    }
}

#[cfg(feature = "mpi")]
fn of_several<T>(_: usize, work: impl FnOnce(&dyn Ranks) -> Result<T>) -> Result<Option<T>> {
    crate::mpi::together(work)
}

#[cfg(not(feature = "mpi"))]
fn of_several<T>(several: usize, _: impl FnOnce(&dyn Ranks) -> Result<T>) -> Result<Option<T>> {
    anyhow::bail!(
        "expected one process; found {several} that MPI has started, which would all do the same: \
         build with --features mpi for them to share the work, or start one"
    )
}

/// How many processes were started together.
fn started() -> usize {
    let number = |name: &str| env::var(name).ok()?.parse().ok();
    // PMIx says which process it is and not how many there are; Slurm does.
    let of_slurm = || env::var_os("PMIX_RANK").and_then(|_| number("SLURM_STEP_NUM_TASKS"));
    COUNTS.iter().find_map(|name| number(name)).or_else(of_slurm).unwrap_or(1)
}
