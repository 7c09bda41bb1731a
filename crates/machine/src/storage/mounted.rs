//! What is mounted where, from `/proc/self/mountinfo` (proc(5)). Reads only.

use std::{fs, io, path::PathBuf};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Where.
    pub(crate) point: PathBuf,
    /// Which part of its file system; `/` is all.
    pub(crate) root: String,
    /// File system type.
    pub(crate) kind: String,
    /// Options of the file system.
    pub(crate) options: String,
}

/// Every mount that this process sees, in the order they were made.
pub(crate) fn mount_points() -> io::Result<Vec<Mount>> {
    Ok(fs::read_to_string("/proc/self/mountinfo")?.lines().filter_map(parse).collect())
}

fn parse(line: &str) -> Option<Mount> {
    let (front, back) = line.split_once(" - ")?;
    let mut front = front.split(' ').skip(3);
    let (root, point) = (front.next()?, front.next()?);
    let mut back = back.split(' ');
    let (kind, _source, options) = (back.next()?, back.next()?, back.next().unwrap_or(""));
    Some(Mount {
        point: PathBuf::from(unescape(point)),
        root: unescape(root),
        kind: kind.to_owned(),
        options: options.to_owned(),
    })
}

/// Blank, tab, newline and backslash are written as three octal digits.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|d| u8::from_str_radix(d, 8).ok());
        if let Some(code) = code {
            out.push(char::from(code));
            rest = &rest[at + 4..];
        } else {
            out.push('\\');
            rest = &rest[at + 1..];
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_line_is_read_with_its_escapes_and_optional_fields() {
        let line = "36 35 98:0 /mnt1 /mnt/two\\040words rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        let mount = parse(line).unwrap();
        assert_eq!(mount.point, PathBuf::from("/mnt/two words"));
        assert_eq!((mount.root.as_str(), mount.kind.as_str()), ("/mnt1", "ext3"));
        assert_eq!(mount.options, "rw,errors=continue");
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn the_root_of_this_host_is_mounted() {
        assert!(mount_points().unwrap().iter().any(|m| m.point == std::path::Path::new("/")));
    }
}
