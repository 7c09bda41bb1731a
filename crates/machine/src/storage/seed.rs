//! An empty btrfs image without `mkfs.btrfs`: a stored one, given identifiers of its own. Format of
//! the stored one: `assets/README.md`. On-disk format of btrfs: superblocks at 64 KiB and 64 MiB,
//! every tree block begins with its crc32c, then the file system's id.

use flate2::read::GzDecoder;
use std::{
    fs::File,
    io::{self, Read as _},
    os::unix::fs::FileExt as _,
    path::Path,
};

const SEED: &[u8] = include_bytes!("../../assets/btrfs-seed.gz");
/// The seed inflated; a little more than it is.
const SEED_BYTES_MAX: u64 = 1 << 20;
/// Every superblock and tree block starts with a checksum of what follows these bytes.
const CHECKSUM_BYTES: usize = 32;
/// Offsets in the superblock, `struct btrfs_super_block`.
const SUPER_FSID: usize = 0x20;
/// `dev_item` begins at 0xc9, its `uuid` 66 bytes later.
const SUPER_DEVICE_UUID: usize = 0xc9 + 66;
const KIND_RAW: u8 = 0;
const KIND_SUPER: u8 = 1;
const KIND_TREE: u8 = 2;

/// Writes a new image of `bytes` (not less than the seed's own size; growing the file system to it
/// is the kernel's work after mounting).
pub(crate) fn write_image(path: &Path, bytes: u64) -> io::Result<()> {
    let mut seed = Vec::new();
    GzDecoder::new(SEED).take(SEED_BYTES_MAX).read_to_end(&mut seed)?;
    let (size, mut pieces) = parse(&seed).ok_or_else(|| io::Error::other("the seed is damaged"))?;
    give_identity(&mut pieces).ok_or_else(|| io::Error::other("the seed is damaged"))?;
    let image = File::options().read(true).write(true).create(true).truncate(true).open(path)?;
    image.set_len(bytes.max(size))?;
    for piece in pieces {
        image.write_all_at(&piece.bytes, piece.offset)?;
    }
    Ok(())
}

struct Piece {
    offset: u64,
    kind: u8,
    bytes: Vec<u8>,
}

fn parse(seed: &[u8]) -> Option<(u64, Vec<Piece>)> {
    let mut rest = seed.strip_prefix(b"TOFTSEED")?;
    let mut take = |n: usize| {
        let (head, tail) = rest.split_at_checked(n)?;
        rest = tail;
        Some(head)
    };
    let size = u64::from_le_bytes(take(8)?.try_into().ok()?);
    let count = u32::from_le_bytes(take(4)?.try_into().ok()?);
    let mut pieces = Vec::new();
    for _ in 0..count {
        let offset = u64::from_le_bytes(take(8)?.try_into().ok()?);
        let kind = take(1)?[0];
        let len = u32::from_le_bytes(take(4)?.try_into().ok()?);
        let bytes = take(usize::try_from(len).ok()?)?.to_vec();
        pieces.push(Piece { offset, kind, bytes });
    }
    Some((size, pieces))
}

/// Replaces the ids of file system and device wherever they stand (also inside items), then makes
/// the checksums anew. Without this, two images on one host could not be mounted at once.
fn give_identity(pieces: &mut [Piece]) -> Option<()> {
    let first = pieces.iter().find(|p| p.kind == KIND_SUPER)?;
    let old_fs: [u8; 16] = first.bytes.get(SUPER_FSID..SUPER_FSID + 16)?.try_into().ok()?;
    let old_device: [u8; 16] =
        first.bytes.get(SUPER_DEVICE_UUID..SUPER_DEVICE_UUID + 16)?.try_into().ok()?;
    let (new_fs, new_device) = (random_uuid(), random_uuid());
    for piece in pieces {
        replace(&mut piece.bytes, old_fs, new_fs);
        replace(&mut piece.bytes, old_device, new_device);
        match piece.kind {
            KIND_SUPER | KIND_TREE => {
                let sum = crc32c::crc32c(piece.bytes.get(CHECKSUM_BYTES..)?);
                piece.bytes[..CHECKSUM_BYTES].fill(0);
                piece.bytes[..4].copy_from_slice(&sum.to_le_bytes());
            }
            KIND_RAW => {}
            _ => return None,
        }
    }
    Some(())
}

fn replace(bytes: &mut [u8], old: [u8; 16], new: [u8; 16]) {
    let mut at = 0;
    while let Some(found) = bytes[at..].windows(16).position(|w| w == old) {
        at += found;
        bytes[at..at + 16].copy_from_slice(&new);
        at += 16;
    }
}

/// A UUID of version 4.
fn random_uuid() -> [u8; 16] {
    let mut uuid = [0u8; 16];
    getrandom::fill(&mut uuid).expect("the operating system's random source answers");
    uuid[6] = (uuid[6] & 0x0f) | 0x40;
    uuid[8] = (uuid[8] & 0x3f) | 0x80;
    uuid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_images_have_ids_of_their_own_in_every_copy() {
        let dir = tempfile::tempdir().unwrap();
        let ids = ["a", "b"].map(|name| {
            let path = dir.path().join(name);
            write_image(&path, 256 << 20).unwrap();
            let image = File::open(&path).unwrap();
            assert_eq!(image.metadata().unwrap().len(), 256 << 20);
            [0x1_0000u64, 0x400_0000].map(|at| {
                let mut block = vec![0u8; 4096];
                image.read_exact_at(&mut block, at).unwrap();
                assert_eq!(&block[0x40..0x48], b"_BHRfS_M");
                assert_eq!(block[..4], crc32c::crc32c(&block[32..]).to_le_bytes());
                block[0x20..0x30].to_vec()
            })
        });
        assert_eq!(ids[0][0], ids[0][1]);
        assert_ne!(ids[0][0], ids[1][0]);
    }

    #[test]
    fn a_damaged_seed_is_no_image() {
        assert!(parse(b"TOFTSEE").is_none());
        assert!(parse(b"TOFTSEED\x01").is_none());
        let mut none: [Piece; 0] = [];
        assert!(give_identity(&mut none).is_none());
    }

    #[test]
    fn the_program_that_checks_such_file_systems_finds_nothing_wrong() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("image");
        write_image(&path, 0).unwrap();
        let checked = std::process::Command::new("btrfs").arg("check").arg(&path).output();
        match checked {
            Err(e) => {
                toft_lane::skip("the embedded image", format!("no `btrfs` program here ({e})"));
            }
            Ok(out) => assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr)),
        }
    }
}
