//! What becomes of lines that are equal, or too many, on a clock that the test turns.

use super::*;
use crate::records::journal;
use proptest::prelude::*;
use std::path::PathBuf;

struct Bench {
    dir: tempfile::TempDir,
    log: Option<Arc<EgressLog>>,
    cancel: CancellationToken,
    keeper: tokio::task::JoinHandle<()>,
    ts: u64,
}

impl Bench {
    fn open() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let log = Arc::new(EgressLog::open(dir.path()).unwrap());
        let cancel = CancellationToken::new();
        let keeper = tokio::spawn(Arc::clone(&log).keep(cancel.clone()));
        Self { dir, log: Some(log), cancel, keeper, ts: 0 }
    }

    fn add(&mut self, verdict: Outcome, host: &str) {
        self.ts += 1;
        self.log.as_ref().unwrap().add(EgressRecord {
            ts: self.ts,
            last_ts: None,
            count: 1,
            via: Via::Direct,
            host: host.to_owned(),
            port: 443,
            verdict,
            rule: "not-listed".to_owned(),
            reason: Some(format!("said at {}", self.ts)),
            secrets: Vec::new(),
            bytes_in: 3,
            bytes_out: 2,
            duration_ms: 1,
            error: None,
        });
    }

    fn path(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    async fn end(mut self) -> Vec<EgressRecord> {
        self.cancel.cancel();
        self.keeper.await.unwrap();
        drop(self.log.take());
        lines(self.dir.path())
    }
}

fn lines(dir: &Path) -> Vec<EgressRecord> {
    journal::read(dir, Name::Egress, 0, usize::MAX).unwrap().0
}

fn brief(lines: &[EgressRecord]) -> Vec<(u64, u64, u64)> {
    lines.iter().map(|one| (one.ts, one.last_ts.unwrap_or(one.ts), one.count)).collect()
}

#[tokio::test(start_paused = true)]
async fn the_first_is_seen_at_once_and_equal_ones_become_one_line() {
    let mut bench = Bench::open();
    tokio::task::yield_now().await;
    bench.add(Outcome::Deny, "a.test");
    assert_eq!(brief(&lines(&bench.path())), [(1, 1, 1)]);
    for _ in 0..1_000 {
        bench.add(Outcome::Deny, "a.test");
    }
    bench.add(Outcome::Deny, "b.test");
    bench.add(Outcome::Allow, "a.test");
    assert_eq!(lines(&bench.path()).len(), 3, "others are not held up by it");
    sleep(Duration::from_millis(1_300)).await;
    let seen = lines(&bench.path());
    assert_eq!(brief(&seen)[3..], [(2, 1_001, 1_000)]);
    let many = &seen[3];
    assert_eq!((many.bytes_in, many.bytes_out, many.duration_ms), (3_000, 2_000, 1_000));
    assert_eq!(many.reason.as_deref(), Some("said at 1001"));
    // Alone after a pause it is a line of its own again.
    sleep(Duration::from_secs(30)).await;
    bench.add(Outcome::Deny, "a.test");
    assert_eq!(brief(&lines(&bench.path()))[4..], [(1_004, 1_004, 1)]);
    bench.add(Outcome::Deny, "a.test");
    let all = bench.end().await;
    assert_eq!(brief(&all)[5..], [(1_005, 1_005, 1)], "what waits is written at the end");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_one_kind_or_of_many_is_few_lines_and_nothing_is_uncounted() {
    let mut bench = Bench::open();
    tokio::task::yield_now().await;
    for second in 0..60_u64 {
        for n in 0..500 {
            bench.add(Outcome::Deny, "same.test");
            bench.add(Outcome::Deny, &format!("h{second}-{n}.test"));
        }
        if second == 30 {
            bench.add(Outcome::Allow, "hidden.test");
        }
        assert!(bench.log.as_ref().unwrap().folding().kinds.len() <= KINDS_MAX + 6);
        sleep(Duration::from_secs(1)).await;
    }
    let all = bench.end().await;
    assert_eq!(all.iter().map(|one| one.count).sum::<u64>(), 60_001);
    // What may be at once, two a second, and what waited.
    assert!((100..=240).contains(&all.len()), "{}", all.len());
    let several = all.iter().filter(|one| one.rule == SEVERAL);
    assert!(several.clone().all(|one| one.host.is_empty() && one.port == 0));
    assert!(several.map(|one| one.count).sum::<u64>() > 29_000);
    let hidden: Vec<_> = all.iter().filter(|one| one.verdict == Outcome::Allow).collect();
    assert_eq!((hidden.len(), &hidden[0].host[..]), (1, "hidden.test"));
}

#[tokio::test(start_paused = true)]
async fn many_kinds_that_keep_coming_have_a_rate_together() {
    let mut bench = Bench::open();
    tokio::task::yield_now().await;
    for _ in 0..60 {
        for n in 0..100 {
            bench.add(Outcome::Deny, &format!("h{n}.test"));
            bench.add(Outcome::Deny, &format!("h{n}.test"));
        }
        sleep(Duration::from_secs(1)).await;
    }
    let all = bench.end().await;
    assert_eq!(all.iter().map(|one| one.count).sum::<u64>(), 12_000);
    // A hundred at once, two a second, and what waited in the end.
    assert!(all.len() <= 100 + 122 + 101, "{}", all.len());
}

#[tokio::test(start_paused = true)]
async fn without_a_keeper_nothing_waits() {
    let mut bench = Bench::open();
    tokio::task::yield_now().await;
    bench.add(Outcome::Deny, "a.test");
    bench.add(Outcome::Deny, "a.test");
    bench.cancel.cancel();
    while !bench.keeper.is_finished() {
        tokio::task::yield_now().await;
    }
    bench.add(Outcome::Deny, "a.test");
    bench.add(Outcome::Deny, "a.test");
    assert_eq!(brief(&lines(&bench.path())), [(1, 1, 1), (2, 2, 1), (3, 3, 1), (4, 4, 1)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_connection_is_in_one_line(hosts in prop::collection::vec((0..400_u16, 0..4_u64), 0..400)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut bench = Bench::open();
            let count = hosts.len() as u64;
            for (host, pause) in hosts {
                bench.add(Outcome::Deny, &format!("h{host}.test"));
                sleep(Duration::from_millis(pause * 100)).await;
            }
            let all = bench.end().await;
            prop_assert_eq!(all.iter().map(|one| one.count).sum::<u64>(), count);
            prop_assert_eq!(all.iter().map(|one| one.bytes_in).sum::<u64>(), 3 * count);
            Ok(())
        })?;
    }
}
