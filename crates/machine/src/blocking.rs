//! Work that blocks, off the threads that must not. Says nothing of whose turn it is.

use tokio::task::spawn_blocking;

/// Runs what blocks on a thread that may.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(stopped) => match stopped.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only while the runtime shuts down: nobody hears an answer any more.
            Err(_) => std::future::pending().await,
        },
    }
}
