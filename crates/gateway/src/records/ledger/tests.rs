//! Money that is reserved, spent, and known again after an end.

use super::*;
use crate::records::journal::{Name, now_ms, read};
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
        let desk = Self { dir, journal, ledger: Ledger::default(), project: ProjectId::random() };
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
        ledger.set(budgets, spent, |from, max| read(self.dir.path(), Name::Usage, from, max));
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
    assert!(matches!(refused, Refused::Spent { scope: Scope::TeamTotal, spent: 123, bound: 1 }));
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
    assert!(matches!(left[..], [Scope::TeamTotal, Scope::Total(_)]), "{left:?}");
}

#[test]
fn calls_go_on_while_the_journal_is_read() {
    let desk = Desk::new(month(1_000), Budget::default());
    assert!(desk.spends("a", 60));
    let reads = std::cell::Cell::new(0);
    let budgets = desk.ledger.books().budgets.clone();
    let spent = Spent { month: month_of(now_ms()), ..Spent::default() };
    desk.ledger.set(budgets, spent, |from, max| {
        reads.set(reads.get() + 1);
        let found = read(desk.dir.path(), Name::Usage, from, max);
        if reads.get() == 1 {
            assert!(desk.ledger.0.try_lock().is_ok(), "nobody waits for the disk");
            assert!(desk.spends("a", 7), "after what was read");
        }
        found
    });
    assert_eq!(desk.ledger.books().spent[&Scope::TeamTotal], 67);
}

#[test]
fn a_record_that_found_no_room_is_written_when_there_is_some() {
    let desk = Desk::new(month(1_000), Budget::default());
    let full = || std::fs::OpenOptions::new().append(true).open("/dev/full").unwrap();
    let record = desk.call("a", 10).unwrap();
    let real = desk.journal.exchange(full());
    desk.end(record.clone(), Some(7));
    assert!(matches!(desk.call("a", 10), Err(Refused::Disk)), "nothing is granted meanwhile");
    assert!(matches!(desk.ledger.free(&desk.journal), Err(Refused::Disk)));
    let budgets = desk.ledger.books().budgets.clone();
    desk.take_up(&desk.ledger, budgets);
    assert_eq!(desk.ledger.books().spent[&Scope::TeamTotal], 7, "it counts all the same");
    desk.journal.exchange(real);
    assert!(desk.ledger.catch_up(&desk.journal));
    let (lines, _) = read::<UsageLine>(desk.dir.path(), Name::Usage, 0, 9).unwrap();
    let [UsageLine::Granted(granted), UsageLine::Ended(ended)] = &lines[..] else {
        panic!("{lines:?}");
    };
    assert_eq!((&granted.granted, &ended.id, ended.cost), (&record.id, &record.id, Some(7)));
    assert!(desk.spends("a", 1));
}

#[test]
fn runs_that_a_program_makes_up_take_no_memory() {
    let none = Budget::default();
    let desk = Desk::new(month(1_000_000), none);
    let runs = |desk: &Desk| {
        let books = desk.ledger.books();
        books.spent.keys().filter(|scope| matches!(scope, Scope::Run(..))).count()
    };
    assert!((0..9).all(|n| desk.spends(&format!("run{n}"), 1)));
    assert_eq!(runs(&desk), 0, "nobody bounds them");
    desk.set(Budget { run: Some(100), ..none }, none);
    let waits = desk.call("oldest", 1).unwrap();
    assert!((0..RUNS_MAX + 9).all(|n| desk.spends(&format!("run{n}"), 1)));
    assert_eq!(runs(&desk), RUNS_MAX);
    desk.end(waits, Some(100));
    assert!(!desk.spends("oldest", 1), "one that works is not forgotten");
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
