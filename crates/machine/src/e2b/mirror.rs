//! The copy on this host of a machine's log folder: written as long as its tunnel is there, read by
//! whoever reads the log folders of machines.

use crate::{
    blocking::blocking,
    tunnel::{
        logs::{self, PART_BYTES_MAX, Sent},
        mux::Opener,
        wire::{self, Ask},
    },
};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::{mpsc, oneshot},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// How long the end of the logs is waited for. Without it the copy is older; nothing is lost by that, as
/// the logs themselves stay.
const UP_TO_DATE_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two tries to copy.
const AGAIN: Duration = Duration::from_secs(5);
/// Those who wait for the copy to be up to date.
const WAITING_MAX: usize = 8;

/// Copies as long as its tunnel is there.
#[derive(Debug)]
pub(super) struct Mirror(mpsc::Sender<oneshot::Sender<()>>);

impl Mirror {
    pub(super) fn begin(opener: Opener, folder: PathBuf, ended: &CancellationToken) -> Self {
        let (asks, mut wanted) = mpsc::channel(WAITING_MAX);
        let ended = ended.clone();
        tokio::spawn(async move {
            let copying = async {
                loop {
                    if let Err(error) = copy(&opener, &folder, &mut wanted).await {
                        tracing::warn!(folder = %folder.display(), %error, "a machine's logs are not copied");
                    }
                    sleep(AGAIN).await;
                }
            };
            ended.run_until_cancelled(copying).await;
        });
        Self(asks)
    }

    /// Waits until all that the machine has logged by now is in the copy.
    pub(super) async fn up_to_date(&self) {
        let (done, waiting) = oneshot::channel();
        let asked = async {
            if self.0.send(done).await.is_ok() {
                // Who is told nothing has an older copy.
                let _ = waiting.await;
            }
        };
        if timeout(UP_TO_DATE_TIMEOUT, asked).await.is_err() {
            tracing::warn!("the last of a machine's logs was not copied in time");
        }
    }
}

async fn copy(
    opener: &Opener,
    folder: &Path,
    wanted: &mut mpsc::Receiver<oneshot::Sender<()>>,
) -> io::Result<()> {
    let folder = Arc::new(folder.to_owned());
    let place = Arc::clone(&folder);
    let have = blocking(move || logs::have(&place)).await;
    let mut channel = opener.open().await?;
    wire::send(&mut channel, &Ask::Logs(have)).await?;
    let (mut from, mut to) = tokio::io::split(channel);
    let mut waiting: Vec<oneshot::Sender<()>> = Vec::new();
    // What is removed inside meanwhile goes here, too.
    to.write_u8(1).await?;
    to.flush().await?;
    let mut words = 1_u32;
    let (parts, mut arrived) = mpsc::channel(1);
    let reading = async move {
        loop {
            let sent: Sent = wire::receive(&mut from).await?;
            let mut part = Vec::new();
            if let Sent::Part { bytes, .. } = &sent {
                if *bytes > PART_BYTES_MAX {
                    return Err(io::Error::from(io::ErrorKind::InvalidData));
                }
                (&mut from).take(*bytes).read_to_end(&mut part).await?;
                if part.len() as u64 != *bytes {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
                }
            }
            if parts.send((sent, part)).await.is_err() {
                return Ok::<(), io::Error>(());
            }
        }
    };
    let keeping = async {
        loop {
            tokio::select! {
                asked = wanted.recv() => {
                    let Some(asked) = asked else { return Ok::<(), io::Error>(()) };
                    waiting.push(asked);
                    to.write_u8(1).await?;
                    to.flush().await?;
                    words += 1;
                }
                got = arrived.recv() => {
                    let Some((sent, part)) = got else { return Ok(()) };
                    let place = Arc::clone(&folder);
                    match sent {
                        Sent::Part { name, from, .. } => {
                            blocking(move || logs::keep(&place, &name, from, &part)).await?;
                        }
                        Sent::UpToDate { files } => {
                            blocking(move || logs::forget_others(&place, &files)).await;
                            words -= words.min(1);
                            // Answers come in the order of the words: with the last one all are told.
                            if words == 0 {
                                for waiting in waiting.drain(..) {
                                    // It may have gone.
                                    let _ = waiting.send(());
                                }
                            }
                        }
                    }
                }
            }
        }
    };
    tokio::select! {
        read = reading => read,
        kept = keeping => kept,
    }
}
