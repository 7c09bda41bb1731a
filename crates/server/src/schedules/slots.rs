//! When a schedule is due. Pure: no clock, no IO but the time zones' tables. What is done about a
//! slot is in `judge`.
//!
//! Slots are moments of the wall clock in UTC. Where a zone's clock is set forward, a slot that it
//! jumps over is due right after the jump; where it is set back, it is due once, at the first of the
//! two. A line that runs through all hours (`*`) goes by real time (crontab(5)).

use croner::{
    Cron,
    parser::{CronParser, Seconds, Year},
};
use jiff::{
    SignedDuration, Timestamp, Zoned,
    civil::DateTime,
    tz::{AmbiguousOffset, TimeZone},
};
use std::collections::VecDeque;
use toft_model::schedule::When;

/// Seconds between two slots at most: a year.
const EVERY_S_MAX: u64 = 366 * 86_400;
/// Bytes of a cron line: every minute of the hour, one by one, and some.
const CRON_BYTES_MAX: usize = 400;
/// Slots that are counted one by one: a week of minutes. A search takes microseconds.
const COUNTED_MAX: u64 = 10_000;
/// How far back the last of uncounted slots is looked for, in steps. More than [`COUNTED_MAX`] slots
/// in a time are at least one in each of these.
const BACK_MS: [u64; 4] = [3_600_000, 86_400_000, 32 * 86_400_000, 400 * 86_400_000];

/// Why something is no schedule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoPlan {
    #[error(
        "the cron line {line:?} cannot be read: {why}. It has five fields: minute, hour, day \
             of the month, month, day of the week (`0 9 * * 1-5`)"
    )]
    Cron { line: String, why: String },
    #[error("the cron line {0:?} is never due: no date fits it")]
    Never(String),
    #[error("there is no time zone {0:?}: use a name of the tz database, such as Europe/Berlin")]
    Zone(String),
    #[error("everyS must be 1 to {EVERY_S_MAX}")]
    Every,
    #[error("at must be Unix milliseconds")]
    At,
}

/// What a schedule's slots are computed from.
#[derive(Debug, Clone)]
pub(crate) enum Plan {
    Cron { cron: Box<Cron>, zone: TimeZone },
    Every { anchor_ms: u64, every_ms: u64 },
    Once { at_ms: u64 },
}

/// Slots that are due: the newest one by one, and those before them together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Due {
    /// At least one, the oldest first.
    pub(crate) newest: Vec<u64>,
    pub(crate) before: Option<Before>,
}

impl Due {
    /// One slot alone.
    pub(crate) fn one(slot: u64) -> Self {
        Self { newest: vec![slot], before: None }
    }

    pub(crate) fn last(&self) -> u64 {
        *self.newest.last().expect("made with at least one slot")
    }
}

/// Due slots before the newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Before {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// How many, the first and the last among them.
    pub(crate) slots: u64,
    /// There are more than that.
    pub(crate) and_more: bool,
}

impl Plan {
    /// Intervals are counted from `anchor_ms`.
    pub(crate) fn new(when: &When, anchor_ms: u64) -> Result<Self, NoPlan> {
        match when {
            When::Cron { cron: line, timezone } => {
                // The parser's reasons are sentences with their own end or two, ours goes on.
                let bad = |why: &str| NoPlan::Cron {
                    line: line.clone(),
                    why: why.trim_end_matches('.').to_owned(),
                };
                if line.len() > CRON_BYTES_MAX {
                    return Err(NoPlan::Cron { line: String::new(), why: "it is too long".into() });
                }
                let parser = CronParser::builder()
                    .seconds(Seconds::Disallowed)
                    .year(Year::Disallowed)
                    .build();
                let cron = parser.parse(line).map_err(|e| bad(&e.to_string()))?;
                let zone = match timezone.as_deref() {
                    None => TimeZone::UTC,
                    Some(name) => TimeZone::get(name).map_err(|_| NoPlan::Zone(name.to_owned()))?,
                };
                Ok(Self::Cron { cron: Box::new(cron), zone })
            }
            When::Every { every_s } if (1..=EVERY_S_MAX).contains(every_s) => {
                Ok(Self::Every { anchor_ms, every_ms: every_s * 1_000 })
            }
            When::Every { .. } => Err(NoPlan::Every),
            When::Once { at } if zoned(*at, &TimeZone::UTC).is_some() => {
                Ok(Self::Once { at_ms: *at })
            }
            When::Once { .. } => Err(NoPlan::At),
        }
    }

    /// The first slot after a moment, if there is one.
    pub(crate) fn next(&self, after_ms: u64) -> Option<u64> {
        match self {
            Self::Cron { cron, zone } => {
                // Slots lie on whole seconds, and the search is after the second it is given.
                let from = zoned(after_ms - after_ms % 1_000, zone)?;
                if !runs_through_all_hours(cron) {
                    return next_by_wall(cron, zone, from.datetime(), after_ms);
                }
                let next = cron.find_next_occurrence(&from, false).ok()?;
                u64::try_from(next.timestamp().as_millisecond()).ok()
            }
            Self::Every { anchor_ms, every_ms } => {
                let done = after_ms.checked_sub(*anchor_ms).map_or(0, |ms| ms / every_ms);
                anchor_ms.checked_add(every_ms.checked_mul(done + 1)?)
            }
            Self::Once { at_ms } => (*at_ms > after_ms).then_some(*at_ms),
        }
    }

