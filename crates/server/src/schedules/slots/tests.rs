//! Slots across time zones and the days on which their clocks are set.

use super::*;
use jiff::civil::Date;
use proptest::prelude::*;

fn cron(line: &str, zone: &str) -> Plan {
    let when = When::Cron { cron: line.into(), timezone: Some(zone.into()) };
    Plan::new(&when, 0).unwrap()
}

fn ms(text: &str) -> u64 {
    u64::try_from(text.parse::<Timestamp>().unwrap().as_millisecond()).unwrap()
}

/// Slots in `zone` from one moment to another, as that zone writes them.
fn check(line: &str, zone: &str, from: &str, until: &str, want: &[&str]) {
    let plan = cron(line, zone);
    let tz = TimeZone::get(zone).unwrap();
    let mut at = ms(from) - 1;
    let mut got = Vec::new();
    while let Some(next) = plan.next(at).filter(|slot| *slot < ms(until)) {
        got.push(zoned(next, &tz).unwrap().strftime("%m-%d %H:%M %:z").to_string());
        at = next;
    }
    assert_eq!(got, want, "{line} in {zone}");
}

#[test]
fn a_slot_that_the_clock_jumps_over_is_due_right_after_the_jump() {
    let day = ("2026-03-08T05:00:00Z", "2026-03-10T05:00:00Z");
    let new_york = "America/New_York";
    check("30 2 * * *", new_york, day.0, day.1, &["03-08 03:00 -04:00", "03-09 02:30 -04:00"]);
    check("0 3 * * *", new_york, day.0, day.1, &["03-08 03:00 -04:00", "03-09 03:00 -04:00"]);
    // Half an hour is jumped over here.
    let day = ("2026-10-03T13:30:00Z", "2026-10-04T13:00:00Z");
    check("15 2 * * *", "Australia/Lord_Howe", day.0, day.1, &["10-04 02:30 +11:00"]);
    // And midnight itself there.
    let day = ("2018-11-04T02:00:00Z", "2018-11-05T02:00:00Z");
    check("0 0 * * *", "America/Sao_Paulo", day.0, day.1, &["11-04 01:00 -02:00"]);
    let half_hours = ["03-08 01:30 -05:00", "03-08 03:00 -04:00", "03-08 03:30 -04:00"];
    check("*/30 * * * *", new_york, "2026-03-08T06:30:00Z", "2026-03-08T08:00:00Z", &half_hours);
}

#[test]
fn a_slot_that_comes_twice_is_due_once_and_every_hour_is_due_in_both() {
    let day = ("2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z");
    let new_york = "America/New_York";
    check("30 1 * * *", new_york, day.0, day.1, &["11-01 01:30 -04:00"]);
    let (from, until) = ("2026-11-01T05:00:00Z", "2026-11-01T07:30:00Z");
    let both = ["01:00 -04:00", "01:30 -04:00", "01:00 -05:00", "01:30 -05:00", "02:00 -05:00"];
    let both: Vec<String> = both.iter().map(|at| format!("11-01 {at}")).collect();
    let both: Vec<&str> = both.iter().map(String::as_str).collect();
    check("*/30 * * * *", new_york, from, until, &both);
    let day = ("2026-04-04T13:00:00Z", "2026-04-05T13:00:00Z");
    check("45 1 * * *", "Australia/Lord_Howe", day.0, day.1, &["04-05 01:45 +11:00"]);
    let day = ("2018-02-17T02:00:00Z", "2018-02-18T23:00:00Z");
    let sao_paulo = ["02-17 23:30 -02:00"];
    check("30 23 * * 6", "America/Sao_Paulo", day.0, day.1, &sao_paulo);
}

#[test]
fn several_hours_or_minutes_are_no_other_case_than_one() {
    let day = ("2026-03-08T05:00:00Z", "2026-03-08T12:00:00Z");
    let new_york = "America/New_York";
    check("15,45 2 * * *", new_york, day.0, day.1, &["03-08 03:00 -04:00"]);
    check("*/30 2 * * *", new_york, day.0, day.1, &["03-08 03:00 -04:00"]);
    let hours = ["03-08 01:30 -05:00", "03-08 03:00 -04:00", "03-08 03:30 -04:00"];
    check("30 1-3 * * *", new_york, day.0, day.1, &hours);
    check("30 2,4 * * *", new_york, day.0, day.1, &["03-08 03:00 -04:00", "03-08 04:30 -04:00"]);
    let day = ("2026-11-01T05:00:00Z", "2026-11-01T12:00:00Z");
    let half_hours = ["11-01 01:00 -04:00", "11-01 01:30 -04:00"];
    check("*/30 1 * * *", new_york, day.0, day.1, &half_hours);
    let hours = ["11-01 01:30 -04:00", "11-01 02:30 -05:00"];
    check("30 1-2 * * *", new_york, day.0, day.1, &hours);
}

