//! Rows about pausing a machine in memory.

use super::{
    Row,
    rows::WAKES,
    tree::{Tree, rounds, timed},
};
use anyhow::Result;
use serde_json::json;

/// A running idle machine, to the answer that it stands still.
pub(super) async fn freeze(tree: &Tree, n: usize) -> Result<Row> {
    rounds("freeze", n, || async {
        let took = timed(tree.post("freeze", &json!({}))).await?;
        tree.post("thaw", &json!({})).await?;
        Ok(took)
    })
    .await
}

/// A frozen machine, to the first request that its bridge has answered.
pub(super) async fn thaw_request(tree: &Tree, n: usize) -> Result<Row> {
    rounds("thaw_request", n, || async {
        tree.post("freeze", &json!({})).await?;
        timed(tree.lab.client.get(&tree.path(WAKES))).await
    })
    .await
}