    /// The slots after one moment, up to and with another; the newest `keep` of them (at least one)
    /// one by one.
    pub(crate) fn due(&self, after_ms: u64, until_ms: u64, keep: usize) -> Option<Due> {
        let first = self.next(after_ms).filter(|slot| *slot <= until_ms)?;
        let keep = keep.max(1);
        if let Self::Every { every_ms, .. } = self {
            let count = (until_ms - first) / every_ms + 1;
            let kept = count.min(keep as u64);
            let slot = |n: u64| first + n * every_ms;
            let before = (count > kept).then(|| Before {
                first,
                last: slot(count - kept - 1),
                slots: count - kept,
                and_more: false,
            });
            return Some(Due { newest: (count - kept..count).map(slot).collect(), before });
        }
        let mut tally = Tally { first, newest: VecDeque::new(), keep, before: None };
        tally.take(first);
        for _ in 1..COUNTED_MAX {
            match self.next(tally.last()).filter(|slot| *slot <= until_ms) {
                Some(next) => tally.take(next),
                None => return Some(tally.due()),
            }
        }
        self.skip_ahead(&mut tally, until_ms);
        while let Some(next) = self.next(tally.last()).filter(|slot| *slot <= until_ms) {
            tally.take(next);
        }
        Some(tally.due())
    }

    /// Goes on near the end of very many slots without looking at each.
    fn skip_ahead(&self, tally: &mut Tally, until_ms: u64) {
        for back_ms in BACK_MS {
            let from = until_ms.saturating_sub(back_ms);
            if from <= tally.last() {
                return;
            }
            // One more than is kept: the last of those before them.
            let near = std::iter::successors(self.next(from), |slot| self.next(*slot));
            if near.take_while(|slot| *slot <= until_ms).take(tally.keep + 1).count() > tally.keep {
                tally.pass_over();
                tally.newest.extend(self.next(from));
                return;
            }
        }
    }

    /// The next slots after a moment.
    pub(crate) fn upcoming(&self, after_ms: u64, count: usize) -> Vec<u64> {
        std::iter::successors(self.next(after_ms), |slot| self.next(*slot)).take(count).collect()
    }
}

/// Slots while they are counted.
struct Tally {
    first: u64,
    newest: VecDeque<u64>,
    keep: usize,
    before: Option<Before>,
}

impl Tally {
    fn last(&self) -> u64 {
        self.newest.back().copied().unwrap_or(self.first)
    }

    fn take(&mut self, slot: u64) {
        self.newest.push_back(slot);
        if self.newest.len() > self.keep
            && let Some(old) = self.newest.pop_front()
        {
            self.count(old);
        }
    }

    /// One more that is not among the newest.
    fn count(&mut self, slot: u64) {
        let known = self.before;
        let (slots, and_more) = known.map_or((0, false), |b| (b.slots, b.and_more));
        // After a leap nobody counts.
        let slots = if and_more { slots } else { slots + 1 };
        self.before = Some(Before { first: self.first, last: slot, slots, and_more });
    }

    /// What comes next is not the slot after the last one.
    fn pass_over(&mut self) {
        for old in std::mem::take(&mut self.newest) {
            self.count(old);
        }
        if let Some(before) = &mut self.before {
            before.and_more = true;
        }
    }

    fn due(self) -> Due {
        Due { newest: self.newest.into(), before: self.before }
    }
}

/// A cron line that is never due, found out when it is made.
pub(crate) fn check_ever_due(when: &When, plan: &Plan, now_ms: u64) -> Result<(), NoPlan> {
    match (when, plan.next(now_ms)) {
        (When::Cron { cron, .. }, None) => Err(NoPlan::Never(cron.clone())),
        _ => Ok(()),
    }
}

fn runs_through_all_hours(cron: &Cron) -> bool {
    (0..24).all(|hour| cron.pattern.hour_match(hour).unwrap_or(false))
}

/// The first slot after a moment, of a line that names its hours: found on the wall, where nothing is
/// jumped over and nothing comes twice, and then placed in time.
fn next_by_wall(cron: &Cron, zone: &TimeZone, from: DateTime, after_ms: u64) -> Option<u64> {
    let mut wall = from;
    loop {
        let at = wall.to_zoned(TimeZone::UTC).ok()?;
        wall = cron.find_next_occurrence(&at, false).ok()?.datetime();
        let slot = u64::try_from(moment_of(wall, zone)?.as_millisecond()).ok()?;
        if slot > after_ms {
            return Some(slot);
        }
    }
}

/// When a clock on the wall shows this: the first time, or the moment in which it is set beyond it.
fn moment_of(wall: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    let at = zone.to_ambiguous_timestamp(wall);
    if !matches!(at.offset(), AmbiguousOffset::Gap { .. }) {
        return at.earlier().ok();
    }
    let beyond = at.later().ok()?.checked_add(SignedDuration::from_millis(1)).ok()?;
    Some(zone.preceding(beyond).next()?.timestamp())
}

fn zoned(unix_ms: u64, zone: &TimeZone) -> Option<Zoned> {
    let ms = i64::try_from(unix_ms).ok()?;
    Some(Timestamp::from_millisecond(ms).ok()?.to_zoned(zone.clone()))
}

#[cfg(test)]
mod tests;
