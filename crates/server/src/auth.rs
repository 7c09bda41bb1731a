//! Who asks: keys, sign-in sessions, passwords, one-time links. Not what they may do with a
//! resource: routes say that through [`caller::Caller`].

pub(crate) mod caller;
pub(crate) mod cookie;
pub(crate) mod lockout;
pub(crate) mod password;
pub(crate) mod session;
pub(crate) mod token;

use crate::auth::{lockout::Lockout, password::Hasher};
use subtle::ConstantTimeEq as _;
use tokio::sync::watch;

/// The documents' name for a key header.
pub(crate) const KEY_HEADER: &str = "x-agent-api-key";

/// Keys that are compared, and what sign-ins share.
pub(crate) struct Auth {
    agent_key: Option<[u8; 32]>,
    cli_token: [u8; 32],
    pub(crate) lockout: Lockout,
    pub(crate) hasher: Hasher,
    /// Counts up whenever a sign-in ends early: open streams look again whether theirs still is.
    ended: watch::Sender<u64>,
}

/// Which key was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    /// `AGENT_API_KEY`.
    Agent,
    /// The token in `<data>/run/server.json`.
    Cli,
}

impl Auth {
    pub(crate) fn new(agent_key: Option<&str>, cli_token: &str) -> Self {
        Self {
            agent_key: agent_key.filter(|k| !k.is_empty()).map(token::digest),
            cli_token: token::digest(cli_token),
            lockout: Lockout::default(),
            hasher: Hasher::default(),
            ended: watch::Sender::new(0),
        }
    }

    /// Which key a text is. Digests are compared, so that neither content nor length shows in
    /// the time it takes.
    pub(crate) fn key(&self, text: &str) -> Option<Key> {
        let given = token::digest(text);
        let is = |want: &[u8; 32]| bool::from(want.ct_eq(&given));
        let cli = is(&self.cli_token);
        let agent = self.agent_key.as_ref().is_some_and(is);
        match (cli, agent) {
            (true, _) => Some(Key::Cli),
            (false, true) => Some(Key::Agent),
            (false, false) => None,
        }
    }

    pub(crate) fn sign_in_ended(&self) {
        self.ended.send_modify(|n| *n += 1);
    }

    pub(crate) fn watch_ended(&self) -> watch::Receiver<u64> {
        self.ended.subscribe()
    }
}
