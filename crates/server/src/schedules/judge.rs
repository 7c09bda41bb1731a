//! What becomes of slots that are due. Pure: the time and the state of things are given.

use super::slots::{Before, Due};
use toft_model::{
    schedule::{CatchUp, Overlap},
    time::rfc3339,
};

/// A slot that is started within this is in time. The worker looks once a second, and a busy host
/// may keep it from that for a while.
pub(crate) const LATE_AFTER_MS: u64 = 5_000;

/// What is known when slots are judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene {
    pub(crate) now_ms: u64,
    pub(crate) catch_up: CatchUp,
    pub(crate) overlap: Overlap,
    /// The slot that still runs.
    pub(crate) running: Option<u64>,
    /// Whether one waits for its end.
    pub(crate) waiting: bool,
    /// Whether a person has stopped the project.
    pub(crate) stopped: bool,
}

/// What becomes of a slot, or of several in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) slots: u64,
    pub(crate) fate: Fate,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Late with the reason, if it is.
    Start {
        late: Option<String>,
    },
    /// It waits for the end of the one that runs.
    Wait {
        late: Option<String>,
    },
    Skip(String),
    Suppress(String),
}

/// Why a slot of a stopped project is not started.
pub(crate) const STOPPED: &str = "the project was stopped: only a person starts it again";
/// Why an old slot is not started.
const PASSED: &str = "its time passed while nobody could start it";

/// Judges all slots that are due.
pub(crate) fn judge(due: &Due, scene: &Scene) -> Vec<Verdict> {
    let mut out = Vec::with_capacity(2);
    let of = |first, last, slots, fate| Verdict { first, last, slots, fate };
    let last = |fate| of(due.last, due.last, 1, fate);
    let behind_ms = scene.now_ms.saturating_sub(due.last);
    let is_late = behind_ms > LATE_AFTER_MS;
    if scene.stopped {
        if let Some(b) = due.before {
            out.push(of(b.first, b.last, b.slots, Fate::Skip(STOPPED.into())));
        }
        out.push(last(Fate::Skip(STOPPED.into())));
        return out;
    }
    let skip_all = is_late && scene.catch_up == CatchUp::None;
    if let Some(b) = due.before {
        out.push(of(b.first, b.last, b.slots, Fate::Skip(passed(&b, due.last, skip_all))));
    }
    if skip_all {
        out.push(last(Fate::Skip(format!("{PASSED}, and this schedule does not catch up"))));
        return out;
    }
    let late = is_late.then(|| format!("started {} after its time", span(behind_ms)));
    out.push(last(match (scene.running, scene.overlap) {
        (None, _) => Fate::Start { late },
        (Some(_), Overlap::Queue) if !scene.waiting => Fate::Wait { late },
        (Some(slot), Overlap::Queue) => Fate::Suppress(format!(
            "the one of {} still ran, and another one waited",
            rfc3339(slot)
        )),
        (Some(slot), Overlap::Skip) => {
            Fate::Suppress(format!("the one of {} still ran", rfc3339(slot)))
        }
    }));
    out
}

fn passed(before: &Before, last: u64, skip_all: bool) -> String {
    let more = if before.and_more { " (there were more than are counted)" } else { "" };
    if skip_all {
        format!("{PASSED}, and this schedule does not catch up{more}")
    } else {
        format!("{PASSED}: the one of {} stands for it{more}", rfc3339(last))
    }
}

