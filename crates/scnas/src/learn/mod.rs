//! How networks learn: the loss and its gradients, α and its relaxations, optimisers and schedules.

pub mod agreement;
pub mod average;
pub mod backprop;
pub mod batch;
pub mod deciding;
pub mod deep_supervision;
pub mod loss;
pub mod optimiser;
mod over_ranks;
pub mod relaxation;
pub mod schedule;
