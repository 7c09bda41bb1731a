//! Work that blocks, on a thread that may.

use std::{any::Any, future::pending, thread};
use tokio::task::spawn_blocking;

/// What it comes to, or with what it panicked. Where the runtime ends before the work began, this never comes: what was
/// not done has no result that anybody could keep.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> thread::Result<T> {
    match spawn_blocking(work).await {
        Ok(done) => Ok(done),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => Err(panic as Box<dyn Any + Send>),
            Err(_) => pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use tokio::runtime::Builder;

    #[test]
    fn what_a_runtimes_end_kept_from_beginning_has_no_result() {
        let runtime = Builder::new_multi_thread().worker_threads(1).max_blocking_threads(1).build();
        let runtime = runtime.unwrap();
        let (ended, ends) = mpsc::channel();
        let (begun, begins) = mpsc::channel();
        runtime.spawn(async move {
            let _first = spawn_blocking(move || {
                begun.send(()).unwrap();
                thread::sleep(std::time::Duration::from_millis(300));
            });
            let _ = ended.send(blocking(|| 1).await.is_ok());
        });
        begins.recv().unwrap();
        runtime.shutdown_background();
        assert!(ends.recv().is_err(), "it said something");
    }

    #[tokio::test]
    async fn a_panic_is_told() {
        assert_eq!(blocking(|| 1).await.unwrap(), 1);
        assert!(blocking(|| assert!(std::hint::black_box(false))).await.is_err());
    }
}
