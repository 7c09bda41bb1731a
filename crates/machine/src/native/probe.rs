//! Opens everything and finds out what this host can really do, by building the walls once. What
//! is reported as enforced was seen to stand.

use super::{Inner, NativeConfig, by_launcher::ByLauncher, ids::IdKind};
use crate::{
    backend::MachineError,
    binary::Binary,
    cgroup::{self, CgroupHost, Way},
    disks::Disks,
    folders::{Folders, rand_name},
    halt::HALTS,
    image::Image,
    images::Uses,
    launcher::{self, LaunchError},
    places::{DIRECT, READ_ONLY, READ_ONLY_LEFT},
    slots::Slots,
    storage::{Pool, mib},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};
use toft_jail::spec::{Cgroups, Direct, Facts, Jail, Layer, Layers, Spec, Task};
use toft_model::machine::Ability;
use tokio::sync::OnceCell;

const HOST_BACKEND: &str =
    "or start with `--backend host --allow-host DIR` to work in a folder without any walls";

pub(super) fn open(config: &NativeConfig) -> Result<Inner, MachineError> {
    let opening = |what: &str| {
        let what = what.to_owned();
        move |e: io::Error| cannot_use(config, &what, &e)
    };
    let exe = fs::canonicalize(&config.exe).map_err(|e| MachineError::Unsupported {
        missing: format!("the program {} cannot be used: {e}", config.exe.display()),
        remedy: "Start `toft` from where it is installed.".to_owned(),
    })?;
    let folders = Folders::open(&config.data_dir).map_err(opening("data folder"))?;
    let slots = Slots::open(&folders.slots()).map_err(opening("list of id ranges"))?;
    let rootless = !rustix::process::geteuid().is_root();
    let image = Image::of_host(rootless).map_err(opening("list of mounts of this host"))?;
    let pool = Pool::open(&folders.store(), config.disk_bytes_max)
        .map_err(opening("storage of machines"))?;
    // After what may fail: it makes groups.
    let cgroups = CgroupHost::detect(folders.data());
    let stays = empty_scratch(&pool);
    let (ids, facts) = match try_walls(&exe, &folders, &pool, &image) {
        Ok(found) => found,
        Err(e) => {
            cgroups.remove();
            if let Err(e) = pool.close() {
                tracing::warn!("the storage stays mounted: {e}");
            }
            return Err(e);
        }
    };
    if ids != IdKind::Ranges {
        let (exe, ids) = (exe.clone(), ids.for_trial());
        pool.storage.copy_by(Arc::new(ByLauncher { exe, ids, runs: folders.runs() }));
    }
    let binary = Binary::new(&exe, facts.loader.as_deref(), folders.data());
    let mut abilities = abilities(&pool, ids, &facts, &cgroups);
    abilities.push(binary.ability());
    // Each machine makes them when it needs them.
    cgroups.remove();
    let inner = Inner {
        binary,
        disks: Arc::new(Disks::new(folders, pool)),
        exe,
        image,
        ids,
        facts,
        cgroups,
        slots,
        abilities,
        template: OnceCell::new(),
        refilling: Arc::default(),
        uses: Uses::default(),
    };
    for path in stays {
        if let Err(e) = inner.remove_files(&path) {
            tracing::warn!("a half-made disk stays: {e}");
        }
    }
    Ok(inner)
}

fn cannot_use(config: &NativeConfig, what: &str, e: &io::Error) -> MachineError {
    match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            MachineError::DiskFull { step: "opening the data folder" }
        }
        _ => MachineError::Unsupported {
            missing: format!("the {what} in {} cannot be used: {e}", config.data_dir.display()),
            remedy:
                "Check who owns the folder and whether it can be written to, or choose another \
                     one with `--data DIR`."
                    .to_owned(),
        },
    }
}

/// Removes what an earlier server did not finish. Answers what stays: files of delegated ids, for whoever
/// knows those.
fn empty_scratch(pool: &Pool) -> Vec<PathBuf> {
    let mut leftovers: Vec<_> =
        fs::read_dir(pool.scratch()).into_iter().flatten().flatten().map(|e| e.path()).collect();
    leftovers.retain(|path| pool.storage.remove(path).is_err());
    leftovers
}

