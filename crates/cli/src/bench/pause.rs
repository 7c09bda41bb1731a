//! Rows about pausing a machine in memory.

use super::{
    Row,
    peers::Peers,
    rows::wake,
    tree::{Tree, timed},
};
use anyhow::Result;
use serde_json::json;

/// A running idle machine, to the answer that it stands still.
pub(super) async fn freeze(tree: &Tree, n: usize, peers: &Peers) -> Result<Vec<Row>> {
    tree.rounds("freeze", n, peers, || async {
        let took = timed(tree.post("freeze", &json!({}))).await?;
        tree.post("thaw", &json!({})).await?;
        Ok(took)
    })
    .await
}

/// A frozen machine, to the first request that its bridge has answered ([`wake`]).
pub(super) async fn thaw_request(tree: &Tree, n: usize, peers: &Peers) -> Result<Vec<Row>> {
    tree.rounds("thaw_request", n, peers, || async {
        tree.post("freeze", &json!({})).await?;
        timed(wake(&tree.lab, &tree.project)).await
    })
    .await
}
