//! What becomes of slots that are due. Pure: the time and the state of things are given.

use super::slots::{Before, Due};
use toft_model::{
    schedule::{CatchUp, Overlap},
    time::rfc3339,
};

/// A slot that is started within this is in time. The worker looks once a second, and a busy host
/// may keep it from that for a while.
pub(crate) const LATE_AFTER_MS: u64 = 5_000;

/// Firings of one schedule that run beside each other, where it allows that: a machine of a person
/// has two cores, and what piles up ends at the machine's limits otherwise.
pub(crate) const BESIDE_MAX: usize = 10;

/// What is known when slots are judged.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scene {
    pub(crate) now_ms: u64,
    pub(crate) catch_up: CatchUp,
    /// Slots that are made up for with [`CatchUp::All`].
    pub(crate) catch_up_max: u32,
    pub(crate) overlap: Overlap,
    /// The slot of the one that runs longest, or where none runs waits longest.
    pub(crate) oldest: Option<u64>,
    /// How many run, or are about to.
    pub(crate) running: usize,
    /// How many wait for the end of others.
    pub(crate) waiting: usize,
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

impl Scene {
    /// Slots that are judged one by one: the newest. Those before them are skipped.
    pub(crate) fn keep(&self) -> usize {
        if !self.makes_up_for_all() {
            return 1;
        }
        let max = usize::try_from(self.catch_up_max).unwrap_or(usize::MAX);
        max.saturating_sub(self.waiting).max(1)
    }

    fn makes_up_for_all(&self) -> bool {
        // With `cancel` each would end the one before: the last one stands for them.
        self.catch_up == CatchUp::All && self.overlap != Overlap::Cancel
    }

    fn is_late(&self, slot: u64) -> bool {
        self.now_ms.saturating_sub(slot) > LATE_AFTER_MS
    }

    /// Whether the slots that are due now are made up for in turn, the newest too: none of them ran
    /// when the next one came, so they do not overlap. Otherwise each meets what ran before.
    fn is_catching_up(&self, due: &Due) -> bool {
        let first = due.before.map_or(due.newest[0], |before| before.first);
        self.makes_up_for_all() && (self.is_late(first) || self.oldest.is_none())
    }

    fn begun(&mut self, fate: &Fate, slot: u64) {
        match fate {
            Fate::Start { .. } => self.running += 1,
            Fate::Wait { .. } => self.waiting += 1,
            Fate::Skip(_) | Fate::Suppress(_) => return,
        }
        self.oldest.get_or_insert(slot);
    }

    /// What becomes of one that is made up for: one goes after the other, where they may not run
    /// beside each other.
    fn made_up(&self, late: Option<String>) -> Fate {
        let room = if self.overlap == Overlap::Allow { BESIDE_MAX } else { 1 };
        if self.waiting == 0 && self.running < room {
            Fate::Start { late }
        } else if u32::try_from(self.waiting).is_ok_and(|waiting| waiting < self.catch_up_max) {
            Fate::Wait { late }
        } else {
            Fate::Suppress(format!("{} of those before still waited", self.waiting))
        }
    }

    /// What becomes of one that meets what has not ended, as the rule for that says.
    fn met(&self, late: Option<String>) -> Fate {
        let Some(slot) = self.oldest else { return Fate::Start { late } };
        let slot = rfc3339(slot);
        match self.overlap {
            Overlap::Queue if self.waiting == 0 => Fate::Wait { late },
            Overlap::Cancel => Fate::Wait { late },
            // In the moment between the end of one and the start of the next.
            Overlap::Skip | Overlap::Queue if self.running == 0 => {
                Fate::Suppress(format!("the one of {slot} still waited"))
            }
            Overlap::Queue => {
                Fate::Suppress(format!("the one of {slot} still ran, and another one waited"))
            }
            Overlap::Skip => Fate::Suppress(format!("the one of {slot} still ran")),
            Overlap::Allow if self.running < BESIDE_MAX => Fate::Start { late },
            Overlap::Allow => {
                Fate::Suppress(format!("{BESIDE_MAX} still ran, the oldest that of {slot}"))
            }
        }
    }
}

