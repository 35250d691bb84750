//! JPEG (baseline, 8-bit extended, lossless) and JPEG 2000 frames, by the crates that decode them.
//! Both are asked for the picture's size before they make room for it.

use jpeg_decoder::PixelFormat;

use super::pixels::Samples;

/// Why a frame is not decoded.
pub(super) enum Refusal {
    /// Rows and columns differ from what the object says.
    Size([u32; 2]),
    /// The decoder's words.
    Reason(String),
}

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self::Reason(reason)
    }
}

fn words(error: impl std::fmt::Display) -> Refusal {
    Refusal::Reason(error.to_string())
}

/// A JPEG picture of one component.
pub(super) fn decode(frame: &[u8], [rows, columns]: [u32; 2]) -> Result<Samples, Refusal> {
    let mut decoder = jpeg_decoder::Decoder::new(frame);
    decoder.set_max_decoding_buffer_size(2 * rows as usize * columns as usize);
    decoder.read_info().map_err(words)?;
    let info = decoder.info().ok_or_else(|| "no frame header".to_owned())?;
    let size = [info.height.into(), info.width.into()];
    if size != [rows, columns] {
        return Err(Refusal::Size(size));
    }
    let bytes = decoder.decode().map_err(words)?;
    match info.pixel_format {
        PixelFormat::L8 => Ok(bytes.into_iter().map(i64::from).collect()),
        PixelFormat::L16 => Ok(bytes
            .as_chunks()
            .0
            .iter()
            .map(|sample| u16::from_ne_bytes(*sample).into())
            .collect()),
        other => Err(Refusal::Reason(format!("expected one component, found {other:?}"))),
    }
}

/// Where the type of the first component stands in a JPEG 2000 codestream: behind the markers SOC
/// and SIZ, the latter's length and capabilities, eight sizes and the number of components.
const COMPONENT_TYPE: usize = 4 + 2 + 2 + 8 * 4 + 2;

/// A JPEG 2000 codestream of one component.
pub(super) fn decode_2000(frame: &[u8], [rows, columns]: [u32; 2]) -> Result<Samples, Refusal> {
    const START: &[u8] = b"\xff\x4f\xff\x51";
    if !frame.starts_with(START) {
        return Err(Refusal::Reason("it does not begin as a codestream does".into()));
    }
    let kind = *frame.get(COMPONENT_TYPE).ok_or_else(|| "it is cut off".to_owned())?;
    let settings = hayro_jpeg2000::DecodeSettings { strict: true, ..Default::default() };
    let image = hayro_jpeg2000::Image::new(frame, &settings).map_err(words)?;
    let size = [image.height(), image.width()];
    if size != [rows, columns] {
        return Err(Refusal::Size(size));
    }
    let mut context = hayro_jpeg2000::DecoderContext::default();
    let decoded = image.decode(&mut context).map_err(words)?;
    let [component] = decoded.components() else {
        let found = decoded.components().len();
        return Err(Refusal::Reason(format!("expected one component, found {found}")));
    };
    let values = 1_i64 << component.bit_depth();
    // The decoder shifts signed samples as if they were unsigned.
    let shift = if kind & 0x80 != 0 { values / 2 } else { 0 };
    // What was lost can take a sample out of its range.
    let sample = |value: &f32| (value.round() as i64).clamp(0, values - 1) - shift;
    Ok(component.samples().iter().map(sample).collect())
}
