//! SHA-256: of what is read while it is read, and of names made of parts. Not a place for other
//! digests: images name no others that matter.

use super::progress::Progress;
use sha2::{Digest as _, Sha256};
use std::io::{self, Read};
use toft_model::id::hex;

/// Of a whole text.
pub(crate) fn of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Of several parts, which cannot be mistaken for other parts.
pub(crate) fn of_parts(parts: &[&[u8]]) -> String {
    let mut sum = Sha256::new();
    for part in parts {
        sum.update((part.len() as u64).to_le_bytes());
        sum.update(part);
    }
    hex(&sum.finalize())
}

/// Of a file, and how long it is.
pub(crate) fn of_file(mut file: std::fs::File) -> io::Result<(String, u64)> {
    let mut sum = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    let mut length = 0;
    loop {
        let read = file.read(&mut piece)?;
        if read == 0 {
            return Ok((hex(&sum.finalize()), length));
        }
        sum.update(&piece[..read]);
        length += read as u64;
    }
}

/// Reads something whose length and digest are known, and can say afterwards whether it was that.
pub(crate) struct Checked<'a, R> {
    from: R,
    sum: Sha256,
    left: u64,
    progress: &'a Progress,
}

impl<'a, R: Read> Checked<'a, R> {
    pub(crate) fn new(from: R, size: u64, progress: &'a Progress) -> Self {
        Self { from, sum: Sha256::new(), left: size, progress }
    }

    /// Reads the rest; an error unless all of it was what `digest` (hexadecimal) names.
    pub(crate) fn finish(mut self, digest: &str) -> io::Result<()> {
        io::copy(&mut self, &mut io::sink())?;
        if self.left == 0 && hex(&self.sum.finalize()) == digest {
            return Ok(());
        }
        let told = format!(
            "it is not what its digest says (sha256:{digest}): it is damaged, or was changed"
        );
        Err(io::Error::new(io::ErrorKind::InvalidData, told))
    }
}

impl<R: Read> Read for Checked<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.progress.check()?;
        let read = self.from.read(buf)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "it is longer than it was said to be")
        })?;
        self.sum.update(&buf[..read]);
        self.progress.add(read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_named_passes() {
        let progress = Progress::default();
        let check = |bytes: &[u8], size, digest: &str| {
            Checked::new(bytes, size, &progress).finish(digest).map_err(|e| e.to_string())
        };
        let digest = of(b"abc");
        assert_eq!(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(check(b"abc", 3, &digest), Ok(()));
        assert!(check(b"xyz", 3, &digest).unwrap_err().contains("damaged"));
        assert!(check(b"ab", 3, &digest).unwrap_err().contains("damaged"));
        assert!(check(b"abcd", 3, &digest).unwrap_err().contains("longer"));
        progress.cancel();
        assert!(check(b"abc", 3, &digest).unwrap_err().contains("deleted"));
    }

    #[test]
    fn parts_are_not_other_parts() {
        assert_ne!(of_parts(&[b"ab", b"c"]), of_parts(&[b"a", b"bc"]));
        assert_eq!(of_parts(&[b"ab", b"c"]), of_parts(&[b"ab", b"c"]));
    }
}