/// Judges all slots that are due.
pub(crate) fn judge(due: &Due, scene: &Scene) -> Vec<Verdict> {
    let mut out = Vec::with_capacity(due.newest.len() + 1);
    let of = |first, last, slots, fate| Verdict { first, last, slots, fate };
    let (first, last) = (due.newest[0], due.last());
    let skip_all = if scene.stopped {
        Some(STOPPED.to_owned())
    } else if scene.is_late(last) && scene.catch_up == CatchUp::None {
        Some(format!("{PASSED}, and this schedule does not catch up"))
    } else {
        None
    };
    if let Some(b) = due.before {
        let why = skip_all.clone().unwrap_or_else(|| passed(&due.newest));
        out.push(of(b.first, b.last, b.slots, Fate::Skip(counted(why, &b))));
    }
    if let Some(why) = skip_all {
        out.push(of(first, last, due.newest.len() as u64, Fate::Skip(why)));
        return out;
    }
    let is_catching_up = scene.is_catching_up(due);
    let mut scene = *scene;
    for slot in &due.newest {
        let behind_ms = scene.now_ms.saturating_sub(*slot);
        let late =
            scene.is_late(*slot).then(|| format!("started {} after its time", span(behind_ms)));
        let fate = if is_catching_up { scene.made_up(late) } else { scene.met(late) };
        scene.begun(&fate, *slot);
        out.push(of(*slot, *slot, 1, fate));
    }
    out
}

/// Why slots before the newest are not started.
fn passed(newest: &[u64]) -> String {
    match newest {
        [one] => format!("{PASSED}: the one of {} stands for it", rfc3339(*one)),
        more => format!("{PASSED}, and this schedule makes up for the latest {}", more.len()),
    }
}

