//! Keys of programs: the two that open everything, and those that people make. Those are held in memory as
//! digests, so that finding one asks no database and taking one back counts at once.

use super::token;
use std::sync::{
    Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
    atomic::{AtomicU64, Ordering},
};
use subtle::ConstantTimeEq as _;
use toft_model::id::{ProjectId, random_hex};
use toft_store::{ApiKey, Role, Scope};

/// Begins each key that was made here, so that a scan for secrets knows one.
const PREFIX: &str = "toft_";
/// Bytes of randomness in one: 256 bits.
const KEY_BYTES: usize = 32;
/// Characters that are shown of one: enough to tell it from others, too few to help a guess.
const SHOWN_CHARS: usize = PREFIX.len() + 7;
/// Keys that may exist: all of them are compared with each key that is sent.
pub(crate) const KEYS_MAX: usize = 100;
/// A use is written down at most this often.
const TOUCH_MS: u64 = 60 * 1000;

/// Which key was sent.
#[derive(Debug, Clone)]
pub(crate) enum Key {
    /// `AGENT_API_KEY`.
    Agent,
    /// The token in `<data>/run/server.json`.
    Cli,
    /// One that a person made.
    Made(Arc<Made>),
}

/// A key that a person made.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) key: ApiKey,
    /// Unix milliseconds; 0: never.
    used_at: AtomicU64,
    written_at: AtomicU64,
}

impl Key {
    pub(crate) fn has(&self, scope: Scope) -> bool {
        match self {
            Self::Agent | Self::Cli => true,
            Self::Made(made) => made.key.scopes.iter().any(|s| [scope, Scope::Admin].contains(s)),
        }
    }

    /// The only project that it opens; `None`: it is bound to none.
    pub(crate) fn project(&self) -> Option<&ProjectId> {
        match self {
            Self::Agent | Self::Cli => None,
            Self::Made(made) => made.key.project.as_ref(),
        }
    }

    /// What a person would be who may do as much.
    pub(crate) fn role(&self) -> Role {
        if self.has(Scope::Admin) { Role::Admin } else { Role::Viewer }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Agent | Self::Cli => "API key",
            Self::Made(made) => &made.key.name,
        }
    }
}

impl Made {
    fn new(key: ApiKey) -> Self {
        let used = key.used_at.unwrap_or(0);
        Self { key, used_at: used.into(), written_at: used.into() }
    }

    /// Unix milliseconds of the last use.
    pub(crate) fn used_at(&self) -> Option<u64> {
        Some(self.used_at.load(Ordering::Relaxed)).filter(|at| *at != 0)
    }

