//! Work that goes on whoever waits for it: such that blocks, off the threads that must not, and such that
//! must come to its end. Says nothing of whose turn it is.

use std::future::pending;
use tokio::task::{JoinError, spawn, spawn_blocking};

/// Runs what blocks on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    done(spawn_blocking(work).await).await
}

/// Does all of it, also when nobody waits for it any more.
pub(crate) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    done(spawn(work).await).await
}

async fn done<T>(joined: Result<T, JoinError>) -> T {
    match joined {
        Ok(done) => done,
        Err(stopped) => match stopped.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only while the runtime shuts down: nobody hears an answer any more.
            Err(_) => pending().await,
        },
    }
}
