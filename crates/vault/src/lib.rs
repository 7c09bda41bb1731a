//! Secrets at rest: one master key in a file only its owner can read, and small texts sealed
//! with it. Not a place to keep them (that is `store`), and no way to other vaults yet.
//!
//! ```
//! # let dir = tempfile::tempdir().unwrap();
//! let vault = toft_vault::Vault::open(&dir.path().join("master.key")).unwrap();
//! let sealed = vault.seal("provider:openai", b"sk-1").unwrap();
//! assert_eq!(vault.unseal("provider:openai", &sealed).unwrap().expose(), "sk-1");
//! assert!(vault.unseal("provider:other", &sealed).is_err());
//! ```

mod key_file;
mod seal;
mod secret;

pub use seal::{SealError, Vault};
pub use secret::Secret;

pub use key_file::KeyFileError;
