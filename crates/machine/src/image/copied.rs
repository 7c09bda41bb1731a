//! What a template takes over from the host's `/etc` and `/usr/local/etc`: configuration that programs under `/usr`
//! need and that everybody on the host may read. Never a file that others may not read, never
//! whole folders that people put secrets in.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
};

/// Names in `/etc` that are copied, with all that is below. Most are links and settings that
/// packages put there for programs in `/usr`.
const NAMES: &[&str] = &[
    "adduser.conf",
    "alternatives",
    "apt/preferences.d",
    "apt/trusted.gpg",
    "apt/trusted.gpg.d",
    "apt/keyrings",
    "bash_completion.d",
    "bindresvport.blacklist",
    "ca-certificates",
    "ca-certificates.conf",
    "chromium.d",
    "debconf.conf",
    "debian_version",
    "deluser.conf",
    "dpkg",
    "emacs",
    "ethertypes",
    "fonts",
    "gai.conf",
    "gdb",
    "groff",
    "gss",
    "host.conf",
    "inputrc",
    "issue",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "locale.conf",
    "locale.gen",
    "localtime",
    "login.defs",
    "lsb-release",
    "magic",
    "magic.mime",
    "mailcap",
    "manpath.config",
    "mime.types",
    "mke2fs.conf",
    "netconfig",
    "networks",
    "nanorc",
    "os-release",
    "perl",
    "php",
    "protocols",
    "python2.7",
    "python3",
    "R",
    "rpc",
    "security/limits.conf",
    "security/pam_env.conf",
    "selinux/semanage.conf",
    "services",
    "sgml",
    "shells",
    "skel",
    "ssl/certs",
    "ssl/openssl.cnf",
    "terminfo",
    "timezone",
    "ucf.conf",
    "vim",
    "wgetrc",
    "X11/rgb.txt",
    "xattr.conf",
    "xdg",
    "xml",
];
/// Names that begin so, for versions in names.
const PREFIXES: &[&str] = &["java", "python3.", "ImageMagick"];
/// Largest file taken over: certificates in one bundle and the Java key store are below 1 MiB.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Folders deeper than this are not configuration.
const DEPTH_MAX: u32 = 8;
/// State of packages beside `/var/lib/dpkg` that installing more needs.
const STATE: &[&str] = &[
    "/var/lib/apt/extended_states",
    "/var/cache/debconf/config.dat",
    "/var/lib/python/python3.11_installed",
];

/// Copies it all below `root`.
pub(super) fn copy_into(root: &Path) -> io::Result<()> {
    let etc = Path::new("/etc");
    for name in NAMES {
        copy(&etc.join(name), &root.join("etc").join(name), DEPTH_MAX)?;
    }
    for entry in fs::read_dir(etc)?.flatten() {
        let name = entry.file_name();
        let text = name.to_string_lossy();
        if PREFIXES.iter().any(|p| text.starts_with(p)) {
            copy(&entry.path(), &root.join("etc").join(&name), DEPTH_MAX)?;
        }
    }
    for path in STATE {
        copy(Path::new(path), &root.join(path.trim_start_matches('/')), 0)?;
    }
    Ok(())
}

/// Copies `/usr/local/etc`, of which the rest of the host's `/usr` does not tell: people put secrets
/// there, too.
pub(super) fn copy_into_local(etc: &Path) -> io::Result<()> {
    copy(Path::new("/usr/local/etc"), etc, DEPTH_MAX)
}

/// Copies what everybody may read; what is missing, unreadable or odd is left out.
fn copy(from: &Path, to: &Path, depth: u32) -> io::Result<()> {
    let Ok(meta) = fs::symlink_metadata(from) else { return Ok(()) };
    if fs::symlink_metadata(to).is_ok_and(|m| !m.is_dir()) {
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    let kind = meta.file_type();
    if kind.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if kind.is_dir() {
        let open_to_all = meta.mode() & 0o005 == 0o005;
        let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
        if !open_to_all || depth == 0 {
            return Ok(());
        }
        fs::create_dir_all(to)?;
        for entry in entries.flatten() {
            copy(&entry.path(), &to.join(entry.file_name()), depth - 1)?;
        }
        return Ok(());
    }
    let wanted = kind.is_file() && meta.mode() & 0o004 != 0 && meta.len() <= FILE_BYTES_MAX;
    if !wanted {
        return Ok(());
    }
    match fs::copy(from, to) {
        // A security module may refuse what the mode allows.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(e) => Err(e),
        Ok(_) => fs::set_permissions(to, fs::Permissions::from_mode(meta.mode() & 0o755)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_everybody_may_read_is_copied() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("private")).unwrap();
        for (name, mode) in [("open", 0o644), ("secret", 0o640), ("private/key", 0o644)] {
            fs::write(from.join(name), name).unwrap();
            fs::set_permissions(from.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(from.join("private"), fs::Permissions::from_mode(0o700)).unwrap();
        symlink("/usr/share/elsewhere", from.join("link")).unwrap();
        copy(&from, &to, 4).unwrap();
        assert!(to.join("open").is_file());
        assert!(!to.join("secret").exists());
        assert!(!to.join("private").exists());
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("/usr/share/elsewhere"));
    }
}
