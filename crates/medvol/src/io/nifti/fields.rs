//! The fields of the headers of NIfTI-1, NIfTI-2 and Analyze 7.5, by their places.
//!
//! <https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h>, `nifti2.h` beside it. What is known
//! of an Analyze header stands where NIfTI-1 has it.

/// Which of the headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// 348 bytes without a word on space.
    Analyze,
    /// 348 bytes.
    One,
    /// 540 bytes.
    Two,
}

impl Version {
    /// Bytes of a header; its first field says so, too.
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Analyze | Self::One => 348,
            Self::Two => 540,
        }
    }
}

/// Bytes of the longest header.
pub(super) const MOST_BYTES: usize = 540;

/// How a number is stored.
#[derive(Clone, Copy, Debug)]
enum Kind {
    U8,
    I16,
    I32,
    I64,
    F32,
    F64,
}

use Kind::{F32, F64, I16, I32, I64, U8};

impl Kind {
    fn bytes(self) -> usize {
        match self {
            U8 => 1,
            I16 => 2,
            I32 | F32 => 4,
            I64 | F64 => 8,
        }
    }
}

/// Where a field, or a list of numbers, begins and how it is stored: in 348 bytes and in 540.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    short: (usize, Kind),
    long: (usize, Kind),
}

macro_rules! fields {
    ($($(#[$doc:meta])* $name:ident: $short:expr, $long:expr;)*) => {
        $($(#[$doc])* pub(super) const $name: Field = Field { short: $short, long: $long };)*
    };
}

fields! {
    /// Bytes of the header.
    SIZE: (0, I32), (0, I32);
    /// The number of dimensions, and the size of each.
    DIM: (40, I16), (16, I64);
    DATATYPE: (70, I16), (12, I16);
    BITPIX: (72, I16), (14, I16);
    /// The handedness of the qform, and the spacing of each dimension.
    PIXDIM: (76, F32), (104, F64);
    VOX_OFFSET: (108, F32), (168, I64);
    SLOPE: (112, F32), (176, F64);
    INTERCEPT: (116, F32), (184, F64);
    /// Of length in the lower three bits.
    UNITS: (123, U8), (500, I32);
    QFORM_CODE: (252, I16), (344, I32);
    SFORM_CODE: (254, I16), (348, I32);
    /// b, c and d.
    QUATERNION: (256, F32), (352, F64);
    /// Where the qform places the first voxel.
    QOFFSET: (268, F32), (376, F64);
    /// Three rows of four.
    SROWS: (280, F32), (400, F64);
}

/// Of Analyze only: the voxel at the origin, counted from 1, as SPM writes it.
pub(super) const ORIGIN: Field = Field { short: (253, I16), long: (0, I16) };

/// A header's bytes.
#[derive(Clone, Debug)]
pub(super) struct Fields {
    bytes: Vec<u8>,
    pub(super) version: Version,
    pub(super) big_endian: bool,
}

impl Fields {
    /// Bytes that are as many as `version` says; what is missing is 0.
    pub(super) fn new(mut bytes: Vec<u8>, version: Version, big_endian: bool) -> Self {
        bytes.resize(version.bytes(), 0);
        Self { bytes, version, big_endian }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The byte at which the `n`-th number of a field begins, and how it is stored.
    fn at(&self, field: Field, n: usize) -> (usize, Kind) {
        let (start, kind) = match self.version {
            Version::Analyze | Version::One => field.short,
            Version::Two => field.long,
        };
        (start + n * kind.bytes(), kind)
    }

    fn take<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut field = [0; N];
        field.copy_from_slice(&self.bytes[at..at + N]);
        if self.big_endian {
            field.reverse();
        }
        field
    }

    /// The `n`-th number of a field; of fractions their whole part.
    pub(super) fn int(&self, field: Field, n: usize) -> i64 {
        match self.at(field, n) {
            (at, U8) => self.bytes[at].into(),
            (at, I16) => i16::from_le_bytes(self.take(at)).into(),
            (at, I32) => i32::from_le_bytes(self.take(at)).into(),
            (at, I64) => i64::from_le_bytes(self.take(at)),
            (_, F32 | F64) => self.float(field, n) as i64,
        }
    }

    /// The `n`-th number of a field.
    pub(super) fn float(&self, field: Field, n: usize) -> f64 {
        match self.at(field, n) {
            (at, F32) => f32::from_le_bytes(self.take(at)).into(),
            (at, F64) => f64::from_le_bytes(self.take(at)),
            (_, U8 | I16 | I32 | I64) => self.int(field, n) as f64,
        }
    }

    /// Sets the `n`-th number of a field of a little-endian header.
    pub(super) fn set_int(&mut self, field: Field, n: usize, value: i64) {
        let (at, kind) = self.at(field, n);
        match kind {
            F32 | F64 => self.set_float(field, n, value as f64),
            U8 | I16 | I32 | I64 => self.put(at, &value.to_le_bytes()[..kind.bytes()]),
        }
    }

    /// Sets the `n`-th number of a field of a little-endian header.
    pub(super) fn set_float(&mut self, field: Field, n: usize, value: f64) {
        match self.at(field, n) {
            (at, F32) => self.put(at, &(value as f32).to_le_bytes()),
            (at, F64) => self.put(at, &value.to_le_bytes()),
            (_, U8 | I16 | I32 | I64) => self.set_int(field, n, value as i64),
        }
    }

    /// Sets bytes.
    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }
}
