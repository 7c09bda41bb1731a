//! Image `host`: the host's programs with an `/etc`, `/var` and home of their own. Says which
//! folders of the host a machine shows, and makes the template that disks are copied from.
//! Everything else of the host stays out: no home, no shadow, no keys, no machine id.

mod copied;
pub(crate) mod written;

use crate::storage::mount_points;
use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
};
use toft_jail::spec::{Bind, Overlay, View};

/// Raised when the template is made differently.
const TEMPLATE_VERSION: u32 = 3;
/// Top folders that are links into `/usr` on merged systems, and real folders on others.
const TOP_FOLDERS: &[&str] = &["bin", "sbin", "lib", "lib32", "lib64", "libx32"];
/// Files that the template is made from: when one of them changes, a new template is made.
const INGREDIENTS: &[&str] = &[
    "/var/lib/dpkg/status",
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/group",
    "/etc/ssl/certs",
    "/etc/apt/sources.list.d",
    "/usr/local/etc",
];
/// What tells that the host's programs, which disks lie over, are others now: package systems write it
/// last. Not the rest of the ingredients: a user who was added to the host changes no program.
const PROGRAMS: &[&str] = &[
    "/etc/os-release",
    "/var/lib/dpkg/status",
    "/var/lib/rpm",
    "/usr/lib/sysimage/rpm",
    "/var/lib/pacman/local",
    "/usr/lib/apk/db/installed",
    "/lib/apk/db/installed",
];
/// Folders of `/usr` that an ordinary user's machine gets a layer of its own for: the host's
/// belong to nobody there, and only folders of its own can be written to.
const OWN_USR_FOLDERS: &[&str] = &[
    "bin",
    "include",
    "lib/node_modules",
    "local/bin",
    "local/etc",
    "local/include",
    "local/lib",
    "local/sbin",
    "local/share",
    "local/src",
    "sbin",
    "share",
    "src",
];
/// State of the package system that must be the machine's own, although the rest of the folder
/// comes from below: files that only root may read there.
const OWN_DPKG_FILES: &[&str] = &["lock", "lock-frontend", "triggers/Lock"];

/// What machines of this image show of the host.
#[derive(Debug, Clone)]
pub(crate) struct Image {
    /// Name of the template, which changes with the host.
    pub(crate) key: String,
    /// Identity of the programs below a disk.
    pub(crate) base: String,
    /// Writable layers over folders of the host.
    pub(crate) overlays: Vec<Overlay>,
    /// Read-only folders of the host.
    pub(crate) binds: Vec<Bind>,
}

impl Image {
    /// Looks at the host.
    pub(crate) fn of_host(rootless: bool) -> io::Result<Self> {
        let mut overlays = vec![overlay("/usr", "usr")];
        if Path::new("/var/lib/dpkg/status").is_file() {
            overlays.push(overlay("/var/lib/dpkg", "dpkg"));
        }
        let mut binds = Vec::new();
        for name in TOP_FOLDERS {
            let path = Path::new("/").join(name);
            if fs::symlink_metadata(&path).is_ok_and(|m| m.is_dir()) {
                binds.push(read_only(&path));
            }
        }
        // File systems of their own below /usr are no part of its layer.
        for mount in mount_points()? {
            if mount.point.starts_with("/usr") && mount.point != Path::new("/usr") {
                binds.push(read_only(&mount.point));
            }
        }
        if fs::read_dir("/opt").is_ok_and(|mut d| d.next().is_some()) {
            binds.push(read_only(Path::new("/opt")));
        }
        let key = format!("template-{:08x}", looked_at(INGREDIENTS, rootless));
        let base = format!("host-{:08x}", looked_at(PROGRAMS, rootless));
        Ok(Self { key, base, overlays, binds })
    }

    /// Fills an empty disk.
    pub(crate) fn build(&self, disk: &Path, rootless: bool) -> io::Result<()> {
        for overlay in &self.overlays {
            fs::create_dir(disk.join(&overlay.upper))?;
            fs::create_dir(disk.join(&overlay.work))?;
        }
        if rootless {
            for folder in OWN_USR_FOLDERS {
                fs::create_dir_all(disk.join("usr-upper").join(folder))?;
            }
        }
        if self.overlays.iter().any(|o| o.upper == "dpkg-upper") {
            for file in OWN_DPKG_FILES {
                put(&disk.join("dpkg-upper"), file, "", 0o640)?;
            }
            if rootless {
                for folder in ["alternatives", "info", "parts", "updates"] {
                    fs::create_dir_all(disk.join("dpkg-upper").join(folder))?;
                }
            }
        }
        let etc = disk.join("usr-upper/local/etc");
        hide(&etc);
        copied::copy_into_local(&etc)?;
        // Packages must not start daemons at installation: there is no init system for them.
        put(&disk.join("usr-upper"), "sbin/policy-rc.d", written::POLICY_RC_D, 0o755)?;
        let root = disk.join("rootfs");
        folders(&root)?;
        copied::copy_into(&root)?;
        written::write_into(&root)
    }
}

/// Makes a folder of a layer that shows nothing of the one below it.
fn hide(folder: &Path) {
    let hidden = fs::create_dir_all(folder).and_then(|()| {
        let flags = rustix::fs::XattrFlags::empty();
        Ok(rustix::fs::setxattr(folder, "user.overlay.opaque", b"y", flags)?)
    });
    if let Err(e) = hidden {
        tracing::warn!("all of the host's /usr/local/etc shows in machines: {e}");
    }
}

