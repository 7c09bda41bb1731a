//! Connections that switched to another protocol: bytes carried both ways. A paused machine goes on
//! when its client says something, and not when a browser closes the connection or tells its size.

use super::frames::Frames;
use crate::{
    auth::{caller::Caller, pass::Pass},
    machines::{Machine, life, machine::Hold},
    state::App,
};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, split},
    time::timeout,
};

/// Read from a client at once: a paste, a burst of key strokes.
const CHUNK_BYTES: usize = 16 << 10;
/// What is not read within this waits for a machine to go on: it holds some hundred short frames.
const FULL_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection's machine.
pub(super) struct Ends {
    pub(super) machine: Arc<Machine>,
    /// An app's connection is use for as long as it is open. A terminal's is when something is
    /// typed; what runs in it, the bridge says.
    pub(super) hold: Option<Hold>,
    /// Tells what a client says; none: whatever it sends.
    pub(super) frames: Option<Frames>,
}

/// Carries bytes both ways until both sides end, the server ends or the caller's right does.
pub(super) fn tunnel(app: &App, caller: &Caller, ends: Ends, client: OnUpgrade, bridge: OnUpgrade) {
    let over = Pass::of(caller).over(app);
    let app2 = app.clone();
    app.tasks.spawn(async move {
        let (Ok(client), Ok(bridge)) = tokio::join!(client, bridge) else { return };
        let (client_in, mut client_out) = split(TokioIo::new(client));
        let (mut bridge_out, bridge_in) = split(TokioIo::new(bridge));
        let Ends { machine, hold: _hold, frames } = ends;
        let down = async {
            copy(&mut bridge_out, &mut client_out).await?;
            client_out.shutdown().await
        };
        let carried =
            async { tokio::try_join!(up(&app2, &machine, frames, client_in, bridge_in), down) };
        tokio::select! {
            // How it ended is the two ends' business.
            _ = carried => {}
            () = over => {}
            () = app2.stop.token().cancelled() => {}
        }
    });
}

/// What the client says.
async fn up(
    app: &App,
    machine: &Arc<Machine>,
    mut frames: Option<Frames>,
    mut client: impl AsyncRead + Unpin,
    mut bridge: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let bytes = client.read(&mut chunk).await?;
        if bytes == 0 {
            return bridge.shutdown().await;
        }
        let mut rest = &chunk[..bytes];
        if frames.as_mut().is_some_and(|frames| !frames.says(rest)) {
            // A paused machine finds it when it goes on. Where no more of that fits it is let go on:
            // behind it nobody would be heard.
            while !rest.is_empty() {
                match timeout(FULL_TIMEOUT, bridge.write(rest)).await {
                    Ok(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                    Ok(written) => rest = &rest[written?..],
                    Err(_) => break,
                }
            }
            if rest.is_empty() {
                continue;
            }
        }
        let _hold = machine.in_use(&app.clock);
        // Also while it is just being put away: then this waits for that, and wakes it again.
        if !machine.answers() && machine.runs() {
            let going = life::ensure_running(app, machine, "something was said on a connection");
            going.await.map_err(|error| io::Error::other(error.message))?;
        }
        bridge.write_all(rest).await?;
    }
}
