//! Peers that packages bring, run in the same rounds as ours. What is not installed is left out
//! and named; a peer that fails is left out from there on. Installing them is not for the bench.

pub(super) mod codex;
mod crun;
mod disk;
pub(super) mod npm;
pub(super) mod pi;
mod podman;
mod sandbox;

use super::{Row, lab::Lab};
use crate::{config, output};
use npm::NodeProgram;
use podman::Podman;
use sandbox::Sandbox;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Version of Pi that was measured; newer ones lacked a package when this was written.
const PI_PACKAGE: &str = "@earendil-works/pi-coding-agent@0.87.1";
/// The Node that it is run with.
const NODE_PACKAGE: &str = "node@24.21.0";
/// A provider that nobody here wrote, for all that ask models.
const AIMOCK_PACKAGE: &str = "@copilotkit/aimock@1.43.0";
/// Version of Codex that was measured.
const CODEX_PACKAGE: &str = "@openai/codex@0.169.0";
/// One that copies files takes seconds a round: it takes no further part in a row then.
const PEER_TIME_MAX: Duration = Duration::from_secs(15);

/// The peers of one run of the bench.
#[derive(Default)]
pub(super) struct Peers {
    bwrap: Option<PathBuf>,
    crun: Option<PathBuf>,
    podman: Option<Podman>,
    /// Whether programs that copy files take part.
    disk: bool,
    /// What passes bytes on between two connections.
    pub(super) socat: Option<PathBuf>,
    pub(super) pi: Option<NodeProgram>,
    pub(super) codex: Option<PathBuf>,
    pub(super) aimock: Option<NodeProgram>,
}

impl Peers {
    /// Those that are installed; says in one line which are not, and how to get them.
    pub(super) async fn find() -> Self {
        let mut missing = Vec::new();
        let mut found = |program: &str, package: &str| {
            let path = find(program);
            if path.is_none() {
                missing.push(format!("{program} (apt-get install {package})"));
            }
            path
        };
        let (bwrap, crun) = (found("bwrap", "bubblewrap"), found("crun", "crun"));
        let (engine, runtime) = (found("podman", "podman"), found("runc", "runc"));
        let disk = found("btrfs", "btrfs-progs").is_some();
        let socat = found("socat", "socat");
        let podman = match (engine, runtime) {
            // Containers of ordinary users want services that few servers have.
            (Some(engine), Some(runtime)) if rustix::process::geteuid().is_root() => {
                let opened = Podman::open(&engine, &runtime).await;
                opened.inspect_err(|error| left_out("podman", error)).ok()
            }
            _ => None,
        };
        let cache = config::cache_dir().map(|cache| cache.join("toft"));
        let cache = cache.as_deref().unwrap_or(Path::new("~/.cache/toft"));
        let (folder, agents) = (cache.join("peers"), cache.join("agents"));
        let pi = NodeProgram::find(&folder, "@earendil-works/pi-coding-agent", "pi");
        let aimock = NodeProgram::find(&folder, "@copilotkit/aimock", "llmock");
        let codex = codex::find(&agents);
        if pi.is_none() || aimock.is_none() {
            missing.push(format!(
                "pi and aimock (npm install --prefix {} {PI_PACKAGE} {NODE_PACKAGE} {AIMOCK_PACKAGE})",
                folder.display()
            ));
        }
        if codex.is_none() {
            missing
                .push(format!("codex (npm install --prefix {} {CODEX_PACKAGE})", agents.display()));
        }
        if !missing.is_empty() {
            output::remark(&format!("peers that are not installed: {}", missing.join(", ")));
        }
        Self { bwrap, crun, podman, disk, socat, pi, codex, aimock }
    }

    /// Those that do something like the row of that name, ready for its rounds. `project` is the one
    /// that is measured.
    pub(super) async fn beside(&self, row: &'static str, lab: &Lab, project: &str) -> Beside {
        let mut opened = Vec::new();
        if matches!(row, "create_first_output" | "exec_roundtrip") {
            opened.extend(self.bwrap.as_deref().map(sandbox::bubblewrap));
            opened.extend(self.crun.as_deref().map(crun::open));
        }
        opened.extend(self.podman.as_ref().and_then(|podman| podman.beside(row)));
        if self.disk {
            let pool = lab.data().join("store/pool");
            opened.extend(disk::beside(row, &pool.join("p").join(project), &pool.join("tmp")));
        }
        let mut sandboxes = Vec::new();
        for made in opened {
            match made {
                Ok(mut sandbox) => match sandbox.round().await {
                    Ok(_) => sandboxes.push((sandbox, Duration::ZERO)),
                    Err(error) => left_out(sandbox.name, &error),
                },
                Err(error) => output::remark(&format!("a peer is left out: {error:#}")),
            }
        }
        Beside { row, sandboxes }
    }
}

/// The peers of one row.
pub(super) struct Beside {
    row: &'static str,
    /// With the time that each took so far.
    sandboxes: Vec<(Sandbox, Duration)>,
}

impl Beside {
    /// A row that nothing is like.
    pub(super) fn nobody() -> Self {
        Self { row: "", sandboxes: Vec::new() }
    }

    /// One round of each; one that fails is left out from there on.
    pub(super) async fn round(&mut self, counted: bool) {
        let mut kept = Vec::new();
        for (mut sandbox, spent) in self.sandboxes.drain(..) {
            if spent > PEER_TIME_MAX {
                kept.push((sandbox, spent));
                continue;
            }
            let began = Instant::now();
            match sandbox.round().await {
                Ok(took) => {
                    if counted {
                        sandbox.samples.push(took);
                    }
                    kept.push((sandbox, spent + began.elapsed()));
                }
                Err(error) => left_out(sandbox.name, &error),
            }
        }
        self.sandboxes = kept;
    }

    /// What was measured, as rows beside ours.
    pub(super) fn rows(self) -> Vec<Row> {
        let row = |(sandbox, _): (Sandbox, Duration)| {
            Row::new(&format!("{} (peer: {})", self.row, sandbox.name), "ms", sandbox.samples)
        };
        self.sandboxes.into_iter().map(row).collect()
    }
}

/// Says that a peer takes no further part.
pub(super) fn left_out(name: &str, error: &anyhow::Error) {
    output::remark(&format!("the peer {name} is left out: {error:#}"));
}

fn find(program: &str) -> Option<PathBuf> {
    ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"]
        .iter()
        .map(|dir| Path::new(dir).join(program))
        .find(|path| path.exists())
}
