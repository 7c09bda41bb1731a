//! The tidy test: rules of the house that a reader would otherwise have to remember. Floors, file
//! sizes, module docs, names, and that `ARCHITECTURE.md` is true.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Body lines (before the tests) above which a file is refused.
const BODY_LINES_MAX: usize = 800;
/// Lines of ARCHITECTURE.md at most, so that it is read.
const ARCHITECTURE_LINES_MAX: usize = 400;
/// Names that take everything because adding there is easy.
const NAMES_REFUSED: &[&str] = &["utils", "util", "common", "core", "helpers", "misc", "shared"];

#[derive(Deserialize)]
struct Manifest {
    package: Package,
    #[serde(default)]
    dependencies: toml::Table,
    #[serde(default, rename = "dev-dependencies")]
    dev_dependencies: toml::Table,
    #[serde(default, rename = "build-dependencies")]
    build_dependencies: toml::Table,
}

#[derive(Deserialize)]
struct Package {
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
struct Metadata {
    toft: Option<Floor>,
}

#[derive(Deserialize)]
struct Floor {
    floor: u32,
}

/// Checks everything and fails with the whole list of what is wrong.
pub(crate) fn run(root: &Path, report: bool) -> Result<()> {
    let faults = faults(root)?;
    if report {
        print_report(root)?;
    }
    if faults.is_empty() {
        return Ok(());
    }
    bail!("the house is not tidy:\n  {}", faults.join("\n  "))
}

fn faults(root: &Path) -> Result<Vec<String>> {
    let mut out = Vec::new();
    floors(root, &mut out)?;
    sources(root, &mut out)?;
    architecture(root, &mut out)?;
    decisions(root, &mut out)?;
    Ok(out)
}

fn crates(root: &Path) -> Result<BTreeMap<String, Manifest>> {
    let mut out = BTreeMap::new();
    for entry in fs::read_dir(root.join("crates")).context("reading crates/")? {
        let dir = entry?.path();
        let file = dir.join("Cargo.toml");
        let Ok(text) = fs::read_to_string(&file) else { continue };
        let manifest =
            toml::from_str(&text).with_context(|| format!("parsing {}", file.display()))?;
        let name = dir.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        out.insert(name, manifest);
    }
    Ok(out)
}

fn floors(root: &Path, out: &mut Vec<String>) -> Result<()> {
    let crates = crates(root)?;
    let floor_of = |name: &str| {
        crates.get(name).and_then(|m| m.package.metadata.as_ref()?.toft.as_ref()).map(|f| f.floor)
    };
    for (name, manifest) in &crates {
        let Some(own) = floor_of(name) else {
            out.push(format!("crates/{name}: no [package.metadata.toft] floor"));
            continue;
        };
        let edges =
            [&manifest.dependencies, &manifest.dev_dependencies, &manifest.build_dependencies];
        for dependency in edges.iter().flat_map(|table| table.keys()) {
            let Some(other) = dependency.strip_prefix("toft-") else { continue };
            match floor_of(other) {
                Some(floor) if floor < own => {}
                Some(floor) => out.push(format!(
                    "crates/{name} (floor {own}) uses {other} (floor {floor}): only lower floors"
                )),
                None => out.push(format!("crates/{name} uses {other}, which has no floor")),
            }
        }
        if NAMES_REFUSED.contains(&name.as_str()) {
            out.push(format!("crates/{name}: a name that would take everything"));
        }
    }
    Ok(())
}

fn sources(root: &Path, out: &mut Vec<String>) -> Result<()> {
    for file in source_files(root)? {
        let shown = file.strip_prefix(root).unwrap_or(&file).display().to_string();
        let text = fs::read_to_string(&file).with_context(|| format!("reading {shown}"))?;
        let is_rust = file.extension().is_some_and(|e| e == "rs");
        let body = body_lines(&text);
        if body > BODY_LINES_MAX {
            out.push(format!("{shown}: {body} body lines, at most {BODY_LINES_MAX}"));
        }
        if is_rust && !text.trim_start().starts_with("//!") {
            out.push(format!("{shown}: must open with `//!`: what it is for, and what it is not"));
        }
        let stem = file.file_stem().and_then(|s| s.to_str()).unwrap_or_default();
        if is_rust && NAMES_REFUSED.contains(&stem) {
            out.push(format!("{shown}: a name that would take everything"));
        }
        if is_rust && file.file_name().is_some_and(|n| n == "mod.rs") && !shown.contains("/tests/")
        {
            out.push(format!("{shown}: write `name.rs` beside `name/` instead of `mod.rs`"));
        }
        if shown.starts_with("xtask/") {
            continue;
        }
        for (n, line) in text.lines().enumerate() {
            for mark in ["TODO", "FIXME", "XXX", "todo!(", "unimplemented!(", "#[allow("] {
                if line.contains(mark) {
                    out.push(format!("{shown}:{}: {mark}", n + 1));
                }
            }
            let lower = line.to_ascii_lowercase();
            if lower.contains("println!(\"skip") && !shown.starts_with("crates/lane/") {
                out.push(format!(
                    "{shown}:{}: skipped with `toft_lane::skip`, or nobody counts it",
                    n + 1
                ));
            }
        }
    }
    Ok(())
}

fn body_lines(text: &str) -> usize {
    let end = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    text[..end].lines().count()
}

fn source_files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for dir in [
        "crates",
        "xtask",
        "desktop/src",
        "fuzz/src",
        "dashboard/src",
        "dashboard/test",
        "dashboard/scripts",
    ] {
        below(&root.join(dir), &mut out)?;
    }
    out.sort();
    Ok(out)
}

