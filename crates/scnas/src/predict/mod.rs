pub mod image;
pub mod windows;
