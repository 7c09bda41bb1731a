//! Answers that come packed although nobody asked for it, unpacked piece by piece, so that they can be
//! looked through. Of encodings that need no more than 32 KiB of memory each: gzip and deflate.

use crate::{
    api_error::{ApiError, Code},
    tap::BoxError,
};
use bytes::{Buf as _, Bytes};
use flate2::write::{MultiGzDecoder, ZlibDecoder};
use http::{HeaderMap, Method, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use std::{
    io::{self, Write},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

/// What is unpacked at once.
const STEP_BYTES: usize = 4 << 10;
/// What that may become: more than text ever does (a hundred times as much), less than what was made to
/// fill memories (a thousand times).
const UNPACKED_BYTES_MAX: usize = 256 * STEP_BYTES;

/// An encoding of a whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packed {
    Gzip,
    Deflate,
}

/// What has to be unpacked of an answer, if anything; refuses what cannot be.
pub(crate) fn packed(
    method: &Method,
    status: StatusCode,
    headers: &HeaderMap,
) -> Result<Option<Packed>, ApiError> {
    if !has_body(method, status) {
        return Ok(None);
    }
    let said = headers.get_all(header::CONTENT_ENCODING).iter();
    let said = said.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    let odd = |one: &&[u8]| !one.is_empty() && !one.eq_ignore_ascii_case(b"identity");
    let all: Vec<&[u8]> = said.map(<[u8]>::trim_ascii).filter(odd).collect();
    let is = |name: &str| all[0].eq_ignore_ascii_case(name.as_bytes());
    match all.len() {
        0 => Ok(None),
        1 if is("gzip") || is("x-gzip") => Ok(Some(Packed::Gzip)),
        1 if is("deflate") => Ok(Some(Packed::Deflate)),
        _ => {
            let named: String =
                String::from_utf8_lossy(&all.join(&b", "[..])).chars().take(40).collect();
            Err(refused(&format!("in the encoding {named:?}")))
        }
    }
}

/// Whether an answer has a body at all.
pub(crate) fn has_body(method: &Method, status: StatusCode) -> bool {
    *method != Method::HEAD && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn refused(how: &str) -> ApiError {
    let message = format!(
        "The host answers {how} although none was asked for. A secret is bound to it, so its answers \
         are looked through, and this one cannot be."
    );
    ApiError::new(Code::AnswerEncoded, message)
}

/// A body as it was before it was packed.
pub(crate) struct Unpacked<B> {
    /// None when it has ended.
    inner: Option<B>,
    decoder: Decoder,
    /// What has come and is still packed.
    input: Bytes,
    /// What follows the body.
    after: Option<Frame<Bytes>>,
    /// Nothing has come yet.
    is_new: bool,
    odd: Arc<AtomicBool>,
}

enum Decoder {
    Gzip(Box<MultiGzDecoder<Room>>),
    Deflate(Box<ZlibDecoder<Room>>),
}

/// What was unpacked, as much as may be held.
#[derive(Default)]
struct Room(Vec<u8>);

impl Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > UNPACKED_BYTES_MAX {
            return Err(io::Error::other("it becomes more than 256 times as long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Decoder {
    fn take(&mut self, piece: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(decoder) => {
                decoder.write_all(piece)?;
                // What came shall go: an event waits for no other one.
                decoder.flush()?;
                Ok(std::mem::take(&mut decoder.get_mut().0))
            }
            Self::Deflate(decoder) => {
                decoder.write_all(piece)?;
                decoder.flush()?;
                Ok(std::mem::take(&mut decoder.get_mut().0))
            }
        }
    }

    /// Fails if something is missing.
    fn end(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(decoder) => {
                decoder.try_finish()?;
                Ok(std::mem::take(&mut decoder.get_mut().0))
            }
            Self::Deflate(decoder) => {
                decoder.try_finish()?;
                Ok(std::mem::take(&mut decoder.get_mut().0))
            }
        }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Unpacked<B>
where
    B::Error: Into<BoxError>,
{
    /// Unpacks a body, and takes from the head what is true of the packed one only. `odd` is set when it
    /// cannot be.
    pub(crate) fn new(
        packed: Packed,
        headers: &mut HeaderMap,
        inner: B,
        odd: Arc<AtomicBool>,
    ) -> Self {
        headers.remove(header::CONTENT_ENCODING);
        headers.remove(header::CONTENT_LENGTH);
        let decoder = match packed {
            Packed::Gzip => Decoder::Gzip(Box::new(MultiGzDecoder::new(Room::default()))),
            Packed::Deflate => Decoder::Deflate(Box::new(ZlibDecoder::new(Room::default()))),
        };
        Self { inner: Some(inner), decoder, input: Bytes::new(), after: None, is_new: true, odd }
    }

    fn broken(&mut self, why: &io::Error) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.inner = None;
        self.input.clear();
        self.odd.store(true, Ordering::Relaxed);
        Poll::Ready(Some(Err(format!("the answer cannot be unpacked: {why}").into())))
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Unpacked<B>
where
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        loop {
            if this.input.has_remaining() {
                let piece = this.input.split_to(STEP_BYTES.min(this.input.len()));
                this.is_new = false;
                match this.decoder.take(&piece) {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data.into())))),
                    Err(why) => return this.broken(&why),
                }
                continue;
            }
            let Some(inner) = &mut this.inner else {
                return Poll::Ready(this.after.take().map(Ok));
            };
            match ready!(Pin::new(inner).poll_frame(cx)) {
                Some(Err(error)) => {
                    this.inner = None;
                    return Poll::Ready(Some(Err(error.into())));
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.input = data,
                    Err(after) => this.after = Some(after),
                },
                None => {
                    this.inner = None;
                    // Nothing at all is nothing packed.
                    if this.is_new {
                        continue;
                    }
                    match this.decoder.end() {
                        Ok(data) if data.is_empty() => {}
                        Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data.into())))),
                        Err(why) => return this.broken(&why),
                    }
                }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{
        Compression,
        write::{GzEncoder, ZlibEncoder},
    };
    use http_body_util::{BodyExt as _, StreamBody};
    use std::convert::Infallible;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    async fn unpacked(packed: Packed, bytes: &[u8], cut: usize) -> Result<Vec<u8>, String> {
        let frames: Vec<_> = bytes
            .chunks(cut)
            .map(|piece| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        let inner = StreamBody::new(futures_util::stream::iter(frames));
        let odd = Arc::<AtomicBool>::default();
        let mut body = Unpacked::new(packed, &mut HeaderMap::new(), inner, Arc::clone(&odd));
        let mut out = Vec::new();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => {
                    let data = frame.into_data().unwrap();
                    assert!(data.len() <= UNPACKED_BYTES_MAX);
                    out.extend_from_slice(&data);
                }
                Err(error) => {
                    assert!(odd.load(Ordering::Relaxed));
                    return Err(error.to_string());
                }
            }
        }
        Ok(out)
    }

    #[tokio::test]
    async fn an_answer_is_the_same_however_it_is_cut() {
        let text: Vec<u8> = (0..60_000u32).flat_map(|nth| nth.to_string().into_bytes()).collect();
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        zlib.write_all(&text).unwrap();
        let zlib = zlib.finish().unwrap();
        // Two, one after the other, are one.
        let (one, two) = text.split_at(1000);
        let members = [gzip(one), gzip(two)].concat();
        for cut in [1, 7, 5000, 1 << 20] {
            assert!(unpacked(Packed::Gzip, &gzip(&text), cut).await.unwrap() == text);
            assert!(unpacked(Packed::Gzip, &members, cut).await.unwrap() == text);
            assert!(unpacked(Packed::Deflate, &zlib, cut).await.unwrap() == text);
        }
        assert!(unpacked(Packed::Gzip, b"", 1).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn what_is_cut_short_is_none_or_would_fill_the_memory_is_an_error() {
        let whole = gzip(b"some text that is long enough to be cut");
        let short = &whole[..whole.len() - 6];
        assert!(unpacked(Packed::Gzip, short, 4096).await.is_err());
        assert!(
            unpacked(Packed::Gzip, b"no gzip at all, as everybody can see", 4096).await.is_err()
        );
        let bomb = gzip(&vec![0; 64 << 20]);
        let error = unpacked(Packed::Gzip, &bomb, 1 << 20).await.unwrap_err();
        assert!(error.contains("256 times"), "{error}");
        // What is merely very dull passes.
        let dull = "0123456789abcdef\n".repeat(10_000);
        assert_eq!(
            unpacked(Packed::Gzip, &gzip(dull.as_bytes()), 1 << 20).await.unwrap(),
            dull.as_bytes()
        );
    }

    #[test]
    fn only_what_needs_little_memory_is_unpacked() {
        let check = |said: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_ENCODING, said.parse().unwrap());
            packed(&Method::GET, StatusCode::OK, &headers).map_err(|error| error.code)
        };
        assert_eq!(check("identity"), Ok(None));
        assert_eq!(check("GZip"), Ok(Some(Packed::Gzip)));
        assert_eq!(check("identity, deflate"), Ok(Some(Packed::Deflate)));
        for odd in ["br", "zstd", "gzip, gzip", "aes128gcm"] {
            assert_eq!(check(odd), Err(Code::AnswerEncoded), "{odd}");
        }
    }
}
