//! Reads a tar archive entry by entry: POSIX ustar, pax and GNU headers (the fields by the crate
//! `tar`). Every length that the archive names is bounded before anything is kept in memory. Says
//! nothing of where an entry goes.

use super::root::Meta;
use std::io::{self, Read};
use tar::Header;

/// Size of a block.
const BLOCK: usize = 512;
/// Longest record of names or attributes in front of an entry. Names hold 4 KiB; pax records may
/// carry attributes of 64 KiB, several of them.
const EXTENSION_BYTES_MAX: u64 = 1 << 20;
/// Such records one after the other.
const EXTENSIONS_MAX: usize = 16;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Folder,
    Link,
    HardLink,
    /// A device or a pipe: machines make their own.
    Node,
}

/// One entry; its content is read from the archive next.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    pub(crate) path: Vec<u8>,
    /// Of links: what they say.
    pub(crate) target: Vec<u8>,
    pub(crate) size: u64,
    pub(crate) meta: Meta,
}

/// An archive that is being read. Reading from it gives the content of the latest entry.
pub(crate) struct Archive<R> {
    from: R,
    /// Of the entry's content.
    left: u64,
    /// After it.
    padding: u64,
    global: Records,
}

/// What extended headers say; the last word counts.
#[derive(Debug, Default, Clone)]
struct Records {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
    mtime: Option<u64>,
}

fn bad(why: impl Into<String>) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("it is no whole tar archive: {}", why.into()),
    )
}

impl<R: Read> Archive<R> {
    pub(crate) fn new(from: R) -> Self {
        Self { from, left: 0, padding: 0, global: Records::default() }
    }

    /// The next entry; what is left of the latest is passed over. `None`: the end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Entry>> {
        let rest = self.left + self.padding;
        let skipped = io::copy(&mut (&mut self.from).take(rest), &mut io::sink())?;
        (self.left, self.padding) = (0, 0);
        if skipped < rest {
            return Err(bad("it ends within a file"));
        }
        let mut said = self.global.clone();
        for _ in 0..EXTENSIONS_MAX {
            let Some(block) = self.block()? else { return Ok(None) };
            let header = Header::from_byte_slice(&block);
            let kind = header.entry_type().as_byte();
            let size = match header.entry_size() {
                Ok(size) => size,
                // Nothing but files and extensions has any content.
                Err(_) if matches!(kind, b'1'..=b'6') => 0,
                Err(e) => return Err(bad(e.to_string())),
            };
            match kind {
                b'x' | b'X' => said.read(&self.extension(size)?)?,
                b'g' => {
                    let global = self.extension(size)?;
                    self.global.read(&global)?;
                    said.read(&global)?;
                }
                b'L' => said.path = Some(until_zero(self.extension(size)?)),
                b'K' => said.target = Some(until_zero(self.extension(size)?)),
                // Label of a volume: no file.
                b'V' => drop(self.extension(size)?),
                kind => return self.entry(header, kind, size, said).map(Some),
            }
        }
        Err(bad("too many extended headers follow each other"))
    }

    fn entry(&mut self, header: &Header, kind: u8, size: u64, said: Records) -> io::Result<Entry> {
        let path = said.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let kind = match kind {
            // Before POSIX a name with a slash at its end was a folder.
            b'0' | 0 if path.ends_with(b"/") => Kind::Folder,
            b'0' | b'7' | 0 => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Link,
            b'3' | b'4' | b'6' => Kind::Node,
            b'5' => Kind::Folder,
            b'S' => {
                return Err(bad("it holds sparse files: make it again without `--sparse`"));
            }
            b'M' => return Err(bad("it is one of several volumes")),
            other => {
                let shown = char::from(other).escape_default();
                return Err(bad(format!("it has an entry of an unknown kind ({shown})")));
            }
        };
        let size = said.size.unwrap_or(size);
        // Some writers leave fields blank, or put a time before 1970 there.
        let usual = if kind == Kind::Folder { 0o755 } else { 0o644 };
        let meta = Meta {
            mode: header.mode().unwrap_or(usual),
            uid: said.uid.or_else(|| header.uid().ok()).unwrap_or_default(),
            gid: said.gid.or_else(|| header.gid().ok()).unwrap_or_default(),
            mtime: said.mtime.or_else(|| header.mtime().ok()).unwrap_or_default(),
        };
        let target = said
            .target
            .or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned))
            .unwrap_or_default();
        // Whatever it says: only files have content. Some writers name a size for hard links.
        let content = if kind == Kind::File { size } else { 0 };
        (self.left, self.padding) = (content, padding(content));
        Ok(Entry { kind, path, target, size: content, meta })
    }

    /// A header block that is one. `None`: the end.
    fn block(&mut self) -> io::Result<Option<[u8; BLOCK]>> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.from.read(&mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(bad("it ends within a header")),
                read => filled += read,
            }
        }
        if block.iter().all(|b| *b == 0) {
            return Ok(None);
        }
        let sum: u32 = block
            .iter()
            .enumerate()
            // The sum is made as if its own field were blank.
            .map(|(at, b)| if (148..156).contains(&at) { 32 } else { u32::from(*b) })
            .sum();
        match Header::from_byte_slice(&block).cksum() {
            Ok(told) if told == sum => Ok(Some(block)),
            _ => Err(bad("a header's checksum is wrong")),
        }
    }

    fn extension(&mut self, size: u64) -> io::Result<Vec<u8>> {
        if size > EXTENSION_BYTES_MAX {
            return Err(bad(format!("a name or attribute in it has {size} bytes")));
        }
        let mut bytes = Vec::new();
        (&mut self.from).take(size).read_to_end(&mut bytes)?;
        let whole = u64::try_from(bytes.len()).is_ok_and(|len| len == size);
        let skip = padding(size);
        let skipped = io::copy(&mut (&mut self.from).take(skip), &mut io::sink())?;
        if whole && skipped == skip { Ok(bytes) } else { Err(bad("it ends within a name")) }
    }

    /// What comes after the last entry.
    pub(crate) fn into_rest(self) -> R {
        self.from
    }
}

impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.from.read(&mut buf[..wanted])?;
        if read == 0 {
            return Err(bad("it ends within a file"));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

impl Records {
    /// `length key=value\n`, one after the other (pax, POSIX.1-2001).
    fn read(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let record = || bad("an extended header cannot be read");
            let blank = bytes.iter().position(|b| *b == b' ').ok_or_else(record)?;
            let length: usize = text(&bytes[..blank]).parse().map_err(|_| record())?;
            let (this, rest) = bytes.split_at_checked(length).ok_or_else(record)?;
            let this = this.get(blank + 1..).and_then(|t| t.strip_suffix(b"\n"));
            let this = this.ok_or_else(record)?;
            let equals = this.iter().position(|b| *b == b'=').ok_or_else(record)?;
            let (key, value) = (&this[..equals], &this[equals + 1..]);
            let number = || -> io::Result<u64> {
                // Times have fractions.
                let whole = text(value).split('.').next().unwrap_or_default().to_owned();
                whole.parse().map_err(|_| record())
            };
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.target = Some(value.to_vec()),
                b"size" => self.size = Some(number()?),
                b"uid" => self.uid = Some(number()?),
                b"gid" => self.gid = Some(number()?),
                b"mtime" => self.mtime = number().ok(),
                key if key.starts_with(b"GNU.sparse.") => {
                    return Err(bad("it holds sparse files: make it again without `--sparse`"));
                }
                // Attributes: rights of programs have no effect in machines.
                _ => {}
            }
            bytes = rest;
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn padding(size: u64) -> u64 {
    size.next_multiple_of(BLOCK as u64) - size
}

fn until_zero(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|b| *b == 0) {
        bytes.truncate(end);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Vec<(Kind, String, String, String)>> {
        let mut archive = Archive::new(bytes);
        let mut found = Vec::new();
        while let Some(entry) = archive.next()? {
            let mut content = String::new();
            archive.read_to_string(&mut content)?;
            let name = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
            found.push((entry.kind, name(&entry.path), name(&entry.target), content));
        }
        Ok(found)
    }

    #[test]
    fn names_of_any_length_come_whole_in_either_way_of_writing_them() {
        let long = format!("{}/{}", "d".repeat(150), "f".repeat(180));
        let mut gnu = tar::Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_size(3);
        header.set_mode(0o644);
        gnu.append_data(&mut header, &long, &b"one"[..]).unwrap();
        let mut header = Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        gnu.append_link(&mut header, "link", &long).unwrap();
        let found = read(&gnu.into_inner().unwrap()).unwrap();
        assert_eq!(found[0], (Kind::File, long.clone(), String::new(), "one".to_owned()));
        assert_eq!(found[1], (Kind::Link, "link".to_owned(), long.clone(), String::new()));

        let mut pax = tar::Builder::new(Vec::new());
        pax.append_pax_extensions([("path", long.as_bytes()), ("uid", &b"70000"[..])]).unwrap();
        let mut header = Header::new_ustar();
        header.set_path("short").unwrap();
        header.set_size(2);
        header.set_cksum();
        pax.append(&header, &b"ok"[..]).unwrap();
        let bytes = pax.into_inner().unwrap();
        assert_eq!(read(&bytes).unwrap()[0].1, long);
        assert_eq!(Archive::new(&bytes[..]).next().unwrap().unwrap().meta.uid, 70_000);
    }

    #[test]
    fn lengths_that_an_archive_makes_up_take_no_memory() {
        for (kind, size) in [(b'L', 1 << 40), (b'x', EXTENSION_BYTES_MAX + 1)] {
            let mut header = Header::new_gnu();
            header.set_entry_type(tar::EntryType::new(kind));
            header.set_size(size);
            header.set_cksum();
            let error = read(header.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(&format!("{size} bytes")), "{error}");
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(tar::EntryType::new(b'L'));
        header.set_size(0);
        header.set_cksum();
        let endless = header.as_bytes().repeat(EXTENSIONS_MAX + 1);
        assert!(read(&endless).is_err());
    }

    #[test]
    fn what_is_no_archive_or_cut_says_so() {
        assert!(read(&[7; 1024]).unwrap_err().to_string().contains("checksum"));
        assert!(read(&[7; 100]).unwrap_err().to_string().contains("within a header"));
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = Header::new_gnu();
        header.set_size(2000);
        tar.append_data(&mut header, "f", io::repeat(1).take(2000)).unwrap();
        let bytes = tar.into_inner().unwrap();
        assert!(read(&bytes[..1000]).is_err());
        assert!(Archive::new(&bytes[..1000]).next().unwrap().is_some());
        assert!(read(&[]).unwrap().is_empty());
    }
}
