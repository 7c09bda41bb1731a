//! What a provider says in place of an answer: as much of it as is needed, and comes soon.

use super::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use std::time::Duration;

/// Bytes of a refusal that are read.
const BYTES_MAX: usize = 64 << 10;

/// How long the rest of a refusal may take: its words are nice to have.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) async fn read(mut body: Body) -> Bytes {
    let mut all = Vec::new();
    let read = async {
        while let Some(Ok(frame)) = body.frame().await {
            let Ok(data) = frame.into_data() else { return };
            all.extend_from_slice(&data[..data.len().min(BYTES_MAX - all.len())]);
            if all.len() == BYTES_MAX {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(TIMEOUT, read).await;
    all.into()
}
