//! Peers that packages bring, run in the same rounds as ours. What is not installed is left out
//! and named; a peer that fails is left out from there on. Installing them is not for the bench.

mod crun;
pub(super) mod pi;
mod sandbox;

use super::Row;
use crate::{config, output};
use pi::PiFiles;
use sandbox::Sandbox;
use std::path::{Path, PathBuf};

/// Version of Pi that was measured; newer ones lacked a package when this was written.
const PI_PACKAGE: &str = "@earendil-works/pi-coding-agent@0.87.1";
/// The Node that it is run with.
const NODE_PACKAGE: &str = "node@24.21.0";

/// The peers of one run of the bench.
#[derive(Default)]
pub(super) struct Peers {
    sandboxes: Vec<Sandbox>,
    /// Where Pi lies.
    pub(super) pi: Option<PiFiles>,
}

impl Peers {
    /// Those that are installed and work here; says in one line which are not, and how to get them.
    pub(super) async fn find() -> Self {
        let mut missing = Vec::new();
        let mut sandboxes = Vec::new();
        let bwrap = find("bwrap");
        let crun = find("crun");
        if bwrap.is_none() {
            missing.push("bwrap (apt-get install bubblewrap)".to_owned());
        }
        if crun.is_none() {
            missing.push("crun (apt-get install crun)".to_owned());
        }
        let opened =
            [bwrap.map(|path| sandbox::bubblewrap(&path)), crun.map(|path| crun::open(&path))];
        for made in opened.into_iter().flatten() {
            match made {
                Ok(mut sandbox) => match sandbox.round().await {
                    Ok(_) => sandboxes.push(sandbox),
                    Err(error) => left_out(sandbox.name, &error),
                },
                Err(error) => output::remark(&format!("a peer is left out: {error:#}")),
            }
        }
        let folder = config::cache_dir().map(|cache| cache.join("toft/peers"));
        let pi = folder.as_deref().and_then(PiFiles::find);
        if pi.is_none() {
            let folder = folder.as_deref().unwrap_or(Path::new("~/.cache/toft/peers"));
            missing.push(format!(
                "pi (npm install --prefix {} {PI_PACKAGE} {NODE_PACKAGE})",
                folder.display()
            ));
        }
        if !missing.is_empty() {
            output::remark(&format!("peers that are not installed: {}", missing.join(", ")));
        }
        Self { sandboxes, pi }
    }

    /// One round of every sandbox.
    pub(super) async fn round(&mut self, counted: bool) {
        let mut kept = Vec::new();
        for mut sandbox in self.sandboxes.drain(..) {
            match sandbox.round().await {
                Ok(took) => {
                    if counted {
                        sandbox.samples.push(took);
                    }
                    kept.push(sandbox);
                }
                Err(error) => left_out(sandbox.name, &error),
            }
        }
        self.sandboxes = kept;
    }

    /// What the sandboxes measured since the last call, as rows beside the row `of`.
    pub(super) fn rows(&mut self, of: &str) -> Vec<Row> {
        let row = |sandbox: &mut Sandbox| {
            let name = format!("{of} (peer: {})", sandbox.name);
            Row::new(&name, "ms", std::mem::take(&mut sandbox.samples))
        };
        self.sandboxes.iter_mut().map(row).collect()
    }
}

/// Says that a peer takes no further part.
pub(super) fn left_out(name: &str, error: &anyhow::Error) {
    output::remark(&format!("the peer {name} is left out: {error:#}"));
}

fn find(program: &str) -> Option<PathBuf> {
    ["/usr/local/bin", "/usr/bin", "/bin"]
        .iter()
        .map(|dir| Path::new(dir).join(program))
        .find(|path| path.exists())
}
