//! The attributes that are read or written, in one table: number, type of value, name. What is not
//! listed is skipped in a file.

/// The type of a value, as its two letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vr(pub [u8; 2]);

impl Vr {
    /// A sequence of items.
    pub const SQ: Self = Self(*b"SQ");
    /// Unknown.
    pub const UN: Self = Self(*b"UN");
    /// Words of 16 bits.
    pub const OW: Self = Self(*b"OW");

    /// Whether an explicit length takes four bytes, behind two that are reserved.
    pub fn is_long(self) -> bool {
        const LONG: [&[u8; 2]; 13] = [
            b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT",
            b"UV",
        ];
        LONG.contains(&&self.0)
    }

    /// Bytes of a number whose order depends on the transfer syntax; 1 for text and bytes.
    pub fn word(self) -> usize {
        match &self.0 {
            b"US" | b"SS" | b"OW" | b"AT" => 2,
            b"UL" | b"SL" | b"FL" | b"OL" | b"OF" => 4,
            b"FD" | b"OD" | b"UV" | b"SV" | b"OV" => 8,
            _ => 1,
        }
    }

    /// The byte that fills a value up to an even length.
    pub fn padding(self) -> u8 {
        if matches!(&self.0, b"UI" | b"OB" | b"UN") { 0 } else { b' ' }
    }
}

/// An attribute of the standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Group and element.
    pub tag: u32,
    pub(super) vr: Vr,
    /// Its keyword.
    pub name: &'static str,
}

impl std::fmt::Display for Attribute {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{} ({:04X},{:04X})", self.name, self.tag >> 16, self.tag & 0xffff)
    }
}

/// The attribute of a tag, if it is one of the table.
pub(super) fn find(tag: u32) -> Option<Attribute> {
    TABLE.binary_search_by_key(&tag, |attribute| attribute.tag).ok().map(|at| TABLE[at])
}

macro_rules! attributes {
    ($($constant:ident = $tag:literal $vr:ident $name:ident;)*) => {
        $(pub(super) const $constant: Attribute = Attribute {
            tag: $tag,
            vr: Vr({
                let letters = stringify!($vr).as_bytes();
                [letters[0], letters[1]]
            }),
            name: stringify!($name),
        };)*
        /// By number.
        const TABLE: &[Attribute] = &[$($constant),*];
    };
}

