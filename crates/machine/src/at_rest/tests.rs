//! Trees as hostile machines leave them, read without one.

use super::*;
use rustix::fs::{CWD, Mode, RenameFlags, XattrFlags, mkfifoat, mknodat, renameat_with, setxattr};
use std::{
    io::Read as _,
    os::unix::{
        fs::{PermissionsExt as _, symlink},
        net::UnixListener,
    },
    sync::atomic::{AtomicBool, Ordering},
};
use tempfile::TempDir;

const ROOT: &str = "rootfs";

/// A disk, and the folder of the host that it lies over.
struct Place {
    dir: TempDir,
    ids: u32,
}

impl Place {
    fn new() -> Self {
        let place = Self { dir: tempfile::tempdir().unwrap(), ids: u32::MAX };
        for folder in
            ["disk/rootfs/home/project", "disk/usr-upper", "disk/dpkg-upper", "usr", "log"]
        {
            fs::create_dir_all(place.path(folder)).unwrap();
        }
        place.put("secret/file", "the host's");
        place
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn link(&self, path: &str, to: impl AsRef<Path>) {
        symlink(to, self.path("disk/rootfs").join(path)).unwrap();
    }

    fn files(&self) -> Files {
        let layer = |target: &str, upper: &str, lower: &str| Part {
            target: target.into(),
            source: Source::Layer { upper: upper.into(), lower: self.path(lower), ids: self.ids },
        };
        let host = |target: &str, path: PathBuf| Part {
            target: target.into(),
            source: Source::Host { path, ids: self.ids },
        };
        let parts = || {
            Ok(vec![
                layer("/usr", "usr-upper", "usr"),
                host("/opt/tools", self.path("tools")),
                host("/etc/shown", self.path("usr/file")),
            ])
        };
        let disk = self.path("disk");
        Files::of_system(&disk, ROOT, &self.path("log"), parts).unwrap().unwrap()
    }

    fn read(&self, path: &str) -> Result<String, FilesError> {
        let mut text = String::new();
        self.files().open(Path::new(path))?.file.read_to_string(&mut text)?;
        Ok(text)
    }

    fn names(&self, path: &str) -> Vec<(String, FileKind)> {
        let looked = self.files().look(Path::new(path)).unwrap();
        looked.entries.unwrap().into_iter().map(|entry| (entry.name, entry.kind)).collect()
    }

    /// How reading fails: by the code of its answer.
    fn refusal(&self, path: &str) -> &'static str {
        match self.read(path) {
            Ok(text) => panic!("{path} was read: {text}"),
            Err(FilesError::Io(error)) => files::refusal(&error).1,
            Err(FilesError::NoContent { is_folder: true }) => "folder",
            Err(FilesError::NoContent { is_folder: false }) => "other",
            Err(FilesError::NotAtRest(_)) => "not at rest",
        }
    }
}

#[test]
fn links_lead_to_where_they_lead_inside_and_never_out() {
    let place = Place::new();
    place.put("disk/rootfs/home/project/a", "inside");
    place.put("disk/rootfs/secret/file", "the machine's");
    place.put("usr/bin/tool", "tool");
    place.put("disk/usr-upper/bin/own", "own");
    let out = place.path("secret/file");
    for (link, to) in [
        ("home/project/absolute", Path::new("/home/project/a")),
        ("home/project/relative", Path::new("../project/./a")),
        ("home/project/above", Path::new("../../../../../../../secret/file")),
        ("home/project/out", &out),
        ("home/project/folder", Path::new("/usr/bin/")),
        ("home/project/back", Path::new("/usr/bin/../../secret/file")),
        ("bin", Path::new("usr/bin")),
        ("home/project/twice", Path::new("/bin/own")),
        ("home/project/loop", Path::new("loop")),
        ("home/project/dangling", Path::new("nowhere")),
        ("home/project/magic", Path::new("/proc/self/root/etc/passwd")),
        ("etc", Path::new("/usr")),
    ] {
        place.link(link, to);
    }
    for (path, want) in [
        ("/home/project/absolute", "inside"),
        ("/home/project/relative", "inside"),
        ("/home/project/above", "the machine's"),
        ("/home/project/back", "the machine's"),
        ("/home/project/folder/tool", "tool"),
        ("/home/project/folder/own", "own"),
        ("/home/project/twice", "own"),
        ("/bin/tool", "tool"),
        ("/etc/bin/own", "own"),
    ] {
        assert_eq!(place.read(path).unwrap(), want, "{path}");
    }
    for (path, want) in [
        ("/home/project/out", "not_found"),
        ("/home/project/dangling", "not_found"),
        ("/home/project/loop", "invalid_argument"),
        ("/home/project/a/b", "invalid_argument"),
        ("/home/project/twice/x", "invalid_argument"),
        ("/home/project/magic", "not at rest"),
        ("/proc/version", "not at rest"),
        ("/dev/null", "not at rest"),
        ("/run/toft/toft", "not at rest"),
        ("/home/project", "folder"),
        ("/none", "not_found"),
    ] {
        assert_eq!(place.refusal(path), want, "{path}");
    }
    let long = format!("/home/project/{}", "x".repeat(256));
    assert_eq!(place.refusal(&long), "invalid_argument");
    assert!(matches!(place.files().look(Path::new("/proc")), Err(FilesError::NotAtRest(_))));
}

