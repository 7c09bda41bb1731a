//! What `GET files` and `GET files/content` say of a machine's files, whoever answers: its bridge while
//! it runs, the server from its disk while it rests. Shapes and rules of `docs/http-api.md`; touches no
//! file.

pub mod range;

use range::{Wanted, wanted};
use serde::{Deserialize, Serialize};
use std::{
    io,
    path::{Component, Path, PathBuf},
};

/// Entries of one folder that are told; a person cannot read more, a `node_modules` may hold more.
pub const ENTRIES_MAX: usize = 10_000;
/// `PATH_MAX` of Linux.
pub const PATH_BYTES_MAX: usize = 4_096;
/// Command name of `GET files` in answers.
pub const LOOK: &str = "get_file";
/// Command name of `GET files/content` in failures.
pub const CONTENT: &str = "get_file_content";
/// "Too many symbolic links" (`asm-generic/errno.h`); the standard library has no stable name for it.
const ELOOP: i32 = 40;
/// Kinds that a browser would run: they are shown as text.
const ACTIVE_KINDS: [&str; 5] =
    ["text/html", "application/xhtml+xml", "image/svg+xml", "text/xml", "application/xml"];

/// What a path is, and what a folder holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Looked {
    /// As it was asked for, absolute; links in it are not resolved.
    pub path: String,
    /// A folder, or anything else: [`FileKind::File`].
    #[serde(rename = "type")]
    pub kind: FileKind,
    /// Bytes.
    pub size: u64,
    /// Unix milliseconds.
    pub modified_at: u64,
    /// Permission bits.
    pub mode: u32,
    /// Of a folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entries: Option<Vec<Entry>>,
    /// Whether the folder holds more entries than are told.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
}

/// One entry of a folder; a link is told as itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// What is no UTF-8 in it is replaced.
    pub name: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: FileKind,
    /// Bytes.
    pub size: u64,
    /// Unix milliseconds.
    pub modified_at: u64,
}

/// What something in a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Link,
    /// A pipe, a socket, a device.
    Other,
}

/// Folders first, then by name.
pub fn sort(entries: &mut [Entry]) {
    entries.sort_by(|a, b| {
        (a.kind != FileKind::Dir, &a.name).cmp(&(b.kind != FileKind::Dir, &b.name))
    });
}

