//! The project's secrets as init holds them: in memory, for the environment of what it starts. Not
//! what else is in that environment.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};
use toft_model::{
    mask::{Heard, Mask},
    secret::{Environment, SecretText},
};
use tokio::sync::Notify;

/// See the module.
pub(super) struct Held {
    now: RefCell<Environment>,
    /// What names the authority that programs trust.
    trust: RefCell<Vec<(String, String)>>,
    /// What it was before, too: bridges come and go, and each is told of it.
    heard: RefCell<Heard>,
    mask: RefCell<Rc<Mask>>,
    /// Whether anybody has said what it is.
    told: Cell<bool>,
    /// Counts what was said: values may become others at the same revision.
    generation: Cell<u64>,
    changed: Notify,
}

impl Held {
    /// Without any variable. `told`: that is how it is to be.
    pub(super) fn new(told: bool) -> Self {
        Self {
            now: RefCell::default(),
            trust: RefCell::default(),
            heard: RefCell::default(),
            mask: RefCell::default(),
            told: Cell::new(told),
            generation: Cell::new(0),
            changed: Notify::new(),
        }
    }

    /// What is started from now on gets this.
    pub(super) fn set(&self, environment: Environment, trust: Vec<(String, String)>) {
        *self.trust.borrow_mut() = trust;
        self.told.set(true);
        let mut heard = self.heard.borrow_mut();
        heard.take(&environment.vars);
        *self.mask.borrow_mut() = Rc::new(heard.mask());
        *self.now.borrow_mut() = environment;
        self.generation.set(self.generation.get() + 1);
        self.changed.notify_waiters();
    }

    pub(super) fn revision(&self) -> u64 {
        self.now.borrow().revision
    }

    /// Values that were set before, and are still secret.
    pub(super) fn before(&self) -> Vec<(String, SecretText)> {
        self.heard.borrow().before(&self.now.borrow().vars)
    }

    /// For what a program that is started now leaves on disk.
    pub(super) fn mask(&self) -> Rc<Mask> {
        Rc::clone(&self.mask.borrow())
    }

    pub(super) fn vars(&self) -> Vec<(String, String)> {
        let now = self.now.borrow();
        let vars = now.vars.iter().map(|(name, value)| (name.clone(), value.expose().to_owned()));
        // What a person sets wins.
        self.trust.borrow().iter().cloned().chain(vars).collect()
    }

    /// Resolves once somebody has said what it is.
    pub(super) async fn told(&self) {
        while !self.told.get() {
            self.changed.notified().await;
        }
    }

    /// The environment and its generation, as soon as it is another than the known one. A bridge that
    /// knows no generation is told by revision.
    pub(super) async fn other_than(
        &self,
        known: Option<u64>,
        generation: Option<u64>,
    ) -> (Environment, u64) {
        let is_known = || match generation {
            Some(generation) => generation == self.generation.get(),
            None => known == Some(self.revision()),
        };
        while is_known() {
            self.changed.notified().await;
        }
        (self.now.borrow().clone(), self.generation.get())
    }
}
