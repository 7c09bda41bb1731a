//! What the engine really does, found out with one container that lives for a moment: whether it
//! sees Toft's folders, which limits are in force, whether it can pause and change a container.

use super::{
    Inner,
    frame::Frame,
    plan::Plan,
    seat::{Guest, Seated, offer},
};
use crate::{
    backend::MachineError,
    blocking::blocking,
    cgroup::{CgroupHost, ContainedGroup, Way},
    folders::rand_name,
    inside::ROOT,
    places::{DIRECT, Places, READ_ONLY, READ_ONLY_LEFT},
};
use std::{
    fs, io,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
};
use toft_model::machine::{Ability, Can, Limits};

/// What limits are kept by.
const CONTROLLERS: [&str; 3] = ["memory", "pids", "cpu"];
/// Limits of the trial: what no host has by itself.
const TRIAL_MEMORY_BYTES: u64 = 192 << 20;
const TRIAL_PIDS: u64 = 97;
const TRIAL_CPUS: f64 = 0.5;

/// Name of the trial's groups.
const TRIAL: &str = "toft-trial";

/// What stands.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    /// Controllers by which we limit work ourselves, in groups below the container's.
    pub(super) own: Vec<String>,
    /// Why there are no such groups.
    pub(super) lacks: Option<String>,
    /// Limits that the engine keeps, for a machine as a whole.
    of_engine: Vec<&'static str>,
    /// Whether that of processors is one of all of a machine.
    whole_cpu: bool,
    /// Whether these groups pause machines, too.
    freezes: bool,
    /// Why the engine cannot change limits while a container runs.
    pub(super) fixed: Option<String>,
    filtered: bool,
}

impl Found {
    /// What of these limits the engine is asked for.
    pub(super) fn of_engine(&self, limits: &Limits) -> Limits {
        let ours = |name: &str| self.own.iter().any(|own| own == name);
        Limits {
            memory_bytes: limits.memory_bytes.filter(|_| !ours("memory")),
            cpus: limits.cpus.filter(|_| !ours("cpu")),
            pids: limits.pids.filter(|_| !ours("pids")),
            disk_bytes: None,
            log_bytes: None,
        }
    }

    /// Whether the engine has no limit to keep.
    pub(super) fn owns_all(&self) -> bool {
        self.own.len() == CONTROLLERS.len()
    }

    fn has(&self, name: &str) -> bool {
        self.own.iter().any(|own| own == name) || self.of_engine.contains(&name)
    }
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
        log_bytes: None,
    };
    let binary = inner.binary.seen();
    let plan = Plan {
        hostname: "trial".to_owned(),
        root,
        binary: &binary,
        run: folder,
        log: None,
        log_is_handed: false,
        limits: &limits,
        labels: inner.labels(None),
    };
    let frame = Frame::of(root)?;
    let offered = offer(&plan)?;
    let places = Places::confined(binary.command.clone());
    let body = inner.body(&plan, &frame, &places);
    let guest = inner.run(name, &frame, body, offered).await?;
    let folder = folder.to_owned();
    let asked = limits.clone();
    let (found, _seated) = blocking(move || look(guest, &folder, &asked)).await?;
    let fixed = inner.engine.update(name, &limits).await.err().map(|e| e.to_string());
    Ok(Found { fixed, ..found })
}

/// Sees what is in force for a first process, then tries groups of our own. It waits for a word that
/// never comes while the second answer is there.
fn look(guest: Guest, folder: &Path, limits: &Limits) -> io::Result<(Found, Seated)> {
    use std::os::fd::AsRawFd as _;
    let pid = guest.pid;
    let held = fs::File::open(folder)?;
    let short = |name: &str| PathBuf::from(format!("/proc/self/fd/{}/{name}", held.as_raw_fd()));
    let (init, bridge) = (UnixListener::bind(short("i"))?, UnixListener::bind(short("b"))?);
    let said = fs::File::create(folder.join("said"))?;
    let seated = guest.seat("{}".to_owned(), &init, &bridge, &said, None, &[])?;
    let mut found = Found { filtered: seated.filtered, ..Found::default() };
    let memory = TRIAL_MEMORY_BYTES.to_string();
    let pids = TRIAL_PIDS.to_string();
    for (name, files, wanted) in [
        ("memory", &["memory.max", "memory.limit_in_bytes"], memory.as_str()),
        ("pids", &["pids.max", "pids.max"], &pids),
        ("cpu", &["cpu.max", "cpu.cfs_quota_us"], "50000"),
    ] {
        let mut files = group_files(pid, name, files).into_iter();
        if files.any(|file| says(&file, wanted)) {
            found.of_engine.push(name);
        }
    }
    let host = CgroupHost::around(pid, TRIAL);
    let usable = CONTROLLERS.iter().filter(|name| host.way(name).is_some());
    let usable: Vec<String> = usable.map(|name| (*name).to_owned()).collect();
    let half = Limits { memory_bytes: Some(TRIAL_MEMORY_BYTES / 2), ..limits.clone() };
    let host = host.only(&usable);
    match ContainedGroup::make(&host, TRIAL, pid, &half) {
        Ok(made) => {
            found.own = usable.into_iter().filter(|n| is_in_force(&host, n, &half)).collect();
            found.whole_cpu = host.way("cpu") == Some(Way::V1);
            found.freezes = made.groups.can_freeze();
        }
        // Its first process has ended with them.
        Err(e) => found.lacks = Some(e.to_string()),
    }
    Ok((found, seated))
}

