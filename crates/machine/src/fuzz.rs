//! What the fuzzer feeds (`.ci/fuzz`): documents and archives of images, what a machine's init says, and what the
//! daemon of a sandbox does, each
//! with the rules that hold whatever they are. Nothing of this is in what ships.

use crate::{
    e2b::{
        envd,
        envelope::{Envelopes, Opened},
    },
    images::{archive::Archive, compressed, environment, oci},
};
use std::io::Read as _;
use toft_model::{
    frame::{Decoder, FRAME_BYTES_MAX, FrameKind, encode},
    init::{InitInput, InitReply, InitRequest},
};

/// A name, and what reads the bytes.
pub type Fuzzed = (&'static str, fn(&[u8]));

/// Each target by the name of its seeds' folder.
pub const TARGETS: &[Fuzzed] = &[
    ("image_documents", image_documents),
    ("image_archives", image_archives),
    ("init_frames", init_frames),
    ("sandbox_envelopes", sandbox_envelopes),
];

/// What is read of one archive at most: a few bytes may stand for many.
const UNPACKED_BYTES_MAX: u64 = 1 << 20;

/// A manifest or an index, and a configuration.
fn image_documents(bytes: &[u8]) {
    for name in [None, Some("latest")] {
        if let Ok(oci::Top::Manifest(manifest)) = oci::top(bytes, name) {
            assert!(!manifest.layers.is_empty());
            for part in manifest.layers.iter().chain([&manifest.config]) {
                let hex = part.hex().expect("it was looked at");
                assert!(hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
            }
        }
    }
    if let Ok(variables) = environment(bytes) {
        for (name, value) in variables {
            assert!(!name.is_empty() && !name.contains('=') && !value.contains('\0'));
        }
    }
}

/// An archive, packed or not: its entries and what is in them.
fn image_archives(bytes: &[u8]) {
    let Ok(from) = compressed::open(bytes) else { return };
    let mut archive = Archive::new(from.take(UNPACKED_BYTES_MAX));
    while let Ok(Some(entry)) = archive.next() {
        let mut content = Vec::new();
        if archive.read_to_end(&mut content).is_ok() {
            assert!(content.len() as u64 <= entry.size);
        }
    }
}

/// A stream of a sandbox's daemon, in pieces of the first byte's size: the same however it is cut.
fn sandbox_envelopes(bytes: &[u8]) {
    let Some((size, bytes)) = bytes.split_first() else { return };
    let read = |size: usize| {
        let (mut envelopes, mut seen) = (Envelopes::default(), Vec::new());
        for piece in bytes.chunks(size) {
            envelopes.push(piece);
            loop {
                match envelopes.next() {
                    Ok(Some(Opened::Message(message))) => {
                        seen.push(format!("{:?}", envd::did(&message)));
                    }
                    Ok(Some(Opened::End(said))) => seen.push(format!("{said:?}")),
                    Ok(None) => break,
                    Err(why) => {
                        seen.push(why.to_owned());
                        return seen;
                    }
                }
            }
        }
        seen
    };
    assert_eq!(read(usize::from(*size).max(1)), read(bytes.len().max(1)));
}

/// Frames of init, in pieces of the first byte's size: the same however they are cut.
fn init_frames(bytes: &[u8]) {
    let Some((size, bytes)) = bytes.split_first() else { return };
    let read = |size: usize| {
        let (mut decoder, mut frames) = (Decoder::default(), Vec::new());
        for piece in bytes.chunks(size) {
            decoder.push(piece);
            loop {
                match decoder.next_frame() {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => break,
                    Err(why) => return (frames, Some(why)),
                }
            }
        }
        (frames, None)
    };
    let (frames, why) = read(bytes.len().max(1));
    assert_eq!(read(usize::from(*size).max(1)), (frames.clone(), why));
    let mut again = Vec::new();
    for (kind, payload) in frames {
        assert!(payload.len() < FRAME_BYTES_MAX);
        if kind == FrameKind::Json {
            let _ = serde_json::from_slice::<InitReply>(&payload);
            let _ = serde_json::from_slice::<InitRequest>(&payload);
            let _ = serde_json::from_slice::<InitInput>(&payload);
        }
        again.extend(encode(kind, &payload));
    }
    assert!(bytes.starts_with(&again), "they are written as they were read");
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_fuzzers_seeds_and_changes_of_them_hold() {
        toft_lane::seeds::feed(super::TARGETS);
    }
}