#[test]
fn lines_are_read_as_crontab_reads_them() {
    let week = ("2026-11-20T00:00:00Z", "2026-11-24T12:00:00Z");
    check(
        "0 9 * * 1-5",
        "UTC",
        week.0,
        week.1,
        &["11-20 09:00 +00:00", "11-23 09:00 +00:00", "11-24 09:00 +00:00"],
    );
    check("0 9 * * MON", "UTC", week.0, week.1, &["11-23 09:00 +00:00"]);
    check("0 9 * * 0", "UTC", week.0, week.1, &["11-22 09:00 +00:00"]);
    check("0 9 * * 7", "UTC", week.0, week.1, &["11-22 09:00 +00:00"]);
    // A day of the month or a day of the week: either will do.
    check("0 9 21 * 1", "UTC", week.0, week.1, &["11-21 09:00 +00:00", "11-23 09:00 +00:00"]);
    check(
        "@daily",
        "UTC",
        week.0,
        "2026-11-21T12:00:00Z",
        &["11-20 00:00 +00:00", "11-21 00:00 +00:00"],
    );
}

#[test]
fn what_is_no_schedule_is_refused_with_the_reason() {
    let plan = |line: &str, zone: Option<&str>| {
        let when = When::Cron { cron: line.into(), timezone: zone.map(str::to_owned) };
        let plan = Plan::new(&when, 0)?;
        check_ever_due(&when, &plan, ms("2026-11-20T00:00:00Z"))
    };
    for bad in
        ["", "* * * *", "61 * * * *", "* * * * * *", "0 0 * * * 2030", "x * * * *", "*/0 * * * *"]
    {
        assert!(
            matches!(plan(bad, None), Err(NoPlan::Cron { .. })),
            "{bad:?}: {:?}",
            plan(bad, None)
        );
    }
    for bad in ["* * * *", "* * * * * *", "", "x * * * *", "*/0 * * * *"] {
        let why = plan(bad, None).unwrap_err().to_string();
        assert!(!why.contains("..") && why.contains(". It has five fields"), "{why}");
    }
    let long = "1,".repeat(CRON_BYTES_MAX) + "1 * * * *";
    assert!(matches!(plan(&long, None), Err(NoPlan::Cron { .. })));
    assert_eq!(plan("0 0 31 2 *", None), Err(NoPlan::Never("0 0 31 2 *".into())));
    assert_eq!(plan("0 0 29 2 *", None), Ok(()));
    for zone in ["Europe/Nowhere", "", "../../etc/passwd"] {
        assert_eq!(plan("0 0 * * *", Some(zone)), Err(NoPlan::Zone(zone.into())));
    }
    assert_eq!(Plan::new(&When::Every { every_s: 0 }, 0).unwrap_err(), NoPlan::Every);
    assert_eq!(Plan::new(&When::Every { every_s: u64::MAX }, 0).unwrap_err(), NoPlan::Every);
    assert_eq!(Plan::new(&When::Once { at: u64::MAX }, 0).unwrap_err(), NoPlan::At);
}

#[test]
fn intervals_are_counted_from_their_anchor_and_once_is_once() {
    let every = Plan::new(&When::Every { every_s: 10 }, 1_003).unwrap();
    assert_eq!(every.upcoming(0, 2), [11_003, 21_003]);
    assert_eq!(every.upcoming(11_003, 1), [21_003]);
    let before = Before { first: 11_003, last: 21_003, slots: 2, and_more: false };
    let due = |newest: &[u64], before| Some(Due { newest: newest.to_vec(), before });
    assert_eq!(every.due(1_003, 31_010, 1), due(&[31_003], Some(before)));
    let before = Before { last: 11_003, slots: 1, ..before };
    assert_eq!(every.due(1_003, 31_010, 2), due(&[21_003, 31_003], Some(before)));
    assert_eq!(every.due(1_003, 31_010, 9), due(&[11_003, 21_003, 31_003], None));
    assert_eq!(every.due(11_003, 21_002, 9), None);
    let once = Plan::new(&When::Once { at: 50 }, 0).unwrap();
    assert_eq!((once.next(49), once.next(50)), (Some(50), None));
    assert_eq!(once.due(0, 49, 1), None);
    assert_eq!(once.due(0, 50, 1), Some(Due::one(50)));
}