/// Builds the walls around nothing, with each kind of ids until one works.
fn try_walls(
    exe: &Path,
    folders: &Folders,
    pool: &Pool,
    image: &Image,
) -> Result<(IdKind, Facts), MachineError> {
    let mut last = None;
    for ids in IdKind::candidates() {
        match trial(exe, folders, pool, image, ids) {
            Ok(facts) if ids == IdKind::Ranges && !facts.disk_mapped => {
                return Err(MachineError::Unsupported {
                    missing: "the file system of the data folder cannot map owners, and there is \
                              no loop device for one that can"
                        .to_owned(),
                    remedy: "Put the data folder on ext4, xfs or btrfs with `--data DIR`."
                        .to_owned(),
                });
            }
            Ok(facts) => return Ok((ids, facts)),
            Err(e) => {
                tracing::info!("machines cannot have ids by {ids:?}: {e}");
                last = Some(e);
            }
        }
    }
    let why = last.map_or_else(|| "no reason is known".to_owned(), |e| e.to_string());
    Err(MachineError::Unsupported {
        missing: format!("walls for a machine: {why}"),
        remedy: remedy(),
    })
}

fn trial(
    exe: &Path,
    folders: &Folders,
    pool: &Pool,
    image: &Image,
    ids: IdKind,
) -> Result<Facts, LaunchError> {
    let disk = pool.scratch().join(format!("trial-{}", rand_name()));
    let tried = (|| {
        pool.storage.make(&disk)?;
        fs::create_dir(disk.join("rootfs"))?;
        for overlay in &image.overlays {
            fs::create_dir(disk.join(&overlay.upper))?;
            fs::create_dir(disk.join(&overlay.work))?;
        }
        let jail = Jail {
            hostname: "trial".to_owned(),
            ids: ids.for_trial(),
            disk: disk.clone(),
            overlays: image.overlays.clone(),
            layers: Layers::AsTheyAre,
            direct: Direct::Tried,
            binds: image.binds.clone(),
            handed: None,
        };
        let cgroups = Cgroups { namespace: true, ..Cgroups::default() };
        let spec = Spec { jail: Some(jail), task: Task::Probe, cgroups };
        let log = fs::File::create(folders.runs().join("trial.log"))?;
        launcher::run(exe, &spec, log)?.ok_or(LaunchError::Silent)
    })();
    if let Err(e) = pool.storage.remove(&disk) {
        tracing::warn!("the disk of a trial stays until the next start: {e}");
    }
    tried
}

/// What to do when no wall stands.
fn remedy() -> String {
    let sysctl =
        |path: &str| fs::read_to_string(Path::new("/proc/sys").join(path)).unwrap_or_default();
    let root = rustix::process::geteuid().is_root();
    let advice = if sysctl("kernel/apparmor_restrict_unprivileged_userns").trim() == "1" && !root {
        "AppArmor keeps ordinary users from user namespaces here: as root, run `sysctl -w \
         kernel.apparmor_restrict_unprivileged_userns=0`, or run Toft as root"
    } else if sysctl("kernel/unprivileged_userns_clone").trim() == "0" && !root {
        "Ordinary users have no user namespaces here: as root, run `sysctl -w \
         kernel.unprivileged_userns_clone=1`, or run Toft as root"
    } else if sysctl("user/max_user_namespaces").trim() == "0" {
        "User namespaces are switched off here: as root, run `sysctl -w \
         user.max_user_namespaces=15000`"
    } else if root {
        "In a container, give it the right to make namespaces (Docker: `--privileged`)"
    } else {
        "Run Toft as root, or on a host (kernel 5.12 or later) where ordinary users may make user \
         namespaces"
    };
    format!("{advice}; {HOST_BACKEND}.")
}

fn ability(name: &str, enforced: bool, how: impl Into<String>, remedy: Option<&str>) -> Ability {
    Ability {
        name: name.to_owned(),
        enforced,
        how: how.into(),
        remedy: remedy.filter(|_| !enforced).map(str::to_owned),
    }
}

