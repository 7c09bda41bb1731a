//! The tool as a model uses it: what is changed, what is refused, what is left as it was.

use crate::{outcome::ToolOutcome, testing::Bench};
use serde_json::json;
use std::os::unix::fs::symlink;

async fn patch(bench: &Bench, run_id: &str, body: &str) -> ToolOutcome {
    let input = format!("*** Begin Patch\n{body}\n*** End Patch\n");
    bench.call_as(run_id, "apply_patch", json!({ "input": input })).await
}

const FOUR: &str = "*** Update File: a\n@@\n-one\n+1\n*** Add File: new/b\n+hi\n\
                    *** Delete File: c\n*** Update File: d\n*** Move to: moved/d\n-x\n+y";

fn four(bench: &Bench) {
    bench.write("a", "one\ntwo\n");
    bench.write("c", "gone\n");
    bench.write("d", "x\n");
}

fn is_done(bench: &Bench) {
    assert_eq!((bench.read("a").as_str(), bench.read("new/b").as_str()), ("1\ntwo\n", "hi\n"));
    assert_eq!(bench.read("moved/d"), "y\n");
    assert_eq!(bench.names(""), ["a", "moved", "new"]);
    assert_eq!((bench.names("new").len(), bench.names("moved").len()), (1, 1));
}

#[tokio::test]
async fn a_patch_changes_several_files_and_shows_how() {
    let bench = Bench::new();
    four(&bench);
    let outcome = patch(&bench, "p1", FOUR).await;
    assert_eq!(outcome.said(), "Done:\nM a\nA new/b\nD c\nD d\nA moved/d (from d)");
    is_done(&bench);
    let details = outcome.details.unwrap();
    let diff = details["diff"].as_str().unwrap();
    assert!(diff.contains("--- a\n+++ a") && diff.contains("-x\n+y"), "{diff}");
    assert_eq!(outcome.changed.len(), 5);
}

#[tokio::test]
async fn a_patch_of_which_one_part_does_not_fit_changes_nothing() {
    for (bad, part) in [
        ("*** Update File: d\n-nowhere\n+y", "d: these lines of a hunk were not found:\nnowhere"),
        ("*** Add File: c\n+x", "c exists already"),
        ("*** Delete File: none", "none does not exist"),
        ("*** Update File: d\n*** Move to: c\n-x\n+y", "c exists already"),
        ("*** Update File: bin\n-x\n+y", "bin is no text file"),
        ("*** Add File: a/below\n+x", "not a folder"),
        ("*** Delete File: folder", "is a folder"),
        ("*** Update File: link\n-two\n+2", "link and a are the same file"),
        ("*** Update File: /dev/null\n-x\n+y", "no regular file"),
    ] {
        let bench = Bench::new();
        four(&bench);
        bench.write_bytes("bin", &[0xff, 0xfe]);
        bench.write("folder/x", "");
        symlink(bench.path("a"), bench.path("link")).unwrap();
        let before = bench.names("");
        let outcome = patch(&bench, "p1", &format!("*** Update File: a\n-one\n+1\n{bad}")).await;
        assert!(outcome.is_error && outcome.said().contains(part), "{bad}: {}", outcome.said());
        assert_eq!(bench.read("a"), "one\ntwo\n", "{bad}");
        assert_eq!(bench.names(""), before, "{bad}");
    }
}

#[tokio::test]
async fn a_part_that_cannot_be_put_in_place_takes_the_others_back() {
    let bench = Bench::new();
    bench.write("a", "one\n");
    bench.write("z", "x\n");
    // Root may do everything but remove what is in use as a mount: so a folder comes into the way.
    let input = "*** Begin Patch\n*** Update File: a\n-one\n+1\n*** Add File: n\n+x\n*** End Patch";
    let (ctx, _updates) = bench.context("p1");
    let blocked = bench.path("n/in/the/way");
    bench.journal.before_record(move || std::fs::create_dir_all(&blocked).unwrap());
    let outcome = bench.toolbox.run("apply_patch", &ctx, json!({ "input": input })).await;
    assert!(
        outcome.is_error && outcome.said().contains("Nothing was changed"),
        "{}",
        outcome.said()
    );
    assert_eq!(bench.read("a"), "one\n");
    assert_eq!(bench.names(""), ["a", "n", "z"]);
}

#[tokio::test]
async fn sections_of_one_file_are_done_one_after_the_other() {
    let bench = Bench::new();
    bench.write("a", "one\ntwo\n");
    let body = "*** Update File: a\n-one\n+1\n*** Update File: ./a\n-1\n+uno\n*** Add File: b\n+x\n*** Delete File: b";
    let outcome = patch(&bench, "p1", body).await;
    assert_eq!(outcome.said(), "Done:\nM a");
    assert_eq!((bench.read("a").as_str(), bench.names("")), ("uno\ntwo\n", vec!["a".into()]));
}

