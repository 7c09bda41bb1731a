//! How long the right lasts with which something was begun: streams, connections and previews end with it.

use super::{keys::Key, session};
use crate::{api_error::ApiError, auth::caller::Caller, state::App};
use std::time::Duration;
use tokio::time::sleep;

/// Begins the name of a key's right; the ids of sign-ins are UUIDs.
const KEY: &str = "key-";
/// How often the end of a key is looked for that has one.
const LOOK: Duration = Duration::from_secs(1);

/// A right that may end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pass {
    /// A sign-in, by its public id.
    SignIn(String),
    /// A key that a person made, by its id.
    Key(String),
    /// A key that nobody takes back.
    Always,
}

impl Pass {
    pub(crate) fn of(caller: &Caller) -> Self {
        match caller {
            Caller::Person { session, .. } => Self::SignIn(session.clone()),
            Caller::Program(key) => Self::of_key(key),
        }
    }

    pub(crate) fn of_key(key: &Key) -> Self {
        match key {
            Key::Agent | Key::Cli => Self::Always,
            Key::Made(made) => Self::Key(made.key.id.clone()),
        }
    }

    /// Letters, digits and `-`; `None` for what never ends.
    pub(crate) fn name(&self) -> Option<String> {
        match self {
            Self::SignIn(id) => Some(id.clone()),
            Self::Key(id) => Some(format!("{KEY}{id}")),
            Self::Always => None,
        }
    }

    /// The other way.
    pub(crate) fn named(name: Option<&str>) -> Self {
        match name.map(|name| (name.strip_prefix(KEY), name)) {
            Some((Some(id), _)) => Self::Key(id.to_owned()),
            Some((None, id)) => Self::SignIn(id.to_owned()),
            None => Self::Always,
        }
    }

    /// Whether it lasts now.
    pub(crate) async fn lives(&self, app: &App) -> Result<bool, ApiError> {
        match self {
            Self::SignIn(id) => session::lives(app, id).await,
            Self::Key(id) => Ok(app.auth.made(id).is_some()),
            Self::Always => Ok(true),
        }
    }

    /// Resolves when it ends. Listens from the call on.
    pub(crate) fn over(self, app: &App) -> impl Future<Output = ()> + Send + use<> {
        let (app, mut ended) = (app.clone(), app.auth.watch_ended());
        async move {
            loop {
                let expires = match &self {
                    Self::Always => return std::future::pending().await,
                    Self::SignIn(_) => false,
                    Self::Key(id) => match app.auth.made(id) {
                        None => return,
                        Some(made) => made.key.expires_at.is_some(),
                    },
                };
                tokio::select! {
                    changed = ended.changed() => {
                        if changed.is_err() || !self.lives(&app).await.unwrap_or(false) {
                            return;
                        }
                    }
                    () = sleep(LOOK), if expires => {}
                }
            }
        }
    }
}
