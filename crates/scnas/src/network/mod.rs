//! Networks: what they are made of, their weights, and what they cost.
//!
//! A network is built from an architecture and a [`Size`](size::Size) and declares its weights in a
//! [`Layout`](layout::Layout) on the way. Values for these ([`weights`]) and parameters and GFLOPs
//! ([`cost`]) follow from the layout, so that there is no second description of any network. Nor is
//! there one of how it is wired: the forward pass is written for any [`Medium`](medium::Medium).

pub mod architecture;
mod cell;
pub mod cells;
pub mod cost;
mod edge;
mod layers;
pub mod layout;
pub mod medium;
pub mod mixture;
pub mod size;
pub mod u_net;
pub mod weights;

pub(crate) use layers::Head;
