//! What a foreign root file system needs to be a machine's: places for mounts and for Toft, names
//! of the gateway, an account of root, a shell by the name of bash. Adds what is missing and changes
//! as little as possible. Everything goes through [`Root`]: nothing in there is trusted.

use super::{
    elf::Program,
    root::{Below, Meta, Root},
    unpack::is_circle,
    words::ImageError,
};
use crate::image::written;
use std::{fs, io};

/// Folders, with their modes, that must be folders whatever an archive has there.
const OWN: &[(&str, u32)] = &[
    ("", 0o755),
    ("dev", 0o755),
    ("proc", 0o555),
    ("run", 0o755),
    ("sys", 0o555),
    ("home/project", 0o755),
    ("var/lib/toft", 0o755),
];
/// Folders that may also be links to some.
const WANTED: &[(&str, u32)] = &[
    ("etc", 0o755),
    ("home", 0o755),
    ("root", 0o700),
    ("tmp", 0o1777),
    ("usr/local/bin", 0o755),
    ("var/tmp", 0o1777),
];
/// Toft's own folder; whatever an image has there is another machine's.
const STARTER: &str = "home/starter";
/// Shells of terminals, best first.
const SHELLS: &[&str] = &["/bin/bash", "/usr/bin/bash", "/bin/sh", "/usr/bin/sh"];
/// More than such files have.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Certificates of one bundle are below 1 MiB.
const CERTIFICATES_BYTES_MAX: u64 = 4 << 20;
/// Where distributions keep certificates; one is enough.
const CERTIFICATES: &[&str] = &[
    "etc/ssl/certs/ca-certificates.crt",
    "etc/ssl/cert.pem",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/ssl/ca-bundle.pem",
];
/// For images without bash: commands of the agent and of `exec` ask for it by name. One that is
/// installed later is used.
const BASH: &str = "#!/bin/sh\n\
# This image came without bash. Whoever asks for it gets the image's own shell, until there is one.\n\
for bash in /bin/bash /usr/bin/bash; do\n\
\x20 [ -x \"$bash\" ] && exec \"$bash\" \"$@\"\n\
done\n\
exec /bin/sh \"$@\"\n";

/// Does it all; answers the shell of terminals.
pub(crate) fn finish(root: &Root) -> Result<String, ImageError> {
    let shell = SHELLS.iter().find(|path| root.has_program(&Below::fixed(path)));
    let shell = shell.filter(|_| SHELLS[2..].iter().any(|sh| root.has_program(&Below::fixed(sh))));
    let Some(shell) = shell else {
        return Err(ImageError::refused(no_shell(root)));
    };
    check_runs(root, shell)?;
    add(root, shell).map_err(|source| {
        let mut ours = OWN.iter().chain(WANTED).map(|(path, _)| Below::fixed(path));
        match ours.find_map(|path| root.bad_link(&path)) {
            Some(told) if is_circle(&source) => ImageError::refused(told),
            _ => ImageError::step("finishing the image")(source),
        }
    })?;
    Ok((*shell).to_owned())
}

/// Why there is none, as far as one can see.
fn no_shell(root: &Root) -> String {
    let shells = || SHELLS[2..].iter().map(|path| Below::fixed(path));
    if let Some(told) = shells().find_map(|path| root.bad_link(&path)) {
        return told;
    }
    if let Some(folder) = shells().find_map(|path| root.top_with(&path)) {
        return format!(
            "all of it lies in the folder `{folder}`: pack it from inside that folder (`tar -C '{folder}' \
             -c .`), so that the archive's names begin at the root"
        );
    }
    "there is no /bin/sh in it: a machine needs a shell. Give an image with one (the archive's names \
     begin at the root: bin/sh, etc/passwd)"
        .to_owned()
}

/// Refuses a shell that no machine of this host can start.
fn check_runs(root: &Root, shell: &'static str) -> Result<(), ImageError> {
    let file =
        root.open_file(&Below::fixed(shell)).map_err(ImageError::step("finishing the image"))?;
    let (Some(program), Some(host)) = (Program::of(&file), Program::own()) else { return Ok(()) };
    if !program.runs_with(&host) {
        return Err(ImageError::refused(format!(
            "its {shell} is made for {}, and this host is {}: take the image for that",
            program.processor(),
            host.processor()
        )));
    }
    let Some(loader) = program.loader else { return Ok(()) };
    if Below::parse(&loader).is_ok_and(|path| root.has_program(&path)) {
        return Ok(());
    }
    Err(ImageError::refused(format!(
        "its {shell} needs the program `{}`, which is not in it: pack the C library, too, or take a \
         shell that needs none",
        String::from_utf8_lossy(&loader).escape_debug()
    )))
}