fn counted(why: String, before: &Before) -> String {
    if before.and_more { format!("{why} (there were more than are counted)") } else { why }
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
            catch_up_max: 3,
            overlap: Overlap::Skip,
            oldest: None,
            running: 0,
            waiting: 0,
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
        Due { newest: vec![last], before }
    }

    /// Slots a minute apart, the last one so long ago.
    fn minutes(behind_ms: u64, count: u64) -> Due {
        let slot = |n| NOW - behind_ms - 60_000 * n;
        Due { newest: (0..count).rev().map(slot).collect(), before: None }
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
        let mut rest = &got[..];
        if let Some(b) = due.before {
            assert_eq!((got[0].first, got[0].last, got[0].slots), (b.first, b.last, b.slots));
            rest = &got[1..];
        }
        assert_eq!(rest.iter().map(|v| v.slots).sum::<u64>(), due.newest.len() as u64);
        assert_eq!(rest.first().map(|v| v.first), due.newest.first().copied());
        assert_eq!(rest.last().map(|v| v.last), Some(due.last()));
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
        let runs = Scene { oldest: Some(NOW - 60_000), running: 1, ..scene() };
        check(&due(0, 0), &runs, &[("suppress", 1)]);
        check(&due(0, 3), &runs, &[("skip", 3), ("suppress", 1)]);
        let queue = Scene { overlap: Overlap::Queue, ..runs };
        check(&due(0, 0), &queue, &[("wait", 1)]);
        check(&due(0, 0), &Scene { waiting: 1, ..queue }, &[("suppress", 1)]);
        check(&due(0, 0), &Scene { oldest: None, running: 0, ..queue }, &[("start", 1)]);
        // It waits for the end of what it ends; and for nothing.
        let cancel = Scene { overlap: Overlap::Cancel, ..runs };
        check(&due(0, 0), &cancel, &[("wait", 1)]);
        check(&due(0, 0), &Scene { waiting: 1, ..cancel }, &[("wait", 1)]);
        let allow = Scene { overlap: Overlap::Allow, ..runs };
        check(&due(0, 0), &allow, &[("start", 1)]);
        check(&due(0, 0), &Scene { running: BESIDE_MAX, ..allow }, &[("suppress", 1)]);
    }

    #[test]
    fn all_that_was_missed_is_made_up_for_one_after_the_other() {
        let all = Scene { catch_up: CatchUp::All, ..scene() };
        assert_eq!((all.keep(), scene().keep()), (3, 1));
        check(&minutes(30_000, 3), &all, &[("late", 1), ("wait", 1), ("wait", 1)]);
        // The last one is in time: it is the last of those that are made up for.
        check(&minutes(0, 2), &all, &[("late", 1), ("wait", 1)]);
        check(&minutes(0, 3), &all, &[("late", 1), ("wait", 1), ("wait", 1)]);
        let queue = Scene { overlap: Overlap::Queue, ..all };
        check(&minutes(0, 3), &queue, &[("late", 1), ("wait", 1), ("wait", 1)]);
        let allow = Scene { overlap: Overlap::Allow, ..all };
        check(&minutes(0, 3), &allow, &[("late", 1), ("late", 1), ("start", 1)]);
        // Also where it alone is made up for, because no more may be.
        let one = Scene { catch_up_max: 1, oldest: Some(1), running: 1, ..all };
        check(&due(0, 40), &one, &[("skip", 40), ("wait", 1)]);
        let full = Scene { oldest: Some(1), running: BESIDE_MAX - 1, ..allow };
        check(&minutes(30_000, 3), &full, &[("late", 1), ("wait", 1), ("wait", 1)]);
        // What waits already takes of the room; a last one stays.
        assert_eq!(Scene { waiting: 2, ..all }.keep(), 1);
        assert_eq!(Scene { waiting: 9, ..all }.keep(), 1);
        assert_eq!(Scene { overlap: Overlap::Cancel, ..all }.keep(), 1);
        let more = Due { before: due(7_200_000, 40).before, ..minutes(30_000, 3) };
        check(&more, &all, &[("skip", 40), ("late", 1), ("wait", 1), ("wait", 1)]);
        let Fate::Skip(why) = &judge(&more, &all)[0].fate else { panic!() };
        assert!(why.contains("makes up for the latest 3"), "{why}");
        check(&minutes(0, 3), &Scene { stopped: true, ..all }, &[("skip", 3)]);
        check(
            &minutes(30_000, 1),
            &Scene { oldest: Some(1), waiting: 3, ..all },
            &[("suppress", 1)],
        );
    }

    #[test]
    fn slots_in_time_meet_what_ran_before_they_were_looked_at_and_not_each_other() {
        let all = Scene { catch_up: CatchUp::All, ..scene() };
        let seconds = Due { newest: vec![NOW - 2_000, NOW - 1_000, NOW], before: None };
        check(&seconds, &all, &[("start", 1), ("wait", 1), ("wait", 1)]);
        let runs = Scene { oldest: Some(NOW - 60_000), running: 1, ..all };
        check(&seconds, &runs, &[("suppress", 1), ("suppress", 1), ("suppress", 1)]);
        let queue = Scene { overlap: Overlap::Queue, ..runs };
        check(&seconds, &queue, &[("wait", 1), ("suppress", 1), ("suppress", 1)]);
        // Each ends the one before, however many wait.
        let cancel = Scene { overlap: Overlap::Cancel, waiting: 9, ..runs };
        check(&due(7_200_000, 4), &cancel, &[("skip", 4), ("wait", 1)]);
    }

    #[test]
    fn a_reason_names_one_that_runs_or_says_that_it_waits() {
        let why = |scene: &Scene| match &judge(&due(0, 0), scene)[0].fate {
            Fate::Suppress(why) => why.clone(),
            fate => panic!("{fate:?}"),
        };
        let runs = Scene { oldest: Some(NOW - 1_000), running: 1, waiting: 3, ..scene() };
        let waits = Scene { running: 0, ..runs };
        let slot = rfc3339(NOW - 1_000);
        assert_eq!(why(&runs), format!("the one of {slot} still ran"));
        assert_eq!(why(&waits), format!("the one of {slot} still waited"));
        let queue = |scene| Scene { overlap: Overlap::Queue, ..scene };
        assert_eq!(
            why(&queue(runs)),
            format!("the one of {slot} still ran, and another one waited")
        );
        assert_eq!(why(&queue(waits)), format!("the one of {slot} still waited"));
    }

    #[test]
    fn a_stopped_project_starts_nothing() {
        let stopped = Scene { stopped: true, oldest: Some(1), running: 1, ..scene() };
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
