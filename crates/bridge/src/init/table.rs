//! The programs that init knows: running ones, and named ones that have ended.

use super::exec::Exec;
use std::{cell::RefCell, collections::HashMap, rc::Rc};
use toft_model::init::ExecStatus;

/// Ended programs that are kept; the oldest go first. A conversation's background work and a day
/// of terminals fit; with [`RINGS_MAX`] their memory stays small.
pub(super) const ENDED_MAX: usize = 200;

/// Ended programs whose last output is kept in memory because the disk does not hold it.
const RINGS_MAX: usize = 8;

/// Running programs; a machine's process limit is of the same size.
pub(super) const RUNNING_MAX: usize = 1_024;

/// See the module.
#[derive(Default)]
pub(super) struct Table {
    by_id: RefCell<HashMap<String, Rc<Exec>>>,
}

impl Table {
    /// The one with this id.
    pub(super) fn get(&self, id: &str) -> Option<Rc<Exec>> {
        self.by_id.borrow().get(id).cloned()
    }

    /// Adds one.
    pub(super) fn insert(&self, exec: Rc<Exec>) {
        self.by_id.borrow_mut().insert(exec.id.clone(), exec);
    }

    /// Those that run.
    pub(super) fn running(&self) -> Vec<Rc<Exec>> {
        self.by_id.borrow().values().filter(|e| !e.ended()).cloned().collect()
    }

    /// All, oldest first.
    pub(super) fn list(&self) -> Vec<ExecStatus> {
        let mut all: Vec<Rc<Exec>> = self.by_id.borrow().values().cloned().collect();
        all.sort_by_key(|e| e.number);
        all.iter().map(|e| e.status()).collect()
    }

    /// One has ended: it is kept if it has a name, and the oldest ended ones go.
    pub(super) fn ended(&self, exec: &Exec) {
        if !exec.named {
            // Its caller still reads what is in memory.
            self.by_id.borrow_mut().remove(&exec.id);
            return;
        }
        let mut ended: Vec<Rc<Exec>> =
            self.by_id.borrow().values().filter(|e| e.ended()).cloned().collect();
        ended.sort_by_key(|e| std::cmp::Reverse(e.number));
        for old in ended.iter().skip(ENDED_MAX) {
            self.drop(old);
        }
        let holding = ended.iter().filter(|e| e.output.borrow().holds_memory());
        for old in holding.skip(RINGS_MAX) {
            old.output.borrow_mut().drop_memory();
        }
    }

    /// Drops one with its file.
    pub(super) fn drop(&self, exec: &Exec) {
        exec.output.borrow_mut().discard();
        let mut by_id = self.by_id.borrow_mut();
        if by_id.get(&exec.id).is_some_and(|kept| kept.number == exec.number) {
            by_id.remove(&exec.id);
        }
    }
}
