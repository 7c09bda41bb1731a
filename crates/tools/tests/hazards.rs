//! What must never make a tool hang, crash or eat memory: pipes, devices, sockets, names and contents of
//! any bytes, huge lines, deep folders, and an end in the middle.

#![expect(
    clippy::unwrap_used,
    reason = "a test file; the lint sees only its #[test] functions as tests"
)]

use serde_json::{Value, json};
use std::{
    ffi::OsStr,
    fs::File,
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::{ffi::OsStrExt as _, fs::symlink, net::UnixListener},
    process::Command,
    time::Duration,
};
use toft_tools::{ToolOutcome, testing::Bench};
use tokio::time::timeout;

/// A call that hangs fails the test instead of the run.
const PATIENCE: Duration = Duration::from_mins(1);

async fn call(bench: &Bench, tool: &str, arguments: Value) -> ToolOutcome {
    let shown = format!("{tool} {arguments}");
    timeout(PATIENCE, bench.call(tool, arguments)).await.unwrap_or_else(|_| panic!("{shown} hangs"))
}

fn pipe(bench: &Bench, name: &str) {
    assert!(Command::new("mkfifo").arg(bench.path(name)).status().unwrap().success());
}

#[tokio::test]
async fn what_is_no_file_is_refused_and_never_waited_for() {
    let bench = Bench::new();
    pipe(&bench, "pipe");
    let _socket = UnixListener::bind(bench.path("socket")).unwrap();
    symlink("/dev/zero", bench.path("device")).unwrap();
    symlink("round", bench.path("round")).unwrap();
    bench.write("real", "needle\n");
    for name in ["pipe", "socket", "device", "round"] {
        let patch = format!("*** Begin Patch\n*** Update File: {name}\n-a\n+b\n*** End Patch");
        for (tool, arguments) in [
            ("read", json!({"path": name})),
            ("write", json!({"path": name, "content": "x"})),
            ("edit", json!({"path": name, "oldText": "a", "newText": "b"})),
            ("apply_patch", json!({"input": patch})),
        ] {
            let outcome = call(&bench, tool, arguments).await;
            assert!(outcome.is_error, "{tool} {name}: {}", outcome.said());
        }
        call(&bench, "grep", json!({"pattern": "a", "path": name})).await;
        call(&bench, "ls", json!({"path": name})).await;
    }
    let found = call(&bench, "grep", json!({"pattern": "needle"})).await;
    assert_eq!(found.said(), "real:1: needle");
    let found = call(&bench, "find", json!({"pattern": "*"})).await;
    assert_eq!(found.said(), "device\npipe\nreal\nround\nsocket");
}

#[tokio::test]
async fn names_and_contents_may_have_any_bytes() {
    let bench = Bench::new();
    let name = OsStr::from_bytes(b"bad\xff\nname");
    std::fs::write(bench.path("").join(name), b"needle \xff\xfe\n").unwrap();
    bench.write_bytes("content", b"a \xff\x80 needle \x1b[31m\r\n\xc3");
    let read = call(&bench, "read", json!({"path": "content"})).await;
    assert_eq!(read.said(), "a \u{fffd}\u{fffd} needle \u{1b}[31m\n\u{fffd}");
    let found = call(&bench, "grep", json!({"pattern": "needle"})).await.said();
    assert!(found.contains("content:1:") && found.contains("bad\u{fffd}"), "{found}");
    assert!(call(&bench, "find", json!({"pattern": "*name"})).await.said().contains("bad\u{fffd}"));
    assert!(call(&bench, "ls", json!({})).await.said().contains("bad\u{fffd}"));
    let edit = json!({"path": "content", "oldText": "needle", "newText": "x"});
    assert!(call(&bench, "edit", edit).await.said().contains("is no text file"));
    let nul = call(&bench, "read", json!({"path": "a\u{0}b"})).await;
    assert!(nul.is_error, "{}", nul.said());
}