/// The path of a request from `folder` on: absolute, without `.` and `..`, as a person would read it.
/// Links are not its concern. The error is for people.
pub fn resolve(folder: &Path, path: &str) -> Result<PathBuf, &'static str> {
    if path.contains('\0') || path.len() > PATH_BYTES_MAX {
        return Err("a path is at most 4096 bytes long and holds no NUL byte");
    }
    let mut resolved = PathBuf::from("/");
    for part in folder.join(path).components() {
        match part {
            Component::Normal(name) => resolved.push(name),
            Component::ParentDir => {
                resolved.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(resolved)
}

/// What a step with a path is called in failures.
pub fn quoted(verb: &str, path: &Path) -> String {
    format!("{verb} {}", path.display())
}

/// Why something that is no regular file has no content.
pub fn no_content(path: &Path, is_folder: bool) -> String {
    let what = if is_folder { "a folder" } else { "no regular file" };
    format!("{} is {what}: it has no content", path.display())
}

/// HTTP status and code for a file operation that failed.
pub fn refusal(err: &io::Error) -> (u16, &'static str) {
    match err.kind() {
        io::ErrorKind::NotFound => (404, "not_found"),
        io::ErrorKind::AlreadyExists
        | io::ErrorKind::DirectoryNotEmpty
        // The root of a mount, above all.
        | io::ErrorKind::ResourceBusy => (409, "conflict"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (507, "disk_full"),
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => (403, "forbidden"),
        io::ErrorKind::InvalidInput
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::InvalidFilename => (400, "invalid_argument"),
        _ if err.raw_os_error() == Some(ELOOP) => (400, "invalid_argument"),
        _ => (500, "internal"),
    }
}

/// What tells one version of a file from another (the header `ETag`).
pub fn tag(modified_ms: u64, size: u64) -> String {
    format!("\"{modified_ms:x}-{size:x}\"")
}

/// What a request for content says in its headers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// `If-None-Match`.
    pub none_match: Option<&'a str>,
    /// `If-Range`.
    pub if_range: Option<&'a str>,
    /// `Range`.
    pub range: Option<&'a str>,
}

/// What of a file is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// Nothing: the client has this version.
    Unchanged,
    /// Nothing: the range lies outside.
    Unsatisfiable,
    /// All of it.
    Whole,
    /// First and last byte, both included.
    Part(u64, u64),
}

impl Sent {
    /// Of a file of that tag and size.
    pub fn of(asked: Asked<'_>, tag: &str, size: u64) -> Self {
        if asked.none_match == Some(tag) {
            return Self::Unchanged;
        }
        // A range of another version of the file would be torn.
        let same = asked.if_range.is_none_or(|wanted| wanted == tag);
        match wanted(asked.range.filter(|_| same), size) {
            Wanted::All => Self::Whole,
            Wanted::Part(first, last) => Self::Part(first, last),
            Wanted::Unsatisfiable => Self::Unsatisfiable,
        }
    }

    /// HTTP status.
    pub fn status(self) -> u16 {
        match self {
            Self::Unchanged => 304,
            Self::Unsatisfiable => 416,
            Self::Whole => 200,
            Self::Part(..) => 206,
        }
    }

    /// First byte and how many.
    pub fn bytes(self, size: u64) -> (u64, u64) {
        match self {
            Self::Unchanged | Self::Unsatisfiable => (0, 0),
            Self::Whole => (0, size),
            Self::Part(first, last) => (first, last - first + 1),
        }
    }

    /// Headers of the answer, by lower-case name. `guessed` is the kind of content that the file's
    /// name suggests; what a browser would run is sent as text to be saved.
    pub fn headers(self, tag: &str, size: u64, guessed: &str) -> Vec<(&'static str, String)> {
        let mut headers = vec![("etag", tag.to_owned())];
        if self == Self::Unchanged {
            return headers;
        }
        let is_active = ACTIVE_KINDS.contains(&guessed) || guessed.ends_with("+xml");
        if is_active {
            headers.push(("content-disposition", "attachment".to_owned()));
        }
        let is_text = is_active || guessed == "text/plain";
        let kind = if is_text { "text/plain; charset=utf-8" } else { guessed };
        headers.push(("content-type", kind.to_owned()));
        headers.push(("x-content-type-options", "nosniff".to_owned()));
        match self {
            Self::Unsatisfiable => headers.push(("content-range", format!("bytes */{size}"))),
            Self::Part(first, last) => {
                headers.push(("content-range", format!("bytes {first}-{last}/{size}")));
            }
            Self::Unchanged | Self::Whole => {}
        }
        if matches!(self, Self::Whole | Self::Part(..)) && size > 0 {
            headers.push(("accept-ranges", "bytes".to_owned()));
            headers.push(("content-length", self.bytes(size).1.to_string()));
        }
        headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_start_at_the_folder_and_never_leave_the_root() {
        let folder = Path::new("/home/project");
        for (path, want) in [
            ("", "/home/project"),
            ("a/./b", "/home/project/a/b"),
            ("../../../x", "/x"),
            ("/etc/../usr", "/usr"),
        ] {
            assert_eq!(resolve(folder, path).unwrap(), Path::new(want), "{path}");
        }
        assert!(resolve(folder, "a\0b").is_err() && resolve(folder, &"a".repeat(4097)).is_err());
    }

    #[test]
    fn a_version_is_sent_once_and_a_range_is_never_of_another() {
        let tag = tag(0x10, 10);
        assert_eq!(tag, "\"10-a\"");
        let sent =
            |none_match, if_range, range| Sent::of(Asked { none_match, if_range, range }, &tag, 10);
        assert_eq!(sent(Some(tag.as_str()), None, Some("bytes=0-1")), Sent::Unchanged);
        assert_eq!(sent(None, None, Some("bytes=2-3")), Sent::Part(2, 3));
        assert_eq!(sent(None, Some(tag.as_str()), Some("bytes=2-3")), Sent::Part(2, 3));
        assert_eq!(sent(None, Some("\"other\""), Some("bytes=2-3")), Sent::Whole);
        assert_eq!(sent(None, None, Some("bytes=10-")), Sent::Unsatisfiable);
    }

    #[test]
    fn headers_say_what_it_is_and_what_would_run_is_text() {
        let header = |sent: Sent, guessed, name| {
            let all = sent.headers("\"t\"", 10, guessed);
            all.into_iter().find(|(n, _)| *n == name).map(|(_, value)| value)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(header(Sent::Part(2, 4), "image/png", "content-length"), some("3"));
        assert_eq!(header(Sent::Part(2, 4), "image/png", "content-range"), some("bytes 2-4/10"));
        assert_eq!(header(Sent::Unsatisfiable, "image/png", "content-range"), some("bytes */10"));
        assert_eq!(header(Sent::Unsatisfiable, "image/png", "content-length"), None);
        assert_eq!(header(Sent::Whole, "image/png", "content-disposition"), None);
        for active in ["text/html", "image/svg+xml", "application/rss+xml"] {
            assert_eq!(header(Sent::Whole, active, "content-disposition"), some("attachment"));
            let kind = header(Sent::Whole, active, "content-type");
            assert_eq!(kind, some("text/plain; charset=utf-8"));
        }
        assert_eq!(Sent::Unchanged.headers("\"t\"", 10, "text/html").len(), 1);
    }
}
