//! Tests of the command, as one program: it links once.

mod common;
#[path = "../../../scnas/tests/made_up/mod.rs"]
mod made_up;

mod bench;
mod cache;
mod check;
mod commands;
mod cross_validate;
mod distill;
mod documents;
mod elsewhere;
mod evaluate;
mod export;
mod faults;
mod images;
mod jobs;
mod kills;
mod places;
mod predict;
mod race;
mod regions;
mod report;
mod runs;
mod seeds;
#[cfg(unix)]
mod slurm;
mod view;
