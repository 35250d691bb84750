//! Deciding which operations to keep: what was seen of them, what it says, what is dropped.

pub mod comparisons;
pub mod decisions;
pub mod effects;
pub mod shrinkage;
mod symmetric;
