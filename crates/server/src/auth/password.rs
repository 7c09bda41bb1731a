//! Hashing and checking passwords, a few at a time and never on the async threads.

use crate::api_error::{ApiError, Code};
use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher as _, PasswordVerifier as _, phc::PasswordHash},
};
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use toft_vault::Secret;
use tokio::sync::Semaphore;

/// Argon2id with 19 MiB, two passes, one lane: the OWASP minimum.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Passwords hashed at once: each takes 19 MiB and a core for some 20 ms.
const AT_ONCE: usize = 2;
/// How long one waits for its turn before it is told to come back.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Shortest password, in characters (NIST SP 800-63B).
pub(crate) const PASSWORD_CHARS_MIN: usize = 8;
/// Longest password, in bytes: no hashing of megabytes.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1024;

/// Hashes with a bound on how many run at once.
#[derive(Debug, Clone)]
pub(crate) struct Hasher {
    turns: Arc<Semaphore>,
}

impl Default for Hasher {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Hasher {
    /// A PHC string for a new password.
    pub(crate) async fn hash(&self, password: Secret) -> Result<String, ApiError> {
        self.run(move || {
            argon2()
                .hash_password(password.expose().as_bytes())
                .map(|hash: PasswordHash| hash.to_string())
                .map_err(|e| ApiError::internal("the password could not be hashed", &e))
        })
        .await?
    }

    /// Whether a password fits a PHC string. Without one it takes just as long, and does not fit.
    pub(crate) async fn fits(
        &self,
        password: Secret,
        phc: Option<String>,
    ) -> Result<bool, ApiError> {
        self.run(move || {
            let known = phc.is_some();
            let phc = phc.unwrap_or_else(|| nobody().to_owned());
            let fits = PasswordHash::new(&phc).is_ok_and(|hash| {
                argon2().verify_password(password.expose().as_bytes(), &hash).is_ok()
            });
            known && fits
        })
        .await
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        let Ok(Ok(turn)) = tokio::time::timeout(WAIT_MAX, turn).await else {
            return Err(ApiError::new(
                Code::Unavailable,
                "too many people sign in at once: try again in a moment",
            ));
        };
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|e| ApiError::internal("the password could not be checked", &e))
    }
}

fn argon2() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("the numbers are valid");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// Hash of a password that nobody knows, for accounts that do not exist.
fn nobody() -> &'static str {
    static NOBODY: OnceLock<String> = OnceLock::new();
    NOBODY.get_or_init(|| {
        let hash: PasswordHash = argon2()
            .hash_password(super::token::random().as_bytes())
            .expect("a random text can be hashed");
        hash.to_string()
    })
}

/// Whether a new password may be used.
pub(crate) fn acceptable(password: &str) -> Result<(), ApiError> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(ApiError::invalid(format!(
            "the password is too short: use at least {PASSWORD_CHARS_MIN} characters"
        )));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(ApiError::invalid(format!(
            "the password is too long: use at most {PASSWORD_BYTES_MAX} bytes"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_fits_and_nobody_has_none() {
        let hasher = Hasher::default();
        let phc = hasher.hash(Secret::new("correct horse")).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(hasher.fits(Secret::new("correct horse"), Some(phc.clone())).await.unwrap());
        assert!(!hasher.fits(Secret::new("wrong horse"), Some(phc)).await.unwrap());
        assert!(!hasher.fits(Secret::new("anything"), None).await.unwrap());
        assert!(!hasher.fits(Secret::new("x"), Some("garbage".into())).await.unwrap());
    }
}
