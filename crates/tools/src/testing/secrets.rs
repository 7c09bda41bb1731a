//! A machine's secrets in memory.

use crate::host::Secrets;
use async_trait::async_trait;
use std::{collections::BTreeMap, sync::Arc};
use toft_model::{
    binding::{Binding, placeholder},
    mask::Mask,
    secret::{Environment, SecretText},
};
use tokio::sync::watch;

/// See the module.
#[derive(Debug)]
pub struct MemorySecrets(watch::Sender<Environment>);

impl Default for MemorySecrets {
    fn default() -> Self {
        Self(watch::channel(Environment::default()).0)
    }
}

impl MemorySecrets {
    /// Sets one.
    pub fn set(&self, name: &str, value: &str) {
        self.0.send_modify(|environment| {
            environment.revision += 1;
            environment.vars.retain(|(known, _)| known != name);
            environment.bindings.remove(name);
            environment.vars.push((name.to_owned(), SecretText::new(value)));
        });
    }

    /// Sets a brokered one.
    pub fn broker(&self, name: &str, binding: Binding) {
        self.0.send_modify(|environment| {
            environment.revision += 1;
            environment.vars.retain(|(known, _)| known != name);
            environment.vars.push((name.to_owned(), SecretText::new(placeholder())));
            environment.bindings.insert(name.to_owned(), binding);
        });
    }
}

#[async_trait]
impl Secrets for MemorySecrets {
    async fn missing(&self, names: &[String]) -> Vec<String> {
        let now = self.0.borrow();
        names.iter().filter(|name| !now.has(name)).cloned().collect()
    }

    async fn until_set(&self, names: &[String]) {
        let mut changes = self.0.subscribe();
        let _ = changes.wait_for(|now| names.iter().all(|name| now.has(name))).await;
    }

    async fn bindings(&self, names: &[String]) -> BTreeMap<String, Binding> {
        self.0.borrow().bindings_of(names)
    }

    fn mask(&self) -> Arc<Mask> {
        Arc::new(Mask::of(&self.0.borrow()))
    }
}
