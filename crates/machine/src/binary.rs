//! How the `toft` binary is run inside a machine: with the host's loader and libraries, whatever the
//! machine has made of its own. A machine with a broken C library still has an init and a bridge
//! then, that say what is wrong and through which it can be mended; and nothing that a project writes
//! brings code of its own into them ([`loader`]).

use crate::loader::{self, Version};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};
use toft_jail::spec::{BINARY_INSIDE, Bind, LIBRARIES_INSIDE, View};
use toft_model::machine::Ability;

/// Where libraries may lie: what every machine sees anyway.
const SYSTEM: &[&str] = &["/usr", "/lib", "/lib32", "/lib64"];

/// The binary of this server, for machines. Looks again after an update of the host: a loader goes with
/// its C library.
#[derive(Debug)]
pub(crate) struct Binary {
    exe: PathBuf,
    loader: Option<PathBuf>,
    data: PathBuf,
    seen: Mutex<Option<(Option<Version>, Arc<Seen>)>>,
}

/// A binary as machines see it.
#[derive(Debug)]
pub(crate) struct Seen {
    /// What runs it, before arguments of its own.
    pub(crate) command: Vec<String>,
    /// What must be shown inside for that.
    pub(crate) binds: Vec<Bind>,
    /// By which way a machine could bring its own code in.
    lacks: Option<String>,
}

impl Binary {
    /// `loader`: that of the binary, if it needs one. Its copy is kept below the data folder.
    pub(crate) fn new(exe: &Path, loader: Option<&Path>, data: &Path) -> Self {
        let (loader, data) = (loader.map(Path::to_owned), data.to_owned());
        let this = Self { exe: exe.to_owned(), loader, data, seen: Mutex::default() };
        if let Some(lacks) = &this.seen().lacks {
            tracing::warn!("a project can run code of its own as its bridge: {lacks}");
        }
        this
    }

    /// As a machine sees it that starts now.
    pub(crate) fn seen(&self) -> Arc<Seen> {
        let version = self.loader.as_deref().and_then(|loader| loader::version(loader).ok());
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, seen)) = seen.as_ref()
            && *of == version
        {
            return Arc::clone(seen);
        }
        let now = Arc::new(Seen::new(&self.exe, self.loader.as_deref(), &self.data));
        *seen = Some((version, Arc::clone(&now)));
        now
    }

    /// Whether a machine's own files stay out of its init and bridge.
    pub(crate) fn ability(&self) -> Ability {
        let seen = self.seen();
        Ability {
            name: "own loader".to_owned(),
            enforced: seen.lacks.is_none(),
            how: seen.lacks.clone().unwrap_or_else(|| {
                "init and bridge run with the host's libraries, by a loader that reads nothing of a \
                 machine's"
                    .to_owned()
            }),
            remedy: seen.lacks.as_ref().map(|_| {
                "Use a build of Toft for the GNU C library, with the libraries of the distribution, and \
                 a data folder whose file system programs can be run from."
                    .to_owned()
            }),
        }
    }
}

impl Seen {
    /// Without a loader, or with libraries that machines do not see, the binary runs with whatever is
    /// inside.
    fn new(exe: &Path, loader: Option<&Path>, data: &Path) -> Self {
        let Some(own) = loader else { return Self::with(exe, None, None) };
        let Some(libraries) = listed(own, exe) else {
            let lacks = "its libraries are not all the system's: it runs with those of a machine";
            return Self::with(exe, None, Some(lacks.to_owned()));
        };
        let (loader, lacks) = match loader::deaf(data, own) {
            Ok(Some(copy)) if verified(&copy, exe) => (copy, None),
            Ok(Some(copy)) => {
                (own.to_owned(), Some(format!("the loader {} cannot be run", copy.display())))
            }
            Ok(None) => {
                let lacks = "its loader has no `/etc/ld.so.preload` that could be left out";
                (own.to_owned(), Some(lacks.to_owned()))
            }
            Err(e) => {
                let lacks = format!("its loader cannot be copied to {}: {e}", data.display());
                (own.to_owned(), Some(lacks))
            }
        };
        Self::with(exe, Some((&loader, &libraries)), lacks)
    }

    fn with(
        exe: &Path,
        loader: Option<(&Path, &[(String, PathBuf)])>,
        lacks: Option<String>,
    ) -> Self {
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
        Self { command, binds, lacks }
    }
}

/// The libraries that `loader` finds for the binary.
fn listed(loader: &Path, exe: &Path) -> Option<Vec<(String, PathBuf)>> {
    needed(&String::from_utf8_lossy(&asked(loader, "--list", exe)?))
}

/// Whether `loader` runs, and would run the binary.
fn verified(loader: &Path, exe: &Path) -> bool {
    asked(loader, "--verify", exe).is_some()
}

fn asked(loader: &Path, what: &str, exe: &Path) -> Option<Vec<u8>> {
    let mut command = Command::new(loader);
    command.arg(what).arg(exe).env_clear().stdin(Stdio::null());
    let out = command.output().ok().filter(|out| out.status.success())?;
    Some(out.stdout)
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
        let binary = Seen::with(Path::new("/opt/toft"), Some((loader, &libraries)), None);
        assert_eq!(
            binary.command.join(" "),
            "/run/toft/lib/ld-x.so.2 --library-path /run/toft/lib /run/toft/toft"
        );
        let targets: Vec<&str> = binary.binds.iter().map(|bind| bind.target.as_str()).collect();
        assert_eq!(
            targets,
            ["/run/toft/toft", "/run/toft/lib/ld-x.so.2", "/run/toft/lib/libc.so.6"]
        );
        let plain = Seen::with(Path::new("/opt/toft"), None, None);
        assert_eq!((plain.command.join(" "), plain.binds.len()), ("/run/toft/toft".to_owned(), 1));
    }

    #[test]
    fn a_loader_is_copied_and_looked_at_again_after_an_update_of_the_host() {
        let Some(own) = toft_jail::loader::own().unwrap() else { return };
        let data = tempfile::tempdir().unwrap();
        fs::create_dir(data.path().join("run")).unwrap();
        let (loader, new) = (data.path().join("ld-x.so.2"), data.path().join("new"));
        fs::copy(&own, &loader).unwrap();
        let exe = std::env::current_exe().unwrap();
        let binary = Binary::new(&exe, Some(&loader), data.path());
        let first = binary.seen();
        assert!(first.lacks.is_none() && binary.ability().enforced, "{first:?}");
        assert!(first.binds[1].source.starts_with(data.path().join("run")), "{first:?}");
        assert!(Arc::ptr_eq(&first, &binary.seen()));
        fs::copy(&own, &new).unwrap();
        fs::rename(&new, &loader).unwrap();
        let next = binary.seen();
        assert_ne!(first.binds[1].source, next.binds[1].source);
        assert!(next.binds[1].source.exists());
        // One that knows no list of libraries is told of.
        fs::write(&new, "#!/bin/sh\nexec /bin/true\n").unwrap();
        fs::rename(&new, &loader).unwrap();
        assert!(!binary.ability().enforced);
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