fn overlay(lower: &str, name: &str) -> Overlay {
    Overlay {
        lower: PathBuf::from(lower),
        upper: format!("{name}-upper"),
        work: format!("{name}-work"),
        target: lower.to_owned(),
    }
}

/// Without what is for the host's root only, and without the host's services.
fn read_only(path: &Path) -> Bind {
    Bind {
        source: path.to_owned(),
        target: path.to_string_lossy().into_owned(),
        writable: false,
        view: if path.is_dir() { View::Apart } else { View::AsOutside },
        optional: true,
    }
}

/// A name that changes when the host's programs or their configuration do.
/// Changes with the size or time of any of them.
fn looked_at(paths: &[&str], rootless: bool) -> u32 {
    let mut sum = crc32c::crc32c(&TEMPLATE_VERSION.to_le_bytes());
    sum = crc32c::crc32c_append(sum, &[u8::from(rootless)]);
    for path in paths {
        if let Ok(meta) = fs::metadata(path) {
            for number in [meta.size().cast_signed(), meta.mtime(), meta.mtime_nsec()] {
                sum = crc32c::crc32c_append(sum, &number.to_le_bytes());
            }
        }
        sum = crc32c::crc32c_append(sum, path.as_bytes());
    }
    sum
}

/// The folders that programs expect, and the places where the host's and the system's are mounted.
fn folders(root: &Path) -> io::Result<()> {
    const FOLDERS: &[(&str, u32)] = &[
        ("", 0o755),
        ("dev", 0o755),
        ("etc", 0o755),
        ("home", 0o755),
        ("home/project", 0o755),
        ("home/starter", 0o755),
        ("media", 0o755),
        ("mnt", 0o755),
        ("opt", 0o755),
        ("proc", 0o555),
        ("root", 0o700),
        ("run", 0o755),
        ("srv", 0o755),
        ("sys", 0o555),
        ("tmp", 0o1777),
        ("usr", 0o755),
        ("var", 0o755),
        ("var/backups", 0o755),
        ("var/cache", 0o755),
        ("var/cache/apt", 0o755),
        ("var/cache/apt/archives", 0o755),
        ("var/cache/apt/archives/partial", 0o700),
        ("var/cache/debconf", 0o755),
        ("var/cache/ldconfig", 0o700),
        ("var/lib", 0o755),
        ("var/lib/apt", 0o755),
        ("var/lib/apt/lists", 0o755),
        ("var/lib/apt/lists/partial", 0o700),
        ("var/lib/apt/mirrors", 0o755),
        ("var/lib/apt/mirrors/partial", 0o755),
        ("var/lib/apt/periodic", 0o755),
        ("var/lib/dpkg", 0o755),
        ("var/lib/misc", 0o755),
        ("var/lib/pam", 0o755),
        ("var/lib/toft", 0o755),
        ("var/local", 0o2775),
        ("var/log", 0o755),
        ("var/log/apt", 0o755),
        ("var/mail", 0o2775),
        ("var/opt", 0o755),
        ("var/spool", 0o755),
        ("var/spool/cron", 0o755),
        ("var/tmp", 0o1777),
    ];
    for (path, mode) in FOLDERS {
        let path = root.join(path);
        fs::create_dir(&path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(*mode))?;
    }
    symlink("/run", root.join("var/run"))?;
    symlink("/run/lock", root.join("var/lock"))?;
    for name in TOP_FOLDERS {
        let host = Path::new("/").join(name);
        match fs::read_link(&host) {
            Ok(target) => symlink(target, root.join(name))?,
            // A real folder: a place to show it at.
            Err(_) if host.is_dir() => fs::create_dir(root.join(name))?,
            Err(_) => {}
        }
    }
    Ok(())
}

/// Writes one file below `root`, making its folders.
fn put(root: &Path, path: &str, text: &str, mode: u32) -> io::Result<()> {
    let path = root.join(path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    // A copied file or link of this name makes way.
    match fs::remove_file(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    fs::write(&path, text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_has_its_own_accounts_and_nothing_secret() {
        let dir = tempfile::tempdir().unwrap();
        let image = Image::of_host(true).unwrap();
        let disk = dir.path().join("disk");
        fs::create_dir(&disk).unwrap();
        image.build(&disk, true).unwrap();
        let etc = disk.join("rootfs/etc");
        let shadow = fs::read_to_string(etc.join("shadow")).unwrap();
        assert!(shadow.starts_with("root:*:"), "{shadow}");
        assert!(shadow.lines().all(|l| l.split(':').nth(1) == Some("*")), "{shadow}");
        assert!(
            fs::read_to_string(etc.join("hosts")).unwrap().contains("127.77.0.1\tgateway.internal")
        );
        for secret in ["machine-id", "ssh", "ssl/private", "sudoers.d", "apt/auth.conf.d", "fstab"]
        {
            assert!(!etc.join(secret).exists(), "{secret}");
        }
        for place in ["home/project", "home/starter", "root", "var/lib/toft", "proc", "dev"] {
            assert!(disk.join("rootfs").join(place).is_dir(), "{place}");
        }
        let passwd = fs::read_to_string(etc.join("passwd")).unwrap();
        assert!(passwd.lines().all(|l| {
            let uid: u32 = l.split(':').nth(2).unwrap().parse().unwrap();
            uid < 1000 || uid == 65534
        }));
    }

    #[test]
    fn the_key_is_steady_and_tells_the_kinds_apart() {
        assert_eq!(looked_at(INGREDIENTS, true), looked_at(INGREDIENTS, true));
        assert_ne!(looked_at(INGREDIENTS, true), looked_at(INGREDIENTS, false));
    }
}
