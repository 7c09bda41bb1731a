//! Copies of trees, looked at file by file.

use super::*;
use std::{
    fs,
    io::{Seek as _, SeekFrom as From, Write as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _},
    },
};

fn order(from: &Path, to: &Path, keep: Option<Keep>) -> Order {
    Order { from: from.to_owned(), to: to.to_owned(), reflink: false, keep, back: None }
}

#[test]
fn names_of_one_file_stay_names_of_one_file_and_pipes_stay_pipes() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir_all(path("a/sub")).unwrap();
    fs::write(path("a/one"), "12345").unwrap();
    fs::hard_link(path("a/one"), path("a/sub/two")).unwrap();
    fs::write(path("a/alone"), "123").unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"new\nline \xff");
    fs::write(path("a").join(odd), "odd").unwrap();
    let fifo = path("a/sub/fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WGRP, 0).unwrap();
    let socket = std::os::unix::net::UnixListener::bind(path("a/socket")).unwrap();
    drop(socket);
    let meta = |name: &str| fs::symlink_metadata(path(name)).unwrap();
    let same = |a: &str, b: &str| meta(a).ino() == meta(b).ino();

    assert_eq!(copy(&order(&path("a"), &path("b"), None)).unwrap(), 5 + 3 + 3);
    assert!(same("b/one", "b/sub/two") && !same("a/one", "b/one"));
    assert_eq!((meta("b/one").nlink(), meta("b/alone").nlink()), (2, 1));
    assert_eq!(fs::read(path("b").join(odd)).unwrap(), b"odd");
    assert!(meta("b/sub/fifo").file_type().is_fifo());
    assert_eq!(meta("b/sub/fifo").mode(), meta("a/sub/fifo").mode());
    assert!(meta("b/socket").file_type().is_socket());

    // A kept copy, one that shares with it, and what is made of that.
    let keep = |before: Option<&str>, name: &str| {
        let before = before
            .map(|before| Before { top: path(before), marks: path(&format!("{before}.marks")) });
        let marks = Some(path(&format!("{name}.marks")));
        Some(Keep { before, marks, second: i64::MAX })
    };
    assert_eq!(copy(&order(&path("a"), &path("k1"), keep(None, "k1"))).unwrap(), 11);
    fs::write(path("a/alone"), "other").unwrap();
    assert_eq!(copy(&order(&path("a"), &path("k2"), keep(Some("k1"), "k2"))).unwrap(), 5);
    assert!(same("k1/one", "k2/one") && same("k2/one", "k2/sub/two"));
    assert!(!same("k1/alone", "k2/alone"));
    copy(&order(&path("k2"), &path("c"), None)).unwrap();
    assert!(same("c/one", "c/sub/two") && !same("c/one", "k2/one"));
    assert_eq!((meta("c/one").nlink(), meta("c/alone").nlink()), (2, 1));
}

#[test]
fn a_kept_copy_of_what_went_back_shares_with_what_it_went_back_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir_all(path("kept/sub")).unwrap();
    for name in ["kept/same", "kept/sub/changed", "kept/gone"] {
        fs::write(path(name), name).unwrap();
    }
    // As if all had been copied long before the end.
    let back = Some(Back { marks: path("kept.marks"), recent_s: -9 });
    let keep = || {
        let before = Some(Before { top: path("kept"), marks: path("kept.marks") });
        Some(Keep { before, marks: None, second: i64::MAX })
    };
    let went = Order { back, ..order(&path("kept"), &path("live"), None) };
    copy(&went).unwrap();
    fs::write(path("live/sub/changed"), "changed since then").unwrap();
    fs::remove_file(path("live/gone")).unwrap();
    let changed = u64::try_from("changed since then".len()).unwrap();
    assert_eq!(copy(&order(&path("live"), &path("next"), keep())).unwrap(), changed);
    let inode = |name: &str| fs::metadata(path(name)).unwrap().ino();
    assert_eq!(inode("next/same"), inode("kept/same"));
    assert_eq!(fs::read_to_string(path("next/sub/changed")).unwrap(), "changed since then");
    assert!(!path("next/gone").exists());
    // What was just copied is not marked.
    let back = Some(Back { marks: path("kept.marks"), recent_s: 3 });
    copy(&Order { back, ..order(&path("kept"), &path("live2"), None) }).unwrap();
    copy(&order(&path("live2"), &path("next2"), keep())).unwrap();
    assert_ne!(inode("next2/same"), inode("kept/same"));
}

#[test]
fn what_cannot_be_copied_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut at = dir.path().join("a");
    for _ in 0..=DEPTH_MAX + 1 {
        at.push("d");
    }
    fs::create_dir_all(&at).unwrap();
    let failed = copy(&order(&dir.path().join("a"), &dir.path().join("b"), None)).unwrap_err();
    assert!(failed.path.starts_with("d/d/d"), "{failed}");
    assert!(failed.to_string().contains("deeper than"), "{failed}");
    let none = copy(&order(&dir.path().join("none"), &dir.path().join("c"), None));
    assert_eq!(none.unwrap_err().source.kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_copy_has_the_bytes_and_the_holes_of_its_origin() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name| dir.path().join(name);
    let mut origin = File::create_new(path("origin")).unwrap();
    origin.write_all(b"first").unwrap();
    origin.seek(From::Start(1 << 30)).unwrap();
    origin.write_all(b"later").unwrap();
    origin.set_len(1 << 40).unwrap();
    let origin = File::open(path("origin")).unwrap();
    let copy = File::create_new(path("copy")).unwrap();
    let took = copy_file(&origin, &copy, false).unwrap();
    let (was, is) = (origin.metadata().unwrap(), copy.metadata().unwrap());
    assert_eq!(is.len(), 1 << 40);
    if was.blocks() * 512 > 1 << 30 {
        // This file system knows of no holes.
        return;
    }
    assert!(took < 1 << 20 && is.blocks() * 512 < 1 << 20, "{took} {}", is.blocks());
    let mut read = vec![0; 5];
    std::os::unix::fs::FileExt::read_exact_at(
        &File::open(path("copy")).unwrap(),
        &mut read,
        1 << 30,
    )
    .unwrap();
    assert_eq!(read, b"later");
}
