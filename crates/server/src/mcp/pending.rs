//! Sign-ins that people have begun and not ended. In memory: one that a restart takes is begun again.

use crate::secrets::connection::Client;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};
use toft_model::id::ProjectId;
use toft_vault::Secret;

/// How long a person may take.
pub(super) const LIFE_MS: u64 = 10 * 60 * 1000;

/// At once; the oldest goes for a further one.
const PENDING_MAX: usize = 200;

/// One of them.
pub(super) struct Begun {
    pub(super) project: ProjectId,
    pub(super) server: String,
    pub(super) url: String,
    pub(super) server_host: String,
    pub(super) resource: String,
    pub(super) issuer: String,
    pub(super) says_issuer: bool,
    pub(super) token_endpoint: String,
    pub(super) revocation_endpoint: Option<String>,
    pub(super) client: Client,
    pub(super) scopes: Vec<String>,
    pub(super) redirect_uri: String,
    pub(super) verifier: Secret,
    /// User id of who began it; of a program: whoever comes back signed in.
    pub(super) user: Option<String>,
    /// The very sign-in at Toft that began it.
    pub(super) session: Option<String>,
    pub(super) ends_at: u64,
}

/// What a person decides on who comes back from one that a program began.
pub(crate) struct Asked {
    pub(crate) project: String,
    pub(crate) server: String,
    pub(crate) server_host: String,
    pub(crate) issuer: String,
}

/// By the digest of what the other side is to say back.
#[derive(Default)]
pub(super) struct Pending(Mutex<HashMap<[u8; 32], Begun>>);

impl Pending {
    pub(super) fn put(&self, state: [u8; 32], begun: Begun, now: u64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, one| one.ends_at > now);
        if all.len() >= PENDING_MAX
            && let Some(oldest) = all.iter().min_by_key(|(_, one)| one.ends_at).map(|(k, _)| *k)
        {
            all.remove(&oldest);
        }
        all.insert(state, begun);
    }

    /// What a person is to be asked about one that a program has begun, without the project's name.
    pub(super) fn asks(&self, state: &[u8; 32], now: u64) -> Option<(ProjectId, Asked)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let one = all.get(state).filter(|one| one.ends_at > now && one.user.is_none())?;
        let asked = Asked {
            project: String::new(),
            server: one.server.clone(),
            server_host: one.server_host.clone(),
            issuer: one.issuer.clone(),
        };
        Some((one.project.clone(), asked))
    }

    /// Takes one, for the person who began it: it is used once.
    pub(super) fn take(
        &self,
        state: &[u8; 32],
        user: &str,
        session: &str,
        now: u64,
    ) -> Option<Begun> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_theirs = |one: &Begun| {
            one.ends_at > now
                && one.user.as_deref().is_none_or(|begun| begun == user)
                && one.session.as_deref().is_none_or(|begun| begun == session)
        };
        if !all.get(state).is_some_and(is_theirs) {
            return None;
        }
        all.remove(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::connection::Method;

    fn begun(session: Option<&str>, ends_at: u64) -> Begun {
        let text = String::new;
        Begun {
            project: ProjectId::random(),
            server: text(),
            url: text(),
            server_host: text(),
            resource: text(),
            issuer: text(),
            says_issuer: false,
            token_endpoint: text(),
            revocation_endpoint: None,
            client: Client { id: text(), secret: Secret::default(), method: Method::None },
            scopes: Vec::new(),
            redirect_uri: text(),
            verifier: Secret::default(),
            user: Some("ann".into()),
            session: session.map(str::to_owned),
            ends_at,
        }
    }

    #[test]
    fn a_sign_in_is_ended_once_in_time_and_by_who_began_it() {
        let pending = Pending::default();
        pending.put([1; 32], begun(Some("s1"), 100), 0);
        for (state, user, session, now) in [
            ([2; 32], "ann", "s1", 50),
            ([1; 32], "bob", "s1", 50),
            ([1; 32], "ann", "s2", 50),
            ([1; 32], "ann", "s1", 100),
        ] {
            assert!(pending.take(&state, user, session, now).is_none(), "{user} {session} {now}");
        }
        assert!(pending.take(&[1; 32], "ann", "s1", 99).is_some());
        assert!(pending.take(&[1; 32], "ann", "s1", 99).is_none(), "twice");
        for n in 0..=u8::try_from(PENDING_MAX).unwrap() {
            pending.put([n; 32], begun(None, 1_000 + u64::from(n)), 0);
        }
        assert!(pending.take(&[0; 32], "ann", "x", 1).is_none(), "the oldest has gone");
        assert!(pending.take(&[1; 32], "ann", "x", 1).is_some());
    }

    #[test]
    fn whoever_comes_back_from_what_a_program_began_is_asked_and_nobody_else() {
        let pending = Pending::default();
        pending.put([1; 32], begun(Some("s1"), 100), 0);
        let of_program = Begun { user: None, server: "tracker".into(), ..begun(None, 100) };
        pending.put([2; 32], of_program, 0);
        let asks = |state: u8, now| pending.asks(&[state; 32], now).map(|(_, asked)| asked.server);
        assert_eq!(asks(1, 50), None);
        assert_eq!(asks(2, 50).as_deref(), Some("tracker"));
        assert_eq!(asks(2, 100), None, "too late");
        assert!(pending.take(&[2; 32], "bob", "s2", 50).is_some(), "asking does not use it up");
    }
}