#[tokio::test]
async fn a_patch_repeated_after_a_crash_takes_effect_once() {
    let bench = Bench::new();
    four(&bench);
    let first = patch(&bench, "p1", FOUR).await;
    // All done, result lost.
    assert_eq!(patch(&bench, "p1", FOUR).await, first);
    is_done(&bench);
    // Recorded, nothing done yet.
    for name in ["new", "moved"] {
        std::fs::remove_dir_all(bench.path(name)).unwrap();
    }
    four(&bench);
    assert_eq!(patch(&bench, "p1", FOUR).await, first);
    is_done(&bench);
    // Something else changed a file since: not done again.
    bench.write("a", "later\n");
    assert_eq!(patch(&bench, "p1", FOUR).await, first);
    assert_eq!(bench.read("a"), "later\n");
}

#[tokio::test]
async fn a_patch_that_a_crash_cut_is_finished() {
    // Every number of steps that were done when it was cut.
    for steps in 0..=5 {
        let bench = Bench::new();
        four(&bench);
        let (ctx, _updates) = bench.context("p1");
        let input = format!("*** Begin Patch\n{FOUR}\n*** End Patch");
        let kept = bench.path("").parent().unwrap().join("kept");
        // What lies on the disk in the moment of the crash.
        let project = bench.path("");
        let copy = kept.clone();
        bench.journal.before_record(move || {
            let copied =
                std::process::Command::new("cp").arg("-a").args([&project, &copy]).status();
            assert!(copied.unwrap().success());
        });
        let first = bench.toolbox.run("apply_patch", &ctx, json!({ "input": input })).await;
        assert!(!first.is_error, "{}", first.said());
        let rename = |from: &std::path::Path, to: &str| {
            let name = |path: &std::path::Path| std::fs::read(path).unwrap_or_default();
            let want = name(&bench.path(to));
            let folder = std::fs::read_dir(from).unwrap().filter_map(Result::ok);
            let staged = folder
                .map(|entry| entry.path())
                .find(|p| p.to_string_lossy().ends_with(".tmp") && name(p) == want)
                .unwrap();
            std::fs::rename(staged, kept.join(to)).unwrap();
        };
        let done: [&dyn Fn(); 5] = [
            &|| rename(&kept, "a"),
            &|| rename(&kept.join("new"), "new/b"),
            &|| std::fs::remove_file(kept.join("c")).unwrap(),
            &|| std::fs::remove_file(kept.join("d")).unwrap(),
            &|| rename(&kept.join("moved"), "moved/d"),
        ];
        for step in &done[..steps] {
            step();
        }
        std::fs::remove_dir_all(bench.path("")).unwrap();
        std::fs::rename(&kept, bench.path("")).unwrap();
        assert_eq!(patch(&bench, "p1", FOUR).await, first, "{steps}");
        is_done(&bench);
    }
}

#[tokio::test]
async fn a_file_that_changed_since_it_was_read_is_left_alone() {
    let bench = Bench::new();
    bench.write("a", "one\n");
    bench.call("read", json!({"path": "a"})).await;
    bench.write("a", "one\nmore\n");
    let outcome = patch(&bench, "p1", "*** Update File: a\n-one\n+1").await;
    assert!(outcome.is_error && outcome.said().contains("changed on disk"), "{}", outcome.said());
    bench.call("read", json!({"path": "a"})).await;
    let outcome = patch(&bench, "p2", "*** Update File: a\n-one\n+1").await;
    assert!(!outcome.is_error, "{}", outcome.said());
    assert_eq!(bench.read("a"), "1\nmore\n");
}

#[tokio::test]
async fn of_links_the_links_are_removed_and_what_they_lead_to_is_changed() {
    let bench = Bench::new();
    let outside = bench.path("").parent().unwrap().join("outside");
    std::fs::write(&outside, "one\n").unwrap();
    for link in ["deleted", "moved", "changed"] {
        std::os::unix::fs::symlink(&outside, bench.path(link)).unwrap();
    }
    let body = "*** Delete File: deleted\n*** Update File: moved\n*** Move to: new\n-one\n+1";
    let outcome = patch(&bench, "p1", body).await;
    assert!(!outcome.is_error, "{}", outcome.said());
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "one\n");
    assert_eq!(
        (bench.names(""), bench.read("new")),
        (vec!["changed".into(), "new".into()], "1\n".into())
    );
    patch(&bench, "p2", "*** Update File: changed\n-one\n+two").await;
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "two\n");
    assert!(bench.path("changed").is_symlink());
}

