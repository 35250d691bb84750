//! RLE Lossless: each byte of the samples is a segment of its own, packed as PackBits does.

/// Bytes of a frame's header: the number of segments and where up to 15 begin.
const HEADER: usize = 64;

/// The samples of a frame as little-endian numbers of `bytes` bytes each.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn decode(frame: &[u8], samples: usize, bytes: usize) -> Result<Vec<u8>, String> {
    let header = frame.get(..HEADER).ok_or("its header is cut off")?.as_chunks::<4>().0;
    let number = |at: usize| u32::from_le_bytes(header[at]) as usize;
    if number(0) != bytes {
        return Err(format!("expected {bytes} segments, found {}", number(0)));
    }
    // Two bytes make 128 at most: what cannot be there is not allocated.
    if samples.saturating_mul(bytes) > frame.len().saturating_mul(64) {
        return Err(format!("{} bytes cannot hold {samples} samples", frame.len()));
    }
    let mut decoded = vec![0; samples * bytes];
    for segment in 0..bytes {
        let end = if segment + 1 < bytes { number(segment + 2) } else { frame.len() };
        let packed = frame.get(number(segment + 1)..end).ok_or("a segment is cut off")?;
        let mut unpacked = unpack(packed);
        // The first segment has the highest bytes.
        for sample in decoded.chunks_exact_mut(bytes) {
            sample[bytes - 1 - segment] = unpacked.next().ok_or("a segment is too short")?;
        }
    }
    Ok(decoded)
}

/// The bytes of a segment, up to where it ends or is cut off.
fn unpack(packed: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = packed;
    std::iter::from_fn(move || {
        loop {
            let (&control, behind) = rest.split_first()?;
            match control {
                0..=127 => {
                    let (literal, behind) = behind.split_at_checked(usize::from(control) + 1)?;
                    rest = behind;
                    return Some((literal, 1));
                }
                128 => rest = behind,
                129..=255 => {
                    let (repeated, behind) = behind.split_at_checked(1)?;
                    rest = behind;
                    return Some((repeated, 257 - usize::from(control)));
                }
            }
        }
    })
    .flat_map(|(bytes, times)| std::iter::repeat_n(bytes, times).flatten().copied())
}
