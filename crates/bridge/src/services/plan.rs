//! What a row of the inspect database says about a service that is to run: its program, and what
//! becomes of it when it ends. Pure.

use std::{collections::BTreeMap, time::Duration};
use toft_machine::service_log::key;
use toft_model::{
    hash::fnv1a,
    init::{ExecExit, ExecSpec},
    inspect::{Restart, Service},
};

/// How ids of services' programs begin.
pub(crate) const ID_PREFIX: &str = "svc-";

/// Waits before a service is started again: they double from the first to the last, so that one
/// crash costs a moment and a broken program costs no processor.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_mins(1);

/// A program that ran this long ended by something new.
const RAN_WELL: Duration = Duration::from_secs(30);

/// Output that init keeps of it on disk; the log is elsewhere.
const SPILL_BYTES_MAX: u64 = 64 << 10;

/// Bash where there is one, as for the agent's own commands.
const SHELL: &str = "command -v bash >/dev/null && exec bash -c \"$0\"; exec sh -c \"$0\"";

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) command: String,
    cwd: Option<String>,
    env: BTreeMap<String, String>,
    pub(super) port: Option<u16>,
    pub(super) restart: Restart,
    /// Whether its output may name the app's port.
    pub(super) announces: bool,
}

impl Plan {
    /// `None`: the row has no command.
    pub(super) fn of(row: &Service) -> Option<Self> {
        let command = row.command.as_deref().map(str::trim).filter(|text| !text.is_empty())?;
        Some(Self {
            id: row.id.clone(),
            name: row.name.clone(),
            command: command.to_owned(),
            cwd: row.cwd.clone().filter(|cwd| !cwd.is_empty()),
            env: row.env.clone().unwrap_or_default(),
            port: row.port,
            restart: row.restart.unwrap_or_default(),
            announces: row.port.is_none() && row.kind == "app",
        })
    }

    /// Names the program: another one for another command, folder or environment.
    pub(super) fn exec_id(&self) -> String {
        let mut said = format!("{}\0{:?}\0{:?}\0", self.command, self.cwd, self.port);
        for (name, value) in &self.env {
            said.push_str(name);
            said.push('=');
            said.push_str(value);
            said.push('\0');
        }
        format!("{}:{:016x}", exec_key(&self.id), fnv1a(said.as_bytes()))
    }

    pub(super) fn spec(&self) -> ExecSpec {
        let mut env: Vec<(String, String)> = self.env.clone().into_iter().collect();
        if let Some(port) = self.port
            && !self.env.contains_key("PORT")
        {
            env.push(("PORT".to_owned(), port.to_string()));
        }
        ExecSpec {
            id: Some(self.exec_id()),
            argv: ["sh", "-c", SHELL, &self.command].map(str::to_owned).to_vec(),
            cwd: self.cwd.clone(),
            env,
            merge_stderr: true,
            detach: true,
            spill_bytes_max: SPILL_BYTES_MAX,
            label: Some(format!("{}: {}", self.name, self.command)),
            ..ExecSpec::default()
        }
    }

    /// Whether it is started again after that end.
    pub(super) fn comes_back(&self, clean: bool) -> bool {
        match self.restart {
            Restart::Always => true,
            Restart::OnFailure => !clean,
            Restart::Never => false,
        }
    }
}

/// Whether a program ended as one that had nothing more to do.
pub(super) fn clean(exit: &ExecExit) -> bool {
    exit.code == Some(0)
}

/// Whether it ran long enough to be tried again at once.
pub(super) fn ran_well(exit: &ExecExit) -> bool {
    Duration::from_millis(exit.duration_ms) >= RAN_WELL
}

/// The wait after so many failures in a row.
pub(super) fn backoff(failures: u32) -> Duration {
    let factor = 1u32.checked_shl(failures.min(16)).unwrap_or(u32::MAX);
    BACKOFF_FIRST.saturating_mul(factor).min(BACKOFF_MAX)
}

/// The part of a program's id that is the service's, whatever it runs.
pub(super) fn exec_key(id: &str) -> String {
    format!("{ID_PREFIX}{}", key(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, command: &str) -> Service {
        Service {
            id: id.into(),
            name: "Web".into(),
            kind: "app".into(),
            port: Some(3000),
            schedule: None,
            status: "running".into(),
            description: None,
            command: Some(command.into()),
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
    fn any_row_id_makes_an_id_that_init_takes() {
        for id in ["web", "", "../../etc", "a name", &"x".repeat(4_000), "a:b"] {
            let id = Plan::of(&row(id, "true")).unwrap().exec_id();
            let fits = |b: u8| b.is_ascii_alphanumeric() || b"_.:-".contains(&b);
            assert!(id.len() <= 128 && id.bytes().all(fits), "{id}");
        }
        assert_ne!(exec_key("a"), exec_key("a:b"));
    }

    #[test]
    fn another_command_is_another_program_and_another_name_is_not() {
        let plan = Plan::of(&row("web", "serve")).unwrap();
        let mut renamed = row("web", " serve ");
        renamed.name = "Shop".into();
        renamed.restart = Some(Restart::Always);
        assert_eq!(Plan::of(&renamed).unwrap().exec_id(), plan.exec_id());
        let mut moved = row("web", "serve");
        moved.cwd = Some("shop".into());
        for other in [row("web", "serve --fast"), moved] {
            assert_ne!(Plan::of(&other).unwrap().exec_id(), plan.exec_id());
        }
        assert_eq!(Plan::of(&row("web", "  ")), None);
        assert!(plan.spec().env.contains(&("PORT".into(), "3000".into())));
    }

    #[test]
    fn a_wait_doubles_up_to_a_minute() {
        let waits: Vec<u64> = (0..9).map(|n| backoff(n).as_millis().try_into().unwrap()).collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(backoff(u32::MAX), BACKOFF_MAX);
    }
}