attributes! {
    FILE_META_LENGTH = 0x0002_0000 UL FileMetaInformationGroupLength;
    FILE_META_VERSION = 0x0002_0001 OB FileMetaInformationVersion;
    MEDIA_SOP_CLASS = 0x0002_0002 UI MediaStorageSOPClassUID;
    MEDIA_SOP_INSTANCE = 0x0002_0003 UI MediaStorageSOPInstanceUID;
    TRANSFER_SYNTAX = 0x0002_0010 UI TransferSyntaxUID;
    IMPLEMENTATION_CLASS = 0x0002_0012 UI ImplementationClassUID;
    CHARACTER_SET = 0x0008_0005 CS SpecificCharacterSet;
    IMAGE_TYPE = 0x0008_0008 CS ImageType;
    SOP_CLASS = 0x0008_0016 UI SOPClassUID;
    SOP_INSTANCE = 0x0008_0018 UI SOPInstanceUID;
    STUDY_DATE = 0x0008_0020 DA StudyDate;
    SERIES_DATE = 0x0008_0021 DA SeriesDate;
    CONTENT_DATE = 0x0008_0023 DA ContentDate;
    STUDY_TIME = 0x0008_0030 TM StudyTime;
    SERIES_TIME = 0x0008_0031 TM SeriesTime;
    CONTENT_TIME = 0x0008_0033 TM ContentTime;
    ACCESSION_NUMBER = 0x0008_0050 SH AccessionNumber;
    MODALITY = 0x0008_0060 CS Modality;
    MANUFACTURER = 0x0008_0070 LO Manufacturer;
    REFERRING_PHYSICIAN = 0x0008_0090 PN ReferringPhysicianName;
    CODE_VALUE = 0x0008_0100 SH CodeValue;
    CODING_SCHEME = 0x0008_0102 SH CodingSchemeDesignator;
    CODE_MEANING = 0x0008_0104 LO CodeMeaning;
    STUDY_DESCRIPTION = 0x0008_1030 LO StudyDescription;
    SERIES_DESCRIPTION = 0x0008_103e LO SeriesDescription;
    MODEL_NAME = 0x0008_1090 LO ManufacturerModelName;
    REFERENCED_SERIES = 0x0008_1115 SQ ReferencedSeriesSequence;
    REFERENCED_INSTANCES = 0x0008_114a SQ ReferencedInstanceSequence;
    REFERENCED_SOP_CLASS = 0x0008_1150 UI ReferencedSOPClassUID;
    REFERENCED_SOP_INSTANCE = 0x0008_1155 UI ReferencedSOPInstanceUID;
    REFERENCED_FRAME = 0x0008_1160 IS ReferencedFrameNumber;
    SOURCE_IMAGE = 0x0008_2112 SQ SourceImageSequence;
    FRAME_TYPE = 0x0008_9007 CS FrameType;
    DERIVATION_IMAGE = 0x0008_9124 SQ DerivationImageSequence;
    DERIVATION_CODE = 0x0008_9215 SQ DerivationCodeSequence;
    PATIENT_NAME = 0x0010_0010 PN PatientName;
    PATIENT_ID = 0x0010_0020 LO PatientID;
    PATIENT_BIRTH_DATE = 0x0010_0030 DA PatientBirthDate;
    PATIENT_SEX = 0x0010_0040 CS PatientSex;
    PATIENT_AGE = 0x0010_1010 AS PatientAge;
    PATIENT_SIZE = 0x0010_1020 DS PatientSize;
    PATIENT_WEIGHT = 0x0010_1030 DS PatientWeight;
    SLICE_THICKNESS = 0x0018_0050 DS SliceThickness;
    ECHO_TIME = 0x0018_0081 DS EchoTime;
    SPACING_BETWEEN_SLICES = 0x0018_0088 DS SpacingBetweenSlices;
    DEVICE_SERIAL_NUMBER = 0x0018_1000 LO DeviceSerialNumber;
    SOFTWARE_VERSIONS = 0x0018_1020 LO SoftwareVersions;
    TRIGGER_TIME = 0x0018_1060 DS TriggerTime;
    EFFECTIVE_ECHO_TIME = 0x0018_9082 FD EffectiveEchoTime;
    B_VALUE = 0x0018_9087 FD DiffusionBValue;
    STUDY_INSTANCE = 0x0020_000d UI StudyInstanceUID;
    SERIES_INSTANCE = 0x0020_000e UI SeriesInstanceUID;
    STUDY_ID = 0x0020_0010 SH StudyID;
    SERIES_NUMBER = 0x0020_0011 IS SeriesNumber;
    ACQUISITION_NUMBER = 0x0020_0012 IS AcquisitionNumber;
    INSTANCE_NUMBER = 0x0020_0013 IS InstanceNumber;
    POSITION = 0x0020_0032 DS ImagePositionPatient;
    ORIENTATION = 0x0020_0037 DS ImageOrientationPatient;
    FRAME_OF_REFERENCE = 0x0020_0052 UI FrameOfReferenceUID;
    TEMPORAL_POSITION = 0x0020_0100 IS TemporalPositionIdentifier;
    POSITION_REFERENCE = 0x0020_1040 LO PositionReferenceIndicator;
    FRAME_CONTENT = 0x0020_9111 SQ FrameContentSequence;
    PLANE_POSITION = 0x0020_9113 SQ PlanePositionSequence;
    PLANE_ORIENTATION = 0x0020_9116 SQ PlaneOrientationSequence;
    TEMPORAL_INDEX = 0x0020_9128 UL TemporalPositionIndex;
    DIMENSION_INDEX_VALUES = 0x0020_9157 UL DimensionIndexValues;
    DIMENSION_ORGANIZATION_UID = 0x0020_9164 UI DimensionOrganizationUID;
    DIMENSION_INDEX_POINTER = 0x0020_9165 AT DimensionIndexPointer;
    FUNCTIONAL_GROUP_POINTER = 0x0020_9167 AT FunctionalGroupPointer;
    DIMENSION_ORGANIZATION = 0x0020_9221 SQ DimensionOrganizationSequence;
    DIMENSION_INDEX = 0x0020_9222 SQ DimensionIndexSequence;
    DIMENSION_LABEL = 0x0020_9421 LO DimensionDescriptionLabel;
    SAMPLES_PER_PIXEL = 0x0028_0002 US SamplesPerPixel;
    PHOTOMETRIC = 0x0028_0004 CS PhotometricInterpretation;
    NUMBER_OF_FRAMES = 0x0028_0008 IS NumberOfFrames;
    ROWS = 0x0028_0010 US Rows;
    COLUMNS = 0x0028_0011 US Columns;
    PIXEL_SPACING = 0x0028_0030 DS PixelSpacing;
    BITS_ALLOCATED = 0x0028_0100 US BitsAllocated;
    BITS_STORED = 0x0028_0101 US BitsStored;
    HIGH_BIT = 0x0028_0102 US HighBit;
    PIXEL_REPRESENTATION = 0x0028_0103 US PixelRepresentation;
    RESCALE_INTERCEPT = 0x0028_1052 DS RescaleIntercept;
    RESCALE_SLOPE = 0x0028_1053 DS RescaleSlope;
    SPATIAL_LOCATIONS_PRESERVED = 0x0028_135a CS SpatialLocationsPreserved;
    LOSSY = 0x0028_2110 CS LossyImageCompression;
    MODALITY_LUT = 0x0028_3000 SQ ModalityLUTSequence;
    PIXEL_MEASURES = 0x0028_9110 SQ PixelMeasuresSequence;
    PIXEL_VALUE_TRANSFORMATION = 0x0028_9145 SQ PixelValueTransformationSequence;
    PURPOSE_OF_REFERENCE = 0x0040_a170 SQ PurposeOfReferenceCodeSequence;
    SEGMENTATION_TYPE = 0x0062_0001 CS SegmentationType;
    SEGMENTS = 0x0062_0002 SQ SegmentSequence;
    SEGMENT_CATEGORY = 0x0062_0003 SQ SegmentedPropertyCategoryCodeSequence;
    SEGMENT_NUMBER = 0x0062_0004 US SegmentNumber;
    SEGMENT_LABEL = 0x0062_0005 LO SegmentLabel;
    SEGMENT_ALGORITHM_TYPE = 0x0062_0008 CS SegmentAlgorithmType;
    SEGMENT_ALGORITHM_NAME = 0x0062_0009 LO SegmentAlgorithmName;
    SEGMENT_IDENTIFICATION = 0x0062_000a SQ SegmentIdentificationSequence;
    REFERENCED_SEGMENT = 0x0062_000b US ReferencedSegmentNumber;
    SEGMENT_TYPE = 0x0062_000f SQ SegmentedPropertyTypeCodeSequence;
    LABEL_VALUE_CREATOR = 0x0063_0010 LO PrivateCreator;
    LABEL_VALUE = 0x0063_1001 US LabelValue;
    CONTENT_LABEL = 0x0070_0080 CS ContentLabel;
    CONTENT_DESCRIPTION = 0x0070_0081 LO ContentDescription;
    CONTENT_CREATOR = 0x0070_0084 PN ContentCreatorName;
    SHARED_GROUPS = 0x5200_9229 SQ SharedFunctionalGroupsSequence;
    PER_FRAME_GROUPS = 0x5200_9230 SQ PerFrameFunctionalGroupsSequence;
    FLOAT_PIXEL_DATA = 0x7fe0_0008 OF FloatPixelData;
    DOUBLE_PIXEL_DATA = 0x7fe0_0009 OD DoubleFloatPixelData;
    PIXEL_DATA = 0x7fe0_0010 OW PixelData;
}

/// Where pixels may be.
pub(super) const PIXELS: [Attribute; 3] = [PIXEL_DATA, FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_every_attribute_is_found() {
        assert!(TABLE.windows(2).all(|pair| pair[0].tag < pair[1].tag));
        assert!(TABLE.iter().all(|attribute| find(attribute.tag) == Some(*attribute)));
    }
}
