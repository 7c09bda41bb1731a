//! Builds the dashboard when its sources changed. Never part of `cargo build`: without Node the
//! binary serves a page that says how to get the dashboard.

use anyhow::{Context, Result, bail};
use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    path::Path,
    process::Command,
};

/// Oldest major version of Node that the bundler runs on.
const NODE_MAJOR_MIN: u32 = 20;

/// Installs packages when the lock file changed, then bundles when any source changed.
pub(crate) fn build(root: &Path) -> Result<()> {
    let dir = root.join("dashboard");
    let Some(major) = node_major() else {
        if dir.join("dist/index.html").exists() {
            say("Node is missing; using the dashboard that is already built.");
        } else {
            say("Node is missing; the server will run without its dashboard. Install Node 20 or \
                 newer and run this again.");
        }
        return Ok(());
    };
    if major < NODE_MAJOR_MIN {
        bail!("Node {major} is too old for the dashboard: install Node {NODE_MAJOR_MIN} or newer");
    }
    let lock = stamp(&[dir.join("package-lock.json")])?;
    let installed = dir.join("node_modules/.toft-stamp");
    if !is_fresh(&installed, lock) {
        // Not `npm ci`: it refuses a lock file without the binaries of foreign platforms, which some
        // registries do not carry. This installs the locked versions too, and writes nothing.
        npm(&dir, &["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts"])?;
        fs::write(&installed, lock.to_string()).context("marking the installed packages")?;
    }
    let mut sources = vec![dir.join("package.json"), dir.join("package-lock.json")];
    for entry in fs::read_dir(&dir).context("reading dashboard/")? {
        let path = entry?.path();
        let ext = path.extension().and_then(|e| e.to_str());
        if matches!(ext, Some("ts" | "html" | "json" | "mjs")) {
            sources.push(path);
        }
    }
    for folder in ["src", "public", "scripts"] {
        files_below(&dir.join(folder), &mut sources)?;
    }
    sources.sort();
    sources.dedup();
    let now = stamp(&sources)?;
    let built = dir.join("dist/.toft-stamp");
    if !is_fresh(&built, now) {
        npm(&dir, &["run", "build"])?;
        fs::write(&built, now.to_string()).context("marking the built dashboard")?;
    }
    Ok(())
}

fn node_major() -> Option<u32> {
    let out = Command::new("node").arg("--version").output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    text.trim().strip_prefix('v')?.split('.').next()?.parse().ok()
}

fn npm(dir: &Path, args: &[&str]) -> Result<()> {
    let status = Command::new("npm").args(args).current_dir(dir).status().context("running npm")?;
    if !status.success() {
        bail!("npm {} failed in dashboard/", args.join(" "));
    }
    Ok(())
}

fn is_fresh(mark: &Path, stamp: u64) -> bool {
    fs::read_to_string(mark).is_ok_and(|text| text == stamp.to_string())
}

fn stamp(files: &[std::path::PathBuf]) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    for file in files {
        file.hash(&mut hasher);
        fs::read(file).with_context(|| format!("reading {}", file.display()))?.hash(&mut hasher);
    }
    Ok(hasher.finish())
}

fn files_below(dir: &Path, out: &mut Vec<std::path::PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            files_below(&path, out)?;
        } else {
            out.push(path);
        }
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a chore speaks to the person who runs it")]
fn say(text: &str) {
    eprintln!("{text}");
}
