//! Previews by port, for people who came by a bare address: which preview has which port, and which may
//! have it. Names need none of this; opening and closing is in `listeners`. Why it is as it is:
//! `docs/decisions/0005-a-preview-keeps-its-port.md`.

use crate::hosts::Label;
use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet},
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
};
use toft_model::id::ProjectId;
use toft_store::PreviewPort;
use tokio_util::sync::CancellationToken;

/// The listeners that are open.
pub(crate) struct Ports {
    pub(super) range: RangeInclusive<u16>,
    open: Mutex<HashMap<u16, Open>>,
    /// One at a time opens or closes.
    pub(super) turn: tokio::sync::Mutex<()>,
}

pub(super) struct Open {
    pub(super) label: Label,
    /// Unix milliseconds of the last request.
    pub(super) used_at: Arc<AtomicU64>,
    pub(super) ends: CancellationToken,
}

impl Ports {
    pub(crate) fn new(range: RangeInclusive<u16>) -> Self {
        Self { range, open: Mutex::default(), turn: tokio::sync::Mutex::new(()) }
    }

    pub(super) fn all(&self) -> MutexGuard<'_, HashMap<u16, Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose preview a port shows.
    pub(crate) fn project(&self, port: u16) -> Option<ProjectId> {
        self.all().get(&port).map(|open| open.label.project.clone())
    }

    /// Closes every port of a deleted project.
    pub(crate) async fn close(&self, project: &ProjectId) {
        // Whoever is just opening one finishes first.
        let _turn = self.turn.lock().await;
        self.close_those(|open| open.label.project == *project);
    }

    pub(super) fn close_those(&self, over: impl Fn(&Open) -> bool) {
        self.all().retain(|port, open| {
            let ends = over(open);
            if ends {
                open.ends.cancel();
                tracing::info!(project.id = %open.label.project, port, "a preview port is closed");
            }
            !ends
        });
    }
}

/// Ports to try, best first: those that this preview had; those that nobody ever had; those of
/// deleted projects, the longest unused first.
pub(super) fn candidates(
    rows: &[PreviewPort],
    label: &Label,
    range: &RangeInclusive<u16>,
) -> Vec<u16> {
    let within = || rows.iter().filter(|row| range.contains(&row.port));
    let had: HashSet<u16> = rows.iter().map(|row| row.port).collect();
    let mut own: Vec<&PreviewPort> = within()
        .filter(|r| r.lives && r.project == label.project && r.app_port == label.port)
        .collect();
    own.sort_by_key(|row| Reverse(row.used_at));
    let mut left: Vec<&PreviewPort> = within().filter(|row| !row.lives).collect();
    left.sort_by_key(|row| row.used_at);
    let fresh = range.clone().filter(|port| !had.contains(port));
    own.iter().map(|row| row.port).chain(fresh).chain(left.iter().map(|row| row.port)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(project: &str, port: Option<u16>) -> Label {
        Label { project: project.parse().unwrap(), port }
    }

    fn row(
        port: u16,
        project: &str,
        app_port: Option<u16>,
        used_at: u64,
        lives: bool,
    ) -> PreviewPort {
        PreviewPort { port, project: project.parse().unwrap(), app_port, used_at, lives }
    }

    const SHOP: &str = "a23456789bcd";
    const BLOG: &str = "b23456789bcd";

    #[test]
    fn a_preview_gets_its_own_port_again_and_never_that_of_a_living_project() {
        let rows = [
            row(4100, SHOP, None, 5, true),
            row(4101, SHOP, Some(3000), 6, true),
            row(4102, BLOG, None, 9, false),
            row(4103, BLOG, Some(1), 8, false),
            row(4104, SHOP, None, 7, true),
            row(5000, SHOP, None, 8, true),
        ];
        let check = |label: &Label, want: &[u16]| {
            assert_eq!(candidates(&rows, label, &(4100..=4106)), want, "{label}");
        };
        check(&label(SHOP, None), &[4104, 4100, 4105, 4106, 4103, 4102]);
        check(&label(SHOP, Some(3000)), &[4101, 4105, 4106, 4103, 4102]);
        check(&label("c23456789bcd", None), &[4105, 4106, 4103, 4102]);
        assert_eq!(candidates(&rows[..2], &label(BLOG, None), &(4100..=4101)), [0; 0]);
    }
}
