//! Taking connections at a door: one at a time, and whose each of them is.

use crate::{limits::bucket::Turns, machine::Machine, state::State};
use std::{sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};

/// Pause after `accept` failed (no descriptors left): time for some to be closed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts for ever, one a turn; a permit goes with each connection, and without one nothing is accepted.
pub(crate) async fn accept_all(
    listener: TcpListener,
    limit: Arc<Semaphore>,
    turns: &Turns,
    mut each: impl FnMut(TcpStream, OwnedSemaphorePermit),
) {
    loop {
        // Only waited for here: a permit counts for a connection, not for being ready for one.
        drop(limit.acquire().await);
        turns.next().await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let permit = Arc::clone(&limit).try_acquire_owned();
                let permit = permit.expect("nobody else takes permits, and one was free");
                // Without it small frames wait for acknowledgements; it fails on dead sockets only.
                let _ = stream.set_nodelay(true);
                each(stream, permit);
                // Whoever ends this is heard between two connections, too.
                tokio::task::yield_now().await;
            }
            Err(e) => {
                tracing::warn!(error = %e, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whose a connection is that was just accepted. A door that closes may still have taken one that
/// was made for the next door on the same listener: it is passed on.
pub(crate) fn behind(state: &State, machine: &Arc<Machine>) -> Option<Arc<Machine>> {
    if !machine.cancel.is_cancelled() {
        return Some(Arc::clone(machine));
    }
    let machines = state.machines();
    machines.get(&machine.project).filter(|next| next.shares_sockets(machine)).cloned()
}

/// The socket's mode says so already; this holds also when somebody changed it.
pub(crate) fn is_ours(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}
