pub(crate) mod load;
pub mod patches;
pub mod plan;
pub(crate) mod prefetch;
pub mod splits;
