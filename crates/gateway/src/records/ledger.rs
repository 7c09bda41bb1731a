//! Money for model calls, where a person has set budgets: reserved before a call goes out, settled by
//! its record. What was spent is a function of the journal alone: what a call reserved, and from
//! its end on what it cost. So it is the same after this process was killed. Prices are not made here.

use crate::{
    records::journal::Journal,
    records::usage::{Granted, UsageLine, UsageRecord},
};
use std::{
    collections::{BTreeMap, VecDeque},
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};
use toft_model::{
    budget::{Budgets, Spent},
    id::{ProjectId, RunId, SessionId},
    time::month_of,
};

/// Runs of a project of which sums are kept, where runs are bounded. Programs in a machine can name any:
/// what they make up goes as the oldest.
const RUNS_MAX: usize = 1_000;

/// Lines of the journal that are read at once while calls go on.
const LINES_MAX: usize = 5_000;

/// Records that wait for room on the disk. Nothing is granted meanwhile, so they are those of the calls that
/// were under way.
const UNWRITTEN_MAX: usize = 10_000;

/// What a bound is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scope {
    TeamMonth,
    TeamTotal,
    Month(ProjectId),
    Total(ProjectId),
    Run(ProjectId, SessionId, RunId),
}

/// Why a call may not go out.
#[derive(Debug)]
pub(crate) enum Refused {
    /// The budget is spent: what was, of how much.
    Spent { scope: Scope, spent: u64, bound: u64 },
    /// What is left is reserved for calls that are under way.
    Reserved { scope: Scope },
    /// It cannot be written down; the journal has said why.
    Disk,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    budgets: Budgets,
    month: u32,
    spent: BTreeMap<Scope, u64>,
    /// The runs in `spent`, oldest first.
    runs: BTreeMap<ProjectId, VecDeque<Scope>>,
    /// Calls under way that have reserved something.
    live: BTreeMap<Scope, usize>,
    /// Of calls that have ended, oldest first, and could not be written down.
    unwritten: VecDeque<UsageRecord>,
}

impl Ledger {
    /// Takes the budgets, and what was spent: as of a position of the journal, and what `read` finds from
    /// there on (so many lines, and where they end). Calls go on meanwhile, but for the last few lines.
    pub(crate) fn set(
        &self,
        budgets: Budgets,
        spent: Spent,
        read: impl Fn(u64, usize) -> io::Result<(Vec<UsageLine>, u64)>,
    ) {
        let mut position = spent.position;
        let mut fresh = Books::new(budgets, spent);
        let mut read_on = |fresh: &mut Books| {
            let (lines, end) = read(position, LINES_MAX)?;
            for line in &lines {
                fresh.replay(line);
            }
            position = end;
            io::Result::Ok(lines.len() == LINES_MAX)
        };
        let mut known = Ok(true);
        if !fresh.budgets.is_empty() {
            while let Ok(true) = known {
                known = read_on(&mut fresh);
            }
        }
        let mut books = self.books();
        if !fresh.budgets.is_empty() {
            // Nothing is written while this is held: now it is all of it.
            while known.is_ok() && read_on(&mut fresh).is_ok_and(|more| more) {}
            books.unwritten.iter().for_each(|record| fresh.ended(record));
        }
        if let Err(error) = known {
            tracing::error!(%error, "what was spent since is not known");
        }
        let Books { live, unwritten, .. } = std::mem::take(&mut *books);
        *books = Books { live, unwritten, ..fresh };
    }

    /// Reserves for a call and writes it down as granted; its record then has what was reserved. One that
    /// costs nothing needs neither: see [`Ledger::free`].
    pub(crate) fn grant(
        &self,
        journal: &Journal,
        record: &mut UsageRecord,
        estimate: impl FnOnce() -> u64,
    ) -> Result<(), Refused> {
        let mut books = self.books();
        books.catch_up(journal).map_err(|_| Refused::Disk)?;
        if !books.budgets.is_empty() {
            let estimate = estimate();
            books.turn(record.ts);
            books.judge(record, estimate)?;
            record.reserved = Some(estimate);
        }
        journal.try_append(&Granted::of(record)).map_err(|_| Refused::Disk)?;
        if let Some(reserved) = record.reserved {
            books.add(record, reserved);
            for scope in scopes(record) {
                *books.live.entry(scope).or_default() += 1;
            }
        }
        Ok(())
    }

