//! Hostile archives, layers and what a root ends as: attacks of whoever made an image on whoever
//! adds it (S11), run as the user that the tests run as.

mod roots;

use super::{unpack::unpack, *};
use std::{
    fs,
    io::Read as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
};
use tar::{EntryType, Header};

/// An archive in the making. Written byte by byte where a well-behaved writer refuses.
#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn entry(mut self, kind: EntryType, path: &str, target: &str, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_size(content.len() as u64);
        let (own, _) = rustix_ids();
        header.set_uid(own.into());
        header.set_gid(own.into());
        header.set_mtime(1_700_000_000);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..path.len()].copy_from_slice(path.as_bytes());
        gnu.linkname[..target.len()].copy_from_slice(target.as_bytes());
        header.set_cksum();
        self.0.extend(header.as_bytes());
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, path: &str, content: &str) -> Self {
        self.entry(EntryType::Regular, path, "", content.as_bytes())
    }

    fn folder(self, path: &str) -> Self {
        self.entry(EntryType::Directory, path, "", b"")
    }

    fn link(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path, target, b"")
    }

    fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Link, path, target, b"")
    }
}

fn rustix_ids() -> (u32, bool) {
    let root = rustix::process::geteuid().is_root();
    (0, root)
}

struct Place {
    dir: tempfile::TempDir,
    root: Root,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        fs::write(dir.path().join("victim"), "untouched").unwrap();
        fs::create_dir(dir.path().join("outside")).unwrap();
        let root = Root::open(&dir.path().join("root")).unwrap();
        Self { dir, root }
    }

    fn at(&self, path: &str) -> std::path::PathBuf {
        self.dir.path().join("root").join(path)
    }

    fn layer(&self, tar: &Tar, layer: bool) -> Result<u64, String> {
        let mut room = Room::of(1 << 20);
        let progress = Progress::default();
        unpack(&self.root, &tar.0[..], layer, &mut room, &progress)
            .map(|_| room.taken)
            .map_err(|e| e.to_string())
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    /// Nothing outside the root was made, changed or linked to.
    fn assert_outside_untouched(&self) {
        let victim = self.dir.path().join("victim");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
        assert_eq!(fs::metadata(&victim).unwrap().nlink(), 1);
        assert_eq!(fs::read_dir(self.dir.path().join("outside")).unwrap().count(), 0);
        assert_eq!(fs::read_dir(self.dir.path()).unwrap().count(), 3);
    }
}

#[test]
fn a_path_that_climbs_out_is_refused() {
    for path in ["../victim", "a/../../victim", "a/b/../../../victim", "/../victim", "..", "./.."] {
        let place = Place::new();
        let told = place.layer(&Tar::default().file(path, "evil"), false).unwrap_err();
        assert!(told.contains("`..`"), "{told}");
        place.assert_outside_untouched();
    }
}

#[test]
fn an_absolute_path_means_the_images_own_root() {
    let place = Place::new();
    let target = format!("{}/victim", place.dir.path().display());
    place.layer(&Tar::default().file(&target, "evil"), false).unwrap();
    assert_eq!(place.read(target.trim_start_matches('/')), "evil");
    place.assert_outside_untouched();
}

#[test]
fn a_file_through_a_link_that_leads_out_stays_inside() {
    let place = Place::new();
    let out = place.dir.path().display().to_string();
    for (name, target) in
        [("a", out.as_str()), ("b", ".."), ("c", "../outside"), ("d", "../../../../../../../..")]
    {
        let tar = Tar::default()
            .link(name, target)
            .file(&format!("{name}/victim"), "evil")
            .folder(&format!("{name}/outside"))
            .file(&format!("{name}/outside/new"), "evil");
        place.layer(&tar, false).unwrap_or_else(|e| panic!("{name}: {e}"));
        place.assert_outside_untouched();
    }
    // Where the links lead inside: the root itself, or the path of the outside below it.
    assert_eq!(place.read("victim"), "evil");
    assert_eq!(place.read("outside/new"), "evil");
    assert_eq!(place.read(&format!("{}/victim", out.trim_start_matches('/'))), "evil");
}

#[test]
fn a_link_as_the_last_name_is_replaced_and_not_written_through() {
    let place = Place::new();
    let victim = place.dir.path().join("victim").display().to_string();
    let tar = Tar::default().link("f", &victim).file("f", "evil").link("g", "../victim");
    place.layer(&tar.entry(EntryType::Directory, "g", "", b""), false).unwrap();
    assert_eq!(place.read("f"), "evil");
    assert!(place.at("g").symlink_metadata().unwrap().is_dir());
    // One that was there before: the same for what Toft itself writes.
    symlink(&victim, place.at("h")).unwrap();
    place.root.put(&root::Below::fixed("h"), b"ours", 0o644).unwrap();
    assert_eq!(place.read("h"), "ours");
    place.assert_outside_untouched();
}

