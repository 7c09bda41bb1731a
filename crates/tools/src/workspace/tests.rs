//! All three tools on real files, real git and real programs; `bun` itself is a small program that says what it was
//! asked, since no test may need the network.

mod actions;
mod commits;
mod programs;

use super::*;
use crate::{host::Shell as _, outcome::ToolOutcome, testing::Bench};
use serde_json::{Value, json};
use std::{os::unix::fs::PermissionsExt as _, path::Path, process::Command};
use toft_model::{event::OutputStream, run::ACTIONS};

/// Says its arguments, a variable, its folder; and on the other stream one word.
const BUN: &str = "#!/bin/sh\necho \"$(basename \"$0\") $* NAME=$NAME in $(basename \"$PWD\")\"\necho aside >&2\n\
                   case $1 in fail) exit 3 ;; sleep) sleep 60 ;; flood) yes | head -c 100000 ;;\n\
                   parts) printf 'h\\303'; sleep 0.1; printf '\\251llo\\n' ;; esac\n";

fn bench_with(rules: &RunRules) -> Bench {
    let mut bench = Bench::new();
    for tool in tools(rules) {
        bench.toolbox = bench.toolbox.clone().with(tool);
    }
    let programs = bench.path("../programs");
    std::fs::create_dir_all(&programs).unwrap();
    for name in ["bun", "bunx"] {
        let path = programs.join(name);
        std::fs::write(&path, BUN).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let path = std::env::var("PATH").unwrap_or_default();
    bench.shell.set_env("PATH", &format!("{}:{path}", programs.display()));
    bench
}

fn bench() -> Bench {
    bench_with(&RunRules::default())
}

/// What an answer says; it must be one.
fn answer(outcome: &ToolOutcome) -> Value {
    assert!(!outcome.is_error, "{}", outcome.said());
    serde_json::from_str(&outcome.said()).unwrap()
}

async fn cmd(bench: &Bench, arguments: Value) -> Value {
    answer(&bench.call(SANDBOX_CMD, arguments).await)
}

async fn act(bench: &Bench, arguments: Value) -> Value {
    answer(&bench.call(PROJECT_ACTIONS, arguments).await)
}

fn git(at: &Path, arguments: &[&str]) -> String {
    let identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"];
    let done = Command::new("git").current_dir(at).args(identity).args(arguments).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

#[test]
fn the_prompt_pays_little_for_them() {
    let specs =
        tools(&RunRules::default()).map(|tool| serde_json::to_string(&tool.spec()).unwrap().len());
    assert!(specs.iter().sum::<usize>() <= 1_600, "{specs:?} bytes of each prompt of a run");
}
