//! The file itself: entries of tar's kind in age's encryption, written as they come by a thread of its own.

use super::format::PIECE_BYTES;
use age::secrecy::SecretString;
use bytes::{Bytes, BytesMut};
use std::{
    fs::Metadata,
    io::{self, Write},
    os::unix::fs::MetadataExt as _,
};
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc::{self, Receiver, Sender};

/// Bytes that go out at once.
const OUT_BYTES: usize = 64 << 10;
/// Pieces on their way: some memory, and the reader is never waited for by the file.
const WAITING: usize = 2;

/// Whose a file is, and how it may be used.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owned {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: u64,
}

impl Owned {
    pub(super) fn by(metadata: &Metadata) -> Self {
        Self {
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            mtime: u64::try_from(metadata.mtime()).unwrap_or(0),
        }
    }

    /// What only its owner reads.
    pub(super) fn private() -> Self {
        let id = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        Self { mode: 0o600, uid: id.0, gid: id.1, mtime: 0 }
    }
}

enum Entry {
    File {
        name: String,
        owned: Owned,
        bytes: Vec<u8>,
    },
    Folder {
        name: String,
        owned: Owned,
    },
    /// Nothing comes any more.
    End,
}

/// Where entries go.
pub(super) struct Archive {
    entries: Sender<Entry>,
    pub(super) count: u64,
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "whoever asked for the backup is gone")
}

impl Archive {
    /// The file goes out as it is made. Without an end it ends in an error.
    pub(super) fn begin(
        passphrase: String,
        out: Sender<io::Result<Bytes>>,
    ) -> (Self, tokio::task::JoinHandle<io::Result<()>>) {
        let (entries, waiting) = mpsc::channel(WAITING);
        let written = tokio::task::spawn_blocking(move || {
            let done = write(passphrase, waiting, out.clone());
            if let Err(error) = &done {
                let _ = out.blocking_send(Err(io::Error::new(error.kind(), error.to_string())));
            }
            done
        });
        (Self { entries, count: 0 }, written)
    }

    pub(super) async fn file(
        &mut self,
        name: &str,
        owned: Owned,
        bytes: Vec<u8>,
    ) -> io::Result<()> {
        self.count += 1;
        let name = name.to_owned();
        self.entries.send(Entry::File { name, owned, bytes }).await.map_err(|_| gone())
    }

    pub(super) async fn folder(&mut self, name: &str, owned: Owned) -> io::Result<()> {
        self.count += 1;
        self.entries.send(Entry::Folder { name: name.to_owned(), owned }).await.map_err(|_| gone())
    }

    /// All that comes from a reader, as entries of one name.
    pub(super) async fn pour(
        &mut self,
        name: &str,
        owned: Owned,
        mut from: impl tokio::io::AsyncRead + Unpin,
    ) -> io::Result<()> {
        use tokio::io::AsyncReadExt as _;
        loop {
            let mut piece = Vec::with_capacity(PIECE_BYTES);
            while piece.len() < PIECE_BYTES {
                let left = (PIECE_BYTES - piece.len()) as u64;
                if (&mut from).take(left).read_buf(&mut piece).await? == 0 {
                    break;
                }
            }
            let is_last = piece.len() < PIECE_BYTES;
            self.file(name, owned, piece).await?;
            if is_last {
                return Ok(());
            }
        }
    }

    pub(super) async fn end(self) -> io::Result<()> {
        self.entries.send(Entry::End).await.map_err(|_| gone())
    }
}

fn write(
    passphrase: String,
    mut entries: Receiver<Entry>,
    out: Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let sealing = age::Encryptor::with_user_passphrase(SecretString::from(passphrase));
    let mut tar = Builder::new(sealing.wrap_output(Out { out, waiting: BytesMut::new() })?);
    loop {
        match entries.blocking_recv() {
            Some(Entry::File { name, owned, bytes }) => {
                let mut header = header(owned, EntryType::Regular);
                header.set_size(bytes.len() as u64);
                tar.append_data(&mut header, name, bytes.as_slice())?;
            }
            Some(Entry::Folder { name, owned }) => {
                let mut header = header(owned, EntryType::Directory);
                header.set_size(0);
                tar.append_data(&mut header, name, io::empty())?;
            }
            Some(Entry::End) => break,
            None => return Err(io::Error::other("the backup was given up")),
        }
    }
    tar.into_inner()?.finish()?.flush()
}

fn header(owned: Owned, kind: EntryType) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(owned.mode);
    header.set_uid(owned.uid.into());
    header.set_gid(owned.gid.into());
    header.set_mtime(owned.mtime);
    header
}

/// What is encrypted, on its way out.
struct Out {
    out: Sender<io::Result<Bytes>>,
    waiting: BytesMut,
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() >= OUT_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        self.out.blocking_send(Ok(self.waiting.split().freeze())).map_err(|_| gone())
    }
}