#[test]
fn a_hard_link_to_something_outside_is_refused() {
    let place = Place::new();
    let victim = place.dir.path().join("victim").display().to_string();
    for target in ["../victim", victim.as_str(), "a/../../victim"] {
        let tar = Tar::default().hard_link("f", target).file("f", "evil");
        place.layer(&tar, false).unwrap_err();
        place.assert_outside_untouched();
    }
    // Through a link: the target is looked for inside, where it is not.
    let out = place.dir.path().display().to_string();
    let tar = Tar::default().link("out", &out).hard_link("f", "out/victim");
    assert!(place.layer(&tar, false).unwrap_err().contains("not there"));
    place.assert_outside_untouched();
    // And to a link: the link gets another name, and is never followed.
    let tar = Tar::default().link("l", &victim).hard_link("m", "l").file("m", "evil");
    place.layer(&tar, false).unwrap();
    assert_eq!(
        (place.read("m").as_str(), fs::read_link(place.at("l")).unwrap()),
        ("evil", victim.into())
    );
    place.assert_outside_untouched();
}

#[test]
fn removals_of_a_layer_reach_nothing_outside() {
    let place = Place::new();
    let out = place.dir.path().display().to_string();
    let tar = Tar::default()
        .link("out", &out)
        .file("out/.wh.victim", "")
        .file("out/outside/.wh..wh..opq", "")
        .file(".wh...", "")
        .file(".wh..", "");
    // The names `.` and `..` after the mark: one is the folder itself, the other is refused.
    let _ = place.layer(&tar, true);
    place.assert_outside_untouched();
    assert!(place.at("").is_dir());
}

#[test]
fn layers_remove_what_earlier_ones_have_put_there_and_nothing_of_their_own() {
    let place = Place::new();
    let first = Tar::default()
        .folder("etc")
        .file("etc/a", "1")
        .file("etc/b", "1")
        .folder("data")
        .file("data/old", "1")
        .folder("data/deep")
        .file("data/deep/old", "1")
        .file("gone", "1")
        .link("lib", "etc");
    place.layer(&first, true).unwrap();
    let second = Tar::default()
        .file("etc/.wh.a", "")
        .file(".wh.gone", "")
        .folder("data")
        .file("data/new", "2")
        .folder("data/deep")
        .file("data/deep/new", "2")
        .file("data/.wh..wh..opq", "")
        .file("lib/c", "2");
    place.layer(&second, true).unwrap();
    for gone in ["etc/a", "gone", "data/old", "data/deep/old", "etc/.wh.a", ".wh.gone"] {
        assert!(!place.at(gone).exists(), "{gone}");
    }
    for (path, content) in
        [("etc/b", "1"), ("data/new", "2"), ("data/deep/new", "2"), ("etc/c", "2")]
    {
        assert_eq!(place.read(path), content, "{path}");
    }
    // In a root archive these are names like others.
    place.layer(&Tar::default().file(".wh.etc", "x"), false).unwrap();
    assert_eq!((place.read(".wh.etc").as_str(), place.read("etc/b").as_str()), ("x", "1"));
}

#[test]
fn modes_times_and_hard_links_come_over_and_devices_do_not() {
    let place = Place::new();
    let mut tar = Tar::default().folder("bin").file("bin/su", "x").hard_link("bin/also", "bin/su");
    // The mode's field: set-uid.
    let at = tar.0.len() - 2 * 512 - 512;
    let mut header = Header::from_byte_slice(&tar.0[at..at + 512]).clone();
    header.set_mode(0o4755);
    header.set_cksum();
    tar.0.splice(at..at + 512, header.as_bytes().iter().copied());
    let tar = tar
        .entry(EntryType::Char, "dev-null", "", b"")
        .entry(EntryType::Block, "disk", "", b"")
        .entry(EntryType::Fifo, "pipe", "", b"");
    place.layer(&tar, false).unwrap();
    let meta = fs::metadata(place.at("bin/su")).unwrap();
    assert_eq!(
        (meta.permissions().mode() & 0o7777, meta.nlink(), meta.mtime()),
        (0o4755, 2, 1_700_000_000)
    );
    for none in ["dev-null", "disk", "pipe"] {
        assert!(place.at(none).symlink_metadata().is_err(), "{none}");
    }
}

#[test]
fn what_promises_or_holds_more_than_there_is_room_for_ends_with_a_clear_word() {
    let place = Place::new();
    let big = "x".repeat(600 << 10);
    let told = place.layer(&Tar::default().file("a", &big).file("b", &big), false).unwrap_err();
    assert!(told.contains("needs more room"), "{told}");
    // A promise of a terabyte takes nothing.
    let mut header = Header::new_gnu();
    header.set_path("huge").unwrap();
    header.set_size(1 << 40);
    header.set_cksum();
    let told = place.layer(&Tar(header.as_bytes().to_vec()), false).unwrap_err();
    assert!(told.contains("needs more room"), "{told}");
    // A gigabyte of zeros in a megabyte.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut header = Header::new_gnu();
    header.set_path("zeros").unwrap();
    header.set_size(1 << 30);
    header.set_cksum();
    std::io::Write::write_all(&mut bomb, header.as_bytes()).unwrap();
    std::io::copy(&mut std::io::repeat(0).take(16 << 20), &mut bomb).unwrap();
    let bomb = bomb.finish().unwrap();
    let (mut room, progress) = (Room::of(1 << 20), Progress::default());
    let from = compressed::open(&bomb[..]).unwrap();
    assert!(unpack(&place.root, from, false, &mut room, &progress).is_err());
    assert!(!place.at("zeros").exists());
}

