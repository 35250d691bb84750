//! Unique identifiers that follow from what they name: the same content, the same identifier.

/// Identifiers of one content; what each is for tells them apart.
pub(super) struct Uids(u128);

impl Uids {
    /// Of all parts, each with its length, so that no two lists of parts are alike.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self(
            parts.into_iter().fold(OFFSET, |hash, part| {
                fnv(fnv(hash, &(part.len() as u64).to_le_bytes()), part)
            }),
        )
    }

    /// The identifier for a purpose: `2.25.` and a UUID as a decimal number.
    pub fn uid(&self, purpose: &str) -> String {
        let hash = fnv(self.0, purpose.as_bytes());
        // Version 8 (made in a way of its own) and the variant that all UUIDs of the RFC have.
        let uuid = hash & !(0xf << 76) & !(0b11 << 62) | 8 << 76 | 0b10 << 62;
        format!("2.25.{uuid}")
    }
}

const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

/// FNV-1a with 128 bits: two contents agree by chance once in 2⁶⁴ of them.
fn fnv(hash: u128, bytes: &[u8]) -> u128 {
    bytes.iter().fold(hash, |hash, &byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_follow_from_content_and_purpose() {
        let uid = |parts: &[&[u8]], purpose| Uids::of(parts.iter().copied()).uid(purpose);
        assert_eq!(uid(&[b"ab", b"c"], "series"), uid(&[b"ab", b"c"], "series"));
        assert_ne!(uid(&[b"ab", b"c"], "series"), uid(&[b"a", b"bc"], "series"));
        assert_ne!(uid(&[b"ab"], "series"), uid(&[b"ab"], "instance"));
        assert!(uid(&[b"ab"], "series").len() <= 64);
    }

    #[test]
    fn the_hash_is_the_published_one() {
        // The test vector for "a" of the algorithm's draft.
        assert_eq!(fnv(OFFSET, b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }
}
