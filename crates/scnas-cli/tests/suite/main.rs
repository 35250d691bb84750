//! Tests of the command, as one program: it links once.

mod common;

mod bench;
mod check;
mod commands;
mod cross_validate;
mod distill;
mod documents;
mod elsewhere;
mod evaluate;
mod faults;
mod jobs;
mod kills;
mod predict;
mod race;
mod regions;
mod runs;
#[cfg(unix)]
mod slurm;
