pub mod bench;
pub mod pipeline;
pub mod preflight;
pub mod search;
pub mod train;