fn is_in_force(host: &CgroupHost, name: &str, limits: &Limits) -> bool {
    let Some((way, work)) = host.work_group(name, TRIAL) else { return false };
    let memory = limits.memory_bytes.unwrap_or_default().to_string();
    match (name, way) {
        ("memory", Way::V2) => says(&work.join("memory.max"), &memory),
        ("memory", Way::V1) => says(&work.join("memory.limit_in_bytes"), &memory),
        ("pids", _) => says(&work.join("pids.max"), &TRIAL_PIDS.to_string()),
        (_, Way::V2) => says(&work.join("cpu.max"), "50000"),
        // For all of a machine: there is no group of its work.
        (_, Way::V1) => work.parent().is_some_and(|g| says(&g.join("cpu.cfs_quota_us"), "50000")),
    }
}

fn says(file: &Path, wanted: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.trim().starts_with(wanted))
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
        let limits = CONTROLLERS.into_iter().filter(|name| self.found.has(name));
        let disk = self.pool.quotas.is_some().then_some("disk");
        Can {
            checkpoint: true,
            live_checkpoint: self.pool.storage.keeps_live(),
            fork: true,
            freeze: true,
            limits: limits.chain(disk).map(str::to_owned).collect(),
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
        for (name, limit) in
            [("memory", "memory limit"), ("pids", "process limit"), ("cpu", "cpu limit")]
        {
            all.push(self.limit(name, limit));
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
            true,
            if self.found.freezes {
                "by a control group below the container's"
            } else {
                "by a signal to each process, which programs may notice"
            }
            .to_owned(),
            "",
        ));
        all.push(ability(
            "network isolation",
            true,
            "network `none`; the gateway's two listeners are the only way out".to_owned(),
            "",
        ));
        all.push(ability(
            DIRECT,
            false,
            "programs reach hosts only by HTTP_PROXY and HTTPS_PROXY (no ssh, no databases): a \
             container may not change its network"
                .to_owned(),
            "Use the backend `native`.",
        ));
        all.push(ability(
            READ_ONLY,
            false,
            format!("{READ_ONLY_LEFT}: a container may make no mounts"),
            "Use the backend `native`.",
        ));
        all.push(ability(
            "system call filter",
            self.found.filtered,
            format!("that of {engine}, and Toft's own over it; no new privileges"),
            "",
        ));
        all.push(self.binary.ability());
        all
    }

    fn limit(&self, name: &str, shown: &str) -> Ability {
        let engine = &self.engine.name;
        let is_ours = self.found.own.iter().any(|own| own == name);
        let how = if is_ours && name == "cpu" && self.found.whole_cpu {
            "by a control group below the container's, for all of a machine".to_owned()
        } else if is_ours {
            "by a control group below the container's, for work; init and bridge stand outside it"
                .to_owned()
        } else if self.found.has(name) {
            let lacks = self.found.lacks.as_deref().unwrap_or("there is none");
            let fixed = self.found.fixed.as_ref().map_or_else(String::new, |why| {
                format!("; a change is in force from the next start on, since {engine} says: {why}")
            });
            format!(
                "by {engine}, for all of a machine, init and bridge included, and not told when it \
                 is reached: no control group of ours below the container's ({lacks}){fixed}"
            )
        } else {
            format!("{engine} was asked for one, and none was in force")
        };
        let has = self.found.has(name);
        let remedy =
            "Run the engine where it may use control groups (as root, or with delegated ones).";
        Ability {
            name: shown.to_owned(),
            enforced: has,
            how,
            remedy: (!has).then(|| remedy.to_owned()),
        }
    }
}
