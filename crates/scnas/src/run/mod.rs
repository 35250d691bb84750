//! What is done with all of it: `search` (Algorithm 1) and `train` are phases of the one loop over
//! epochs; `pipeline` leads from a data set to an evaluated model; the other files are the other
//! things that can be asked for.

pub mod bench;
mod candidates;
pub mod check;
mod course;
pub mod cross_validate;
mod decide;
pub mod demo;
mod epochs;
pub mod export;
mod finish;
mod images;
pub mod measure;
pub mod needs;
pub mod phases;
pub mod pipeline;
pub mod predict;
pub mod preflight;
mod race;
pub mod ready;
mod scale;
mod search;
pub mod seeds;
pub mod setup;
pub mod share;
pub mod start;
mod supernet;
pub mod teachers;
mod train;
mod validate;
pub mod workload;
