pub mod architecture;
pub mod cells;
pub mod cost;
pub mod deep_supervision;
mod layers;
pub mod u_resnet;
pub mod weights;
