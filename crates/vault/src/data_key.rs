//! Data keys: one per project, sealed under the master key, and what is sealed with them. Another
//! master key means sealing these anew, not what they seal.

use crate::{
    seal::{self, SealError, Vault},
    secret::Secret,
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{XChaCha20Poly1305, aead::KeyInit as _};
use zeroize::Zeroizing;

/// Bytes of a data key.
const KEY_BYTES: usize = 32;

/// Which value a sealed text is: opened for any other one it is refused, so that nobody who can write
/// the database passes one secret for another. An older value of the same secret still opens for whoever
/// puts it back together with its revision: nothing outside the database says which one is the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// Id of the project.
    pub project: &'a str,
    /// Name of the secret.
    pub name: &'a str,
    /// Revision at which this value was set.
    pub revision: u64,
    /// What becomes of it (`environment`): what the machine may see of one kind is no value of another.
    pub kind: &'a str,
}

impl Place<'_> {
    /// Each part with its length in front: no two places have the same bytes.
    fn associated(&self) -> Vec<u8> {
        let mut bytes = b"toft secret 1".to_vec();
        for part in [self.project, self.name, self.kind] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes.extend_from_slice(&self.revision.to_be_bytes());
        bytes
    }
}

/// Seals and opens the secrets of one project.
pub struct DataKey(XChaCha20Poly1305);

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey(…)")
    }
}

impl DataKey {
    fn of(key: &[u8; KEY_BYTES]) -> Self {
        let cipher = XChaCha20Poly1305::new_from_slice(key);
        Self(cipher.expect("a data key has the cipher's length"))
    }

    /// Seals for one place.
    pub fn seal(&self, place: &Place<'_>, plain: &Secret) -> Result<String, SealError> {
        seal::encrypt(&self.0, &place.associated(), plain.expose().as_bytes())
    }

    /// Opens what was sealed for the same place.
    pub fn unseal(&self, place: &Place<'_>, sealed: &str) -> Result<Secret, SealError> {
        seal::decrypt(&self.0, &place.associated(), sealed)
    }
}

impl Vault {
    /// Makes a key for a project: the key, and how it is kept.
    pub fn new_data_key(&self, project: &str) -> Result<(DataKey, String), SealError> {
        let mut key = Zeroizing::new([0u8; KEY_BYTES]);
        getrandom::fill(key.as_mut()).map_err(|_| SealError::Seal)?;
        let text = Zeroizing::new(URL_SAFE_NO_PAD.encode(key.as_ref()));
        let kept = self.seal(&context(project), text.as_bytes())?;
        Ok((DataKey::of(&key), kept))
    }

    /// Opens a project's key.
    pub fn open_data_key(&self, project: &str, kept: &str) -> Result<DataKey, SealError> {
        let text = self.unseal(&context(project), kept)?;
        let mut key = Zeroizing::new([0u8; KEY_BYTES]);
        let bytes = URL_SAFE_NO_PAD.decode_slice(text.expose(), key.as_mut());
        if bytes != Ok(KEY_BYTES) {
            return Err(SealError::Format);
        }
        Ok(DataKey::of(&key))
    }

    /// The same key as it is kept under another master key.
    pub fn rewrap_data_key(
        &self,
        next: &Self,
        project: &str,
        kept: &str,
    ) -> Result<String, SealError> {
        let text = self.unseal(&context(project), kept)?;
        next.seal(&context(project), text.expose().as_bytes())
    }
}

fn context(project: &str) -> String {
    format!("data_key:{project}")
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

    const PLACE: Place<'_> =
        Place { project: "a23456789bcd", name: "KEY", revision: 3, kind: "environment" };

    #[test]
    fn a_value_opens_only_for_its_project_name_revision_and_kind() {
        let (_dir, vault) = vault();
        let (key, kept) = vault.new_data_key(PLACE.project).unwrap();
        let sealed = key.seal(&PLACE, &Secret::new("canary")).unwrap();
        let again = vault.open_data_key(PLACE.project, &kept).unwrap();
        assert_eq!(again.unseal(&PLACE, &sealed).unwrap().expose(), "canary");
        for other in [
            Place { project: "b23456789bcd", ..PLACE },
            Place { name: "KEZ", ..PLACE },
            Place { revision: 2, ..PLACE },
            Place { kind: "brokered", ..PLACE },
        ] {
            assert_eq!(again.unseal(&other, &sealed).unwrap_err(), SealError::Refused, "{other:?}");
        }
        let (foreign, _) = vault.new_data_key(PLACE.project).unwrap();
        assert_eq!(foreign.unseal(&PLACE, &sealed).unwrap_err(), SealError::Refused);
    }

    #[test]
    fn a_projects_key_is_no_other_projects_and_moves_to_another_master_key() {
        let (_a, vault) = vault();
        let (_b, next) = self::vault();
        let (key, kept) = vault.new_data_key("a").unwrap();
        assert!(vault.open_data_key("b", &kept).is_err());
        let sealed = key.seal(&PLACE, &Secret::new("canary")).unwrap();
        let moved = vault.rewrap_data_key(&next, "a", &kept).unwrap();
        assert!(vault.open_data_key("a", &moved).is_err());
        let key = next.open_data_key("a", &moved).unwrap();
        assert_eq!(key.unseal(&PLACE, &sealed).unwrap().expose(), "canary");
        assert!(next.rewrap_data_key(&vault, "a", &kept).is_err(), "it is under the old one");
    }

    proptest! {
        #[test]
        fn no_two_places_are_alike(
            (a, b, c) in ("[a-z:]{0,6}", "[A-Z:]{0,6}", "[a-z:]{0,6}"),
            (x, y, z) in ("[a-z:]{0,6}", "[A-Z:]{0,6}", "[a-z:]{0,6}"),
            (r, s) in (0u64..3, 0u64..3),
        ) {
            let one = Place { project: &a, name: &b, revision: r, kind: &c };
            let two = Place { project: &x, name: &y, revision: s, kind: &z };
            prop_assert_eq!(one == two, one.associated() == two.associated());
        }
    }
}
