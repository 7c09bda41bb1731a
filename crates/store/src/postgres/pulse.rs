//! Whether the database answers at all. A database that was stopped, or that packets no longer come from, says nothing:
//! nobody tells a client of it, and whoever waits for an answer waits for a quarter of an hour. So it is asked again and
//! again on a connection of its own, with nothing to do but to answer.

use super::Lost;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, postgres::PgConnectOptions};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, timeout},
};

/// Between two questions.
const LOOK: Duration = Duration::from_millis(500);
/// How long the answer may take. It takes no disk and no lock, so even a busy database has it in time.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one more is waited for while the database is silent: it may just be back, and nobody has asked yet.
pub(super) const GRACE: Duration = Duration::from_secs(1);

/// What is known of it.
#[derive(Debug, Clone)]
pub(super) struct Pulse {
    is_silent: watch::Receiver<bool>,
    _asks: Arc<Asks>,
}

/// Who asks; ends with the last who wants to know.
#[derive(Debug)]
struct Asks(JoinHandle<()>);

impl Drop for Asks {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Pulse {
    /// Asks from now on. It counts as answering: a connection was just made.
    pub(super) fn start(options: PgConnectOptions, lost: Lost) -> Self {
        let (tell, is_silent) = watch::channel(false);
        Self { is_silent, _asks: Arc::new(Asks(tokio::spawn(ask(options, lost, tell)))) }
    }

    /// Until it is silent, and not back within a moment.
    pub(super) async fn silent(&self) {
        let mut is_silent = self.is_silent.clone();
        loop {
            if is_silent.wait_for(|is| *is).await.is_err() {
                // Nobody asks any more.
                return std::future::pending().await;
            }
            if timeout(GRACE, is_silent.wait_for(|is| !*is)).await.is_err() {
                return;
            }
        }
    }
}

async fn ask(options: PgConnectOptions, lost: Lost, tell: watch::Sender<bool>) {
    let mut connection = None;
    loop {
        let is_silent = match timeout(ANSWER_TIMEOUT, once(&options, &mut connection)).await {
            // What says no answers too: it has no room for one more, or shuts down.
            Ok(Ok(()) | Err(sqlx::Error::Database(_))) => false,
            Ok(Err(_)) | Err(_) => true,
        };
        if is_silent {
            connection = None;
            lost.now();
        }
        tell.send_if_modified(|was| std::mem::replace(was, is_silent) != is_silent);
        sleep(LOOK).await;
    }
}

async fn once(
    options: &PgConnectOptions,
    connection: &mut Option<PgConnection>,
) -> sqlx::Result<()> {
    // What is not put back was broken, or is not waited for any more.
    let mut asked = match connection.take() {
        Some(connection) => connection,
        None => options.connect().await?,
    };
    asked.ping().await?;
    *connection = Some(asked);
    Ok(())
}
