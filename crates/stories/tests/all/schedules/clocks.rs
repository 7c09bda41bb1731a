//! The same under a server whose wall clock jumps, or stands on the days on which clocks are set by law.

use super::{MARK, add, check_gapless, check_once, ended, fired, firings, now_ms, runs, until};
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::{path::Path, time::Duration};
use toft_stories::{
    lane,
    toft::{Start, Toft},
};

/// Where Debian's `libfaketime` lies, on the architectures that it exists for.
const FAKETIME: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

/// A server whose wall clock is as far from the host's as a file says.
struct Clocked {
    toft: Toft,
    offset: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl Clocked {
    /// `None`: not in this lane, or not on this host, which is said.
    async fn start(test: &str) -> Result<Option<Self>> {
        if !lane::deep() {
            lane::skip(test, "it belongs to the long lane");
            return Ok(None);
        }
        if lane::as_user() {
            lane::skip(
                test,
                "libfaketime shares a semaphore, which another user of this host may own",
            );
            return Ok(None);
        }
        let given = std::env::var("TOFT_FAKETIME").ok();
        let known = FAKETIME.iter().map(|path| (*path).to_owned());
        let Some(library) = given.into_iter().chain(known).find(|path| Path::new(path).exists())
        else {
            lane::skip(test, "the package `libfaketime` is not installed");
            return Ok(None);
        };
        let folder = tempfile::tempdir()?;
        let offset = folder.path().join("offset");
        std::fs::write(&offset, "+0\n")?;
        let env = [
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", offset.to_str().context("a path of text")?),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let toft = Toft::start(Start { env, ..Start::default() }).await?;
        Ok(Some(Self { toft, offset, _folder: folder }))
    }

    /// Sets its clock so many seconds off, at once for who reads the file.
    fn set(&self, seconds: i64) -> Result<()> {
        let beside = self.offset.with_extension("new");
        std::fs::write(&beside, format!("{seconds:+}\n"))?;
        Ok(std::fs::rename(beside, &self.offset)?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_two_hours_fires_nothing_twice() -> Result<()> {
    const TEST: &str = "a_clock_that_jumps_two_hours_fires_nothing_twice";
    let Some(clocked) = Clocked::start(TEST).await? else { return Ok(()) };
    let toft = &clocked.toft;
    let project = toft.new_project("Jumps").await?;
    let body = json!({"name": "second", "when": {"everyS": 2}, "do": {"command": MARK}});
    let every = add(toft, &project, body).await?;
    let minutes = json!({"name": "day", "when": {"cron": "* * * * *"}, "do": {"command": MARK}});
    let day = add(toft, &project, minutes).await?;
    until(toft, &project, &every, |all| fired(all) >= 2).await?;
    clocked.set(7_200)?;
    let all = until(toft, &project, &every, |all| fired(all) >= 4).await?;
    let skipped =
        all.iter().find(|f| f["outcome"] == "skipped").context("slots were jumped over")?;
    ensure!(skipped["slots"].as_u64() > Some(3_000), "{skipped}");
    // Back, and further back than it ever was: what goes by real time goes on.
    for seconds in [0, -7_200] {
        let before = fired(&firings(toft, &project, &every).await?);
        clocked.set(seconds)?;
        until(toft, &project, &every, |all| fired(all) >= before + 3).await?;
    }
    clocked.set(7_230)?;
    let before = fired(&firings(toft, &project, &every).await?);
    until(toft, &project, &every, |all| fired(all) >= before + 3).await?;
    let mut both = Vec::new();
    for id in [&every, &day] {
        let all = ended(toft, &project, id).await?;
        let mut slots: Vec<_> = all.iter().map(|f| f["slot"].as_u64()).collect();
        slots.sort_unstable();
        slots.dedup();
        ensure!(slots.len() == all.len(), "a slot has two records: {all:?}");
        if *id == day {
            check_gapless(&all, 60_000)?;
        }
        both.extend(all);
    }
    check_once(&both, &runs(toft, &project).await?)?;
    clocked.toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_days_on_which_clocks_are_set_by_law_each_time_is_started_once() -> Result<()> {
    const TEST: &str = "on_the_days_on_which_clocks_are_set_by_law_each_time_is_started_once";
    let Some(clocked) = Clocked::start(TEST).await? else { return Ok(()) };
    let toft = &clocked.toft;
    let project = toft.new_project("Law").await?;
    // Line, zone, and the moment of UTC at which it is due, in Unix seconds: left out by the law, or
    // brought twice.
    let days = [
        ("30 2 * * *", "America/New_York", 1_772_953_200), // 2026-03-08T07:00Z
        ("30 1 * * *", "America/New_York", 1_793_511_000), // 2026-11-01T05:30Z
        ("15 2 * * *", "Australia/Lord_Howe", 1_791_041_400), // 2026-10-03T15:30Z
        ("0 0 * * *", "America/Sao_Paulo", 1_541_300_400), // 2018-11-04T03:00Z
    ];
    for (line, zone, due) in days {
        let now = i64::try_from(now_ms() / 1_000)?;
        clocked.set(due - 4 - now)?;
        let body = json!({"name": zone.to_owned() + line, "when": {"cron": line, "timezone": zone},
            "do": {"command": MARK}});
        let id = add(toft, &project, body).await?;
        let all = until(toft, &project, &id, |all| fired(all) == 1).await?;
        assert_eq!(
            (all.len(), &all[0]["slot"]),
            (1, &json!(due * 1_000)),
            "{line} {zone}: {all:?}"
        );
        // Not a second time: an hour on, and back over the same moment.
        for off in [3_600, -60] {
            let now = i64::try_from(now_ms() / 1_000)?;
            clocked.set(due + off - now)?;
            tokio::time::sleep(Duration::from_secs(3)).await;
            let all = firings(toft, &project, &id).await?;
            assert_eq!(all.len(), 1, "{line} {zone}: {all:?}");
        }
        let path = format!("/v1/projects/{project}/schedules/{id}");
        toft.call("DELETE", &path, None).await?;
    }
    assert_eq!(runs(toft, &project).await?.len(), days.len());
    clocked.toft.down()
}
