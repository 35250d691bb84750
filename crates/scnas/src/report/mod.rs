pub mod cross_validation;
pub mod evaluation;
pub mod statistics;
pub mod table;
