pub mod backprop;
pub mod loss;
pub mod optimiser;
pub mod relaxation;
