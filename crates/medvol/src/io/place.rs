//! How sure it is where an image lies: other readings of its header, and what is to be said of it.

use crate::affine::Affine;

/// How much a [`Remark`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Worth knowing; nothing need be done.
    Note,
    /// Suspicious: look at it.
    Warning,
    /// It cannot be known what the file means. Nobody should compute with it before it is put
    /// right.
    Question,
}

/// Something to be said of a file that can be read all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remark {
    /// How much it matters.
    pub weight: Weight,
    /// What was found, to be read after the file's name: `its qform …`.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

impl Remark {
    /// Worth knowing.
    pub fn note(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { weight: Weight::Note, message: message.into(), remedy: remedy.into() }
    }

    /// Suspicious.
    pub fn warning(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { weight: Weight::Warning, message: message.into(), remedy: remedy.into() }
    }

    /// Undecided.
    pub fn question(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { weight: Weight::Question, message: message.into(), remedy: remedy.into() }
    }
}

/// What a header says of an image's place besides the affine that is taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// Affines (mm, RAS+) by which other programs read the same header.
    pub others: Vec<Affine>,
    /// What is to be said of it.
    pub remarks: Vec<Remark>,
}
