//! From a data set on disk to the patches of a step: what is planned from its headers, who is held
//! out, how cases are made, cases in memory or in a cache on disk, patches drawn from them and
//! prepared ahead.

pub mod cache;
pub mod cohort;
pub mod facts;
pub mod files;
pub(crate) mod fill;
mod inner_split;
pub mod kept;
mod load;
pub mod loading;
mod measure;
pub mod patches;
pub mod plan;
pub(crate) mod prefetch;
pub mod recipe;
pub mod splits;
pub(crate) mod workers;