#[test]
fn what_is_no_regular_file_is_never_opened() {
    let place = Place::new();
    let at = |name: &str| place.path("disk/rootfs/home/project").join(name);
    mkfifoat(CWD, at("pipe"), Mode::RWXU).unwrap();
    let _listener = UnixListener::bind(at("socket")).unwrap();
    place.link("home/project/link", "pipe");
    let mut kinds = vec![("link", FileKind::Link), ("pipe", FileKind::Other)];
    kinds.push(("socket", FileKind::Other));
    if rustix::process::geteuid().is_root() {
        let device = rustix::fs::makedev(1, 5);
        mknodat(CWD, at("zero"), FileType::CharacterDevice, Mode::RWXU, device).unwrap();
        kinds.push(("zero", FileKind::Other));
    }
    for (name, _) in &kinds {
        let path = format!("/home/project/{name}");
        assert_eq!(place.refusal(&path), "other", "{name}");
        let looked = place.files().look(Path::new(&path)).unwrap();
        assert_eq!((looked.kind, looked.entries), (FileKind::File, None), "{name}");
    }
    let kinds: Vec<_> = kinds.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect();
    assert_eq!(place.names("/home/project"), kinds);
}

#[test]
fn a_layer_shows_and_hides_what_lies_below_it() {
    let place = Place::new();
    for (path, text) in [
        ("usr/file", "below"),
        ("usr/both", "below"),
        ("usr/gone", "below"),
        ("usr/lib/below", "below"),
        ("usr/anew/below", "below"),
        ("usr/turned", "a file below"),
        ("disk/usr-upper/both", "own"),
        ("disk/usr-upper/lib/own", "own"),
        ("disk/usr-upper/anew/own", "own"),
        ("disk/usr-upper/turned/own", "own"),
        ("tools/bin/x", "tool"),
    ] {
        place.put(path, text);
    }
    let whiteout = FileType::CharacterDevice;
    mknodat(CWD, place.path("disk/usr-upper/gone"), whiteout, Mode::empty(), 0).unwrap();
    let anew = place.path("disk/usr-upper/anew");
    setxattr(&anew, "user.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
    for (path, want) in [
        ("/usr/file", "below"),
        ("/usr/both", "own"),
        ("/usr/lib/below", "below"),
        ("/usr/lib/own", "own"),
        ("/usr/anew/own", "own"),
        ("/usr/turned/own", "own"),
        ("/opt/tools/bin/x", "tool"),
        ("/etc/shown", "below"),
    ] {
        assert_eq!(place.read(path).unwrap_or_else(|e| panic!("{path}: {e}")), want, "{path}");
    }
    assert_eq!(place.refusal("/usr/gone"), "not_found");
    assert_eq!(place.refusal("/usr/anew/below"), "not_found");
    let names = |path| -> Vec<String> { place.names(path).into_iter().map(|(n, _)| n).collect() };
    assert_eq!(names("/usr"), ["anew", "lib", "turned", "both", "file"]);
    assert_eq!(names("/usr/lib"), ["below", "own"]);
    assert_eq!(names("/usr/anew"), ["own"]);
    assert_eq!(names("/usr/turned"), ["own"]);
    // What is shown there is listed, though the disk has no such folder.
    fs::create_dir(place.path("disk/rootfs/opt")).unwrap();
    assert_eq!(place.names("/opt"), [("tools".to_owned(), FileKind::Dir)]);
    // Outside of layers such a device hides nothing.
    let plain = place.path("disk/rootfs/home/project/plain");
    mknodat(CWD, plain, whiteout, Mode::empty(), 0).unwrap();
    assert_eq!(place.names("/home/project"), [("plain".to_owned(), FileKind::Other)]);
}

#[test]
fn of_the_hosts_files_it_gets_what_the_machine_gets() {
    let mut place = Place::new();
    place.put("usr/closed", "for the host's root");
    place.put("usr/open", "for all");
    place.put("usr/folder/f", "behind a closed door");
    let close = |path: &str, mode| {
        fs::set_permissions(place.path(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    close("usr/closed", 0o640);
    close("usr/folder", 0o750);
    assert_eq!(place.read("/usr/closed").unwrap(), "for the host's root");
    place.ids = 0;
    assert_eq!(place.read("/usr/open").unwrap(), "for all");
    for path in ["/usr/closed", "/usr/folder/f"] {
        // For an ordinary user the kernel would have refused it: then it is the machine's to read.
        let refusal = place.refusal(path);
        assert!(["forbidden", "not at rest"].contains(&refusal), "{path}: {refusal}");
    }
    assert!(place.files().look(Path::new("/usr/folder")).is_err(), "it is not listed either");
    assert!(place.files().look(Path::new("/usr/closed")).is_ok(), "it may be looked at");
}

#[test]
fn a_disk_that_was_exchanged_is_noticed_and_an_open_file_stays_whole() {
    let place = Place::new();
    place.put("disk/rootfs/home/project/f", "old");
    place.put("other/rootfs/home/project/f", "new");
    let files = place.files();
    let mut opened = files.open(Path::new("/home/project/f")).unwrap();
    assert!(files.is_current());
    let (disk, other) = (place.path("disk"), place.path("other"));
    renameat_with(CWD, &disk, CWD, &other, RenameFlags::EXCHANGE).unwrap();
    assert!(!files.is_current() && place.files().is_current());
    fs::remove_dir_all(&other).unwrap();
    let mut text = String::new();
    opened.file.read_to_string(&mut text).unwrap();
    assert_eq!((text.as_str(), place.read("/home/project/f").unwrap().as_str()), ("old", "new"));
    fs::remove_dir_all(&disk).unwrap();
    assert!(!files.is_current());
    let none = Files::of_system(&disk, ROOT, &disk, || panic!("there is no disk"));
    assert!(none.unwrap().is_none());
}

#[test]
fn a_folder_that_becomes_a_link_at_any_moment_leads_nowhere() {
    let place = Place::new();
    place.put("disk/rootfs/home/project/x/file", "inside");
    place.put("disk/rootfs/secret/file", "inside");
    place.link("home/project/y", place.path("secret"));
    let (x, y) = ["x", "y"].map(|n| place.path("disk/rootfs/home/project").join(n)).into();
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                renameat_with(CWD, &x, CWD, &y, RenameFlags::EXCHANGE).unwrap();
            }
        });
        for _ in 0..5_000 {
            for path in ["/home/project/x/file", "/home/project/y/../y/file"] {
                if let Ok(text) = place.read(path) {
                    assert_eq!(text, "inside");
                }
            }
        }
        ends.store(true, Ordering::Relaxed);
    });
}

