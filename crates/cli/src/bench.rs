//! `toft bench`: what a user feels, measured on this machine against a server of its own on an
//! empty data folder. Medians of many rounds; a figure is printed, never judged.

mod agent;
mod brokered;
mod child;
mod clients;
mod copies;
mod deltas;
mod egress;
mod gateway;
mod history;
mod lab;
mod many;
mod memory;
mod model;
mod outlet;
mod pause;
mod peers;
mod postgres;
mod provider;
mod rows;
mod runs;
mod runs_many;
mod scratch;
mod socket;
mod start;
mod tree;
mod user;

use crate::{args::Bench, output};
use anyhow::{Context as _, Result, bail};
use peers::Peers;
use runs::Kept;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tree::Tree;
use user::Column;

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
    "deltas_per_s",
    "bridge_ready",
    "oneshot_prompt",
    "first_request_bytes",
    "open_session_10k",
    "server_rss",
    "bridge_rss",
    "bridge_rss_idle",
    "bridge_rss_200",
    "idle_machine_mem",
    "checkpoint_idle",
    "checkpoint_writing",
    "restore_first_output",
    "fork_first_output",
    "fork20_all",
    "freeze",
    "thaw_request",
    "checkpoint_files",
    "cold500_rss",
    "cold500_list",
    "growth",
    "gateway_first_byte",
    "gateway_delta",
    "egress_mb_s",
    "egress_brokered_mb_s",
    "egress_connect",
    "gateway_rss_1000",
    "accept_runs_sqlite",
    "accept_runs_postgres",
    "handover",
    "replay_10k",
    "fanout_10k",
    "fanout_10k_rss",
    "list_10k_runs",
    "growth_runs",
];

/// The first argument of a process of clients.
pub(crate) const CLIENTS: &str = clients::PART;

/// Such a process.
pub(crate) fn clients() -> Result<()> {
    clients::main()
}

/// Runs the rows that were asked for. Interrupted, it ends what it started and removes what it made.
pub(crate) async fn run(bench: &Bench, as_json: bool) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("listening for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    tokio::select! {
        done = rows_asked(bench, as_json) => done,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("told to end"),
    }
}

async fn rows_asked(bench: &Bench, as_json: bool) -> Result<()> {
    if let Some(unknown) = bench.rows.iter().find(|r| !ROWS.contains(&r.as_str())) {
        bail!("there is no row {unknown:?}; there are {}", ROWS.join(", "));
    }
    let wanted = |name: &str| bench.rows.is_empty() || bench.rows.iter().any(|r| r == name);
    let names: Vec<&str> = ROWS.iter().copied().filter(|name| wanted(name)).collect();
    let done = measure(bench, &names, as_json).await?;
    let column = match &bench.user {
        Some(user) => Some(user::column(user, &names, bench.rounds).await?),
        None => None,
    };
    if as_json {
        let rows = done.iter().map(|row| {
            let mut line = row.as_json();
            if let Some((p50, p99)) = column.as_ref().and_then(|c| c.get(&row.name)) {
                line["user"] = json!({"p50": p50, "p99": p99});
            }
            line
        });
        output::json(&json!({"rows": rows.collect::<Vec<_>>()}));
    } else {
        output::table(&table(&done, column.as_ref()));
    }
    Ok(())
}

