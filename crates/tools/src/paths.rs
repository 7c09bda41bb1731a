//! What a path in a call means. The machine is the sandbox: absolute paths are fine.

use crate::host::ToolContext;
use std::path::{Component, Path, PathBuf};

/// The absolute path for what the model wrote: relative to the project's folder, `~` the home.
/// `.` and `..` are taken out by text.
pub(crate) fn resolve(ctx: &ToolContext, path: &str) -> PathBuf {
    // Some models quote a path as they would for a person.
    let path = path.trim().trim_matches('`');
    let path = path.strip_prefix("file://").unwrap_or(path);
    let joined = match path.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            ctx.shell.home().join(rest.trim_start_matches('/'))
        }
        Some(_) | None => ctx.cwd.join(path),
    };
    let mut out = PathBuf::new();
    for part in joined.components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => out.push(part),
        }
    }
    out
}

/// As the model should see it: below the project's folder relative, else absolute.
pub(crate) fn shown(ctx: &ToolContext, path: &Path) -> String {
    let shown = path.strip_prefix(&ctx.cwd).unwrap_or(path);
    if shown.as_os_str().is_empty() { ".".into() } else { shown.display().to_string() }
}

/// An error of the file system in words that help.
pub(crate) fn explain(error: &std::io::Error, path: &str) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            format!("{path} does not exist. Use ls or find to see what is there.")
        }
        std::io::ErrorKind::PermissionDenied => format!("{path}: permission denied."),
        std::io::ErrorKind::IsADirectory => {
            format!("{path} is a folder. Use ls to see what is in it.")
        }
        std::io::ErrorKind::NotADirectory => {
            format!("A part of {path} is a file, not a folder.")
        }
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            format!("{path} could not be written: the disk is full. Free some space first.")
        }
        std::io::ErrorKind::ReadOnlyFilesystem => {
            format!("{path} cannot be changed: that place is read-only.")
        }
        _ => format!("{path}: {error}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Bench;

    #[tokio::test]
    async fn paths_are_taken_as_a_person_means_them() {
        let bench = Bench::new();
        let (ctx, _updates) = bench.context("c");
        let cwd = ctx.cwd.clone();
        let check =
            |path: &str, expected: PathBuf| assert_eq!(resolve(&ctx, path), expected, "{path}");
        check("a/b", cwd.join("a/b"));
        check("./a/../b", cwd.join("b"));
        check("/etc/x", "/etc/x".into());
        check("~", ctx.shell.home());
        check("~/x", ctx.shell.home().join("x"));
        check("~x", cwd.join("~x"));
        check("/../../x", "/x".into());
        assert_eq!(shown(&ctx, &cwd.join("a")), "a");
        assert_eq!(shown(&ctx, &cwd), ".");
        assert_eq!(shown(&ctx, Path::new("/etc")), "/etc");
    }
}
