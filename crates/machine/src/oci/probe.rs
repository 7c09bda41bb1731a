//! What the engine really does, found out with one container that lives for a moment: whether it
//! sees Toft's folders, which limits are in force, whether it can pause and change a container.

use super::{
    Inner,
    frame::Frame,
    life::{Plan, offer, seat},
};
use crate::{backend::MachineError, folders::rand_name, inside::ROOT, running::blocking};
use std::{
    fs, io,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
};
use toft_model::machine::{Ability, Can, Limits};

/// Limits of the trial: what no host has by itself.
const TRIAL_MEMORY_BYTES: u64 = 192 << 20;
const TRIAL_PIDS: u64 = 97;
const TRIAL_CPUS: f64 = 0.5;

/// What stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    memory: bool,
    pids: bool,
    cpu: bool,
    pub(super) pauses: bool,
    /// Why limits cannot be changed while a container runs.
    pub(super) fixed: Option<String>,
    filtered: bool,
}

/// Tries it. An error says why no machine would start.
pub(super) async fn trial(inner: &Inner, template: &Path) -> Result<Found, MachineError> {
    let name = format!("toft-trial-{}", rand_name());
    let folder = inner.pool.scratch().join(&name);
    let tried = run(inner, &name, &folder, &template.join(ROOT)).await;
    if let Err(e) = inner.engine.remove(&name).await {
        tracing::warn!("the container {name} stays until the next start: {e}");
    }
    if let Err(e) = toft_jail::tree::remove(&folder) {
        tracing::warn!("the folder of a trial stays until the next start: {e}");
    }
    tried.map_err(|e| MachineError::Unsupported {
        missing: format!("{} cannot start a machine: {e}", inner.engine.name),
        remedy: "The engine must run on this host, outside of a virtual machine, see the data \
                 folder under the same path, and map root inside to the user that runs Toft; see \
                 docs/backends.md."
            .to_owned(),
    })
}

async fn run(inner: &Inner, name: &str, folder: &Path, root: &Path) -> io::Result<Found> {
    fs::create_dir(folder)?;
    let limits = Limits {
        memory_bytes: Some(TRIAL_MEMORY_BYTES),
        cpus: Some(TRIAL_CPUS),
        pids: Some(TRIAL_PIDS),
        disk_bytes: None,
    };
    let plan = Plan {
        hostname: "trial".to_owned(),
        root,
        run: folder,
        log: None,
        limits: &limits,
        labels: inner.labels(None),
    };
    let frame = Frame::of(root)?;
    let offered = offer(&plan)?;
    let image = frame.ensure(&inner.engine).await?;
    let socket = inner.run(name, inner.body(&plan, &frame, image), offered).await?;
    let (init, bridge) = (folder.join("i"), folder.join("b"));
    let (held, said) = (fs::File::open(folder)?, folder.join("said"));
    let seated = blocking(move || {
        use std::os::fd::AsRawFd as _;
        let short = |path: &Path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            PathBuf::from(format!("/proc/self/fd/{}/{name}", held.as_raw_fd()))
        };
        let init = UnixListener::bind(short(&init))?;
        let bridge = UnixListener::bind(short(&bridge))?;
        let said = fs::File::create(said)?;
        seat(socket, "{}".to_owned(), &init, &bridge, &said)
    })
    .await?;
    // It waits for a word that never comes: now it can be looked at.
    let in_force = |controller: &str, files: &[&str], wanted: &str| {
        group_files(seated.pid, controller, files)
            .iter()
            .any(|file| fs::read_to_string(file).is_ok_and(|text| text.trim().starts_with(wanted)))
    };
    let memory = TRIAL_MEMORY_BYTES.to_string();
    let found = Found {
        memory: in_force("memory", &["memory.max", "memory.limit_in_bytes"], &memory),
        pids: in_force("pids", &["pids.max"], &TRIAL_PIDS.to_string()),
        cpu: in_force("cpu", &["cpu.max", "cpu.cfs_quota_us"], "50000"),
        filtered: seated.filtered,
        ..Found::default()
    };
    let pauses = match inner.engine.pause(name).await {
        Ok(()) => {
            inner.engine.unpause(name).await?;
            true
        }
        Err(e) => {
            tracing::info!("the engine cannot pause: {e}");
            false
        }
    };
    let fixed = inner.engine.update(name, &limits).await.err().map(|e| e.to_string());
    Ok(Found { pauses, fixed, ..found })
}

