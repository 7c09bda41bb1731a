//! FNV-1a, 64 bits (the `fnv` IETF draft): a hash that is the same in every version of the program, so names
//! and records may hold it. Tells mistakes apart, not attacks: whoever wants two texts of one hash makes them.

/// The hash of no bytes, from which [`fnv1a_more`] goes on.
pub const FNV1A_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

const PRIME: u64 = 0x0100_0000_01b3;

/// The hash of these bytes.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    fnv1a_more(FNV1A_BASIS, bytes)
}

/// The hash of what `hash` is of, with these bytes behind it.
pub fn fnv1a_more(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_texts_have_their_known_hashes() {
        // From the vectors of the algorithm's authors.
        for (text, hash) in [
            ("", 0xcbf2_9ce4_8422_2325),
            ("a", 0xaf63_dc4c_8601_ec8c),
            ("foobar", 0x8594_4171_f739_67e8),
        ] {
            assert_eq!(fnv1a(text.as_bytes()), hash, "{text}");
        }
        assert_eq!(fnv1a_more(fnv1a(b"foo"), b"bar"), fnv1a(b"foobar"));
    }
}
