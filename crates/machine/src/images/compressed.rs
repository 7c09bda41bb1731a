//! Archives as they come: plain, gzip or Zstandard, told by their first bytes and not by their
//! names. Decoded by programs in safe Rust: the bytes come from outside and the server may be root.
//! Bounds no output: who writes it does.

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};
use std::io::{self, BufRead, BufReader, Read};

/// Read at once.
const READ_BYTES: usize = 256 << 10;

/// The archive within.
pub(crate) fn open<'a>(from: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut from = BufReader::with_capacity(READ_BYTES, from);
    let head = from.fill_buf()?;
    let unknown = |name: &str| {
        let told = format!(
            "it is compressed with {name}: compress it with gzip or zstd instead, or not at all"
        );
        Err(io::Error::new(io::ErrorKind::InvalidData, told))
    };
    match head {
        [0x1f, 0x8b, ..] => Ok(Box::new(Gzip(MultiGzDecoder::new(from)))),
        // A frame, or one to be skipped in front of it (RFC 8878, 3.1).
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
            Ok(Box::new(Zstandard { from, decoder: FrameDecoder::new(), inside: false }))
        }
        [0xfd, b'7', b'z', b'X', b'Z', ..] => unknown("xz"),
        [b'B', b'Z', b'h', ..] => unknown("bzip2"),
        [b'P', b'K', 3, 4, ..] => unknown("zip"),
        _ => Ok(Box::new(from)),
    }
}

/// Says in words of ours what is wrong with it.
struct Gzip<R>(MultiGzDecoder<R>);

impl<R: BufRead> Read for Gzip<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf).map_err(|e| match e.kind() {
            io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidData
            | io::ErrorKind::UnexpectedEof => damaged(&e),
            _ => e,
        })
    }
}

/// Frames one after the other: some programs write many, and some hide an index in skipped ones.
struct Zstandard<R> {
    from: R,
    decoder: FrameDecoder,
    /// Whether a frame has begun that has not ended.
    inside: bool,
}

impl<R: BufRead> Read for Zstandard<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.inside {
                if self.from.fill_buf()?.is_empty() {
                    return Ok(0);
                }
                self.begin()?;
                continue;
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.from, one).map_err(|e| damaged(&e))?;
            }
            let read = self.decoder.read(buf)?;
            if read > 0 || buf.is_empty() {
                return Ok(read);
            }
            self.inside = false;
        }
    }
}

impl<R: BufRead> Zstandard<R> {
    fn begin(&mut self) -> io::Result<()> {
        match self.decoder.init(&mut self.from) {
            Ok(()) => {
                self.inside = true;
                Ok(())
            }
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let skip = u64::from(length);
                let skipped = io::copy(&mut self.from.by_ref().take(skip), &mut io::sink())?;
                if skipped < skip { Err(damaged(&"a frame ends early")) } else { Ok(()) }
            }
            Err(FrameDecoderError::WindowSizeTooBig { .. }) => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is compressed with a window of more than 128 MiB: leave out `--long=31`",
            )),
            Err(e) => Err(damaged(&e)),
        }
    }
}

fn damaged(why: &dyn std::fmt::Display) -> io::Error {
    let told = format!("its compression is damaged, or it was cut: make or copy it again ({why})");
    io::Error::new(io::ErrorKind::InvalidData, told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn check(bytes: &[u8], expected: Result<&str, &str>) {
        let mut out = Vec::new();
        let read = open(bytes).and_then(|mut from| from.read_to_end(&mut out));
        match (read, expected) {
            (Ok(_), Ok(text)) => assert_eq!(String::from_utf8(out).unwrap(), text),
            (Err(e), Err(told)) => assert!(e.to_string().contains(told), "{e}"),
            (read, expected) => panic!("{read:?} is not {expected:?}"),
        }
    }

    fn gzip(text: &str) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        out.write_all(text.as_bytes()).unwrap();
        out.finish().unwrap()
    }

    fn zstd(text: &str) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(
            text.as_bytes(),
            ruzstd::encoding::CompressionLevel::Fastest,
        )
    }

    #[test]
    fn what_compresses_an_archive_is_told_by_its_first_bytes() {
        check(b"plain", Ok("plain"));
        check(b"", Ok(""));
        check(&gzip("one"), Ok("one"));
        check(&[gzip("one"), gzip("two")].concat(), Ok("onetwo"));
        check(&zstd("one"), Ok("one"));
        check(b"\xfd7zXZ\0rest", Err("xz"));
        check(b"BZh9rest", Err("bzip2"));
    }

    #[test]
    fn frames_follow_each_other_and_skipped_ones_say_nothing() {
        let skipped = [&0x184D_2A51_u32.to_le_bytes()[..], &3_u32.to_le_bytes(), b"abc"].concat();
        check(&[skipped.clone(), zstd("one"), skipped.clone(), zstd("two")].concat(), Ok("onetwo"));
        check(&skipped[..skipped.len() - 1], Err("it was cut"));
    }

    #[test]
    fn a_cut_or_damaged_archive_is_no_archive() {
        let whole = gzip(&"long ".repeat(1000));
        let mut out = Vec::new();
        check(&whole[..whole.len() / 2], Err("make or copy it again"));
        let whole = zstd(&"long ".repeat(1000));
        assert!(open(&whole[..whole.len() - 1]).unwrap().read_to_end(&mut out).is_err());
        check(b"\x28\xb5\x2f\xfd\xff\xff", Err("damaged"));
    }
}
