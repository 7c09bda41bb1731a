//! What the backend is told: where E2B is, as whom it is asked, and how patiently.

use std::{fmt, path::PathBuf, time::Duration};

/// A key. Shown nowhere.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// Takes it as it was given.
    pub fn new(key: String) -> Self {
        Self(key)
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// How often and after which pauses a request is sent again that may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// All of them, the first too.
    pub attempts: u32,
    /// The pause before the second; each further one is twice as long.
    pub base_delay: Duration,
    /// The longest pause.
    pub max_delay: Duration,
}

impl Default for Retry {
    /// A deployment of theirs, or a moment without a network.
    fn default() -> Self {
        let (base_delay, max_delay) = (Duration::from_millis(500), Duration::from_secs(5));
        Self { attempts: 4, base_delay, max_delay }
    }
}

impl Retry {
    /// Between this many attempts that failed and the next one; `share` of 0 to 1 spreads those who
    /// failed together.
    pub(super) fn pause(&self, failed: u32, share: f64) -> Duration {
        let doubled = self.base_delay.saturating_mul(1 << failed.saturating_sub(1).min(16));
        doubled.min(self.max_delay).mul_f64(0.5 + share / 2.0)
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct E2bConfig {
    /// The data folder, for sockets and states; made when it is missing.
    pub data_dir: PathBuf,
    /// The `toft` binary: it goes into sandboxes.
    pub exe: PathBuf,
    /// Where the API is.
    pub api_url: String,
    /// Where all sandboxes are reached, told apart by a header. `None`: each by its own name, below
    /// the domain that the API says.
    pub sandbox_url: Option<String>,
    /// As whom.
    pub key: ApiKey,
    /// What sandboxes are made of: a template's id or alias.
    pub template: String,
    /// How long an answer may take.
    pub request_timeout: Duration,
    /// See there.
    pub retry: Retry,
    /// How long a sandbox runs on when this server says nothing any more. It is paused then, with all
    /// that runs in it.
    pub sandbox_timeout: Duration,
}

impl E2bConfig {
    /// Where the API is when nobody says.
    pub const API_URL: &'static str = "https://api.e2b.app";
    /// As in the published clients.
    pub const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);
    /// As long as every account may have them.
    pub const SANDBOX_TIMEOUT: Duration = Duration::from_hours(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound_and_differ() {
        let retry = Retry::default();
        let ms = |failed, share| retry.pause(failed, share).as_millis();
        assert_eq!((ms(1, 1.0), ms(2, 1.0), ms(3, 1.0), ms(9, 1.0)), (500, 1000, 2000, 5000));
        assert_eq!((ms(1, 0.0), ms(9, 0.0)), (250, 2500));
        assert_eq!(ms(u32::MAX, 1.0), 5000);
    }

    #[test]
    fn a_key_is_shown_nowhere() {
        assert!(!format!("{:?}", ApiKey::new("e2b_s3cret".into())).contains("s3cret"));
    }
}