    /// Takes note of a use; whether it is time to write it down.
    pub(crate) fn used(&self, now_ms: u64) -> bool {
        self.used_at.fetch_max(now_ms, Ordering::Relaxed);
        let written = self.written_at.load(Ordering::Relaxed);
        now_ms >= written.saturating_add(TOUCH_MS)
            && self
                .written_at
                .compare_exchange(written, now_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    pub(crate) fn has_expired(&self, now_ms: u64) -> bool {
        self.key.expires_at.is_some_and(|at| now_ms >= at)
    }
}

/// A new key, and how it begins.
pub(crate) fn new_key() -> (String, String) {
    let key = format!("{PREFIX}{}", random_hex(KEY_BYTES));
    let shown = key[..SHOWN_CHARS].to_owned();
    (key, shown)
}

/// Whether a text has the shape of a key that is made here: one that was taken back must not reach an app
/// either.
pub(crate) fn has_shape(text: &str) -> bool {
    text.strip_prefix(PREFIX).is_some_and(|rest| {
        rest.len() == 2 * KEY_BYTES && rest.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// All that people have made.
#[derive(Debug, Default)]
pub(crate) struct Ring(RwLock<Vec<Arc<Made>>>);

impl Ring {
    pub(crate) fn new(keys: Vec<ApiKey>) -> Self {
        Self(RwLock::new(keys.into_iter().map(|key| Arc::new(Made::new(key))).collect()))
    }

    /// Compares with all of them, so that time does not tell which, or how much of one, was right.
    pub(super) fn find(&self, text: &str) -> Option<Arc<Made>> {
        let given = token::digest(text);
        let mut found = None;
        for made in self.all().iter() {
            if bool::from(made.key.hash.ct_eq(&given)) {
                found = Some(Arc::clone(made));
            }
        }
        found
    }

    pub(crate) fn by_id(&self, id: &str) -> Option<Arc<Made>> {
        self.all().iter().find(|made| made.key.id == id).cloned()
    }

    pub(crate) fn list(&self) -> Vec<Arc<Made>> {
        self.all().clone()
    }

    pub(super) fn add(&self, key: ApiKey) -> Arc<Made> {
        let made = Arc::new(Made::new(key));
        self.write().insert(0, Arc::clone(&made));
        made
    }

    /// These are all that there are. Whether one is gone.
    pub(super) fn replace(&self, keys: Vec<ApiKey>) -> bool {
        let mut all = self.write();
        let before = std::mem::take(&mut *all);
        let known = |key: &ApiKey| before.iter().find(|made| made.key.id == key.id).cloned();
        // What is known keeps when it was used.
        *all = keys
            .into_iter()
            .map(|key| known(&key).unwrap_or_else(|| Arc::new(Made::new(key))))
            .collect();
        before.iter().any(|made| !all.iter().any(|now| now.key.id == made.key.id))
    }

    /// Takes back those that `gone` names.
    pub(super) fn remove(&self, gone: impl Fn(&ApiKey) -> bool) {
        self.write().retain(|made| !gone(&made.key));
    }

    fn all(&self) -> RwLockReadGuard<'_, Vec<Arc<Made>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Arc<Made>>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(scopes: &[Scope]) -> (String, ApiKey) {
        let (text, prefix) = new_key();
        let key = ApiKey {
            id: prefix.clone(),
            name: "Build".into(),
            hash: token::digest(&text),
            prefix,
            scopes: scopes.to_vec(),
            project: None,
            created_by: None,
            created_at: 1,
            expires_at: Some(50),
            used_at: None,
        };
        (text, key)
    }

    #[test]
    fn a_key_is_found_by_all_of_its_text_until_it_is_taken_back() {
        let ((one, first), (two, second)) = (key(&[Scope::Read]), key(&[Scope::Models]));
        let ring = Ring::new(vec![first.clone(), second]);
        assert_eq!(ring.find(&one).unwrap().key, first);
        assert!(ring.find(&two).is_some());
        assert!(ring.find(&one[..one.len() - 1]).is_none());
        assert!(ring.find(&first.prefix).is_none());
        ring.remove(|key| key.id == first.id);
        assert!(ring.find(&one).is_none() && ring.find(&two).is_some());
        assert!(has_shape(&one) && !has_shape(&first.prefix) && !has_shape(&"a".repeat(69)));
    }

    #[test]
    fn admin_opens_what_the_others_open_and_they_nothing_more() {
        let has = |scopes: &[Scope]| {
            let key = Key::Made(Arc::new(Made::new(key(scopes).1)));
            Scope::ALL.map(|scope| key.has(scope))
        };
        assert_eq!(has(&[Scope::Models]), [true, false, false]);
        assert_eq!(has(&[Scope::Read]), [false, true, false]);
        assert_eq!(has(&[Scope::Admin]), [true, true, true]);
        assert_eq!(has(&[]), [false; 3]);
    }

    #[test]
    fn a_use_is_written_down_now_and_then() {
        let made = Made::new(key(&[]).1);
        let times = [(TOUCH_MS, true), (TOUCH_MS + 1, false), (2 * TOUCH_MS, true)];
        assert_eq!(made.used_at(), None);
        for (at, write) in times {
            assert_eq!(made.used(at), write, "{at}");
            assert_eq!(made.used_at(), Some(at));
        }
        assert!(made.has_expired(50) && !made.has_expired(49));
    }
}
