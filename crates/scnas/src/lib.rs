//! Scalable neural architecture search for 3-D medical image segmentation (SCNAS; Kim et al., MIDL
//! 2019).
//!
//! Four types of cells of a 3-D U-Net are searched at once with their weights. A reader who wants
//! the method reads, in this order: [`operation`], [`space`], [`genotype`], [`network`],
//! [`relaxation`], [`search`].

#![deny(unsafe_code)]

pub mod architecture;
pub mod backprop;
pub mod bench;
pub mod checkpoint;
pub mod config;
pub mod count;
pub mod cross_validation;
pub mod data;
pub mod error;
pub mod evaluate;
pub mod genotype;
mod layers;
mod load;
pub mod loss;
pub mod memory;
pub mod model;
pub mod network;
pub mod operation;
pub mod optimiser;
pub mod plan;
pub mod predict;
pub mod predict_image;
mod prefetch;
pub mod prospect;
pub mod random;
pub mod relaxation;
pub mod run;
pub mod run_dir;
pub mod search;
pub mod show;
pub mod space;
pub mod splits;
pub mod statistics;
pub mod supervision;
pub mod table;
pub mod tensors;
pub mod train;
pub mod u_resnet;
pub mod weights;

pub use burn::tensor::Device;
pub use error::{Error, Result};
pub use volops::device;
