//! What was spent: the sums that are kept are those that the calls add up to.

use super::databases::Place;
use proptest::{
    prelude::*,
    strategy::ValueTree as _,
    test_runner::{Config, TestRunner},
};
use std::collections::BTreeMap;
use toft_model::{
    budget::{RunSum, Spent, Sums},
    time::month_of,
};
use toft_store::{UsageEntry, UsageRow};

const PROJECTS: [&str; 2] = ["aaaaaaaaaaaa", "bbbbbbbbbbbb"];
const NOW: u64 = 1_796_083_200_000; // 2026-12-01
const DAY_MS: u64 = 86_400_000;
const CASES: usize = 12;

fn entries() -> impl Strategy<Value = Vec<UsageEntry>> {
    let sum = || prop::option::of(prop_oneof![0..1_000_u64, Just(1 << 40)]);
    // Around the begin of a month, and a year before.
    let ts = prop_oneof![NOW - 2..NOW + 2, Just(NOW - 365 * DAY_MS)];
    let call = (0..8_u8, 0..3_usize, 0..3_u8, ts, sum(), sum());
    let call = call.prop_map(|(id, project, run, ts, cost, reserved)| UsageRow {
        id: id.to_string(),
        ts,
        project: PROJECTS.get(project).map(|id| (*id).to_owned()),
        session: (run > 0).then(|| "s".to_owned()),
        run: (run > 0).then(|| format!("r{run}")),
        provider: "p".to_owned(),
        cost,
        reserved,
        ..UsageRow::default()
    });
    let entry = (call, 0..5_u8).prop_map(|(row, what)| match what {
        0 => UsageEntry::Restarted,
        1 | 2 => UsageEntry::Granted(row),
        _ => UsageEntry::Ended(row),
    });
    prop::collection::vec(entry, 1..40)
}

/// What is remembered of each call.
type Calls = BTreeMap<String, UsageRow>;

fn remember(calls: &mut Calls, entry: &UsageEntry) {
    match entry {
        UsageEntry::Granted(row) => {
            let begun = UsageRow { cost: None, ..row.clone() };
            calls.entry(row.id.clone()).or_insert(begun);
        }
        UsageEntry::Ended(row) => {
            let kept = calls.entry(row.id.clone()).or_insert_with(|| row.clone());
            kept.cost = row.cost;
            kept.reserved = row.reserved.or(kept.reserved);
        }
        UsageEntry::Restarted => {}
    }
}

fn added_up(calls: &Calls) -> Spent {
    let mut spent = Spent { month: month_of(NOW), ..Spent::default() };
    let mut runs: BTreeMap<(String, String), u64> = BTreeMap::new();
    for call in calls.values() {
        let counts = call.cost.or(call.reserved).unwrap_or(0);
        let now = if call.ts >= NOW { counts } else { 0 };
        let add = |sums: &mut Sums| {
            sums.month += now;
            sums.total += counts;
        };
        add(&mut spent.team);
        let Some(project) = &call.project else { continue };
        add(spent.projects.entry(project.parse().unwrap()).or_default());
        if let Some(run) = &call.run {
            *runs.entry((project.clone(), run.clone())).or_default() += counts;
        }
    }
    spent.runs = runs
        .into_iter()
        .map(|((project, run), spent)| RunSum {
            project: project.parse().unwrap(),
            session: "s".parse().unwrap(),
            run: run.parse().unwrap(),
            spent,
        })
        .collect();
    spent
}

pub(crate) async fn calls(place: &Place) {
    let store = place.open().await;
    let mut runner = TestRunner::new(Config::default());
    for case in 0..CASES {
        // One database, emptied: opening one costs more than all the calls.
        place.sql("DELETE FROM usage; DELETE FROM spent_month; DELETE FROM spent_run").await;
        let mut known = Calls::new();
        for _ in 0..3 {
            let batch = entries().new_tree(&mut runner).unwrap().current();
            store.add_usage(&batch, 0).await.unwrap();
            for entry in &batch {
                remember(&mut known, entry);
            }
            let mut kept = store.spent(NOW, Some(0)).await.unwrap();
            kept.runs.sort_by_key(|run| (run.project.clone(), run.run.clone()));
            assert_eq!(kept, added_up(&known), "case {case}: {batch:?}");
        }
    }
    store.close().await;
}

/// Runs that are told at most, as the store has it.
const RUNS_MAX: u64 = 10_000;

pub(crate) async fn made_up(place: &Place) {
    let store = place.open().await;
    let call = |project: usize, run: String, ts| {
        UsageEntry::Granted(UsageRow {
            id: format!("{project}-{run}"),
            ts,
            project: Some(PROJECTS[project].to_owned()),
            session: Some("s".to_owned()),
            run: Some(run),
            provider: "p".to_owned(),
            ..UsageRow::default()
        })
    };
    let mut calls: Vec<_> =
        (0..RUNS_MAX + 10).map(|n| call(0, format!("made-up-{n}"), NOW + n)).collect();
    calls.push(call(1, "real".to_owned(), NOW));
    store.add_usage(&calls, 0).await.unwrap();
    let runs = store.spent(NOW, Some(NOW)).await.unwrap().runs;
    assert_eq!(runs.len() as u64, RUNS_MAX);
    assert!(runs.iter().any(|run| run.run.as_str() == "real"));
    store.close().await;
}
