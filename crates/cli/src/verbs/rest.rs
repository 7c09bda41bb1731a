//! `toft freeze`, `thaw`, `limits`, `idle` and `disk`; `egress` is beside.

use crate::{
    amounts::{self, shown_bytes, shown_time},
    args::{At, Rest, rest::IdleOf, rest::LimitsOf},
    client::Client,
    output, verbs,
};
use anyhow::Result;
use serde_json::{Map, Value};

/// Of figures that this storage does not keep.
const UNCOUNTED: &str = "not counted by this storage";

pub(crate) async fn run(at: &At, verb: &Rest, as_json: bool) -> Result<()> {
    match verb {
        Rest::Freeze(one) => verbs::project::machine(at, &one.project, "freeze", as_json).await,
        Rest::Thaw(one) => verbs::project::machine(at, &one.project, "thaw", as_json).await,
        Rest::Limits(order) => limits(at, order, as_json).await,
        Rest::Idle(order) => idle(at, order, as_json).await,
        Rest::Egress(order) => verbs::egress::run(at, order, as_json).await,
        Rest::Disk(one) => disk(at, &one.project, as_json).await,
    }
}

async fn limits(at: &At, order: &LimitsOf, as_json: bool) -> Result<()> {
    let mut change = Map::new();
    if order.none.is_some() {
        let all = ["memoryBytes", "cpus", "pids", "diskBytes", "logBytes"];
        change.extend(all.map(|name| (name.into(), Value::Null)));
    }
    let counts = [
        ("memoryBytes", order.memory),
        ("pids", order.pids),
        ("diskBytes", order.disk),
        ("logBytes", order.log),
    ];
    change.extend(amounts::change(counts));
    change.extend(amounts::change([("cpus", order.cpus)]));
    let client = Client::find(at)?;
    let path = client.path_of(Some(&order.project), "limits").await?;
    let found = client.changed(&path, change).await?;
    output::answer(&found, as_json, show_limits);
    Ok(())
}

fn show_limits(found: &Value) {
    let enforced = |name: &str| {
        let all = found["enforced"].as_array();
        all.is_some_and(|all| all.iter().any(|one| one.as_str() == Some(name)))
    };
    let limits = &found["limits"];
    let bytes = |field: &str| limits[field].as_u64().map(shown_bytes);
    let number = |field: &str| (!limits[field].is_null()).then(|| limits[field].to_string());
    let mut rows = vec![["LIMIT", "VALUE", "IN FORCE"].map(str::to_owned).to_vec()];
    for (name, value) in [
        ("memory", bytes("memoryBytes")),
        ("cpu", number("cpus")),
        ("pids", number("pids")),
        ("disk", bytes("diskBytes")),
        ("log", bytes("logBytes")),
    ] {
        let in_force = match (&value, enforced(name)) {
            (None, _) => "",
            (Some(_), true) => "yes",
            (Some(_), false) => "no, this host cannot: see `toft doctor`",
        };
        rows.push(vec![name.into(), value.unwrap_or_else(|| "none".into()), in_force.into()]);
    }
    output::table(&rows);
}

async fn idle(at: &At, order: &IdleOf, as_json: bool) -> Result<()> {
    let given = [("freezeAfterS", order.freeze_after), ("coldAfterS", order.cold_after)];
    let client = Client::find(at)?;
    let path = client.path_of(Some(&order.project), "idle").await?;
    let found = client.changed(&path, amounts::change(given)).await?;
    output::answer(&found, as_json, show_idle);
    Ok(())
}

fn show_idle(found: &Value) {
    let after = |field: &str| {
        found[field]
            .as_u64()
            .map_or_else(|| "never".to_owned(), |s| format!("after {}", shown_time(s)))
    };
    output::line(&format!("paused: {}", after("freezeAfterS")));
    output::line(&format!("cold:   {}", after("coldAfterS")));
}

async fn disk(at: &At, project: &str, as_json: bool) -> Result<()> {
    let client = Client::find(at)?;
    let found = client.get(&client.path_of(Some(project), "disk").await?).await?;
    output::answer(&found, as_json, show_disk);
    Ok(())
}

fn show_disk(found: &Value) {
    for (label, field, without) in [
        ("written by it:", "exclusiveBytes", UNCOUNTED),
        ("shared with others:", "sharedBytes", UNCOUNTED),
        ("bound of what it writes:", "quotaBytes", "none"),
        ("its log folder:", "logBytes", "unknown"),
        ("all projects together:", "totalBytes", UNCOUNTED),
        ("bound of that:", "capBytes", "none"),
        ("free for all projects:", "freeBytes", "unknown"),
        ("checkpoints yield below:", "yieldBelowBytes", "never"),
    ] {
        let value = found[field].as_u64().map_or_else(|| without.to_owned(), shown_bytes);
        output::line(&format!("{label:<26}{value}"));
    }
}
