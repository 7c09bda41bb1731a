//! Finds the command by which a project checks itself: what its own files name, never a guess that could
//! install or start something. `None`: they name none.

use serde_json::Value;
use std::{fs::File, io::Read as _, path::Path};

/// Bytes of a file that are looked at.
const FILE_BYTES_MAX: u64 = 256 << 10;

/// Scripts of package.json: all that are there run, in this order.
const SCRIPTS: [&str; 4] = ["lint", "typecheck", "type-check", "test"];

/// What npm puts in for a test that is none.
const NO_TEST: &str = "no test specified";

/// The command, from the first of the files that names one.
pub(super) fn find(project: &Path) -> Option<String> {
    makefile(project)
        .or_else(|| package(project))
        .or_else(|| there(project, "Cargo.toml").then(|| "cargo test --quiet".to_owned()))
        .or_else(|| there(project, "go.mod").then(|| "go vet ./... && go test ./...".to_owned()))
        .or_else(|| python(project))
}

fn makefile(project: &Path) -> Option<String> {
    let text =
        ["GNUmakefile", "Makefile", "makefile"].iter().find_map(|name| read(project, name))?;
    let is_target = |name: &&&str| {
        text.lines().any(|line| {
            line.strip_prefix(**name)
                .is_some_and(|rest| rest.trim_start().starts_with(':') && !rest.contains(":="))
        })
    };
    ["check", "test"].iter().find(is_target).map(|target| format!("make {target}"))
}

fn package(project: &Path) -> Option<String> {
    let package: Value = serde_json::from_str(&read(project, "package.json")?).ok()?;
    let runner = [
        ("pnpm-lock.yaml", "pnpm"),
        ("yarn.lock", "yarn"),
        ("bun.lock", "bun"),
        ("bun.lockb", "bun"),
    ];
    let runner = runner.iter().find(|(lock, _)| there(project, lock)).map_or("npm", |(_, run)| run);
    let has = |name: &&&str| {
        let script = package["scripts"][**name].as_str();
        script.is_some_and(|script| !script.trim().is_empty() && !script.contains(NO_TEST))
    };
    let scripts = SCRIPTS.iter().filter(has).map(|name| format!("{runner} run {name}"));
    let commands: Vec<String> = scripts.collect();
    // Runners of tests watch files unless this is set.
    (!commands.is_empty()).then(|| format!("export CI=1; {}", commands.join(" && ")))
}

fn python(project: &Path) -> Option<String> {
    let settings = read(project, "pyproject.toml").unwrap_or_default();
    let mut commands = Vec::new();
    if settings.contains("[tool.ruff") || there(project, "ruff.toml") {
        commands.push("ruff check .");
    }
    let tests = settings.contains("[tool.pytest") || there(project, "pytest.ini");
    if tests || read(project, "tox.ini").is_some_and(|text| text.contains("[pytest]")) {
        commands.push("python3 -m pytest -q");
    }
    (!commands.is_empty()).then(|| commands.join(" && "))
}

fn there(project: &Path, name: &str) -> bool {
    // Not to be opened before: a pipe would wait for a writer.
    std::fs::metadata(project.join(name)).is_ok_and(|about| about.is_file())
}

fn read(project: &Path, name: &str) -> Option<String> {
    if !there(project, name) {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(project.join(name)).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(files: &[(&str, &str)], command: Option<&str>) {
        let project = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(project.path().join(name), text).unwrap();
        }
        assert_eq!(find(project.path()).as_deref(), command, "{files:?}");
    }

    #[test]
    fn each_kind_of_project_names_its_own_check() {
        check(&[], None);
        check(&[("README.md", "make test")], None);
        check(&[("Makefile", "all:\n\ttrue\ntest: all\n\ttrue\n")], Some("make test"));
        check(&[("Makefile", "test:\ncheck :\n")], Some("make check"));
        check(&[("Makefile", "test := 1\ntests:\n")], None);
        check(&[("Cargo.toml", "[package]")], Some("cargo test --quiet"));
        check(&[("go.mod", "module a")], Some("go vet ./... && go test ./..."));
        check(
            &[("pyproject.toml", "[tool.ruff]\n[tool.pytest.ini_options]")],
            Some("ruff check . && python3 -m pytest -q"),
        );
        check(&[("pytest.ini", "")], Some("python3 -m pytest -q"));
        check(&[("pyproject.toml", "[project]")], None);
    }

    #[test]
    fn scripts_of_a_package_run_with_its_own_runner() {
        let both = r#"{"scripts": {"lint": "eslint .", "test": "vitest", "build": "vite build"}}"#;
        check(&[("package.json", both)], Some("export CI=1; npm run lint && npm run test"));
        check(
            &[("package.json", both), ("pnpm-lock.yaml", "")],
            Some("export CI=1; pnpm run lint && pnpm run test"),
        );
        let none =
            r#"{"scripts": {"test": "echo \"Error: no test specified\" && exit 1", "lint": " "}}"#;
        check(&[("package.json", none)], None);
        check(&[("package.json", none), ("Cargo.toml", "")], Some("cargo test --quiet"));
        for odd in ["", "[]", "{\"scripts\": 7}", "{\"scripts\": {\"test\": []}}", "\u{0}"] {
            check(&[("package.json", odd)], None);
        }
        // What is in the way of the others comes first.
        check(&[("package.json", both), ("Makefile", "check:\n")], Some("make check"));
    }

    #[test]
    fn a_pipe_in_the_place_of_a_file_holds_nothing_up() {
        let project = tempfile::tempdir().unwrap();
        let pipe = project.path().join("package.json");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert_eq!(find(project.path()), None);
    }
}
