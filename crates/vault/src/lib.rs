//! Secrets at rest: one master key in a file only its owner can read, a data key per project under it,
//! and small texts sealed with them. Not a place to keep them (that is `store`), and no way to other vaults yet.
//!
//! ```
//! # let dir = tempfile::tempdir().unwrap();
//! let vault = toft_vault::Vault::open(&dir.path().join("master.key")).unwrap();
//! let sealed = vault.seal("provider:openai", b"sk-1").unwrap();
//! assert_eq!(vault.unseal("provider:openai", &sealed).unwrap().expose(), "sk-1");
//! assert!(vault.unseal("provider:other", &sealed).is_err());
//! ```

mod data_key;
mod key_file;
mod process;
mod rotation;
mod seal;
mod secret;

pub use data_key::{DataKey, Place};
pub use process::keep_to_itself;
pub use rotation::Fits;
pub use seal::{SealError, Vault};
pub use secret::Secret;

pub use key_file::KeyFileError;
