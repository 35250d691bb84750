//! From a data set on disk to the patches of a step: what is planned from its headers, who is held
//! out, cases in memory, patches drawn from them and prepared ahead.

pub mod cohort;
pub mod files;
pub(crate) mod load;
pub mod patches;
pub mod plan;
pub(crate) mod prefetch;
pub mod splits;
