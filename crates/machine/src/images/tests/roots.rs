//! What a root ends as, and what is said of one that makes no machine.

use super::*;

#[test]
fn a_foreign_root_gets_what_a_machine_needs_and_hostile_links_lead_nowhere() {
    let place = Place::new();
    let out = place.dir.path().join("outside").display().to_string();
    let victim = place.dir.path().join("victim").display().to_string();
    let mut header = Header::new_gnu();
    header.set_path("bin/sh").unwrap();
    header.set_mode(0o755);
    header.set_size(0);
    header.set_cksum();
    let tar = Tar(header.as_bytes().to_vec())
        .folder("etc")
        .link("etc/resolv.conf", &victim)
        .link("etc/hosts", &victim)
        .link("home", &out)
        .link("proc", &out)
        .link("etc/passwd", &victim)
        .link("var", "../../where");
    place.layer(&tar, false).unwrap();
    assert_eq!(finish(&place.root).unwrap(), "/bin/sh");
    place.assert_outside_untouched();
    let passwd = place.read("etc/passwd");
    assert_eq!(passwd, "root:x:0:0:root:/root:/bin/sh\n");
    assert!(place.read("etc/hosts").contains("127.77.0.1\tgateway.internal"));
    assert!(place.at("proc").symlink_metadata().unwrap().is_dir());
    assert!(place.read("usr/local/bin/bash").contains("exec /bin/sh"));
    // `home` leads to the same path inside.
    let inside = out.trim_start_matches('/');
    assert!(place.at(&format!("{inside}/project")).is_dir());
    assert!(place.at(&format!("{inside}/starter")).is_dir());

    assert!(place.at("where/lib/toft").is_dir());

    // What leads through nowhere or in a circle makes no machine, and harms nobody.
    for target in ["/else/../where", "var"] {
        let odd = Place::new();
        odd.layer(&Tar::default().link("var", target), false).unwrap();
        odd.root.put(&root::Below::fixed("bin/sh"), b"", 0o755).unwrap();
        assert!(finish(&odd.root).is_err());
        odd.assert_outside_untouched();
    }
    let empty = Place::new();
    assert!(finish(&empty.root).unwrap_err().to_string().contains("no /bin/sh"));
    assert!(Path::new(&victim).exists());
}

#[test]
fn a_link_in_a_circle_is_named_with_what_to_do() {
    for (from, to, path) in
        [("usr", "/usr", "usr/bin/sh"), ("usr", "usr", "usr/f"), ("lib", "/usr/../lib", "lib/a/b")]
    {
        let place = Place::new();
        let tar = Tar::default().folder("etc").link(from, to).file(path, "x");
        let told = place.layer(&tar, false).unwrap_err();
        assert!(told.contains(&format!("`/{from}` is a link to `{to}`")), "{told}");
        assert!(told.contains("pack it again"), "{told}");
    }
    // Nothing goes through it before the root is finished.
    let place = Place::new();
    place.layer(&Tar::default().link("usr", "/usr").link("bin", "usr/bin"), false).unwrap();
    let told = finish(&place.root).unwrap_err();
    assert!(matches!(&told, ImageError::Refused(why) if why.contains("`/usr`")), "{told}");
    let place = Place::new();
    place.root.put(&root::Below::fixed("bin/sh"), b"", 0o755).unwrap();
    place.layer(&Tar::default().link("var", "var"), false).unwrap();
    let told = finish(&place.root).unwrap_err();
    assert!(matches!(&told, ImageError::Refused(why) if why.contains("`/var`")), "{told}");
    let place = Place::new();
    place.layer(&Tar::default().link("bin/sh", "/usr/bin/dash"), false).unwrap();
    let told = finish(&place.root).unwrap_err().to_string();
    assert!(told.contains("`/bin/sh`") && told.contains("to nothing"), "{told}");
}

#[test]
fn a_root_that_was_packed_with_its_folder_is_told_apart() {
    let place = Place::new();
    place.root.put(&root::Below::fixed("rootfs/bin/sh"), b"", 0o755).unwrap();
    assert!(finish(&place.root).unwrap_err().to_string().contains("the folder `rootfs`"));
}

#[test]
fn a_shell_that_cannot_run_here_is_refused_with_the_reason() {
    let own = fs::read("/proc/self/exe").unwrap();
    let mut foreign = own.clone();
    foreign[18..20].copy_from_slice(&22u16.to_le_bytes());
    let place = Place::new();
    place.root.put(&root::Below::fixed("bin/sh"), &foreign, 0o755).unwrap();
    assert!(finish(&place.root).unwrap_err().to_string().contains("made for s390x"));
    let Some(loader) = elf::Program::own().unwrap().loader else { return };
    place.root.put(&root::Below::fixed("bin/sh"), &own, 0o755).unwrap();
    let loader = String::from_utf8(loader).unwrap();
    let told = finish(&place.root).unwrap_err().to_string();
    assert!(told.contains(&format!("`{loader}`")) && told.contains("C library"), "{told}");
    place.root.put(&root::Below::parse(loader.as_bytes()).unwrap(), b"", 0o755).unwrap();
    finish(&place.root).unwrap();
}
