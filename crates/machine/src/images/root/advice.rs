//! What is wrong with a root, in words that say what to do about it. Changes nothing.

use super::{Below, LINKS_MAX, Root};
use crate::inside::FOLDER;
use rustix::{
    fs::{Dir, Mode, OFlags, openat, readlinkat},
    io::Errno,
};

/// Entries at the top in which a root that was packed with its folder is looked for.
const TOP_ENTRIES_MAX: usize = 100;

impl Root {
    /// Which link on a path leads to no end, and what to do about it; `None`: none does.
    pub(crate) fn bad_link(&self, path: &Below) -> Option<String> {
        self.bad_link_behind(path, LINKS_MAX)
    }

    /// `left`: links that are still followed to the one that is to blame.
    fn bad_link_behind(&self, path: &Below, left: usize) -> Option<String> {
        (1..=path.0.len()).find_map(|count| {
            let how = match self.resolve(&path.path(count), OFlags::PATH) {
                Err(Errno::LOOP) => "in a circle",
                Err(Errno::NOENT) => "to nothing that is in it",
                _ => return None,
            };
            let link = Below(path.0[..count].to_vec());
            let (folder, name) = link.split()?;
            let to = readlinkat(self.existing(&folder).ok()?, name, Vec::new()).ok()?;
            let next = Self::joined(&folder.0, to.to_bytes()).ok().filter(|next| *next != link);
            let behind = next.filter(|_| left > 0);
            if let Some(told) = behind.and_then(|next| self.bad_link_behind(&next, left - 1)) {
                return Some(told);
            }
            let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).escape_debug().to_string();
            let names: Vec<String> = link.0.iter().map(|name| shown(name.to_bytes())).collect();
            Some(format!(
                "`/{}` is a link to `{}`, which leads {how}: in an image `/` is the image's own root. Put \
                 the real folder or file there, or a link to one in the archive, and pack it again",
                names.join("/"),
                shown(to.to_bytes())
            ))
        })
    }

    /// A folder at the top in which such a program lies.
    pub(crate) fn top_with(&self, program: &Below) -> Option<String> {
        let top = openat(&self.top, c".", FOLDER, Mode::empty()).ok()?;
        let names = Dir::read_from(top).ok()?.flatten().map(|entry| entry.file_name().to_owned());
        let plain = names.filter(|name| name.as_c_str() != c"." && name.as_c_str() != c"..");
        let found = plain.take(TOP_ENTRIES_MAX).find(|name| {
            self.has_program(&Below([std::slice::from_ref(name), program.0.as_slice()].concat()))
        })?;
        Some(found.to_string_lossy().escape_debug().to_string())
    }
}
