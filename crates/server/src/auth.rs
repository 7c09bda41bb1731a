//! Who asks: keys, sign-in sessions, passwords, one-time links; and which routes a key opens. What a person
//! may do with a resource routes say through [`caller::Caller`].

pub(crate) mod caller;
pub(crate) mod cookie;
pub(crate) mod guard;
pub(crate) mod keys;
pub(crate) mod lockout;
pub(crate) mod pass;
pub(crate) mod password;
pub(crate) mod session;
pub(crate) mod token;

pub(crate) use keys::Key;

use crate::{
    auth::{
        keys::{Made, Ring},
        lockout::Lockout,
        password::Hasher,
    },
    clock::Clock,
};
use std::sync::Arc;
use subtle::ConstantTimeEq as _;
use toft_model::id::ProjectId;
use toft_store::ApiKey;
use tokio::sync::watch;

/// The documents' name for a key header.
pub(crate) const KEY_HEADER: &str = "x-agent-api-key";

/// Keys that are compared, and what sign-ins share.
pub(crate) struct Auth {
    agent_key: Option<[u8; 32]>,
    cli_token: [u8; 32],
    made: Ring,
    clock: Clock,
    pub(crate) lockout: Lockout,
    pub(crate) hasher: Hasher,
    /// Counts up whenever a sign-in ends early or a key is taken back: open streams look again whether
    /// theirs still is.
    ended: watch::Sender<u64>,
}

impl Auth {
    /// `made`: the keys that people have made.
    pub(crate) fn new(
        agent_key: Option<&str>,
        cli_token: &str,
        made: Vec<ApiKey>,
        clock: Clock,
    ) -> Self {
        Self {
            agent_key: agent_key.filter(|k| !k.is_empty()).map(token::digest),
            cli_token: token::digest(cli_token),
            made: Ring::new(made),
            clock,
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
        let made = self.made.find(text);
        match (cli, agent) {
            (true, _) => Some(Key::Cli),
            (false, true) => Some(Key::Agent),
            (false, false) => {
                made.filter(|made| !made.has_expired(self.clock.now_ms())).map(Key::Made)
            }
        }
    }

    /// Whether a text is a key of this server, or was one: it goes to no app.
    pub(crate) fn is_ours(&self, text: &str) -> bool {
        keys::has_shape(text) || self.key(text).is_some()
    }

    /// All keys that people have made, newest first.
    pub(crate) fn keys(&self) -> Vec<Arc<Made>> {
        self.made.list()
    }

    /// One of them, if it opens anything now.
    pub(crate) fn made(&self, id: &str) -> Option<Arc<Made>> {
        self.made.by_id(id).filter(|made| !made.has_expired(self.clock.now_ms()))
    }

    /// From now on this key opens what it may.
    pub(crate) fn add(&self, key: ApiKey) -> Arc<Made> {
        self.made.add(key)
    }

    /// From now on this key opens nothing, and what was begun with it ends.
    pub(crate) fn take_back(&self, id: &str) {
        self.made.remove(|key| key.id == id);
        self.rights_ended();
    }

    /// All keys as they are in the database: other servers make some and take some back.
    pub(crate) fn read_again(&self, keys: Vec<ApiKey>) {
        if self.made.replace(keys) {
            self.rights_ended();
        }
    }

    /// As [`Auth::take_back`], for all keys of a project.
    pub(crate) fn take_back_of(&self, project: &ProjectId) {
        self.made.remove(|key| key.project.as_ref() == Some(project));
        self.rights_ended();
    }

    pub(crate) fn rights_ended(&self) {
        self.ended.send_modify(|n| *n += 1);
    }

    pub(crate) fn watch_ended(&self) -> watch::Receiver<u64> {
        self.ended.subscribe()
    }
}
