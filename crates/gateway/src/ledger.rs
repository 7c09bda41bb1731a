//! Money for model calls, where a person has set budgets: reserved before a call goes out, settled by
//! its record. What was spent is a function of the journal alone: what a call reserved, and from
//! its end on what it cost. So it is the same after this process was killed. Prices are not made here.

use crate::{
    journal::Journal,
    usage::{Granted, UsageLine, UsageRecord},
};
use std::{
    collections::BTreeMap,
    io,
    sync::{Mutex, MutexGuard, PoisonError},
};
use toft_model::{
    budget::{Budgets, Spent},
    id::{ProjectId, RunId, SessionId},
    time::month_of,
};

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
    /// Calls under way that have reserved something.
    live: BTreeMap<Scope, usize>,
}

impl Ledger {
    /// Takes the budgets, and what was spent: as of a position of the journal, and what `since` reads
    /// from there on. Nothing is written meanwhile.
    pub(crate) fn set(
        &self,
        budgets: Budgets,
        spent: Spent,
        since: impl FnOnce(u64) -> io::Result<Vec<UsageLine>>,
    ) {
        let mut books = self.books();
        books.budgets = budgets;
        books.spent.clear();
        if books.budgets.is_empty() {
            return;
        }
        books.month = spent.month;
        books.spent.insert(Scope::TeamMonth, spent.team.month);
        books.spent.insert(Scope::TeamTotal, spent.team.total);
        for (project, sums) in spent.projects {
            books.spent.insert(Scope::Month(project.clone()), sums.month);
            books.spent.insert(Scope::Total(project), sums.total);
        }
        for sum in spent.runs {
            books.spent.insert(Scope::Run(sum.project, sum.session, sum.run), sum.spent);
        }
        match since(spent.position) {
            Ok(lines) => lines.iter().for_each(|line| books.replay(line)),
            Err(error) => tracing::error!(%error, "what was spent since is not known"),
        }
    }

    /// Reserves for a call and writes it down as granted; its record then has what was reserved.
    pub(crate) fn grant(
        &self,
        journal: &Journal,
        record: &mut UsageRecord,
        estimate: impl FnOnce() -> u64,
    ) -> Result<(), Refused> {
        let mut books = self.books();
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

    /// Writes the record of a call that has ended, and counts what it cost in place of what it reserved.
    pub(crate) fn settle(&self, journal: &Journal, record: &UsageRecord) {
        let mut books = self.books();
        journal.append(record);
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

    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
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
            let sum = self.spent.entry(scope).or_default();
            *sum = sum.saturating_add(nanos);
        }
    }

    fn take(&mut self, record: &UsageRecord, nanos: u64) {
        for scope in self.counted(record) {
            let sum = self.spent.entry(scope).or_default();
            *sum = sum.saturating_sub(nanos);
        }
    }

