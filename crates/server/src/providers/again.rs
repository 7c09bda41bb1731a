//! The file of keys once more: when it has changed, what it holds counts from then on. Whether it has, and
//! how it is read, is the binary's.

use crate::{config::LookAgain, state::App};
use std::time::Duration;
use tokio::{task::spawn_blocking, time::sleep};

/// Between two looks: whoever saves the file and turns to the browser sees what became of it.
const EVERY: Duration = Duration::from_secs(2);

/// Looks until it is dropped.
pub(crate) async fn follow(app: App, mut look: LookAgain) {
    loop {
        sleep(EVERY).await;
        // A file system that hangs holds up nobody else.
        let looked = spawn_blocking(move || {
            let news = look();
            (look, news)
        });
        let Ok((back, news)) = looked.await else { return };
        look = back;
        match news {
            None => {}
            Some(Ok(file)) => {
                app.providers.take_file(file);
                app.gateway.push_config(&app.providers, &*app.store).await;
                tracing::info!("the file of keys has changed and counts from now on");
            }
            Some(Err(problem)) => {
                tracing::warn!("{problem}. The keys that were read before count on");
                app.providers.file_is_wrong(problem);
            }
        }
    }
}
