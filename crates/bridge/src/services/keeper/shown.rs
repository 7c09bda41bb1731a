//! What a keeper says of its service: lines in its log, its state on the board, news for people.

use super::Keeper;
use crate::services::board::Seen;
use toft_model::{
    event::{EventBody, ServiceChange},
    inspect::{ServiceProcess, ServiceState},
};
use toft_tools::host::Secrets as _;

impl Keeper {
    /// A line of ours in the log; positions of the program's output move with it.
    pub(super) fn note(&mut self, text: &str) {
        if let Some(pages) = &mut self.pages {
            let before = pages.end();
            pages.note(text);
            self.mark.base += pages.end() - before;
        }
    }

    /// Tells people of trouble, once.
    pub(super) fn trouble(&mut self, code: &str, why: &str) {
        if self.told.as_deref() == Some(why) {
            return;
        }
        self.told = Some(why.to_owned());
        // It may quote a command line, and that the value of a secret.
        let why = &*self.parts.secrets.mask().text(why).into_owned();
        self.note(why);
        let message = format!("Service {}: {why}", self.name);
        self.parts.log.append(None, EventBody::Error { code: code.to_owned(), message });
    }

    pub(super) fn seen(&self, process: ServiceProcess) -> Seen {
        Seen {
            name: self.name.clone(),
            process: Some(process),
            environment: self.environment,
            turn: self.turn,
        }
    }

    pub(super) fn show(
        &self,
        state: ServiceState,
        pid: Option<u32>,
        exit_code: Option<i32>,
        problem: Option<String>,
    ) {
        let problem = problem.map(|why| self.parts.secrets.mask().text(&why).into_owned());
        let before = self.parts.board.process(&self.id);
        let restarts = self.restarts;
        let same = before.as_ref().is_some_and(|b| {
            (b.state, b.pid, b.exit_code, b.restarts, &b.problem)
                == (state, pid, exit_code, restarts, &problem)
        });
        let since = match before {
            Some(before) if same => before.since,
            _ => (self.parts.clock)(),
        };
        let restart_to_apply = false;
        let process =
            ServiceProcess { state, pid, restarts, exit_code, since, restart_to_apply, problem };
        self.parts.board.set(&self.id, self.seen(process));
        if !same {
            let change = ServiceChange {
                id: self.id.clone(),
                name: self.name.clone(),
                state,
                exit_code,
                restarts,
            };
            self.parts.log.append(None, EventBody::Service(change));
        }
    }
}