    /// A call belongs to the month in which it began.
    fn counted(&self, record: &UsageRecord) -> Vec<Scope> {
        let this_month = month_of(record.ts) == self.month;
        let counts =
            |scope: &Scope| this_month || !matches!(scope, Scope::TeamMonth | Scope::Month(_));
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
mod tests {
    use super::*;
    use crate::journal::{Name, now_ms, read};
    use proptest::prelude::*;
    use toft_model::budget::Budget;

    struct Desk {
        dir: tempfile::TempDir,
        journal: Journal,
        ledger: Ledger,
        project: ProjectId,
    }

    impl Desk {
        fn new(project: Budget, team: Budget) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let journal = Journal::open(dir.path(), Name::Usage).unwrap();
            let desk =
                Self { dir, journal, ledger: Ledger::default(), project: ProjectId::random() };
            desk.set(project, team);
            desk
        }

        fn set(&self, project: Budget, team: Budget) {
            let projects = BTreeMap::from([(self.project.clone(), project)]);
            self.take_up(&self.ledger, Budgets { team, projects });
        }

        /// As of the beginning of the journal.
        fn take_up(&self, ledger: &Ledger, budgets: Budgets) {
            let spent = Spent { month: month_of(now_ms()), ..Spent::default() };
            let read =
                |from| read(self.dir.path(), Name::Usage, from, 10_000).map(|(lines, _)| lines);
            ledger.set(budgets, spent, read);
        }

        fn call(&self, run: &str, estimate: u64) -> Result<UsageRecord, Refused> {
            let mut record = UsageRecord {
                id: toft_model::id::random_hex(8),
                ts: now_ms(),
                project: Some(self.project.clone()),
                session: "s".parse().ok(),
                run: run.parse().ok(),
                ..UsageRecord::default()
            };
            self.ledger.grant(&self.journal, &mut record, || estimate).map(|()| record)
        }

        fn end(&self, mut record: UsageRecord, cost: Option<u64>) {
            record.cost = cost;
            self.ledger.settle(&self.journal, &record);
        }

        fn spends(&self, run: &str, cost: u64) -> bool {
            match self.call(run, 10) {
                Ok(record) => self.end(record, Some(cost)),
                Err(Refused::Spent { .. }) => return false,
                Err(other) => panic!("{other:?}"),
            }
            true
        }
    }

    fn month(nanos: u64) -> Budget {
        Budget { month: Some(nanos), ..Budget::default() }
    }

    #[test]
    fn what_is_spent_is_refused_until_it_is_raised() {
        let none = Budget::default();
        let desk = Desk::new(month(100), none);
        assert!(desk.spends("a", 60) && desk.spends("b", 60));
        assert!(!desk.spends("a", 1), "120 of 100");
        desk.set(month(130), none);
        assert!(desk.spends("a", 1));
        // Each bound holds by itself, and the narrowest one is named.
        desk.set(Budget { run: Some(61), ..none }, none);
        assert!(!desk.spends("a", 1) && desk.spends("b", 1) && desk.spends("c", 1));
        desk.set(none, Budget { run: Some(1), total: Some(1), ..none });
        let refused = desk.call("a", 1).unwrap_err();
        assert!(matches!(&refused, Refused::Spent { scope: Scope::Run(..), spent: 61, bound: 1 }));
        let refused = desk.call("new", 1).unwrap_err();
        assert!(matches!(
            refused,
            Refused::Spent { scope: Scope::TeamTotal, spent: 123, bound: 1 }
        ));
        desk.set(none, none);
        assert!(desk.spends("a", 1_000), "without budgets nothing is asked");
    }

    #[test]
    fn calls_under_way_hold_back_what_they_may_cost() {
        let desk = Desk::new(month(100), Budget::default());
        let first = desk.call("a", 60).unwrap();
        assert!(matches!(desk.call("b", 60), Err(Refused::Reserved { scope: Scope::Month(_) })));
        let small = desk.call("b", 40).unwrap();
        desk.end(small, Some(1));
        desk.end(first, Some(2));
        // Alone, a call may take more than is left; one that nothing is known of took what it reserved.
        let last = desk.call("b", 900).unwrap();
        desk.end(last, None);
        assert!(!desk.spends("a", 1), "903 of 100");
    }

    #[test]
    fn a_cost_that_is_not_known_counts_as_what_it_may_have_been() {
        let desk = Desk::new(month(100), Budget::default());
        let mut long = desk.call("a", 10).unwrap();
        long.counted = Some(100);
        desk.end(long, None);
        assert!(!desk.spends("a", 1), "100 of 100");
        let next = Ledger::default();
        desk.take_up(&next, desk.ledger.books().budgets.clone());
        assert_eq!(next.books().spent[&Scope::TeamTotal], 100, "also from the journal");
    }

    #[test]
    fn a_month_begins_anew() {
        let desk = Desk::new(month(100), Budget { total: Some(1_000), ..Budget::default() });
        assert!(desk.spends("a", 100) && !desk.spends("a", 1));
        let mut books = desk.ledger.books();
        books.turn(toft_model::time::month_begins(month_of(now_ms()) + 1));
        let left: Vec<_> = books.spent.keys().collect();
        assert!(
            matches!(left[..], [Scope::TeamTotal, Scope::Total(_), Scope::Run(..)]),
            "{left:?}"
        );
    }

    proptest! {
        /// Whatever happens in whatever order, and whenever it is killed: who reads the journal counts
        /// the same.
        #[test]
        fn a_killed_gateway_and_the_next_one_count_the_same(
            steps in prop::collection::vec((0u8..3, 0u64..50, any::<bool>()), 0..40),
        ) {
            let desk = Desk::new(Budget { month: Some(500), run: Some(300), total: None }, month(700));
            let mut under_way = Vec::new();
            for (what, amount, known) in steps {
                match what {
                    0 | 1 => under_way.extend(desk.call(if what == 0 { "a" } else { "b" }, amount).ok()),
                    _ => if let Some(record) = under_way.pop() {
                        desk.end(record, known.then_some(amount));
                    },
                }
            }
            let next = Ledger::default();
            let budgets = desk.ledger.books().budgets.clone();
            desk.take_up(&next, budgets);
            let sums = |ledger: &Ledger| {
                let mut sums = ledger.books().spent.clone();
                sums.retain(|_, sum| *sum > 0);
                sums
            };
            prop_assert_eq!(sums(&next), sums(&desk.ledger));
        }
    }
}