fn below(dir: &Path, out: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(dir) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        if path.is_dir() {
            if !matches!(name, "target" | "node_modules" | "dist") {
                below(&path, out)?;
            }
        } else if matches!(path.extension().and_then(|e| e.to_str()), Some("rs" | "ts" | "tsx")) {
            out.push(path);
        }
    }
    Ok(())
}

fn architecture(root: &Path, out: &mut Vec<String>) -> Result<()> {
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).context("ARCHITECTURE.md")?;
    let lines = text.lines().count();
    if lines > ARCHITECTURE_LINES_MAX {
        out.push(format!("ARCHITECTURE.md: {lines} lines, at most {ARCHITECTURE_LINES_MAX}"));
    }
    for name in crates(root)?.keys() {
        if !text.contains(&format!("`crates/{name}`")) {
            out.push(format!("ARCHITECTURE.md does not name `crates/{name}`"));
        }
    }
    for path in named_paths(&text) {
        if !root.join(path).exists() {
            out.push(format!("ARCHITECTURE.md names `{path}`, which does not exist"));
        }
    }
    Ok(())
}

/// What stands in backticks and begins with a folder of this repository.
fn named_paths(text: &str) -> Vec<&str> {
    let folders = ["crates/", "dashboard/", "docs/", "xtask/", "desktop/", ".ci/"];
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|quoted| folders.iter().any(|f| quoted.starts_with(f)))
        .filter(|quoted| !quoted.contains(['*', '{', '<', ' ']))
        .collect()
}

fn decisions(root: &Path, out: &mut Vec<String>) -> Result<()> {
    let dir = root.join("docs/decisions");
    let mut names: Vec<String> = fs::read_dir(&dir)
        .context("reading docs/decisions")?
        .map(|e| Ok(e?.file_name().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    names.sort();
    for (index, name) in names.iter().enumerate() {
        if !name.starts_with(&format!("{:04}-", index + 1)) {
            out.push(format!("docs/decisions/{name}: expected number {:04}", index + 1));
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the report is what was asked for")]
fn print_report(root: &Path) -> Result<()> {
    let mut bodies = Vec::new();
    let (mut all, mut tests) = (0, 0);
    for file in source_files(root)? {
        let text = fs::read_to_string(&file)?;
        let lines = text.lines().count();
        let is_test =
            file.components().any(|c| c.as_os_str() == "tests" || c.as_os_str() == "stories");
        let body = if is_test { 0 } else { body_lines(&text) };
        all += lines;
        tests += lines - body;
        if !is_test {
            bodies.push((body, file));
        }
    }
    bodies.sort();
    if bodies.is_empty() {
        return Ok(());
    }
    println!("files {}  lines {all}  tests {} %", bodies.len(), tests * 100 / all.max(1));
    println!("median body {}  p90 {}", bodies[bodies.len() / 2].0, bodies[bodies.len() * 9 / 10].0);
    for (body, file) in bodies.iter().rev().take(8) {
        println!("{body:>5}  {}", file.strip_prefix(root).unwrap_or(file).display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_house_is_tidy() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let faults = faults(root).unwrap();
        assert!(faults.is_empty(), "the house is not tidy:\n  {}", faults.join("\n  "));
    }

    #[test]
    fn tests_do_not_count_as_body() {
        assert_eq!(body_lines("a\nb\n#[cfg(test)]\nmod tests {}\n"), 2);
        assert_eq!(body_lines("a\nb\n"), 2);
    }

    #[test]
    fn only_paths_of_this_repository_are_checked() {
        let text = "see `crates/model/src/id.rs`, `GET /v1`, `crates/*/x`, and `docs/a.md`";
        assert_eq!(named_paths(text), ["crates/model/src/id.rs", "docs/a.md"]);
    }
}
