//! What a path in a call means. The machine is the sandbox: absolute paths are fine.

use crate::host::ToolContext;
use rustix::fs::OFlags;
use std::{
    fs::{File, Metadata, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Component, Path, PathBuf},
};

/// The absolute path for what the model wrote: relative to the project's folder, `~` the home.
/// `.` and `..` are taken out by text.
pub(crate) fn resolve(ctx: &ToolContext, path: &str) -> PathBuf {
    absolute(&ctx.cwd, &ctx.shell.home(), path)
}

/// The same for a project's folder and a home: rules about paths must understand them as the tools do.
pub fn absolute(cwd: &Path, home: &Path, path: &str) -> PathBuf {
    // Some models quote a path as they would for a person.
    let path = path.trim().trim_matches('`');
    let path = path.strip_prefix("file://").unwrap_or(path);
    let joined = match path.strip_prefix('~') {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => {
            home.join(rest.trim_start_matches('/'))
        }
        Some(_) | None => cwd.join(path),
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

/// Opens a regular file to read it. Never waits: a pipe or device in its place is refused, also one
/// that takes the place in the very moment.
pub(crate) fn open_regular(path: &Path) -> io::Result<(File, Metadata)> {
    // A device is not even opened: that may do something.
    only_regular(std::fs::metadata(path)?)?;
    let file = open_as_regular(path)?;
    let meta = file.metadata()?;
    Ok((file, meta))
}

/// Opens a file that was just seen to be a regular one.
pub(crate) fn open_as_regular(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    only_regular(file.metadata()?)?;
    Ok(file)
}

fn only_regular(meta: Metadata) -> io::Result<Metadata> {
    if meta.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if meta.is_file() { Ok(meta) } else { Err(io::Error::other("this is no regular file")) }
}

/// An error of the file system in words that help.
pub(crate) fn explain(error: &io::Error, path: &str) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!("{path} does not exist. Use ls or find to see what is there.")
        }
        io::ErrorKind::PermissionDenied => format!("{path}: permission denied."),
        io::ErrorKind::IsADirectory => {
            format!("{path} is a folder. Use ls to see what is in it.")
        }
        io::ErrorKind::NotADirectory => {
            format!("A part of {path} is a file, not a folder.")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("{path} could not be written: the disk is full. Free some space first.")
        }
        io::ErrorKind::ReadOnlyFilesystem => {
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
