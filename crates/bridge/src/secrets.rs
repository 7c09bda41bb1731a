//! Which secrets new processes get, as the bridge knows it from init: names for tools, values only to
//! take them out of what is shown. Follows init for as long as both live.

use crate::shell::InitShell;
use async_trait::async_trait;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use toft_model::{
    binding::Binding,
    mask::{Heard, Mask},
    secret::{Environment, SecretText},
};
use toft_tools::host::Secrets;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// How often init is asked again when it cannot be reached.
const LOST_WAIT: Duration = Duration::from_secs(1);

/// Init answers at once, or is gone.
const FIRST_TIMEOUT: Duration = Duration::from_secs(5);

/// See the module.
pub struct KnownSecrets {
    /// `None` until init has said it for the first time.
    now: watch::Sender<Option<Environment>>,
    /// All that this bridge has heard of, and init before it.
    heard: Mutex<Heard>,
    mask: Mutex<Arc<Mask>>,
}

impl Default for KnownSecrets {
    fn default() -> Self {
        Self { now: watch::channel(None).0, heard: Mutex::default(), mask: Mutex::default() }
    }
}

impl KnownSecrets {
    /// Follows init until `stop`. Returns when init has said it for the first time: nothing is shown
    /// before of which nobody knows whether it is a secret.
    pub(crate) async fn follow(shell: InitShell, stop: CancellationToken) -> Arc<Self> {
        let known = Arc::new(Self::default());
        let this = Arc::clone(&known);
        let mut first = known.now.subscribe();
        // Ends with the bridge.
        tokio::spawn(async move {
            tokio::select! {
                () = this.keep_up(&shell) => {}
                () = stop.cancelled() => {}
            }
        });
        if timeout(FIRST_TIMEOUT, first.wait_for(Option::is_some)).await.is_err() {
            tracing::warn!("init does not say which secrets there are: output is not masked yet");
        }
        known
    }

    /// The revision of what new processes get; changes are told.
    pub(crate) fn revisions(&self) -> watch::Receiver<Option<Environment>> {
        self.now.subscribe()
    }

    async fn keep_up(&self, shell: &InitShell) {
        let mut known = None;
        loop {
            match shell.environment(known.as_ref()).await {
                Ok(told) => {
                    self.take(&told.before, told.environment.clone());
                    known = Some(told);
                }
                Err(error) if error.code == "invalid" => {
                    tracing::warn!(
                        "init is older than the bridge and knows no secrets: restart the machine"
                    );
                    return self.take(&[], Environment::default());
                }
                Err(_) => sleep(LOST_WAIT).await,
            }
        }
    }

    fn take(&self, before: &[(String, SecretText)], environment: Environment) {
        let mask = {
            let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.take(before);
            heard.take(&environment.vars);
            Arc::new(heard.mask())
        };
        *self.mask.lock().unwrap_or_else(PoisonError::into_inner) = mask;
        self.now.send_replace(Some(environment));
    }
}

#[async_trait]
impl Secrets for KnownSecrets {
    async fn missing(&self, names: &[String]) -> Vec<String> {
        let mut changes = self.now.subscribe();
        let Ok(now) = changes.wait_for(Option::is_some).await else { return names.to_vec() };
        let has = |name: &String| now.as_ref().is_some_and(|now| now.has(name));
        names.iter().filter(|name| !has(name)).cloned().collect()
    }

    async fn until_set(&self, names: &[String]) {
        let mut changes = self.now.subscribe();
        let all = |now: &Option<Environment>| {
            now.as_ref().is_some_and(|now| names.iter().all(|name| now.has(name)))
        };
        let seen = changes.wait_for(all).await.is_ok();
        if !seen {
            // Nobody tells any more: the bridge ends.
            std::future::pending::<()>().await;
        }
    }

    async fn bindings(&self, names: &[String]) -> BTreeMap<String, Binding> {
        self.now.borrow().as_ref().map(|now| now.bindings_of(names)).unwrap_or_default()
    }

    async fn setting(&self, name: &str) -> Option<String> {
        let now = self.now.borrow();
        let vars = &now.as_ref()?.vars;
        vars.iter().find(|(known, _)| known == name).map(|(_, value)| value.expose().to_owned())
    }

    fn mask(&self) -> Arc<Mask> {
        Arc::clone(&self.mask.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(revision: u64, vars: &[(&str, &str)]) -> Environment {
        let vars = vars.iter().map(|(n, v)| ((*n).to_owned(), SecretText::new(*v))).collect();
        Environment { revision, vars, ..Environment::default() }
    }

    #[test]
    fn what_init_heard_before_this_bridge_began_is_masked_and_in_no_environment() {
        let known = KnownSecrets::default();
        let before = environment(1, &[("A", "first-value")]).vars;
        known.take(&before, environment(2, &[("A", "second-value")]));
        assert_eq!(known.mask().text("first-value second-value"), "[secret A] [secret A]");
        let now = known.revisions().borrow().clone().unwrap();
        assert_eq!(now, environment(2, &[("A", "second-value")]));
    }

    #[tokio::test]
    async fn a_replaced_or_deleted_value_stays_masked_and_is_missing() {
        let known = KnownSecrets::default();
        known.take(&[], environment(1, &[("A", "first-value"), ("B", "other-value")]));
        known.take(&[], environment(2, &[("A", "second-value")]));
        let said = known.mask().text("first-value second-value other-value").into_owned();
        assert_eq!(said, "[secret A] [secret A] [secret B]");
        let names = ["A".to_owned(), "B".to_owned()];
        assert_eq!(known.missing(&names).await, ["B"]);
        known.until_set(&names[..1]).await;
    }
}
