//! Transfer syntaxes: how data sets are written and pixels compressed.

use super::parse::Encoding;

/// How the pixels of a frame are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    /// As they are, one frame behind the other.
    Native,
    /// As they are, each frame in its fragments.
    Fragments,
    /// Each frame's bytes deflated.
    Deflate,
    Rle,
    Jpeg,
    Jpeg2000,
    /// Not read here.
    Unknown,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(super) struct TransferSyntax {
    /// As files name it.
    pub uid: &'static str,
    /// As people name it.
    pub name: &'static str,
    /// How elements are written.
    pub encoding: Encoding,
    /// Whether the whole data set is deflated.
    pub deflated: bool,
    /// How pixels are compressed.
    pub codec: Codec,
}

const EXPLICIT: Encoding = Encoding { explicit: true, big_endian: false };
const IMPLICIT: Encoding = Encoding { explicit: false, big_endian: false };
const BIG: Encoding = Encoding { explicit: true, big_endian: true };

const fn plain(uid: &'static str, name: &'static str, encoding: Encoding) -> TransferSyntax {
    TransferSyntax { uid, name, encoding, deflated: false, codec: Codec::Native }
}

const fn compressed(uid: &'static str, name: &'static str, codec: Codec) -> TransferSyntax {
    TransferSyntax { uid, name, encoding: EXPLICIT, deflated: false, codec }
}

/// Explicit, little-endian: what is written.
pub(super) const EXPLICIT_LITTLE: &str = "1.2.840.10008.1.2.1";

const TABLE: &[TransferSyntax] = &[
    plain("1.2.840.10008.1.2", "Implicit VR Little Endian", IMPLICIT),
    plain(EXPLICIT_LITTLE, "Explicit VR Little Endian", EXPLICIT),
    plain("1.2.840.10008.1.2.2", "Explicit VR Big Endian", BIG),
    TransferSyntax {
        uid: "1.2.840.10008.1.2.1.99",
        name: "Deflated Explicit VR Little Endian",
        encoding: EXPLICIT,
        deflated: true,
        codec: Codec::Native,
    },
    compressed("1.2.840.10008.1.2.1.98", "Encapsulated Uncompressed", Codec::Fragments),
    compressed("1.2.840.10008.1.2.8.1", "Deflated Image Frame Compression", Codec::Deflate),
    compressed("1.2.840.10008.1.2.5", "RLE Lossless", Codec::Rle),
    compressed("1.2.840.10008.1.2.4.50", "JPEG Baseline", Codec::Jpeg),
    compressed("1.2.840.10008.1.2.4.51", "JPEG Extended", Codec::Jpeg),
    compressed("1.2.840.10008.1.2.4.57", "JPEG Lossless", Codec::Jpeg),
    compressed("1.2.840.10008.1.2.4.70", "JPEG Lossless SV1", Codec::Jpeg),
    compressed("1.2.840.10008.1.2.4.90", "JPEG 2000 Lossless", Codec::Jpeg2000),
    compressed("1.2.840.10008.1.2.4.91", "JPEG 2000", Codec::Jpeg2000),
    compressed("1.2.840.10008.1.2.4.80", "JPEG-LS Lossless", Codec::Unknown),
    compressed("1.2.840.10008.1.2.4.81", "JPEG-LS Near-lossless", Codec::Unknown),
    compressed("1.2.840.10008.1.2.4.92", "JPEG 2000 Multi-component Lossless", Codec::Unknown),
    compressed("1.2.840.10008.1.2.4.93", "JPEG 2000 Multi-component", Codec::Unknown),
    compressed("1.2.840.10008.1.2.4.94", "JPIP Referenced", Codec::Unknown),
    compressed("1.2.840.10008.1.2.4.95", "JPIP Referenced Deflate", Codec::Unknown),
    compressed("1.2.840.10008.1.2.4.100", "MPEG2 Main Profile Main Level", Codec::Unknown),
    compressed("1.2.840.10008.1.2.4.110", "JPEG XL Lossless", Codec::Unknown),
    compressed("1.2.840.10008.1.2.4.111", "JPEG XL JPEG Recompression", Codec::Unknown),
    compressed("1.2.840.10008.1.2.4.112", "JPEG XL", Codec::Unknown),
    compressed("1.2.840.10008.1.2.4.201", "High-Throughput JPEG 2000 Lossless", Codec::Unknown),
    compressed("1.2.840.10008.1.2.4.202", "High-Throughput JPEG 2000 RPCL", Codec::Unknown),
    compressed("1.2.840.10008.1.2.4.203", "High-Throughput JPEG 2000", Codec::Unknown),
];

/// The transfer syntax of a UID. One that is not listed is taken for explicit, with pixels that
/// cannot be read: what compresses pixels is.
pub(super) fn find(uid: &str) -> TransferSyntax {
    let listed = TABLE.iter().find(|syntax| syntax.uid == uid).copied();
    listed.unwrap_or(compressed("", "an unknown transfer syntax", Codec::Unknown))
}