/// A length of time for people.
pub(super) fn span(ms: u64) -> String {
    let s = ms / 1_000;
    match (s / 86_400, s / 3_600 % 24, s / 60 % 60, s % 60) {
        (0, 0, 0, s) => format!("{s} s"),
        (0, 0, min, s) => format!("{min} min {s} s"),
        (0, h, min, _) => format!("{h} h {min} min"),
        (d, h, _, _) => format!("{d} d {h} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn scene() -> Scene {
        Scene {
            now_ms: NOW,
            catch_up: CatchUp::Latest,
            overlap: Overlap::Skip,
            running: None,
            waiting: false,
            stopped: false,
        }
    }

    fn due(behind_ms: u64, before: u64) -> Due {
        let last = NOW - behind_ms;
        let before = (before > 0).then(|| Before {
            first: last - 1_000 * before,
            last: last - 1_000,
            slots: before,
            and_more: false,
        });
        Due { last, before }
    }

    /// `start late wait skip suppress`, with the number of slots.
    fn check(due: &Due, scene: &Scene, want: &[(&str, u64)]) {
        let got = judge(due, scene);
        let word = |fate: &Fate| match fate {
            Fate::Start { late: None } => "start",
            Fate::Start { late: Some(_) } => "late",
            Fate::Wait { .. } => "wait",
            Fate::Skip(_) => "skip",
            Fate::Suppress(_) => "suppress",
        };
        let words: Vec<_> = got.iter().map(|v| (word(&v.fate), v.slots)).collect();
        assert_eq!(words, want, "{got:?}");
        // Every slot has exactly one verdict.
        assert_eq!(got.last().map(|v| (v.first, v.last)), Some((due.last, due.last)));
        if let Some(b) = due.before {
            assert_eq!((got[0].first, got[0].last, got[0].slots), (b.first, b.last, b.slots));
        }
        assert_eq!(got.len(), 1 + usize::from(due.before.is_some()));
    }

    #[test]
    fn a_slot_in_time_starts_and_an_old_one_by_its_rule() {
        let latest = scene();
        let none = Scene { catch_up: CatchUp::None, ..latest };
        check(&due(LATE_AFTER_MS, 0), &latest, &[("start", 1)]);
        check(&due(LATE_AFTER_MS, 0), &none, &[("start", 1)]);
        check(&due(LATE_AFTER_MS + 1, 0), &latest, &[("late", 1)]);
        check(&due(LATE_AFTER_MS + 1, 0), &none, &[("skip", 1)]);
        check(&due(7_200_000, 40), &latest, &[("skip", 40), ("late", 1)]);
        check(&due(7_200_000, 40), &none, &[("skip", 40), ("skip", 1)]);
        check(&due(0, 40), &none, &[("skip", 40), ("start", 1)]);
    }

    #[test]
    fn one_that_still_runs_is_not_overlapped() {
        let runs = Scene { running: Some(NOW - 60_000), ..scene() };
        check(&due(0, 0), &runs, &[("suppress", 1)]);
        check(&due(0, 3), &runs, &[("skip", 3), ("suppress", 1)]);
        let queue = Scene { overlap: Overlap::Queue, ..runs };
        check(&due(0, 0), &queue, &[("wait", 1)]);
        check(&due(0, 0), &Scene { waiting: true, ..queue }, &[("suppress", 1)]);
        check(&due(0, 0), &Scene { running: None, ..queue }, &[("start", 1)]);
    }

    #[test]
    fn a_stopped_project_starts_nothing() {
        let stopped = Scene { stopped: true, running: Some(1), ..scene() };
        check(&due(0, 2), &stopped, &[("skip", 2), ("skip", 1)]);
        check(&due(7_200_000, 0), &stopped, &[("skip", 1)]);
    }

    #[test]
    fn reasons_say_what_happened() {
        let verdicts = judge(&due(7_380_000, 2), &scene());
        let Fate::Skip(why) = &verdicts[0].fate else { panic!("{verdicts:?}") };
        assert!(why.contains("stands for it"), "{why}");
        let Fate::Start { late: Some(why) } = &verdicts[1].fate else { panic!("{verdicts:?}") };
        assert_eq!(why, "started 2 h 3 min after its time");
        for (ms, text) in [(6_000, "6 s"), (61_000, "1 min 1 s"), (90_000_000, "1 d 1 h")] {
            assert_eq!(span(ms), text);
        }
    }
}