fn abilities(pool: &Pool, ids: IdKind, facts: &Facts, cgroups: &CgroupHost) -> Vec<Ability> {
    let as_root = "Run Toft as root.";
    let mut all = vec![ability(
        "user namespaces",
        true,
        "each machine has user, mount, pid, network, host name and ipc namespaces of its own",
        None,
    )];
    all.push(match ids {
        IdKind::Ranges => {
            ability("id range", true, "65,536 host ids of its own for each project", None)
        }
        IdKind::Delegated { uids, .. } => ability(
            "id range",
            false,
            format!("all machines share your user and {} ids from /etc/subuid", uids.1),
            Some(as_root),
        ),
        IdKind::Single => ability(
            "id range",
            false,
            "all machines share your user, and have no other id: programs that change their user fail",
            Some("Install the package `uidmap` for more ids, or run Toft as root."),
        ),
    });
    let storage = pool.storage.name();
    let snapshots = storage.starts_with("btrfs");
    all.push(ability(
        "storage",
        snapshots,
        if pool.notes.is_empty() {
            storage.to_owned()
        } else {
            format!("{storage} ({})", pool.notes.join("; "))
        },
        Some("Put the data folder on btrfs, or run Toft as root: then copies are snapshots."),
    ));
    let usr = facts.overlays.iter().find(|(target, _)| target == "/usr").map(|(_, layer)| *layer);
    all.push(match usr {
        Some(Layer::Mapped) => {
            ability("system folders", true, "the host's /usr under a layer of each machine", None)
        }
        Some(Layer::Unmapped) => ability(
            "system folders",
            false,
            "the host's /usr under a layer of each machine; packages cannot be installed with apt, \
             since its files belong to nobody there",
            Some(as_root),
        ),
        Some(Layer::ReadOnly) | None => ability(
            "system folders",
            false,
            format!("the host's /usr, read-only: {}", facts.notes.join("; ")),
            Some("Use a kernel from 5.19 on."),
        ),
    });
    all.extend(cgroup::limits(cgroups, rustix::process::geteuid().is_root()));
    all.push(if pool.quotas.is_some() {
        let how = "simple quotas of btrfs: all that a machine and its checkpoints have written";
        ability("disk limit", true, how, None)
    } else {
        ability(
            "disk limit",
            false,
            "a machine can fill the space that the data folder's storage has",
            Some("Run Toft as root, on a kernel from 6.7 on, with the data folder not on btrfs."),
        )
    });
    all.push(total_limit(pool));
    all.push(if cgroups.freezer() == Some(Way::V2) {
        let how =
            "programs that write are paused before the disk is full, and go on when there is room";
        ability("full disk", true, how, None)
    } else {
        let how =
            "programs get an error when the disk is full: there is no cgroup v2 to pause them";
        ability("full disk", false, how, Some("Use a host with cgroup v2."))
    });
    all.push(match cgroups.freezer() {
        Some(way) => ability("freezer", true, format!("cgroup {way:?}").to_lowercase(), None),
        None => ability("freezer", true, HALTS, None),
    });
    all.push(ability(
        "network isolation",
        true,
        "only a loopback of its own; the gateway's listeners are the only way out",
        None,
    ));
    all.push(if facts.direct {
        let how = "TCP of programs that know no proxy, and DNS, come to the gateway and are judged by \
                   host name; UDP, ICMP and IPv6 have no route";
        ability(DIRECT, true, how, None)
    } else {
        let why = facts.no_direct.as_deref().unwrap_or("no reason is known");
        let how = format!(
            "programs reach hosts only by HTTP_PROXY and HTTPS_PROXY (no ssh, no databases): {why}"
        );
        ability(DIRECT, false, how, Some("Use a kernel that has nf_tables with `tproxy` (nft_tproxy)."))
    });
    all.push(if facts.read_only {
        let how =
            "plan mode runs programs where every mount is read-only, with a /tmp of their own";
        ability(READ_ONLY, true, how, None)
    } else {
        let why = facts.no_read_only.as_deref().unwrap_or("no reason is known");
        ability(READ_ONLY, false, format!("{READ_ONLY_LEFT}: {why}"), None)
    });
    all.push(ability(
        "system call filter",
        facts.seccomp,
        "seccomp: mounts, namespaces, keyrings, bpf, io_uring, modules and rare sockets are refused; \
         no new privileges",
        None,
    ));
    all
}

/// What bounds all disks together.
fn total_limit(pool: &Pool) -> Ability {
    let name = "total disk limit";
    let Some(bytes) = pool.image_bytes() else {
        let how = "machines can fill the disk that the data folder lies on";
        return ability(
            name,
            false,
            how,
            Some("Run Toft as root, with the data folder not on btrfs."),
        );
    };
    ability(name, true, total_said(bytes, pool.bytes_max), None)
}

/// The image and what may be in it are two sizes: it does not shrink, and is no larger than the host had
/// room for.
fn total_said(image: u64, max: Option<u64>) -> String {
    let image = mib(image);
    match max {
        Some(max) => format!(
            "all disks together may take {} (by --disk-max); they lie in an image of {image}",
            mib(max)
        ),
        None => format!(
            "all disks lie in an image of {image} (1 GiB less than the host had room for; --disk-max \
             sets another bound)"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_and_what_may_be_in_it_are_said_apart() {
        let said = total_said(22_825 << 20, Some(300 << 20));
        assert!(said.contains("may take 300 MiB (by --disk-max)"), "{said}");
        assert!(said.ends_with("an image of 22825 MiB"), "{said}");
        assert!(
            total_said(1 << 30, None).starts_with("all disks lie in an image of 1024 MiB (1 GiB")
        );
    }
}
