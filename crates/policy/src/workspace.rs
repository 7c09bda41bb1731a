//! Which paths of a project the tools of the Platform Agent may touch. By text alone: who opens a path sees to it
//! that no link leads out of the project.

use std::path::{Component, Path, PathBuf};

/// Folders that are git's own, which comes first, or are made anew.
const DENIED_DIRS: [&str; 7] =
    [".git", "node_modules", ".next", "dist", "build", ".cache", ".turbo"];
/// What may be written, by the end of its name.
const WRITABLE: [&str; 17] = [
    "ts", "tsx", "js", "jsx", "json", "md", "sql", "toml", "yml", "yaml", "css", "scss", "svg",
    "png", "jpg", "jpeg", "webp",
];
/// The same, of icons.
const ICON: &str = "ico";
/// Names secrets and has none.
const EXAMPLE: &str = ".env.example";

/// Why a path may not be touched, in words for a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathDenied {
    /// It leads out of the project.
    #[error("{0} lies outside of the project's folder")]
    Outside(String),
    /// It is where Toft keeps what it knows of the project.
    #[error("{0} is Toft's own: conversations, logs and settings")]
    Own(String),
    /// It lies in one of the folders that are left alone.
    #[error("{0} lies in {1}, which is left alone")]
    Folder(String, &'static str),
    /// It holds secrets.
    #[error(
        "{0} is a file that holds secrets: they are set by people, and .env.example names them"
    )]
    Secret(String),
    /// Files of its kind are not written.
    #[error(
        "{0} is no kind of file that may be written: source, styles, pictures, JSON, Markdown, SQL, TOML, YAML"
    )]
    Kind(String),
}

/// The path below the project's folder, without `.` and `..`; an empty one is the folder itself.
pub fn inside(path: &str) -> Result<PathBuf, PathDenied> {
    let mut clean = PathBuf::new();
    for part in Path::new(path).components() {
        let leaves = match part {
            Component::CurDir => false,
            Component::ParentDir => !clean.pop(),
            Component::Normal(part) => {
                clean.push(part);
                false
            }
            Component::RootDir | Component::Prefix(_) => true,
        };
        if leaves || path.contains('\0') {
            return Err(PathDenied::Outside(path.to_owned()));
        }
    }
    Ok(clean)
}

/// Whether what lies in a folder of this name is made anew when it is gone.
pub fn is_made_anew(name: &str) -> bool {
    DENIED_DIRS[1..].iter().any(|dir| name.eq_ignore_ascii_case(dir))
}

/// Whether a file of this name holds secrets.
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    if name == EXAMPLE {
        return false;
    }
    let end = Path::new(&name).extension().and_then(|end| end.to_str());
    name == ".env"
        || name.starts_with(".env.")
        || matches!(end, Some("pem" | "key"))
        || matches!(name.as_str(), ".npmrc" | ".git-credentials")
}

/// A path that may be read: below the project's folder, in none of the folders that are left alone, no secret.
pub fn readable(path: &str) -> Result<PathBuf, PathDenied> {
    let clean = inside(path)?;
    for part in clean.components() {
        let name = part.as_os_str().to_string_lossy();
        let lower = name.to_ascii_lowercase();
        if let Some(dir) = DENIED_DIRS.iter().find(|dir| **dir == lower) {
            return Err(PathDenied::Folder(path.to_owned(), dir));
        }
        if is_secret(&name) {
            return Err(PathDenied::Secret(path.to_owned()));
        }
    }
    Ok(clean)
}

/// A file that may be written: also of a kind that is.
pub fn writable(path: &str) -> Result<PathBuf, PathDenied> {
    let clean = readable(path)?;
    let is_example = clean.file_name().is_some_and(|name| name == EXAMPLE);
    let end =
        clean.extension().and_then(|end| end.to_str()).unwrap_or_default().to_ascii_lowercase();
    if is_example || end == ICON || WRITABLE.contains(&end.as_str()) {
        Ok(clean)
    } else {
        Err(PathDenied::Kind(path.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        judge: fn(&str) -> Result<PathBuf, PathDenied>,
        path: &str,
        expected: Result<&str, &str>,
    ) {
        match (judge(path), expected) {
            (Ok(clean), Ok(wanted)) => assert_eq!(clean, Path::new(wanted), "{path}"),
            (Err(denied), Err(part)) => {
                assert!(denied.to_string().contains(part), "{path}: {denied}");
            }
            (got, expected) => panic!("{path}: {got:?} instead of {expected:?}"),
        }
    }

    #[test]
    fn what_leads_out_of_the_project_is_denied() {
        check(inside, "a/./b/../c", Ok("a/c"));
        check(inside, ".", Ok(""));
        for out in ["/etc/passwd", "..", "a/../../b", "a\0b"] {
            check(inside, out, Err("outside"));
        }
    }

    #[test]
    fn folders_and_secrets_of_the_sources_list_are_denied() {
        for dir in DENIED_DIRS {
            check(readable, &format!("{dir}/x.ts"), Err(dir));
            check(readable, &format!("web/{dir}"), Err(dir));
        }
        for file in [
            ".env",
            ".env.local",
            ".ENV.production",
            "a/b.pem",
            "id.key",
            ".npmrc",
            ".git-credentials",
            ".env/x.ts",
        ] {
            check(readable, file, Err("secrets"));
            check(writable, file, Err("secrets"));
        }
        for fine in
            [".env.example", "src/environment.ts", "keys.ts", "gitignore.md", "builder/a.ts"]
        {
            check(readable, fine, Ok(fine));
            check(writable, fine, Ok(fine));
        }
    }

    #[test]
    fn only_kinds_of_the_sources_list_are_written() {
        for end in WRITABLE {
            check(writable, &format!("a.{end}"), Ok(&format!("a.{end}")));
        }
        check(writable, "app/Icon.ICO", Ok("app/Icon.ICO"));
        for file in ["a.sh", "Makefile", "a.env.example.sh", "a.tsx.bak", ".gitignore", "a.html"] {
            check(writable, file, Err("no kind of file"));
            check(readable, file, Ok(file));
        }
    }
}
