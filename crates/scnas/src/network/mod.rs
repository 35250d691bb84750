//! Networks: what they are made of, their weights, and what they cost.
//!
//! A network is built from an architecture and a [`Size`](size::Size) and declares its weights in a
//! [`Layout`](layout::Layout) on the way. Values for these ([`weights`]) and parameters and GFLOPs
//! ([`cost`]) follow from the layout, so that there is no second description of any network.

pub mod architecture;
mod cell;
pub mod cells;
pub mod cost;
mod edge;
mod layers;
pub mod layout;
pub mod mixture;
pub mod size;
pub mod u_net;
pub mod weights;

pub(crate) use layers::Head;