    /// Whether a budget applies to a call.
    pub(crate) fn bounds(&self, record: &UsageRecord) -> bool {
        let books = self.books();
        !books.budgets.is_empty() && scopes(record).iter().any(|scope| books.bound(scope).is_some())
    }

    /// Leave for a call that costs nothing anywhere. Its record is all that is written of it.
    pub(crate) fn free(&self, journal: &Journal) -> Result<(), Refused> {
        self.books().catch_up(journal).map_err(|_| Refused::Disk)
    }

    /// Writes the record of a call that has ended, and counts what it cost in place of what it reserved.
    /// What cannot be written now is kept for when it can.
    pub(crate) fn settle(&self, journal: &Journal, record: &UsageRecord) {
        let mut books = self.books();
        if books.catch_up(journal).and_then(|()| journal.try_append(record)).is_err() {
            books.keep(record);
        }
        if record.reserved.is_some() {
            for scope in scopes(record) {
                let left = books.live.get(&scope).map_or(0, |live| live - 1);
                if left == 0 {
                    books.live.remove(&scope);
                } else {
                    books.live.insert(scope, left);
                }
            }
        }
        if !books.budgets.is_empty() {
            books.turn(record.ts);
            books.ended(record);
        }
    }

    /// Writes down what could not be written before; whether nothing is left of it.
    pub(crate) fn catch_up(&self, journal: &Journal) -> bool {
        self.books().catch_up(journal).is_ok()
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn new(budgets: Budgets, spent: Spent) -> Self {
        let mut books = Self { budgets, month: spent.month, ..Self::default() };
        if books.budgets.is_empty() {
            return books;
        }
        let all = [(Scope::TeamMonth, spent.team.month), (Scope::TeamTotal, spent.team.total)];
        let projects = spent.projects.into_iter().flat_map(|(project, sums)| {
            [(Scope::Month(project.clone()), sums.month), (Scope::Total(project), sums.total)]
        });
        // The newest run comes first.
        let runs = spent.runs.into_iter().rev();
        let runs = runs.map(|sum| (Scope::Run(sum.project, sum.session, sum.run), sum.spent));
        for (scope, nanos) in all.into_iter().chain(projects).chain(runs) {
            *books.sum(scope) += nanos;
        }
        books
    }

    fn catch_up(&mut self, journal: &Journal) -> io::Result<()> {
        while let Some(record) = self.unwritten.front() {
            journal.try_append(record)?;
            self.unwritten.pop_front();
        }
        Ok(())
    }

    fn keep(&mut self, record: &UsageRecord) {
        if self.unwritten.len() == UNWRITTEN_MAX {
            tracing::error!(
                "a call's record is lost: the disk has no room, and too many wait for it"
            );
            self.unwritten.pop_front();
        }
        self.unwritten.push_back(record.clone());
    }

    /// The sum of a scope. A project's oldest run is forgotten when there are too many.
    fn sum(&mut self, scope: Scope) -> &mut u64 {
        if let Scope::Run(project, ..) = &scope
            && !self.spent.contains_key(&scope)
        {
            let runs = self.runs.entry(project.clone()).or_default();
            let live = |scope: &Scope| self.live.contains_key(scope);
            if runs.len() >= RUNS_MAX
                && let Some(oldest) = runs.iter().position(|run| !live(run))
                && let Some(gone) = runs.remove(oldest)
            {
                self.spent.remove(&gone);
            }
            runs.push_back(scope.clone());
        }
        self.spent.entry(scope).or_default()
    }

    /// A new month begins with nothing spent.
    fn turn(&mut self, now_ms: u64) {
        let month = month_of(now_ms);
        if month > self.month {
            self.month = month;
            self.spent.retain(|scope, _| !matches!(scope, Scope::TeamMonth | Scope::Month(_)));
        }
    }

    fn judge(&self, record: &UsageRecord, estimate: u64) -> Result<(), Refused> {
        for scope in scopes(record) {
            let Some(bound) = self.bound(&scope) else { continue };
            let spent = self.spent.get(&scope).copied().unwrap_or(0);
            let others = self.live.contains_key(&scope);
            if spent >= bound && !others {
                return Err(Refused::Spent { scope, spent, bound });
            }
            // The last call of a budget goes out alone, and may cost more than is left: else what is
            // left could never be used.
            if others && spent.saturating_add(estimate) > bound {
                return Err(Refused::Reserved { scope });
            }
        }
        Ok(())
    }

    fn bound(&self, scope: &Scope) -> Option<u64> {
        let team = &self.budgets.team;
        let of = |project| self.budgets.projects.get(project);
        match scope {
            Scope::TeamMonth => team.month,
            Scope::TeamTotal => team.total,
            Scope::Month(project) => of(project)?.month,
            Scope::Total(project) => of(project)?.total,
            Scope::Run(project, ..) => {
                let own = of(project).and_then(|budget| budget.run);
                own.into_iter().chain(team.run).min()
            }
        }
    }

    fn replay(&mut self, line: &UsageLine) {
        match line {
            UsageLine::Started(_) => {}
            UsageLine::Granted(granted) => {
                let record = granted.record();
                self.add(&record, granted.reserved.unwrap_or(0));
            }
            UsageLine::Ended(record) => self.ended(record),
        }
    }

    fn ended(&mut self, record: &UsageRecord) {
        let reserved = record.reserved.unwrap_or(0);
        self.add(record, record.cost.or(record.counted).unwrap_or(reserved));
        self.take(record, reserved);
    }

    fn add(&mut self, record: &UsageRecord, nanos: u64) {
        for scope in self.counted(record) {
            let sum = self.sum(scope);
            *sum = sum.saturating_add(nanos);
        }
    }

    fn take(&mut self, record: &UsageRecord, nanos: u64) {
        for scope in self.counted(record) {
            let sum = self.sum(scope);
            *sum = sum.saturating_sub(nanos);
        }
    }

    /// A call belongs to the month in which it began; runs count where they are bounded.
    fn counted(&self, record: &UsageRecord) -> Vec<Scope> {
        let this_month = month_of(record.ts) == self.month;
        let counts = |scope: &Scope| match scope {
            Scope::TeamMonth | Scope::Month(_) => this_month,
            Scope::Run(..) => self.bound(scope).is_some(),
            Scope::TeamTotal | Scope::Total(_) => true,
        };
        scopes(record).into_iter().filter(counts).collect()
    }
}

/// Everything that a call is spent from, the narrowest first: that is named when several are spent.
fn scopes(record: &UsageRecord) -> Vec<Scope> {
    let mut scopes = Vec::with_capacity(5);
    if let Some(project) = &record.project {
        if let (Some(session), Some(run)) = (&record.session, &record.run) {
            scopes.push(Scope::Run(project.clone(), session.clone(), run.clone()));
        }
        scopes.push(Scope::Month(project.clone()));
        scopes.push(Scope::Total(project.clone()));
    }
    scopes.extend([Scope::TeamMonth, Scope::TeamTotal]);
    scopes
}

impl Scope {
    /// Which budget it is, and how it is raised.
    pub(crate) fn words(&self) -> (&'static str, &'static str) {
        const PROJECT: &str = "`toft budget PROJECT`, or the panel Cost";
        const TEAM: &str = "an administrator can: `toft budget`, or Settings, Cost";
        match self {
            Self::TeamMonth => ("the budget of all projects for this month", TEAM),
            Self::TeamTotal => ("the budget of all projects", TEAM),
            Self::Month(_) => ("the budget of this project for this month", PROJECT),
            Self::Total(_) => ("the budget of this project", PROJECT),
            Self::Run(..) => ("the budget of this run", PROJECT),
        }
    }
}

#[cfg(test)]
mod tests;
