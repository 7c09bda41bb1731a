//! A part of a project on a channel: bytes of any length in pieces, each as small as it gets, and a sum that both ends
//! make for themselves, by which they see that all of it came. Neither end holds more than a piece. Knows nothing of
//! what the bytes are.

use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::io::{self, Read as _, Write as _};
use toft_model::id::hex;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Bytes of a piece: as many as a call into a sandbox takes, so that none is cut in two for long.
const PIECE_BYTES: usize = 256 << 10;

/// What came, or went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sum {
    bytes: u64,
    /// In hex.
    sha256: String,
}

#[derive(Default)]
struct Tally {
    bytes: u64,
    digest: Sha256,
}

impl Tally {
    fn add(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        self.digest.update(piece);
    }

    fn sum(self) -> Sum {
        Sum { bytes: self.bytes, sha256: hex(&self.digest.finalize()) }
    }
}

/// Sends all that there is to read, and that it was all.
pub(crate) async fn send(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<Sum> {
    let (mut tally, mut piece) = (Tally::default(), vec![0; PIECE_BYTES]);
    loop {
        let count = fill(from, &mut piece).await?;
        let plain = &piece[..count];
        tally.add(plain);
        let packed = deflated(plain)?;
        // What is packed already gets no smaller.
        let sent = if packed.len() < plain.len() { &packed } else { plain };
        to.write_u32(length(plain)?).await?;
        to.write_u32(length(sent)?).await?;
        to.write_all(sent).await?;
        if count == 0 {
            to.flush().await?;
            return Ok(tally.sum());
        }
    }
}

/// Writes what comes, until it was all. A line that ends before is an error. `room` is asked before each piece: the
/// other end may have no end.
pub(crate) async fn receive(
    from: &mut (impl AsyncRead + Unpin),
    to: &mut (impl AsyncWrite + Unpin),
    room: impl Fn() -> io::Result<()>,
) -> io::Result<Sum> {
    let mut tally = Tally::default();
    loop {
        let plain_bytes = usize::try_from(from.read_u32().await?).map_err(io::Error::other)?;
        let sent_bytes = usize::try_from(from.read_u32().await?).map_err(io::Error::other)?;
        if plain_bytes > PIECE_BYTES || sent_bytes > plain_bytes {
            return Err(bad());
        }
        if plain_bytes == 0 {
            to.flush().await?;
            return Ok(tally.sum());
        }
        room()?;
        let mut piece = vec![0; sent_bytes];
        from.read_exact(&mut piece).await?;
        if sent_bytes < plain_bytes {
            piece = inflated(&piece, plain_bytes)?;
        }
        tally.add(&piece);
        to.write_all(&piece).await?;
    }
}

/// A pipe gives less than a piece at once.
async fn fill(from: &mut (impl AsyncRead + Unpin), piece: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match from.read(&mut piece[filled..]).await? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

fn length(piece: &[u8]) -> io::Result<u32> {
    u32::try_from(piece.len()).map_err(io::Error::other)
}

fn deflated(plain: &[u8]) -> io::Result<Vec<u8>> {
    let room = Vec::with_capacity(plain.len());
    let mut encoder = DeflateEncoder::new(room, Compression::fast());
    encoder.write_all(plain)?;
    encoder.finish()
}

/// No more than it says, whatever is in it.
fn inflated(packed: &[u8], plain_bytes: usize) -> io::Result<Vec<u8>> {
    let mut plain = Vec::with_capacity(plain_bytes);
    let mut decoder = DeflateDecoder::new(packed).take(plain_bytes as u64 + 1);
    decoder.read_to_end(&mut plain).map_err(|_| bad())?;
    if plain.len() == plain_bytes { Ok(plain) } else { Err(bad()) }
}

fn bad() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a piece of what is carried cannot be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Some that packs well, some that does not, and no whole number of pieces.
    fn mixed() -> Vec<u8> {
        let mut bytes = vec![b'a'; PIECE_BYTES + 7];
        let mut state = 1_u32;
        bytes.extend((0..PIECE_BYTES).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        }));
        bytes
    }

    async fn sent(plain: &[u8]) -> (Vec<u8>, Sum) {
        let mut line = Vec::new();
        let sum = send(&mut &*plain, &mut line).await.unwrap();
        (line, sum)
    }

    async fn received(line: &[u8]) -> io::Result<(Vec<u8>, Sum)> {
        let mut came = Vec::new();
        let sum = receive(&mut &*line, &mut came, || Ok(())).await?;
        Ok((came, sum))
    }

    #[tokio::test]
    async fn what_comes_is_what_went_and_smaller_on_the_way() {
        for plain in [Vec::new(), b"x".to_vec(), mixed()] {
            let (line, sum) = sent(&plain).await;
            assert_eq!(received(&line).await.unwrap(), (plain.clone(), sum.clone()));
            assert_eq!(sum.bytes, plain.len() as u64);
            assert_eq!(sum.sha256, hex(&Sha256::digest(&plain)));
        }
        let (line, _) = sent(&vec![0; 4 * PIECE_BYTES]).await;
        assert!(line.len() < PIECE_BYTES / 8, "{}", line.len());
    }

    #[tokio::test]
    async fn a_line_that_is_cut_anywhere_is_an_error() {
        let (line, _) = sent(&mixed()).await;
        for cut in [0, 1, 7, 8, 9, 100, line.len() / 2, line.len() - 9, line.len() - 1] {
            assert!(received(&line[..cut]).await.is_err(), "{cut}");
        }
    }

    #[tokio::test]
    async fn it_ends_when_there_is_no_room_for_more() {
        let (line, _) = sent(&vec![0; 9 * PIECE_BYTES]).await;
        let (mut came, pieces) = (Vec::new(), std::cell::Cell::new(3));
        let room = || {
            pieces.set(pieces.get() - 1);
            if pieces.get() > 0 { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
        };
        let ended = receive(&mut line.as_slice(), &mut came, room).await.unwrap_err();
        assert_eq!((ended.kind(), came.len()), (io::ErrorKind::StorageFull, 2 * PIECE_BYTES));
    }

    #[tokio::test]
    async fn what_was_changed_on_the_way_is_another_sum_or_no_piece() {
        let plain = mixed();
        let (line, sum) = sent(&plain).await;
        let mut others = 0;
        for at in [8, 40, line.len() / 2, line.len() - 20] {
            let mut changed = line.clone();
            changed[at] ^= 0x20;
            if let Ok((came, other)) = received(&changed).await {
                // Of what packs well, some changes say the same in another way.
                assert_eq!(other == sum, came == plain, "{at}");
                others += usize::from(other != sum);
            }
        }
        assert!(others > 0, "a changed byte of what does not pack comes as another");
        // Lengths that are none, and a piece that holds more than it says.
        let too_long = u32::try_from(PIECE_BYTES + 1).unwrap().to_be_bytes();
        let (bomb, _) = sent(&vec![0; PIECE_BYTES]).await;
        let mut small = bomb.clone();
        small[..4].copy_from_slice(&1000_u32.to_be_bytes());
        for wrong in [[too_long, [0, 0, 0, 1]].concat(), vec![0, 0, 0, 1, 0, 0, 0, 2, 0, 0], small]
        {
            assert!(received(&wrong).await.is_err());
        }
    }
}
