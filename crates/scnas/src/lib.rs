//! Scalable neural architecture search for 3-D medical image segmentation (SCNAS; Kim et al., MIDL
//! 2019).
//!
//! Four types of cells of a 3-D U-Net are searched at once with their weights. A reader who wants
//! the method reads, in this order: [`operation`], [`space`], [`genotype`], [`network`],
//! [`relaxation`], [`search`].

#![deny(unsafe_code)]

pub mod data;
pub mod error;
pub mod learn;
pub mod memory;
pub mod network;
pub mod predict;
pub mod random;
pub mod report;
pub mod run;
pub mod settings;
pub mod space;
pub mod store;

pub use burn::tensor::Device;
pub use error::{Error, Result};
pub use volops::device;
