//! Which networks can be found: operations, cells and their wiring, a point of the space, and its
//! picture. Plain data; nothing here computes on volumes.

pub mod builtin;
pub mod draw;
pub mod genotype;
pub mod grid;
pub mod operation;
pub mod per_edge;
pub mod topology;
pub mod u_design;
