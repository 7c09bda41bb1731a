//! Sealing and opening with XChaCha20-Poly1305, and keys derived for other purposes.

use crate::{
    key_file::{self, KEY_BYTES, KeyFileError},
    secret::Secret,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead as _, KeyInit as _, Payload},
};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use std::{fmt::Write as _, path::Path};
use zeroize::{Zeroize as _, Zeroizing};

/// Format of a sealed text: `v1.` and base64url of nonce and ciphertext.
const PREFIX: &str = "v1.";
/// Bytes of an XChaCha20 nonce: long enough to be drawn at random.
const NONCE_BYTES: usize = 24;
/// Bytes of a master key's id: two keys of one installation are told apart.
const ID_BYTES: usize = 8;

/// Seals and opens small secrets with the master key of one data folder.
pub struct Vault {
    master: Zeroizing<[u8; KEY_BYTES]>,
    cipher: XChaCha20Poly1305,
}

/// Why a text could not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not a sealed text.
    #[error("this is not a sealed secret: enter the secret again")]
    Format,
    /// Made with another key or for another place, or changed since.
    #[error(
        "the sealed secret does not belong to this master key and place: restore `master.key` \
         from the same backup as the database, or enter the secret again"
    )]
    Refused,
    /// No random numbers, or too long.
    #[error("the secret could not be sealed")]
    Seal,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Vault(…)")
    }
}

impl Vault {
    /// Opens the vault of a master key file; makes 32 random bytes (mode 0600) when it is missing.
    pub fn open(master_key_file: &Path) -> Result<Self, KeyFileError> {
        Ok(Self::of(key_file::load_or_make(master_key_file)?))
    }

    pub(crate) fn of(master: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        let sealing = derive(&master, "toft sealing key, version 1");
        let cipher = XChaCha20Poly1305::new_from_slice(sealing.as_ref())
            .expect("the derived key has the cipher's length");
        Self { master, cipher }
    }

    /// Tells master keys apart, and tells nothing of this one.
    pub fn id(&self) -> String {
        let id = self.derive_key("toft master key id, version 1");
        id.iter().take(ID_BYTES).fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }

    /// Seals for one place: the same `context` must be given to open it.
    pub fn seal(&self, context: &str, plain: &[u8]) -> Result<String, SealError> {
        encrypt(&self.cipher, context.as_bytes(), plain)
    }

    /// Opens what [`Vault::seal`] made for the same `context`.
    pub fn unseal(&self, context: &str, sealed: &str) -> Result<Secret, SealError> {
        decrypt(&self.cipher, context.as_bytes(), sealed)
    }

    /// A key of its own for another purpose (signing, say), bound to `purpose`.
    pub fn derive_key(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        derive(&self.master, purpose)
    }
}

/// Seals with associated data.
pub(crate) fn encrypt(
    cipher: &XChaCha20Poly1305,
    aad: &[u8],
    plain: &[u8],
) -> Result<String, SealError> {
    let mut nonce = [0u8; NONCE_BYTES];
    getrandom::fill(&mut nonce).map_err(|_| SealError::Seal)?;
    let sealed = cipher
        .encrypt(&XNonce::from(nonce), Payload { msg: plain, aad })
        .map_err(|_| SealError::Seal)?;
    let mut all = nonce.to_vec();
    all.extend_from_slice(&sealed);
    Ok(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(all)))
}

/// Opens what [`encrypt`] made with the same associated data.
pub(crate) fn decrypt(
    cipher: &XChaCha20Poly1305,
    aad: &[u8],
    sealed: &str,
) -> Result<Secret, SealError> {
    let text = sealed.strip_prefix(PREFIX).ok_or(SealError::Format)?;
    let all = URL_SAFE_NO_PAD.decode(text).map_err(|_| SealError::Format)?;
    let (nonce, body) = all.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::Format)?;
    let plain = cipher
        .decrypt(&XNonce::from(*nonce), Payload { msg: body, aad })
        .map_err(|_| SealError::Refused)?;
    match String::from_utf8(plain) {
        Ok(text) => Ok(Secret::new(text)),
        Err(e) => {
            e.into_bytes().zeroize();
            Err(SealError::Format)
        }
    }
}

fn derive(master: &[u8; KEY_BYTES], purpose: &str) -> Zeroizing<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(master).expect("HMAC takes a key of any length");
    mac.update(purpose.as_bytes());
    Zeroizing::new(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vault() -> (tempfile::TempDir, Vault) {
        let dir = tempfile::tempdir().unwrap();
        let vault = Vault::open(&dir.path().join("k")).unwrap();
        (dir, vault)
    }

    #[test]
    fn a_sealed_secret_opens_only_for_its_place_and_key() {
        let (_a, vault) = vault();
        let sealed = vault.seal("provider:openai", b"sk-canary").unwrap();
        assert!(!sealed.contains("canary"));
        assert_eq!(vault.unseal("provider:openai", &sealed).unwrap().expose(), "sk-canary");
        assert_eq!(vault.unseal("provider:other", &sealed).unwrap_err(), SealError::Refused);
        let (_b, other) = self::vault();
        assert_eq!(other.unseal("provider:openai", &sealed).unwrap_err(), SealError::Refused);
    }

    #[test]
    fn the_same_text_is_never_sealed_alike() {
        let (_dir, vault) = vault();
        assert_ne!(vault.seal("c", b"x").unwrap(), vault.seal("c", b"x").unwrap());
        assert_ne!(*vault.derive_key("a"), *vault.derive_key("b"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_changed_byte_is_refused(plain in "[ -~]{0,80}", at in 0usize..200, flip in 1u8..255) {
            let (_dir, vault) = vault();
            let sealed = vault.seal("c", plain.as_bytes()).unwrap();
            let opened = vault.unseal("c", &sealed).unwrap();
            prop_assert_eq!(opened.expose(), plain.as_str());
            let mut raw = URL_SAFE_NO_PAD.decode(&sealed[PREFIX.len()..]).unwrap();
            let at = at % raw.len();
            raw[at] ^= flip;
            let changed = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(raw));
            prop_assert_eq!(vault.unseal("c", &changed).unwrap_err(), SealError::Refused);
        }

        #[test]
        fn garbage_is_refused_without_a_panic(text in ".{0,120}") {
            let (_dir, vault) = vault();
            prop_assert!(vault.unseal("c", &text).is_err());
        }
    }
}
