//! Segmentations: label maps as DICOM keeps them, a plane of bits for each segment.

mod read;
mod write;

pub(super) use read::Segmentation;
pub(super) use write::write;

/// Who the private attribute of the label value belongs to.
const CREATOR: &str = "SCNAS LABEL VALUE";
