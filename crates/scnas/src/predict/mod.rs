//! Label maps of images: windows, and whole images in bounded memory.

pub mod image;
pub mod windows;
