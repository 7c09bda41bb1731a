//! Bytes of a regular file as a stream, read as they are wanted. Knows nothing of who sends them.

use bytes::Bytes;
use futures_util::stream::{Stream, try_unfold};
use std::{fs::File, io, os::unix::fs::FileExt as _, sync::Arc};

/// Read and sent at once.
const PIECE_BYTES: usize = 128 << 10;

/// `length` bytes from `at` on. A file that shrank meanwhile ends the stream with an error, so that
/// nobody takes half a file for the whole.
pub fn pieces(
    file: File,
    at: u64,
    length: u64,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let end = at.saturating_add(length);
    try_unfold((Arc::new(file), at), move |(file, at)| async move {
        if at >= end {
            return Ok(None);
        }
        let max = usize::try_from(end - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        let reading = Arc::clone(&file);
        let read = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; max];
            let read = reading.read_at(&mut bytes, at)?;
            bytes.truncate(read);
            Ok::<_, io::Error>(Bytes::from(bytes))
        });
        let piece = read.await.map_err(io::Error::other)??;
        if piece.is_empty() {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter"));
        }
        let next = at + piece.len() as u64;
        Ok(Some((piece, (file, next))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt as _;
    use std::{fs, pin::pin};

    #[tokio::test]
    async fn a_part_comes_whole_and_a_file_that_shrank_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let text: Vec<u8> = (0..3 * PIECE_BYTES).map(|n| n.to_le_bytes()[0]).collect();
        fs::write(&path, &text).unwrap();
        let length = 2 * PIECE_BYTES + 7;
        let all: Vec<_> = pieces(File::open(&path).unwrap(), 5, length as u64).collect().await;
        let all: Vec<u8> = all.into_iter().flat_map(|piece| piece.unwrap().to_vec()).collect();
        assert_eq!(all, text[5..5 + length]);
        let mut shrunk = pin!(pieces(File::open(&path).unwrap(), 0, text.len() as u64));
        shrunk.next().await.unwrap().unwrap();
        fs::write(&path, "x").unwrap();
        let error = shrunk.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(shrunk.next().await.is_none());
    }
}