/// Where a limit of a process stands, whatever version of control groups holds it.
fn group_files(pid: u32, controller: &str, files: &[&str]) -> Vec<PathBuf> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let mut found = Vec::new();
    for line in text.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, Some(names), Some(group)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let group = group.trim_start_matches('/');
        let tops = if names.is_empty() {
            vec!["/sys/fs/cgroup".to_owned(), "/sys/fs/cgroup/unified".to_owned()]
        } else if names.split(',').any(|name| name == controller) {
            vec![format!("/sys/fs/cgroup/{names}"), format!("/sys/fs/cgroup/{controller}")]
        } else {
            continue;
        };
        for top in tops {
            found.extend(files.iter().map(|file| Path::new(&top).join(group).join(file)));
        }
    }
    found
}

impl Inner {
    pub(super) fn can(&self) -> Can {
        let found = [
            (self.found.memory, "memory"),
            (self.found.pids, "pids"),
            (self.found.cpu, "cpu"),
            (self.pool.quotas.is_some(), "disk"),
        ];
        Can {
            checkpoint: true,
            live_checkpoint: self.pool.storage.keeps_live(),
            fork: true,
            freeze: self.found.pauses,
            limits: found.iter().filter(|(has, _)| *has).map(|(_, n)| (*n).to_owned()).collect(),
            egress: true,
        }
    }

    pub(super) fn abilities(&self) -> Vec<Ability> {
        let engine = &self.engine.name;
        let ability = |name: &str, enforced: bool, how: String, remedy: &str| Ability {
            name: name.to_owned(),
            enforced,
            how,
            remedy: (!enforced).then(|| remedy.to_owned()),
        };
        let native = "Use the backend `native`: its machines have ids of their own.";
        let mut all = vec![
            ability(
                "container engine",
                true,
                format!("{engine} at {}", self.engine.socket.display()),
                "",
            ),
            ability(
                "user namespaces",
                false,
                format!(
                    "a container of {engine}: mount, pid, network, host name and ipc namespaces; \
                     ids are those of the engine"
                ),
                native,
            ),
            ability(
                "id range",
                false,
                "all machines share the engine's ids: root inside is root of the engine, with few \
                 capabilities"
                    .to_owned(),
                native,
            ),
            ability(
                "storage",
                self.pool.storage.name().starts_with("btrfs"),
                if self.pool.notes.is_empty() {
                    self.pool.storage.name().to_owned()
                } else {
                    format!("{} ({})", self.pool.storage.name(), self.pool.notes.join("; "))
                },
                "Put the data folder on btrfs, or run Toft as root: then copies are snapshots.",
            ),
            ability(
                "system folders",
                true,
                format!("the image {}, a whole system of its own for each machine", self.image),
                "",
            ),
        ];
        let fixed = match &self.found.fixed {
            None => String::new(),
            Some(why) => format!(
                "; a change is in force from the machine's next start on, since {engine} says: {why}"
            ),
        };
        for (name, has) in [
            ("memory limit", self.found.memory),
            ("process limit", self.found.pids),
            ("cpu limit", self.found.cpu),
        ] {
            let how = if has {
                format!("by {engine}, for all of a machine, init and bridge included{fixed}")
            } else {
                format!("{engine} was asked for one, and none was in force")
            };
            let remedy = "Run the engine where it may use control groups (as root, or with \
                          delegated ones).";
            all.push(ability(name, has, how, remedy));
        }
        let disk = self.pool.quotas.is_some();
        all.push(ability(
            "disk limit",
            disk,
            if disk {
                "simple quotas of btrfs: all that a machine and its checkpoints have written"
            } else {
                "a machine can fill the space that the data folder's storage has"
            }
            .to_owned(),
            "Run Toft as root, on a kernel from 6.7 on, with the data folder not on btrfs.",
        ));
        all.push(ability(
            "freezer",
            self.found.pauses,
            if self.found.pauses {
                format!("{engine} pauses the container")
            } else {
                format!("{engine} cannot pause containers here")
            },
            "Run the engine where it may use control groups.",
        ));
        all.push(ability(
            "network isolation",
            true,
            "network `none`; the gateway's two listeners are the only way out".to_owned(),
            "",
        ));
        all.push(ability(
            "system call filter",
            self.found.filtered,
            format!("that of {engine}, and Toft's own over it; no new privileges"),
            "",
        ));
        all
    }
}