#[test]
fn years_of_missed_minutes_are_passed_over_without_counting_each() {
    let plan = cron("*/5 * * * *", "Europe/Berlin");
    let (from, until) = (ms("2020-01-01T00:02:00Z"), ms("2026-11-20T00:07:30Z"));
    let few = plan.due(from, until, 3).unwrap();
    assert_eq!(few.newest, [until - 750_000, until - 450_000, until - 150_000]);
    assert_eq!(few.before.map(|b| (b.last, b.and_more)), Some((until - 1_050_000, true)));
    let due = plan.due(from, until, 1).unwrap();
    assert_eq!(due.newest, [ms("2026-11-20T00:05:00Z")]);
    let before = due.before.unwrap();
    assert_eq!(before.first, ms("2020-01-01T00:05:00Z"));
    assert_eq!(before.last, ms("2026-11-20T00:00:00Z"));
    assert_eq!((before.slots, before.and_more), (COUNTED_MAX, true));
}

const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "America/St_Johns",
];

fn field(min: u32, max: u32) -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just("*".to_owned()),
        3 => (min..=max).prop_map(|n| n.to_string()),
        1 => (2u32..=20).prop_map(|n| format!("*/{n}")),
        1 => (min..=max, min..=max).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (min..=max, min..=max).prop_map(|(a, b)| format!("{a},{b}")),
    ]
}

fn line() -> impl Strategy<Value = String> {
    (field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6))
        .prop_map(|(m, h, d, mo, w)| format!("{m} {h} {d} {mo} {w}"))
}

/// Moments from 2017 to 2027.
fn moment() -> impl Strategy<Value = u64> {
    1_483_228_800_000..1_830_297_600_000u64
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn the_next_slot_is_the_same_from_anywhere_before_it(
        line in line(), zone in 0..ZONES.len(), from in moment(), cuts in prop::collection::vec(0.0..1.0f64, 6),
    ) {
        let plan = cron(&line, ZONES[zone]);
        let Some(first) = plan.next(from) else { return Ok(()) };
        prop_assert!(first > from);
        let Some(second) = plan.next(first) else { return Ok(()) };
        prop_assert!(second > first, "never the same twice");
        for cut in cuts {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "somewhere in between")]
            let at = first + ((second - first - 1) as f64 * cut) as u64;
            prop_assert_eq!(plan.next(at), Some(second), "{} in {} from {}", line, ZONES[zone], at);
        }
        prop_assert_eq!(plan.next(second - 1), Some(second));
    }

    #[test]
    fn slots_that_are_due_are_those_that_come_one_after_the_other(
        line in line(), zone in 0..ZONES.len(), from in moment(), hours in 0u64..2_000, keep in 1usize..9,
    ) {
        let plan = cron(&line, ZONES[zone]);
        let until = from + hours * 3_600_000;
        let mut all = Vec::new();
        let mut at = from;
        while let Some(next) = plan.next(at).filter(|slot| *slot <= until) {
            all.push(next);
            at = next;
            if all.len() as u64 > COUNTED_MAX { return Ok(()); }
        }
        let due = plan.due(from, until, keep);
        let (passed, newest) = all.split_at(all.len().saturating_sub(keep));
        prop_assert_eq!(due.as_ref().map_or(&[][..], |d| &d.newest), newest);
        let before = due.and_then(|d| d.before);
        prop_assert_eq!(before.map_or(0, |b| b.slots), passed.len() as u64);
        if let Some(before) = before {
            prop_assert_eq!((before.first, before.last), (passed[0], passed[passed.len() - 1]));
        }
    }

    #[test]
    fn a_daily_slot_comes_on_every_day_exactly_once(
        minute in 0u32..60, hour in 0u32..24, zone in 0..ZONES.len(), from in moment(),
    ) {
        let plan = cron(&format!("{minute} {hour} * * *"), ZONES[zone]);
        let tz = TimeZone::get(ZONES[zone]).unwrap();
        let days: Vec<Date> = plan
            .upcoming(from, 400)
            .into_iter()
            .map(|slot| zoned(slot, &tz).unwrap().date())
            .collect();
        for pair in days.windows(2) {
            prop_assert_eq!(pair[0].tomorrow().unwrap(), pair[1], "{}:{} in {}", hour, minute, ZONES[zone]);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(line in "\\PC{0,40}", zone in "\\PC{0,20}") {
        // Neither may panic, and what is read must give an answer.
        if let Ok(plan) = Plan::new(&When::Cron { cron: line, timezone: Some(zone) }, 0) {
            let _ = plan.next(1_700_000_000_000);
        }
    }
}