#[test]
fn deep_names_and_endless_links_are_refused() {
    let place = Place::new();
    let deep = "d/".repeat(40);
    assert!(place.layer(&Tar::default().file(&format!("{deep}f"), "x"), false).is_ok());
    let mut pax = tar::Builder::new(Vec::new());
    let deeper = "d/".repeat(1000) + "f";
    pax.append_pax_extensions([("path", deeper.as_bytes())]).unwrap();
    let mut header = Header::new_ustar();
    header.set_path("short").unwrap();
    header.set_size(0);
    header.set_cksum();
    pax.append(&header, &b""[..]).unwrap();
    assert!(place.layer(&Tar(pax.into_inner().unwrap()), false).unwrap_err().contains("deeper"));
    let tar = Tar::default().link("a", "b").link("b", "a").file("a/f", "x");
    place.layer(&tar, false).unwrap_err();
    let tar = Tar::default().link("later", "made/here").file("later/f", "x");
    place.layer(&tar, false).unwrap();
    assert_eq!(place.read("made/here/f"), "x");
}

#[test]
fn entries_take_room_too_and_names_are_told_on_one_line() {
    let place = Place::new();
    let many = (0..2000).fold(Tar::default(), |tar, n| tar.file(&format!("f{n}"), ""));
    let told = place.layer(&many, false).unwrap_err();
    assert!(told.contains("needs more room"), "{told}");
    let place = Place::new();
    let told = place.layer(&Tar::default().hard_link("two\nlines", "none"), false).unwrap_err();
    assert!(told.contains("two\\nlines") && told.lines().count() == 1, "{told}");
    place.layer(&Tar::default().file("two\nlines", "x"), false).unwrap();
    assert_eq!(place.read("two\nlines"), "x");
    assert!(place.layer(&Tar::default().link("l", ""), false).unwrap_err().contains("to nothing"));
}

/// An image in parts, as container engines save it: unpacked, then made a root.
fn from_saved(tar: &Tar) -> Result<(Place, Vec<(String, String)>), String> {
    let (parts, place) = (Place::new(), Place::new());
    parts.layer(tar, false)?;
    assert!(saved::is_saved(&parts.root));
    let (mut room, progress) = (Room::of(1 << 20), Progress::default());
    let env = saved::unpack_saved(&parts.root, &place.root, &mut room, &progress);
    parts.assert_outside_untouched();
    place.assert_outside_untouched();
    Ok((place, env.map_err(|e| e.to_string())?))
}

#[test]
fn a_saved_image_becomes_its_layers() {
    let first = Tar::default().folder("etc").file("etc/a", "1").file("etc/b", "1");
    let second = Tar::default().file("etc/.wh.a", "").file("etc/c", "2");
    let manifest =
        r#"[{"Config":"c.json","RepoTags":["x:1"],"Layers":["one/layer.tar","two.tar"]}]"#;
    let saved = |manifest: &str| {
        Tar::default()
            .entry(EntryType::Regular, "one/layer.tar", "", &first.0)
            .entry(EntryType::Regular, "blob", "", &second.0)
            // Engines write a layer that two images share once.
            .link("two.tar", "blob")
            .file("c.json", r#"{"os":"linux","config":{"Env":["A=b"]}}"#)
            .file("manifest.json", manifest)
    };
    let (place, env) = from_saved(&saved(manifest)).unwrap();
    assert_eq!(env, [("A".to_owned(), "b".to_owned())]);
    assert_eq!((place.read("etc/b"), place.read("etc/c")), ("1".to_owned(), "2".to_owned()));
    assert!(!place.at("etc/a").exists());

    for (manifest, said) in [
        ("[]".to_owned(), "0 images"),
        (format!("[{0},{0}]", &manifest[1..manifest.len() - 1]), "x:1, x:1"),
        (manifest.replace("two.tar", "three.tar"), "\"three.tar\" is missing"),
        (manifest.replace("two.tar", "../victim"), "`..`"),
        (manifest.replace("c.json", "one"), "\"one\" is missing"),
        ("{}".to_owned(), "cannot be read"),
    ] {
        let told = from_saved(&saved(&manifest)).map(|_| ()).unwrap_err();
        assert!(told.contains(said), "{told}");
    }
    // A part that leads out of the archive is none.
    let secret = Tar::default()
        .link("c.json", "/etc/hostname")
        .file("manifest.json", r#"[{"Config":"c.json","Layers":["c.json"]}]"#);
    let told = from_saved(&secret).map(|_| ()).unwrap_err();
    assert!(told.contains("is missing"), "{told}");
}