#[tokio::test]
async fn a_removed_file_that_comes_back_is_the_same_one() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let bench = Bench::new();
    bench.write("a", "one\n");
    let mode = std::fs::Permissions::from_mode(0o751);
    std::fs::set_permissions(bench.path("a"), mode).unwrap();
    let before = std::fs::metadata(bench.path("a")).unwrap();
    let blocked = bench.path("n/in/the/way");
    bench.journal.before_record(move || std::fs::create_dir_all(&blocked).unwrap());
    let outcome = patch(&bench, "p1", "*** Delete File: a\n*** Add File: n\n+x").await;
    assert!(outcome.is_error, "{}", outcome.said());
    let after = std::fs::metadata(bench.path("a")).unwrap();
    assert_eq!((after.ino(), after.mode()), (before.ino(), before.mode()));
    assert_eq!(bench.names(""), ["a", "n"]);
}

#[tokio::test]
async fn a_new_file_below_a_linked_folder_is_added_once() {
    let bench = Bench::new();
    bench.write("real/x", "x");
    std::os::unix::fs::symlink("real", bench.path("link")).unwrap();
    let body = "*** Add File: link/sub/new\n+one";
    let first = patch(&bench, "p1", body).await;
    assert_eq!(first.said(), "Done:\nA link/sub/new");
    // All done, result lost.
    assert_eq!(patch(&bench, "p1", body).await, first);
    bench.write("real/sub/new", "later\n");
    assert_eq!(patch(&bench, "p1", body).await, first);
    assert_eq!(bench.read("real/sub/new"), "later\n");
}

#[tokio::test]
async fn a_file_that_others_changed_before_its_turn_is_not_called_done() {
    let bench = Bench::new();
    let body = "*** Update File: a\n-one\n+1\n*** Update File: b\n-two\n+2";
    let start = || {
        bench.write("a", "one\n");
        bench.write("b", "two\n");
    };
    start();
    // A copy of what a crash leaves: all staged, nothing in place.
    let kept = bench.path("").parent().unwrap().join("kept");
    let (project, copy) = (bench.path(""), kept.clone());
    bench.journal.before_record(move || {
        let copied = std::process::Command::new("cp").arg("-a").args([&project, &copy]).status();
        assert!(copied.unwrap().success());
    });
    let first = patch(&bench, "p1", body).await;
    let crashed = || {
        std::fs::remove_dir_all(bench.path("")).unwrap();
        let mut copy = std::process::Command::new("cp");
        assert!(copy.arg("-a").args([&kept, &bench.path("")]).status().unwrap().success());
    };
    // Nothing was done: both are.
    crashed();
    bench.write("a", "zero\none\n");
    let outcome = patch(&bench, "p1", body).await;
    assert!(!outcome.is_error && outcome.said() == first.said(), "{}", outcome.said());
    assert_eq!((bench.read("a"), bench.read("b")), ("zero\n1\n".into(), "2\n".into()));
    // The other one was done.
    crashed();
    bench.write("a", "zero\none\n");
    bench.write("b", "2\n");
    let outcome = patch(&bench, "p1", body).await;
    assert!(outcome.is_error, "{}", outcome.said());
    assert!(
        outcome.said().contains("a: something else changed it")
            && outcome.said().contains("Done: b."),
        "{}",
        outcome.said()
    );
    assert_eq!(bench.read("a"), "zero\none\n");
    assert_eq!(bench.names(""), ["a", "b"]);
}

#[tokio::test]
async fn a_cut_change_that_cannot_be_finished_says_so() {
    let bench = Bench::new();
    bench.write("a", "one\n");
    bench.write("b", "two\n");
    let body = "*** Update File: a\n-one\n+1\n*** Update File: b\n-two\n+2";
    patch(&bench, "p1", body).await;
    // As if `b` had not been done yet, and what was staged for it were gone.
    bench.write("b", "two\n");
    let outcome = patch(&bench, "p1", body).await;
    assert!(
        outcome.is_error && outcome.said().contains("b: what was to be written"),
        "{}",
        outcome.said()
    );
}

#[tokio::test]
async fn names_that_are_no_text_are_changed_as_others() {
    use std::os::unix::ffi::OsStrExt as _;
    let bench = Bench::new();
    let odd = std::ffi::OsStr::from_bytes(b"bad\xff");
    std::fs::write(bench.path("").join(odd), "one\n").unwrap();
    std::os::unix::fs::symlink(odd, bench.path("link")).unwrap();
    let write = json!({"path": "link", "content": "two\n"});
    let first = bench.call_as("w1", "write", write.clone()).await;
    assert!(!first.is_error, "{}", first.said());
    assert_eq!(bench.read("link"), "two\n");
    bench.write("link", "later\n");
    assert!(!bench.call_as("w1", "write", write).await.is_error);
    assert_eq!(bench.read("link"), "later\n");
    assert_eq!(bench.names("").len(), 2);
}