#[tokio::test]
async fn huge_lines_and_files_cost_no_memory() {
    let bench = Bench::new();
    // A line of 300 MiB that takes no room: a hole would be binary, so its start is text.
    let mut file = File::create(bench.path("huge")).unwrap();
    file.write_all(&vec![b'x'; 100 << 10]).unwrap();
    file.seek(SeekFrom::Start(300 << 20)).unwrap();
    file.write_all(b"\nneedle\n").unwrap();
    let read = call(&bench, "read", json!({"path": "huge"})).await;
    assert!(
        read.is_error && read.said().contains("Line 1 of huge has 314572801 bytes"),
        "{}",
        read.said()
    );
    let read = call(&bench, "read", json!({"path": "huge", "offset": 2})).await;
    assert_eq!(read.said(), "needle");
    bench.write("lines", &"a line of text\n".repeat(3_000_000));
    let read = call(&bench, "read", json!({"path": "lines", "offset": 2_999_999})).await;
    assert_eq!(read.said(), "a line of text\na line of text");
    let edit = json!({"path": "lines", "oldText": "a", "newText": "b"});
    assert!(call(&bench, "edit", edit).await.said().contains("more than the"));
    let peak = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = peak.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim();
    let kib: u64 = peak.trim_end_matches(" kB").parse().unwrap();
    assert!(kib < 250 << 10, "{peak}");
}

#[tokio::test]
async fn deep_folders_are_walked() {
    let bench = Bench::new();
    let deep = vec!["d"; 600].join("/");
    bench.write(&format!("{deep}/leaf.txt"), "needle\n");
    let found = call(&bench, "find", json!({"pattern": "leaf.txt"})).await;
    assert_eq!(found.said(), format!("{deep}/leaf.txt"));
    let found = call(&bench, "grep", json!({"pattern": "needle"})).await;
    assert_eq!(found.said(), format!("{deep}/leaf.txt:1: needle"));
}

#[tokio::test]
async fn every_tool_ends_with_the_call() {
    let bench = Bench::new();
    let mut file = File::create(bench.path("huge")).unwrap();
    file.write_all(&vec![b'x'; 100 << 10]).unwrap();
    file.set_len(200 << 30).unwrap();
    for (tool, arguments) in [
        ("read", json!({"path": "huge", "offset": 9})),
        ("grep", json!({"pattern": "x", "path": "/proc/self"})),
        ("find", json!({"pattern": "nothing-has-this-name", "path": "/proc"})),
        ("bash", json!({"command": "trap '' TERM; sleep 1000 & sleep 1000"})),
        ("ask", json!({"question": "?"})),
        ("ask_secrets", json!({"names": ["A"], "reason": "x"})),
    ] {
        let (ctx, _updates) = bench.context(tool);
        let cancel = ctx.cancel.clone();
        let work = bench.toolbox.run(tool, &ctx, arguments);
        let stop = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            cancel.cancel();
        };
        let both = async { tokio::join!(work, stop) };
        let (outcome, ()) =
            timeout(PATIENCE, both).await.unwrap_or_else(|_| panic!("{tool} does not end"));
        // One that was faster than the stop is fine too.
        let stopped = outcome.details.as_ref().is_some_and(|details| details["cancelled"] == true);
        assert!(stopped || matches!(tool, "grep" | "find"), "{tool}: {}", outcome.said());
    }
    for tool in
        ["read", "write", "edit", "grep", "find", "ls", "web_fetch", "apply_patch", "process"]
    {
        let (ctx, _updates) = bench.context(tool);
        ctx.cancel.cancel();
        let arguments = match tool {
            "write" => json!({"path": "new", "content": "x"}),
            "edit" => json!({"path": "new", "oldText": "x", "newText": "y"}),
            "apply_patch" => {
                json!({"input": "*** Begin Patch\n*** Add File: new\n+x\n*** End Patch"})
            }
            "web_fetch" => json!({"url": "http://127.0.0.1:1"}),
            "process" => json!({"action": "output", "id": "bash", "wait": 100}),
            "ls" => json!({}),
            _ => json!({"path": "/", "pattern": "x"}),
        };
        let arguments =
            if tool == "read" { json!({"path": "huge", "offset": 5}) } else { arguments };
        let work = bench.toolbox.run(tool, &ctx, arguments);
        timeout(PATIENCE, work).await.unwrap_or_else(|_| panic!("{tool} does not end"));
    }
    assert!(!bench.path("new").exists());
}
