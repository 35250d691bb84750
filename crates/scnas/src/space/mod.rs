pub mod draw;
pub mod genotype;
pub mod operation;
pub mod topology;
