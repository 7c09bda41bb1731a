//! How the `toft` binary is run inside a machine: with the host's loader and libraries, whatever the
//! machine has made of its own. A machine with a broken C library still has an init and a bridge
//! then, that say what is wrong and through which it can be mended. No protection of the bridge
//! from a project: `/etc/ld.so.preload` is the machine's, and the loader heeds it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use toft_jail::spec::{BINARY_INSIDE, Bind, LIBRARIES_INSIDE, View};

/// Where libraries may lie: what every machine sees anyway.
const SYSTEM: &[&str] = &["/usr", "/lib", "/lib32", "/lib64"];

/// A binary as machines see it.
#[derive(Debug, Clone)]
pub(crate) struct Binary {
    /// What runs it, before arguments of its own.
    pub(crate) command: Vec<String>,
    /// What must be shown inside for that.
    pub(crate) binds: Vec<Bind>,
}

impl Binary {
    /// `loader`: that of the binary. Without one, or with libraries that machines do not see, the
    /// binary runs with whatever is inside.
    pub(crate) fn new(exe: &Path, loader: Option<&Path>) -> Self {
        let libraries = loader.and_then(|loader| {
            let mut command = Command::new(loader);
            command.arg("--list").arg(exe).env_clear().stdin(Stdio::null());
            let out = command.output().ok().filter(|out| out.status.success())?;
            needed(&String::from_utf8_lossy(&out.stdout))
        });
        Self::with(exe, loader.zip(libraries.as_deref()))
    }

    fn with(exe: &Path, loader: Option<(&Path, &[(String, PathBuf)])>) -> Self {
        let mut command = Vec::new();
        let mut binds = vec![read_only(exe, BINARY_INSIDE.to_owned(), View::Mapped)];
        if let Some((loader, libraries)) = loader
            && let Some(name) = loader.file_name().and_then(|name| name.to_str())
        {
            let inside = |name: &str| format!("{LIBRARIES_INSIDE}/{name}");
            command.extend([inside(name), "--library-path".into(), LIBRARIES_INSIDE.into()]);
            binds.push(read_only(loader, inside(name), View::AsOutside));
            let others = libraries.iter().filter(|(other, _)| other != name);
            binds.extend(others.map(|(n, path)| read_only(path, inside(n), View::AsOutside)));
        }
        command.push(BINARY_INSIDE.to_owned());
        Self { command, binds }
    }
}

/// Names and files of the libraries in a loader's list: `name => path (address)`. `None` when one of
/// them is missing or not the system's.
fn needed(list: &str) -> Option<Vec<(String, PathBuf)>> {
    let lines = list.lines().filter_map(|line| line.trim().split_once(" => "));
    // The loader itself is named by its whole path.
    lines
        .filter(|(name, _)| !name.contains('/'))
        .map(|(name, found)| {
            let path = fs::canonicalize(found.rsplit_once(" (")?.0).ok()?;
            let is_system = SYSTEM.iter().any(|known| path.starts_with(known));
            is_system.then(|| (name.to_owned(), path))
        })
        .collect()
}

fn read_only(source: &Path, target: String, view: View) -> Bind {
    Bind { source: source.to_owned(), target, writable: false, view, optional: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_runs_through_the_hosts_loader_with_its_own_libraries_only() {
        let libraries = [
            ("libc.so.6".to_owned(), "/usr/lib/x/libc-2.31.so".into()),
            ("ld-x.so.2".to_owned(), "/usr/lib/x/ld-x.so.2".into()),
        ];
        let loader = Path::new("/usr/lib/x/ld-x.so.2");
        let binary = Binary::with(Path::new("/opt/toft"), Some((loader, &libraries)));
        assert_eq!(
            binary.command.join(" "),
            "/run/toft/lib/ld-x.so.2 --library-path /run/toft/lib /run/toft/toft"
        );
        let targets: Vec<&str> = binary.binds.iter().map(|bind| bind.target.as_str()).collect();
        assert_eq!(
            targets,
            ["/run/toft/toft", "/run/toft/lib/ld-x.so.2", "/run/toft/lib/libc.so.6"]
        );
        let plain = Binary::with(Path::new("/opt/toft"), None);
        assert_eq!((plain.command.join(" "), plain.binds.len()), ("/run/toft/toft".to_owned(), 1));
    }

    #[test]
    fn a_list_is_only_taken_when_all_of_it_is_the_systems() {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("libown.so");
        fs::write(&own, "").unwrap();
        let list = "\tlinux-vdso.so.1 (0x7f)\n\tlibx.so.1 => /usr/bin/env (0x7f)\n\t/lib64/ld.so => /usr/lib/ld.so (0x7f)\n";
        let found = needed(list).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "libx.so.1");
        assert!(needed(&format!("{list}\tlibown.so => {} (0x7f)\n", own.display())).is_none());
        assert!(needed(&format!("{list}\tlibz.so.1 => not found\n")).is_none());
    }
}