async fn measure(bench: &Bench, names: &[&str], quiet: bool) -> Result<Vec<Row>> {
    let n = bench.rounds;
    if let Some(program) = &bench.program {
        lab::measure(program.clone());
    }
    let peers = if bench.peers { Peers::find().await } else { Peers::default() };
    let mut tree = None;
    let mut done = Vec::new();
    for name in names {
        if done.iter().any(|row: &Row| row.name == *name) {
            continue;
        }
        if !quiet {
            output::remark(&format!("measuring {name} …"));
        }
        let rows = match *name {
            "server_start" => vec![rows::server_start(n).await?],
            "create_first_output" => rows::create_first_output(n, &peers).await?,
            "exec_roundtrip" => rows::exec_roundtrip(n, &peers).await?,
            "cold_wake" => rows::cold_wake(n, &peers).await?,
            "stop" => rows::stop(n, &peers).await?,
            "loop_turn" => model::loop_turn(n, &peers).await?,
            "relay_added" => vec![model::relay_added(n).await?],
            "deltas_per_s" => deltas::per_second(n, &peers).await?,
            "bridge_ready" => start::bridge_ready(n, &peers).await?,
            "oneshot_prompt" => start::oneshot_prompt(n, &peers).await?,
            "first_request_bytes" => start::first_request_bytes(&peers).await?,
            "open_session_10k" => history::open_session(n).await?,
            "server_rss" => vec![memory::server().await?],
            "bridge_rss" => memory::bridge().await?,
            "bridge_rss_idle" | "bridge_rss_200" => memory::agent(&peers).await?,
            "idle_machine_mem" => memory::idle_machine().await?,
            "checkpoint_files" => copies::checkpoint_files(n).await?,
            "cold500_rss" | "cold500_list" => many::cold(n, names).await?,
            "growth" => many::growth(n).await?,
            "gateway_first_byte" | "gateway_delta" => gateway::added(n, names).await?,
            "gateway_rss_1000" => gateway::memory().await?,
            "egress_mb_s" => egress::rate(n, &peers).await?,
            "egress_brokered_mb_s" => brokered::rate(n, &peers).await?,
            "egress_connect" => egress::connect(n).await?,
            "accept_runs_sqlite" => runs::accept(Kept::Sqlite, n).await?,
            "accept_runs_postgres" => runs::accept(Kept::Postgres, n).await?,
            "handover" => runs::handover(n).await?,
            "replay_10k" => runs_many::replay(n).await?,
            "fanout_10k" | "fanout_10k_rss" => runs_many::fanout(names).await?,
            "list_10k_runs" => runs_many::list(n).await?,
            "growth_runs" => runs_many::growth(n).await?,
            on_tree => {
                let tree = match &mut tree {
                    Some(tree) => tree,
                    none => none.insert(Tree::open().await?),
                };
                on_tree_row(on_tree, tree, n, &peers).await?
            }
        };
        done.extend(rows);
    }
    if let Some(tree) = tree {
        tree.lab.close().await?;
    }
    Ok(done)
}

/// Rows that are measured on the large project.
async fn on_tree_row(name: &str, tree: &Tree, n: usize, peers: &Peers) -> Result<Vec<Row>> {
    match name {
        "checkpoint_idle" => copies::checkpoint_idle(tree, n, peers).await,
        "checkpoint_writing" => copies::checkpoint_writing(tree, n, peers).await,
        "restore_first_output" => copies::restore_first_output(tree, n, peers).await,
        "fork_first_output" => copies::fork_first_output(tree, n, peers).await,
        "fork20_all" => copies::fork20_all(tree, n, peers).await,
        "freeze" => pause::freeze(tree, n, peers).await,
        "thaw_request" => pause::thaw_request(tree, n, peers).await,
        other => unreachable!("{other} is in the list of rows"),
    }
}

fn table(rows: &[Row], user: Option<&Column>) -> Vec<Vec<String>> {
    let mut head = ["ROW", "UNIT", "P50", "P99", "N"].map(str::to_owned).to_vec();
    if user.is_some() {
        head.extend(["USER P50", "USER P99"].map(str::to_owned));
    }
    let mut out = vec![head];
    for row in rows {
        let mut line = vec![
            row.name.clone(),
            row.unit.to_owned(),
            format!("{:.2}", row.quantile(0.5)),
            format!("{:.2}", row.quantile(0.99)),
            row.samples.len().to_string(),
        ];
        if let Some(column) = user {
            line.extend(user::cells(column, row));
        }
        out.push(line);
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
        let bench =
            Bench { rows: vec!["nope".into()], rounds: 1, peers: false, user: None, program: None };
        let refused = run(&bench, true).await.unwrap_err().to_string();
        assert!(ROWS.iter().all(|row| refused.contains(row)), "{refused}");
    }
}
