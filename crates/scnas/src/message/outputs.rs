//! What a network predicts, in words.

use std::fmt;

/// What the outputs of a network are, in words such as `3 classes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outputs {
    /// Number of classes, the background included.
    pub classes: usize,
    /// Names of the regions, where it is these that are predicted.
    pub regions: Vec<String>,
    /// The label that is ignored.
    pub ignore: Option<u16>,
}

impl fmt::Display for Outputs {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.regions.as_slice() {
            [] => write!(f, "{} classes", self.classes)?,
            regions => write!(f, "{} region(s) ({})", regions.len(), regions.join(", "))?,
        }
        self.ignore.map_or(Ok(()), |value| write!(f, ", label {value} ignored"))
    }
}
