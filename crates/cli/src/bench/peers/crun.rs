//! crun on a minimal OCI bundle: the host's programs read-only, the namespaces that our machines
//! have too, no control groups and no limits.

use super::sandbox::{Sandbox, Steps};
use crate::bench::scratch::Scratch;
use anyhow::{Context, Result};
use rustix::process::{getegid, geteuid};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

/// Folders with programs and libraries; on most hosts all but the first are links into it.
const PROGRAMS: [&str; 5] = ["usr", "bin", "lib", "lib64", "sbin"];

/// Makes the bundle and readies crun.
pub(super) fn open(program: &Path) -> Result<Sandbox> {
    let folder = Scratch::make()?;
    bundle(folder.path()).context("making a bundle for crun")?;
    // crun gives up on hosts that have cgroup v1 and v2 side by side: it gets to see v2 alone.
    let hybrid = Path::new("/sys/fs/cgroup/unified").exists();
    let (before, set_up): (&[&str], _) = if hybrid {
        let alone = "umount -R /sys/fs/cgroup && mount -t cgroup2 none /sys/fs/cgroup";
        (&["unshare", "--mount"], alone)
    } else {
        (&[], ":")
    };
    let round = format!(
        "{} --root \"$1/state\" --cgroup-manager=disabled run --bundle \"$1\" \"toft-bench-$n\"",
        program.display()
    );
    Sandbox::open("crun run true", folder, before, set_up, &Steps::only(&round))
}

fn bundle(folder: &Path) -> Result<()> {
    let mut mounts = vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc"}),
        // Else crun makes device nodes in the bundle itself.
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs"}),
    ];
    let shown = programs(&folder.join("rootfs"))?;
    mounts.extend(shown.iter().map(|folder| {
        json!({"destination": folder, "type": "bind", "source": folder, "options": ["rbind", "ro"]})
    }));
    fs::write(folder.join("config.json"), config(&mounts).to_string())?;
    Ok(())
}

/// Makes an empty tree that the host's programs can be mounted in, and names the folders that are.
pub(super) fn programs(root: &Path) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(root.join("proc"))?;
    fs::create_dir(root.join("dev"))?;
    let mut shown = Vec::new();
    for name in PROGRAMS {
        let (host, here) = (PathBuf::from("/").join(name), root.join(name));
        if let Ok(target) = fs::read_link(&host) {
            symlink(target, here)?;
        } else if host.is_dir() {
            fs::create_dir(here)?;
            shown.push(host);
        }
    }
    Ok(shown)
}

/// <https://github.com/opencontainers/runtime-spec/blob/main/config.md>. Limits are left out: raising
/// one is forbidden where this process lacks the right.
fn config(mounts: &[Value]) -> Value {
    let mut namespaces = vec!["pid", "mount", "network", "uts", "ipc"];
    let mut linux = json!({});
    if !geteuid().is_root() {
        namespaces.push("user");
        let map = |host: u32| json!([{"containerID": 0, "hostID": host, "size": 1}]);
        linux["uidMappings"] = map(geteuid().as_raw());
        linux["gidMappings"] = map(getegid().as_raw());
    }
    let kinds: Vec<Value> = namespaces.iter().map(|kind| json!({"type": kind})).collect();
    linux["namespaces"] = kinds.into();
    json!({
        "ociVersion": "1.0.0",
        "root": {"path": "rootfs", "readonly": true},
        "hostname": "peer",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": ["true"],
            "env": ["PATH=/usr/bin:/bin"],
            "cwd": "/",
            "noNewPrivileges": true,
        },
        "mounts": mounts,
        "linux": linux,
    })
}
