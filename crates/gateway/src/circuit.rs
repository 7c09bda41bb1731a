//! Which models could not be had a moment ago, so that the next call does not wait for them again. Kept
//! for models that have others to stand in for them, and for those others; when its time is over one call
//! is let through to see. A gateway that is started anew has forgotten all of it. Who asked does not count:
//! the keys are the same for all.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// How long a first failure is remembered; each one after it twice as long.
const DOWN_FIRST: Duration = Duration::from_secs(5);

/// Longest memory, whatever the provider asks for: a person looks at the clock by then.
const DOWN_MAX: Duration = Duration::from_mins(5);

/// Models that are remembered at once. With a chain for all models of a provider programs choose the names.
const REMEMBERED_MAX: usize = 1_000;

/// Bytes of a name that is remembered: no model has a longer one.
const NAME_BYTES_MAX: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Circuits(Arc<Mutex<BTreeMap<String, Down>>>);

#[derive(Debug)]
struct Down {
    until: Instant,
    failures: u32,
    /// Somebody looks whether it is back.
    probed: bool,
}

/// Leave to ask a model; what became of it is to be said.
#[derive(Debug)]
pub(crate) struct Pass {
    circuits: Arc<Mutex<BTreeMap<String, Down>>>,
    name: String,
    probes: bool,
}

impl Circuits {
    /// Forgets models that stand in no chain.
    pub(crate) fn keep(&self, is_in_a_chain: impl Fn(&str) -> bool) {
        locked(&self.0).retain(|name, _| is_in_a_chain(name));
    }

    /// Lets the time of all that is remembered be over.
    #[cfg(test)]
    pub(crate) fn elapse(&self) {
        locked(&self.0).values_mut().for_each(|down| down.until = Instant::now());
    }

    /// Leave to ask a model, unless it is known to be down.
    pub(crate) fn enter(&self, name: &str) -> Option<Pass> {
        let mut circuits = locked(&self.0);
        let probes = match circuits.get_mut(name) {
            None => false,
            Some(down) if down.probed || Instant::now() < down.until => return None,
            Some(down) => {
                down.probed = true;
                true
            }
        };
        drop(circuits);
        let mut pass = self.force(name);
        pass.probes = probes;
        Some(pass)
    }

    /// The same whatever is known of it.
    pub(crate) fn force(&self, name: &str) -> Pass {
        Pass { circuits: Arc::clone(&self.0), name: name.to_owned(), probes: false }
    }
}

impl Pass {
    /// It answered.
    pub(crate) fn up(mut self) {
        self.probes = false;
        locked(&self.circuits).remove(&self.name);
    }

    /// It did not. `wait`: what its provider asks for.
    pub(crate) fn down(mut self, wait: Option<Duration>) {
        let probed = std::mem::take(&mut self.probes);
        let now = Instant::now();
        let mut circuits = locked(&self.circuits);
        let known = circuits.get(&self.name);
        // One of several calls that met the same failure has said it.
        if !probed && known.is_some_and(|down| now < down.until) {
            return;
        }
        let failures = known.map_or(0, |down| down.failures).saturating_add(1);
        if known.is_none() {
            if circuits.len() >= REMEMBERED_MAX {
                circuits.retain(|_, down| now < down.until);
            }
            if circuits.len() >= REMEMBERED_MAX || self.name.len() > NAME_BYTES_MAX {
                return;
            }
        }
        let doubled =
            DOWN_FIRST.saturating_mul(1_u32.checked_shl(failures - 1).unwrap_or(u32::MAX));
        let pause = doubled.max(wait.unwrap_or_default()).min(DOWN_MAX);
        let down = Down { until: now + pause, failures, probed: false };
        circuits.insert(self.name.clone(), down);
    }
}

/// Whoever goes away before there was an answer has seen nothing: the next one looks.
impl Drop for Pass {
    fn drop(&mut self) {
        if self.probes
            && let Some(down) = locked(&self.circuits).get_mut(&self.name)
        {
            down.probed = false;
        }
    }
}

fn locked(circuits: &Mutex<BTreeMap<String, Down>>) -> MutexGuard<'_, BTreeMap<String, Down>> {
    circuits.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_down_is_left_alone_and_one_call_looks_whether_it_is_back() {
        let circuits = Circuits::default();
        let fails = |wait| circuits.enter("a/b").unwrap().down(wait);
        fails(None);
        assert!(circuits.enter("a/b").is_none() && circuits.enter("a/c").is_some());
        tokio::time::advance(DOWN_FIRST).await;
        let probe = circuits.enter("a/b").unwrap();
        assert!(circuits.enter("a/b").is_none(), "one at a time");
        drop(probe);
        // It went away: the next one looks, and it is down for twice as long.
        fails(None);
        tokio::time::advance(DOWN_FIRST).await;
        assert!(circuits.enter("a/b").is_none());
        tokio::time::advance(DOWN_FIRST).await;
        circuits.enter("a/b").unwrap().up();
        let (one, other) = (circuits.enter("a/b").unwrap(), circuits.enter("a/b").unwrap());
        one.down(None);
        other.down(None);
        tokio::time::advance(DOWN_FIRST).await;
        fails(Some(DOWN_FIRST * 9));
        tokio::time::advance(DOWN_FIRST * 8).await;
        assert!(circuits.enter("a/b").is_none(), "as the provider wished");
        tokio::time::advance(DOWN_FIRST).await;
        fails(Some(DOWN_MAX * 9));
        tokio::time::advance(DOWN_MAX).await;
        assert!(circuits.enter("a/b").is_some(), "within reason");
    }

    #[tokio::test(start_paused = true)]
    async fn only_models_of_chains_are_remembered() {
        let circuits = Circuits::default();
        for name in ["a/b", "c/d", "e/f"] {
            circuits.force(name).down(None);
        }
        circuits.keep(|name| ["a/b", "c/d"].contains(&name));
        let known: Vec<String> = locked(&circuits.0).keys().cloned().collect();
        assert_eq!(known, ["a/b", "c/d"]);
    }

    #[tokio::test(start_paused = true)]
    async fn names_that_programs_make_up_fill_nothing() {
        let circuits = Circuits::default();
        circuits.force(&format!("a/{}", "x".repeat(NAME_BYTES_MAX))).down(None);
        assert!(locked(&circuits.0).is_empty());
        for n in 0..=REMEMBERED_MAX {
            circuits.force(&format!("a/{n}")).down(None);
        }
        assert_eq!(locked(&circuits.0).len(), REMEMBERED_MAX);
        tokio::time::advance(DOWN_FIRST).await;
        circuits.force("a/new").down(None);
        assert_eq!(locked(&circuits.0).len(), 1, "what is over makes room");
    }
}
