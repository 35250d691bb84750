//! Where an image may lie, by all readings of its header.

use super::remark::Remark;
use crate::affine::Affine;

/// What a header says of an image's place besides the affine that is taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// Affines (mm, RAS+) by which other programs read the same header.
    pub others: Vec<Affine>,
    /// What is to be said of it.
    pub remarks: Vec<Remark>,
}
