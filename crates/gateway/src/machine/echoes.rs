//! Which values came back lately from which hosts: who is told so is told once a minute.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use toft_policy::HostPort;
use tokio::time::Instant;

/// How long it is no news.
const QUIET: Duration = Duration::from_mins(1);
/// Pairs of secret and host that are remembered: a wildcard may mean any number of hosts.
const PAIRS_MAX: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Echoes(Mutex<HashMap<(String, HostPort), Instant>>);

impl Echoes {
    /// Whether it is news that this host said this secret's value back.
    pub(crate) fn is_news(&self, secret: &str, host: &HostPort) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let pair = (secret.to_owned(), host.clone());
        if told.get(&pair).is_some_and(|until| now < *until) {
            return false;
        }
        told.retain(|_, until| now < *until);
        // Of more nobody is told that minute: those that were are alarm enough.
        told.len() < PAIRS_MAX && told.insert(pair, now + QUIET).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_host_that_says_a_value_back_is_news_once_a_minute() {
        let echoes = Echoes::default();
        let host = |name: &str| HostPort::parse(name, Some(443)).unwrap();
        assert!(echoes.is_news("KEY", &host("a.test")));
        assert!(!echoes.is_news("KEY", &host("a.test")));
        assert!(echoes.is_news("KEY", &host("b.test")));
        assert!(echoes.is_news("OTHER", &host("a.test")));
        tokio::time::advance(QUIET).await;
        assert!(echoes.is_news("KEY", &host("a.test")));
        for nth in 0..2 * PAIRS_MAX {
            echoes.is_news("KEY", &host(&format!("h{nth}.test")));
        }
        assert!(echoes.0.lock().unwrap().len() <= PAIRS_MAX);
    }
}
