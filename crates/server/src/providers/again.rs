//! The file of keys and that of models once more: when one has changed, what it holds counts from then on.
//! Whether that of keys has, and how it is read, is the binary's.

use super::models_file::ModelsFile;
use crate::{config::LookAgain, state::App};
use std::time::Duration;
use tokio::{task::spawn_blocking, time::sleep};

/// Between two looks: whoever saves the file and turns to the browser sees what became of it.
const EVERY: Duration = Duration::from_secs(2);

/// Looks at the file of keys until it is dropped.
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

/// Looks at the file of models until it is dropped.
pub(crate) async fn follow_models(app: App, mut file: ModelsFile) {
    loop {
        sleep(EVERY).await;
        let looked = spawn_blocking(move || {
            let news = file.again();
            (file, news)
        });
        let Ok((back, news)) = looked.await else { return };
        file = back;
        let Some(news) = news else { continue };
        match &news {
            Ok(_) => tracing::info!("the file of models has changed and counts from now on"),
            Err(problem) => tracing::warn!("{problem}. What it said before counts on"),
        }
        app.providers.take_overlay(news);
        app.gateway.push_config(&app.providers, &*app.store).await;
    }
}
