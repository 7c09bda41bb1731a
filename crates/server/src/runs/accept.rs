//! Requests become runs. Those that come while others are written are written together: each commit waits for the
//! disk once, whoever is in it.

use super::{Ask, QUEUE_TOPIC, tell};
use crate::{
    api_error::{ApiError, Code},
    state::App,
};
use toft_store::{Accepted, NewRun};
use tokio::sync::oneshot;

/// Requests in one transaction: other writers get their turn in between.
const TOGETHER_MAX: usize = 64;

/// Makes a run of a request, on disk when this returns, or finds the one that it was before.
pub(crate) async fn accept(app: &App, new: NewRun) -> Result<Accepted, ApiError> {
    let (reply, answer) = oneshot::channel();
    let ending =
        || ApiError::new(Code::Unavailable, "the server is just ending: ask it again in a moment");
    app.runs.asks.send(Ask { new, reply }).await.map_err(|_| ending())?;
    answer.await.map_err(|_| ending())?
}

/// Writes down what comes until the server ends.
pub(crate) async fn run(app: App) {
    let asked = super::lock(&app.runs.asked).take();
    let Some(mut asked) = asked else { return };
    let mut together = Vec::with_capacity(TOGETHER_MAX);
    loop {
        let came = tokio::select! {
            came = asked.recv_many(&mut together, TOGETHER_MAX) => came,
            () = app.stop.token().cancelled() => return,
        };
        if came == 0 {
            return;
        }
        let (requests, replies): (Vec<NewRun>, Vec<_>) =
            together.drain(..).map(|ask| (ask.new, ask.reply)).unzip();
        match app.store.accept_runs(&requests, app.clock.now_ms()).await {
            Ok(accepted) => {
                let any = accepted.iter().any(|one| matches!(one, Accepted::New(_)));
                for (reply, one) in replies.into_iter().zip(accepted) {
                    // Whoever asked may be gone: the run is there.
                    let _ = reply.send(Ok(one));
                }
                if any {
                    app.runs.queued.notify_one();
                    tell(&*app.store, QUEUE_TOPIC).await;
                }
            }
            Err(error) => {
                let error = ApiError::from(error);
                for reply in replies {
                    let _ = reply.send(Err(error.clone()));
                }
            }
        }
    }
}
