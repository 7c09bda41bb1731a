//! How fast `grep` and `find` are. `TOFT_BENCH_TREE` names the folder; the sources of this project by
//! default.

use serde_json::json;
use toft_tools::testing::Bench;

fn main() {
    divan::main();
}

fn call(bencher: divan::Bencher<'_, '_>, tool: &str, arguments: &[(&str, &str)]) {
    let tree = std::env::var("TOFT_BENCH_TREE");
    let tree = tree.unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../crates").into());
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    let bench = Bench::new();
    let mut all = json!({ "path": tree });
    for (name, value) in arguments {
        all[*name] = (*value).into();
    }
    bencher.bench_local(|| runtime.block_on(bench.call(tool, all.clone())));
}

/// No file has it: all are searched.
#[divan::bench]
fn grep_nothing(bencher: divan::Bencher<'_, '_>) {
    call(bencher, "grep", &[("pattern", "no_such_word_anywhere_[0-9]+x")]);
}

/// Many have it.
#[divan::bench]
fn grep_much(bencher: divan::Bencher<'_, '_>) {
    call(bencher, "grep", &[("pattern", "fn \\w+")]);
}

#[divan::bench]
fn find_nothing(bencher: divan::Bencher<'_, '_>) {
    call(bencher, "find", &[("pattern", "no-such-name.*")]);
}

#[divan::bench]
fn find_much(bencher: divan::Bencher<'_, '_>) {
    call(bencher, "find", &[("pattern", "*.rs")]);
}