/// Takes away what a project has of its own beside its files: conversations, the inspect database,
/// settings, tickets.
pub(crate) fn forget_project(root: &Root) -> io::Result<()> {
    let own = Below::fixed(STARTER);
    root.remove(&own)?;
    root.put_folder(&own, Meta::of_root(0o755)).map(|_| ())
}

fn add(root: &Root, shell: &str) -> io::Result<()> {
    for (path, mode) in OWN {
        root.put_folder(&Below::fixed(path), Meta::of_root(*mode))?;
    }
    for (path, mode) in WANTED {
        let path = Below::fixed(path);
        if !root.has_folder(&path) {
            root.put_folder(&path, Meta::of_root(*mode))?;
        }
    }
    forget_project(root)?;
    if !SHELLS[..2].iter().any(|bash| root.has_program(&Below::fixed(bash))) {
        root.put(&Below::fixed("usr/local/bin/bash"), BASH.as_bytes(), 0o755)?;
    }
    account(root, "etc/passwd", "root:", &format!("root:x:0:0:root:/root:{shell}\n"), 0o644)?;
    account(root, "etc/group", "root:", "root:x:0:\n", 0o644)?;
    let hosts = text(root, "etc/hosts");
    let known = |name: &str| hosts.lines().any(|l| l.split_whitespace().skip(1).any(|n| n == name));
    let added: String = written::hosts()
        .lines()
        .filter(|line| line.split_whitespace().nth(1).is_some_and(|name| !known(name)))
        .flat_map(|line| [line, "\n"])
        .collect();
    if !added.is_empty() {
        let end = if hosts.is_empty() || hosts.ends_with('\n') { "" } else { "\n" };
        let whole = [hosts.as_str(), end, &added].concat();
        root.put(&Below::fixed("etc/hosts"), whole.as_bytes(), 0o644)?;
    }
    // Whatever an image says there leads nowhere.
    root.put(&Below::fixed("etc/resolv.conf"), written::RESOLV.as_bytes(), 0o644)?;
    // Without it some C libraries ask a name server first, and then give up.
    if root.inode(&Below::fixed("etc/nsswitch.conf")).is_none() {
        root.put(&Below::fixed("etc/nsswitch.conf"), written::NSSWITCH.as_bytes(), 0o644)?;
    }
    certificates(root)?;
    if root.has_folder(&Below::fixed("etc/apt/apt.conf.d")) {
        root.put(&Below::fixed("etc/apt/apt.conf.d/99toft"), written::apt().as_bytes(), 0o644)?;
    }
    let policy = Below::fixed("usr/sbin/policy-rc.d");
    if root.has_folder(&Below::fixed("var/lib/dpkg")) && root.inode(&policy).is_none() {
        root.put(&policy, written::POLICY_RC_D.as_bytes(), 0o755)?;
    }
    Ok(())
}

/// Puts a line in front of a file in which none begins so.
fn account(root: &Root, path: &'static str, begins: &str, line: &str, mode: u32) -> io::Result<()> {
    let old = text(root, path);
    if old.lines().any(|l| l.starts_with(begins)) {
        return Ok(());
    }
    root.put(&Below::fixed(path), [line, &old].concat().as_bytes(), mode)
}

fn text(root: &Root, path: &'static str) -> String {
    let bytes = root.read(&Below::fixed(path), FILE_BYTES_MAX).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The host's bundle, for an image without any.
fn certificates(root: &Root) -> io::Result<()> {
    if CERTIFICATES.iter().any(|path| {
        root.read(&Below::fixed(path), CERTIFICATES_BYTES_MAX).is_some_and(|b| !b.is_empty())
    }) {
        return Ok(());
    }
    let found = CERTIFICATES.iter().find_map(|path| {
        let path = std::path::Path::new("/").join(path);
        let small = fs::metadata(&path).ok()?.len() <= CERTIFICATES_BYTES_MAX;
        small.then(|| fs::read(path).ok())?
    });
    let Some(bundle) = found else { return Ok(()) };
    for path in &CERTIFICATES[..2] {
        root.put(&Below::fixed(path), &bundle, 0o644)?;
    }
    Ok(())
}
