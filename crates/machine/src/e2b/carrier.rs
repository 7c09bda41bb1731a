//! A program's standard streams as one line of bytes. What goes in is sent as calls, one after the other,
//! each with all that has gathered; what comes out is read no faster than it is taken.

use super::{
    envd::{Did, Envd, Program},
    http::Fault,
};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_util::sync::CancellationToken;

/// Bytes that wait in each direction, and that one call takes at most: the calls are what is slow.
const LINE_BYTES: usize = 256 << 10;
/// Of what the program says on standard error, the end is kept for people.
const SAID_BYTES_MAX: usize = 2048;

/// What is known of why a line ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Said(Arc<Mutex<String>>);

impl Said {
    fn add(&self, text: &str) {
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        said.push_str(text);
        let mut cut = said.len().saturating_sub(SAID_BYTES_MAX);
        while !said.is_char_boundary(cut) {
            cut += 1;
        }
        said.drain(..cut);
    }

    /// For people; empty: nothing.
    pub(super) fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).trim().replace('\n', "; ")
    }
}

/// The line. It carries until `ended` is cancelled, and cancels that when it breaks.
pub(super) fn line(
    envd: Envd,
    program: Program,
    ended: &CancellationToken,
) -> (DuplexStream, Said) {
    let said = Said::default();
    let (near, far) = duplex(LINE_BYTES);
    let (mut out, mut back) = tokio::io::split(far);
    let Program { pid, mut output } = program;
    let (e, s) = (ended.clone(), said.clone());
    tokio::spawn(async move {
        let reading = async {
            loop {
                match output.next().await {
                    Ok(Did::Out(bytes)) => {
                        if back.write_all(&bytes).await.is_err() {
                            return;
                        }
                    }
                    Ok(Did::Err(bytes)) => s.add(&String::from_utf8_lossy(&bytes)),
                    Ok(Did::Started(_) | Did::Lives) => {}
                    Ok(Did::Ended(how)) => {
                        return s.add(&format!("\nthe tunnel's program ended: {how}"));
                    }
                    Err(fault) => return s.add(&format!("\n{fault}")),
                }
            }
        };
        e.run_until_cancelled(reading).await;
        e.cancel();
    });
    let (e, s) = (ended.clone(), said.clone());
    tokio::spawn(async move {
        let writing = async {
            let mut gathered = vec![0; LINE_BYTES];
            loop {
                let sent: Result<(), Fault> = match out.read(&mut gathered).await {
                    Ok(0) | Err(_) => return,
                    Ok(count) => envd.input(pid, &gathered[..count]).await,
                };
                if let Err(fault) = sent {
                    return s.add(&format!("\n{fault}"));
                }
            }
        };
        e.run_until_cancelled(writing).await;
        e.cancel();
    });
    (near, said)
}
