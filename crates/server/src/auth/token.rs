//! Random tokens and their digests. The token goes to its owner, the digest into the database.

use sha2::{Digest as _, Sha256};
use toft_model::id::random_hex;

/// Bytes of randomness in every token: 256 bits.
const TOKEN_BYTES: usize = 32;

/// A new token, 64 hexadecimal digits.
pub(crate) fn random() -> String {
    random_hex(TOKEN_BYTES)
}

/// SHA-256 of a token: enough, because tokens are random and long.
pub(crate) fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}
