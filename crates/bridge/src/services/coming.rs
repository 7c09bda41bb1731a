//! Whether a service is about to listen on a port: a request that woke the machine, or came just after
//! a restart, is worth a moment then. Starts nothing.

use super::{board::Board, plan::Plan, wants_to_run};
use std::time::Duration;
use toft_model::inspect::{Service, ServiceState};

/// What a development server takes to listen, on a busy host.
const COMING_MAX: Duration = Duration::from_secs(15);

/// What reading the rows takes when a machine starts; a database that is none is never read.
const UNREAD_MAX: Duration = Duration::from_secs(2);

impl Board {
    /// How long a request may wait for that: less while nobody has read the rows.
    pub(crate) fn patience(&self) -> Duration {
        if self.rows().borrow().is_some() { COMING_MAX } else { UNREAD_MAX }
    }

    /// Whether a service that is to run may yet listen there. Until the rows were read, one may.
    pub(crate) fn is_coming(&self, port: u16, app_port: u16, now_ms: u64) -> bool {
        let rows = self.rows();
        let rows = rows.borrow();
        let Some(rows) = rows.as_ref() else { return true };
        let its_port = |row: &Service| match (row.port, row.kind.as_str()) {
            (Some(own), _) => own == port,
            (None, "app") => app_port == port,
            (None, _) => false,
        };
        let starts = |row: &&Service| {
            let Some(process) = self.process(&row.id) else { return true };
            match process.state {
                ServiceState::Running => {
                    let since = Duration::from_millis(now_ms.saturating_sub(process.since));
                    since < COMING_MAX
                }
                ServiceState::Exited
                | ServiceState::Failed
                | ServiceState::Backoff
                | ServiceState::Stopped => false,
            }
        };
        let declared = |row: &&Service| Plan::of(row).is_some() && wants_to_run(row);
        rows.iter().filter(|row| its_port(row)).filter(declared).any(|row| starts(&row))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::board::Seen, *};
    use toft_model::inspect::ServiceProcess;

    fn row(id: &str, port: Option<u16>, status: &str) -> Service {
        Service {
            id: id.into(),
            name: id.into(),
            kind: "app".into(),
            port,
            schedule: None,
            status: status.into(),
            description: None,
            command: Some("serve".into()),
            cwd: None,
            env: None,
            restart: None,
            problem: None,
            process: None,
            created_at: String::new(),
            updated_at: String::new(),
        }
    }

    #[test]
    fn a_request_waits_for_a_service_that_starts_and_for_nothing_else() {
        let board = Board::default();
        let coming = |port| board.is_coming(port, 3000, 100_000);
        assert!(coming(3000), "nobody knows yet");
        board.take_rows(&[]);
        assert!(!coming(3000));
        let mut bare = row("bare", Some(4000), "running");
        bare.command = None;
        board.take_rows(&[
            row("app", None, "running"),
            row("api", Some(5000), "running"),
            row("off", Some(6000), "stopped"),
            bare,
        ]);
        assert!(coming(3000) && coming(5000));
        assert!(!coming(6000) && !coming(4000) && !coming(7000));
        let set = |state, since| {
            let process = ServiceProcess {
                state,
                pid: None,
                restarts: 0,
                exit_code: None,
                since,
                restart_to_apply: false,
                problem: None,
            };
            let seen = Seen { name: "api".into(), process: Some(process), ..Seen::default() };
            board.set("api", seen);
        };
        set(ServiceState::Running, 99_000);
        assert!(coming(5000));
        set(ServiceState::Running, 80_000);
        assert!(!coming(5000), "it runs for long and does not listen");
        set(ServiceState::Failed, 99_999);
        assert!(!coming(5000));
    }
}
