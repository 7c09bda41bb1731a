//! Tells of receipts as events. Init keeps them; a bridge tells what the one before it has not, and may tell one
//! of them twice.

use crate::{log::EventLog, shell::InitShell};
use std::time::Duration;
use toft_model::event::EventBody;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How often init is asked again when it cannot be reached.
const LOST_WAIT: Duration = Duration::from_secs(1);

/// Follows init until `stop`.
pub(crate) async fn tell(shell: InitShell, log: EventLog, stop: CancellationToken) {
    tokio::select! {
        () = keep_up(&shell, &log) => {}
        () = stop.cancelled() => {}
    }
}

async fn keep_up(shell: &InitShell, log: &EventLog) {
    let mut told = None;
    loop {
        match shell.receipt_news(told).await {
            Ok((position, receipts)) => {
                for receipt in receipts {
                    let session = receipt.session_id.clone();
                    log.append(Some(&session), EventBody::Receipt(Box::new(receipt)));
                }
                told = Some(position);
            }
            Err(error) if error.code == "invalid" => {
                tracing::debug!("init is older than the bridge and keeps no receipts");
                return;
            }
            Err(_) => sleep(LOST_WAIT).await,
        }
    }
}
