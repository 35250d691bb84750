//! What was reached: scores, their spread over cases and folds, comparisons, pictures.

pub mod against_random;
pub mod cells;
pub mod comparison;
pub mod cross_validation;
pub mod decided;
mod document;
pub mod evaluation;
pub mod finished;
pub mod headway;
pub mod held_out;
pub mod html;
pub mod log_table;
pub mod model_card;
mod pairs;
pub mod picture;
pub mod portrait;
pub mod procedures;
pub mod race;
pub mod raster;
pub mod result;
pub mod scoring;
pub mod seeds;
pub mod statistics;
mod student;
pub mod table;
mod tex;
pub mod view;
