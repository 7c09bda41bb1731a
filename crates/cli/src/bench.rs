//! `toft bench`: what a user feels, measured on this machine against a server of its own on an
//! empty data folder. Medians of many rounds; a figure is printed, never judged.

mod lab;
mod memory;
mod model;
mod peers;
mod provider;
mod rows;
mod scratch;

use crate::{args::Bench, output};
use anyhow::{Result, bail};
use peers::Peers;
use serde_json::{Value, json};

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    name: String,
    unit: &'static str,
    samples: Vec<f64>,
}

impl Row {
    fn new(name: &str, unit: &'static str, samples: Vec<f64>) -> Self {
        Self { name: name.to_owned(), unit, samples }
    }

    /// The sample below which `share` of all lie.
    fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.samples.clone();
        sorted.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index into a list of at most thousands"
        )]
        let at = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
        sorted.get(at).copied().unwrap_or(f64::NAN)
    }

    fn as_json(&self) -> Value {
        json!({
            "name": self.name,
            "unit": self.unit,
            "p50": self.quantile(0.5),
            "p99": self.quantile(0.99),
            "n": self.samples.len(),
        })
    }
}

/// Rows by name, in the order in which they are printed.
pub(crate) const ROWS: &[&str] = &[
    "server_start",
    "create_first_output",
    "exec_roundtrip",
    "cold_wake",
    "stop",
    "loop_turn",
    "relay_added",
    "server_rss",
    "bridge_rss",
    "idle_machine_mem",
];

/// Runs the rows that were asked for.
pub(crate) async fn run(bench: &Bench, as_json: bool) -> Result<()> {
    if let Some(unknown) = bench.rows.iter().find(|r| !ROWS.contains(&r.as_str())) {
        bail!("there is no row {unknown:?}; there are {}", ROWS.join(", "));
    }
    let wanted = |name: &str| bench.rows.is_empty() || bench.rows.iter().any(|r| r == name);
    let mut peers = if bench.peers { Peers::find().await } else { Peers::default() };
    let mut done = Vec::new();
    for name in ROWS.iter().filter(|name| wanted(name)) {
        if !as_json {
            output::remark(&format!("measuring {name} …"));
        }
        let rows = match *name {
            "server_start" => vec![rows::server_start(bench.rounds).await?],
            "create_first_output" => rows::create_first_output(bench.rounds, &mut peers).await?,
            "exec_roundtrip" => rows::exec_roundtrip(bench.rounds, &mut peers).await?,
            "cold_wake" => vec![rows::cold_wake(bench.rounds).await?],
            "stop" => vec![rows::stop(bench.rounds).await?],
            "loop_turn" => model::loop_turn(bench.rounds, &peers).await?,
            "relay_added" => vec![model::relay_added(bench.rounds).await?],
            "server_rss" => vec![memory::server().await?],
            "bridge_rss" => memory::bridge().await?,
            "idle_machine_mem" => memory::idle_machine().await?,
            other => unreachable!("{other} is in the list of rows"),
        };
        done.extend(rows);
    }
    if as_json {
        output::json(&json!({"rows": done.iter().map(Row::as_json).collect::<Vec<_>>()}));
    } else {
        output::table(&table(&done));
    }
    Ok(())
}

fn table(rows: &[Row]) -> Vec<Vec<String>> {
    let mut out = vec![["ROW", "UNIT", "P50", "P99", "N"].map(str::to_owned).to_vec()];
    for row in rows {
        out.push(vec![
            row.name.clone(),
            row.unit.to_owned(),
            format!("{:.2}", row.quantile(0.5)),
            format!("{:.2}", row.quantile(0.99)),
            row.samples.len().to_string(),
        ]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples_that_were_seen() {
        let row = Row::new("r", "ms", (1..=100).map(f64::from).rev().collect());
        assert!((row.quantile(0.5) - 50.0).abs() < f64::EPSILON);
        assert!((row.quantile(0.99) - 99.0).abs() < f64::EPSILON);
        let one = Row::new("r", "ms", vec![3.0]);
        assert!((one.quantile(0.5) - 3.0).abs() < f64::EPSILON);
        assert!((one.quantile(0.99) - 3.0).abs() < f64::EPSILON);
    }

    #[tokio::test]
    async fn an_unknown_row_is_refused_with_the_list_of_rows() {
        let bench = Bench { rows: vec!["nope".into()], rounds: 1, peers: false };
        let refused = run(&bench, true).await.unwrap_err().to_string();
        assert!(ROWS.iter().all(|row| refused.contains(row)), "{refused}");
    }
}
