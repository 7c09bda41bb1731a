//! The gateway's doors inside the machine: init's listening sockets, whose connections go to the server's
//! end, and from there to its gateway. Without a tunnel nobody takes them, and they wait.

use super::{
    mux::Opener,
    wire::{self, Ask},
};
use std::{io, net::TcpListener as StdListener, os::fd::OwnedFd, sync::Arc, time::Duration};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::sleep,
};

/// Connections at once: below what a line can have, so that the server always gets its own through.
const CONNECTIONS_MAX: usize = 160;
/// Pause after a connection could not be taken (no descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Takes connections until it is dropped.
#[derive(Debug, Default)]
pub(super) struct Doors {
    taking: JoinSet<()>,
    /// Of which run of the machine: pid and start of its init.
    of: Option<(u32, u64)>,
}

impl Doors {
    /// Those of this run of the machine: open already, they stay as they are.
    pub(super) fn open(
        &mut self,
        of: (u32, u64),
        listeners: Vec<OwnedFd>,
        opener: &Opener,
    ) -> io::Result<()> {
        if self.of == Some(of) {
            return Ok(());
        }
        self.close();
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        for (door, listener) in listeners.into_iter().enumerate() {
            let listener = StdListener::from(listener);
            listener.set_nonblocking(true)?;
            let listener = TcpListener::from_std(listener)?;
            self.taking.spawn(take(listener, door, opener.clone(), Arc::clone(&room)));
        }
        self.of = Some(of);
        Ok(())
    }

    pub(super) fn close(&mut self) {
        self.of = None;
        self.taking.abort_all();
        self.taking.detach_all();
    }
}

async fn take(listener: TcpListener, door: usize, opener: Opener, room: Arc<Semaphore>) {
    let mut open = JoinSet::new();
    loop {
        while open.try_join_next().is_some() {}
        let permit = Arc::clone(&room).acquire_owned().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let opener = opener.clone();
                open.spawn(async move {
                    // Whoever is connected sees its end.
                    let _ = pass(stream, door, &opener).await;
                    drop(permit);
                });
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn pass(mut stream: TcpStream, door: usize, opener: &Opener) -> io::Result<()> {
    let _ = stream.set_nodelay(true);
    let mut channel = opener.open().await?;
    wire::send(&mut channel, &Ask::Gateway(door)).await?;
    copy_bidirectional(&mut stream, &mut channel).await?;
    Ok(())
}