#[test]
fn endless_ways_end() {
    let place = Place::new();
    let deep = "a/".repeat(100);
    fs::create_dir_all(place.path("disk/rootfs/home/project").join(&deep)).unwrap();
    place.put("disk/rootfs/f", "top");
    // Down and up again, as often as a link can say, and forty times that.
    let way = format!("/home/project/{deep}{}", "../a/".repeat(700));
    place.link("l0", format!("{way}{}", "../".repeat(110)));
    for n in 1..40 {
        place.link(&format!("l{n}"), format!("l{}", n - 1));
    }
    assert_eq!(place.refusal("/l39"), "invalid_argument");
    place.link("short", format!("/home/project/{deep}{}f", "../".repeat(102)));
    assert_eq!(place.read("/short").unwrap(), "top");
}

#[test]
fn a_folder_of_more_than_a_person_reads_is_told_in_part() {
    let place = Place::new();
    for n in 0..ENTRIES_MAX {
        fs::File::create(place.path("disk/rootfs/home/project").join(n.to_string())).unwrap();
    }
    let look = || place.files().look(Path::new("/home/project")).unwrap();
    assert!(!look().truncated);
    place.put("disk/rootfs/home/project/more", "");
    let looked = look();
    assert_eq!((looked.truncated, looked.entries.unwrap().len()), (true, ENTRIES_MAX));
}

#[test]
fn a_plain_folder_is_seen_where_it_lies_and_nothing_else_is() {
    let place = Place::new();
    let own = place.path("disk/rootfs/home/project");
    place.put("disk/rootfs/home/project/sub/f", "own");
    place.link("home/project/out", place.path("secret/file"));
    place.link("home/project/again", own.join("sub/f"));
    place.link("home/project/near", "../project/sub/f");
    let files = Files::of_folder(&own).unwrap().unwrap();
    assert_eq!(files.folder(), own);
    for path in ["sub/f", "again", "near"] {
        let mut text = String::new();
        files.open(&own.join(path)).unwrap().file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "own", "{path}");
    }
    for path in [own.join("out"), place.path("secret/file"), "/".into(), place.path("disk")] {
        let seen = files.look(&path);
        assert!(matches!(seen, Err(FilesError::NotAtRest(_))), "{}: {seen:?}", path.display());
    }
}
