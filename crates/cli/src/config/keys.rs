//! A file of provider keys: lines `NAME=value`, as shells and container engines read them. Only its owner
//! may be able to read it. No value of it is ever in an error.

use anyhow::{Context as _, Result, bail};
use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};
use toft_server::{KeysFile, WatchedFile};

/// In the data folder, where nothing else is said.
const FILE: &str = "keys.env";
/// Bytes of such a file: fifty keys of the longest kind.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// Permissions of group and others.
const OTHERS: u32 = 0o077;

/// The file, what may stand in it, and as what it was read last.
#[derive(Debug)]
pub(crate) struct Watched {
    file: WatchedFile,
    /// A person has named it: then it has to be there.
    is_named: bool,
    names: Vec<&'static str>,
}

impl Watched {
    /// `names`: those that may stand in it.
    pub(super) fn new(
        data: &Path,
        named: Option<&PathBuf>,
        names: Vec<&'static str>,
    ) -> Result<Self> {
        let path = named.map_or_else(|| Ok(data.join(FILE)), std::path::absolute)?;
        Ok(Self { file: WatchedFile::new(path), is_named: named.is_some(), names })
    }

    /// Reads it; none when it is not named and not there.
    pub(super) fn read(&mut self) -> Result<Option<KeysFile>> {
        self.file.read(|path| read(path, self.is_named, &self.names))
    }

    /// What stands there now, if that is not what was read last.
    pub(crate) fn again(&mut self) -> Option<Result<Option<KeysFile>, String>> {
        let read = self.file.again(|path| read(path, self.is_named, &self.names))?;
        Some(read.map_err(|error| format!("{error:#}")))
    }
}

fn read(path: &Path, is_named: bool, names: &[&'static str]) -> Result<Option<KeysFile>> {
    let reading = || format!("reading the file of keys, {}", path.display());
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        Err(e)
            if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) && !is_named =>
        {
            return Ok(None);
        }
        Err(e) => return Err(e).with_context(reading),
    };
    if meta.mode() & OTHERS != 0 {
        bail!("{} can be read or changed by others than its owner: chmod 600 {0}", path.display());
    }
    if !meta.is_file() || meta.len() > FILE_BYTES_MAX {
        bail!("{} is no file of keys: it has lines NAME=value, at most 256 KiB", path.display());
    }
    let text = fs::read_to_string(path).with_context(reading)?;
    let values = parse(&text, names).with_context(reading)?;
    Ok(Some(KeysFile { path: path.to_owned(), values }))
}

fn parse(text: &str, names: &[&'static str]) -> Result<BTreeMap<String, String>> {
    let mut values = BTreeMap::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else {
            bail!("line {number} is none of the form NAME=value");
        };
        let name = name.trim();
        if !names.contains(&name) {
            // What stands there may be a key in the wrong place.
            let plain = name.len() <= 40
                && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
            let name = if plain { name } else { "the name" };
            bail!(
                "line {number}: {name} is no variable of a provider. There are {}",
                names.join(", ")
            );
        }
        if values.insert(name.to_owned(), unquoted(value.trim()).to_owned()).is_some() {
            bail!("line {number}: {name} stands there twice");
        }
    }
    Ok(values)
}

fn unquoted(value: &str) -> &str {
    let within = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    within('"').or_else(|| within('\'')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const NAMES: [&str; 2] = ["A_API_KEY", "B_BASE_URL"];

    #[test]
    fn lines_are_read_as_shells_write_them() {
        let text = "# keys\n\nA_API_KEY=sk-1=2\r\nexport B_BASE_URL = \"http://h/v1\"\n";
        let values = parse(text, &NAMES).unwrap();
        assert_eq!((&*values["A_API_KEY"], &*values["B_BASE_URL"]), ("sk-1=2", "http://h/v1"));
    }

    #[test]
    fn what_cannot_be_read_is_said_by_its_line_and_never_by_its_value() {
        for (text, words) in [
            ("sk-canary", "line 1 is none of the form"),
            ("A_API_KEY=x\nPATH=sk-canary", "line 2: PATH is no variable"),
            ("sk-canary-1=sk-canary", "line 1: the name is no variable"),
            ("A_API_KEY=sk-canary\nA_API_KEY=sk-canary", "line 2: A_API_KEY stands there twice"),
        ] {
            let error = format!("{:#}", parse(text, &NAMES).unwrap_err());
            assert!(error.contains(words) && !error.contains("canary"), "{error}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_and_one_that_is_not_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let read = |named: Option<&PathBuf>| {
            Watched::new(dir.path(), named, NAMES.to_vec()).unwrap().read()
        };
        assert!(read(None).unwrap().is_none());
        let path = dir.path().join(FILE);
        assert!(read(Some(&path)).is_err(), "it was named");
        write(&path, "A_API_KEY=x\n", 0o640);
        let error = read(None).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let read = read(None).unwrap().unwrap();
        assert_eq!((read.path, &*read.values["A_API_KEY"]), (path, "x"));
    }

    fn write(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_change_is_read_once_when_it_has_come_to_rest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let mut watched = Watched::new(dir.path(), None, NAMES.to_vec()).unwrap();
        assert!(watched.read().unwrap().is_none() && watched.again().is_none());
        let value = |news: Option<Result<Option<KeysFile>, String>>| {
            news.unwrap().unwrap().map(|file| file.values["A_API_KEY"].clone())
        };
        write(&path, "A_API_K", 0o600);
        assert!(watched.again().is_none(), "it is just being written");
        write(&path, "A_API_KEY=one\n", 0o600);
        assert!(watched.again().is_none(), "it has changed since");
        assert_eq!(value(watched.again()).as_deref(), Some("one"));
        assert!(watched.again().is_none() && watched.again().is_none(), "said once");

        // Put in its place by a name.
        let new = dir.path().join("new");
        write(&new, "A_API_KEY=two\n", 0o600);
        fs::rename(&new, &path).unwrap();
        assert!(watched.again().is_none());
        assert_eq!(value(watched.again()).as_deref(), Some("two"));

        // One that cannot be read is told once, also when only its mode is wrong.
        for (text, mode, words) in
            [("A_API_KEY=two\n", 0o644, "chmod 600"), ("sk-canary\n", 0o600, "line 1")]
        {
            write(&path, text, mode);
            assert!(watched.again().is_none());
            let error = watched.again().unwrap().unwrap_err();
            assert!(error.contains(words) && !error.contains("canary"), "{error}");
            assert!(watched.again().is_none() && watched.again().is_none(), "{words}");
        }
        fs::remove_file(&path).unwrap();
        assert!(watched.again().is_none());
        assert_eq!(value(watched.again()), None);
    }
}
