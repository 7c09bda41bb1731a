//! Receipts over the ends of init, in a file that may hold anything.

use super::*;
use toft_model::{
    receipt::{Check, CheckKind, LINE_BYTES_MAX},
    secret::{Environment, SecretText},
};

fn session() -> SessionId {
    "s".parse().unwrap()
}

fn asked_for(command: &str) -> ReceiptFor {
    let check = Check { kind: CheckKind::Test, command: command.into(), decides: true };
    ReceiptFor { session_id: session(), tool_call_id: "c".into(), checks: vec![check] }
}

/// The next one, as it is when its program ends.
fn next(receipts: &Receipts, stamp: Stamp) -> Receipt {
    receipts.last.set(receipts.last.get() + 1);
    Receipt {
        number: receipts.last.get(),
        run_id: "r".into(),
        session_id: session(),
        tool_call_id: "c".into(),
        argv: vec!["x".repeat(ARGV_BYTES_MAX)],
        argv_cut: false,
        cwd: "/".into(),
        started_at: 1,
        ended_at: 2,
        exit_code: Some(0),
        signal: None,
        output_bytes: 0,
        output_truncated: false,
        read_only: false,
        checks: asked_for("make test").checks,
        stamp,
        tree: None,
    }
}

fn kept(receipts: &Receipts) -> Vec<(u64, Stamp)> {
    receipts.of(&session()).iter().map(|one| (one.number, one.stamp)).collect()
}

#[test]
fn another_life_of_init_goes_on_behind_the_one_before() {
    let dir = tempfile::tempdir().unwrap();
    let first = Receipts::open(dir.path());
    for stamp in [Stamp::None, Stamp::Pending, Stamp::Pending] {
        first.keep(next(&first, stamp));
    }
    first.stamp(3, None);
    assert_eq!(kept(&first), [(1, Stamp::None), (2, Stamp::Pending), (3, Stamp::Failed)]);
    // It died while it wrote one more.
    let path = dir.path().join(FILE);
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"number\":4,").unwrap();
    let second = Receipts::open(dir.path());
    // Nobody reads the tree of that end any more.
    assert_eq!(kept(&second), [(1, Stamp::None), (2, Stamp::Failed), (3, Stamp::Failed)]);
    second.keep(next(&second, Stamp::None));
    assert_eq!(kept(&Receipts::open(dir.path())).last(), Some(&(4, Stamp::None)));
}

#[test]
fn two_files_of_bounded_size_hold_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let receipts = Receipts::open(dir.path());
    for _ in 0..2_500 {
        receipts.keep(next(&receipts, Stamp::None));
    }
    let length = |name: &str| fs::metadata(dir.path().join(name)).unwrap().len();
    let line = 2 * ARGV_BYTES_MAX as u64;
    assert!(length(FILE) < FILE_BYTES_MAX + line && length(OLDER_FILE) < FILE_BYTES_MAX + line);
    assert_eq!(receipts.kept.borrow().len(), KEPT_MAX);
    let again = Receipts::open(dir.path());
    assert_eq!(again.last.get(), 2_500);
}

#[test]
fn what_was_put_in_its_place_is_put_aside() {
    let dir = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), dir.path().join(FILE)).unwrap();
    fs::create_dir(dir.path().join(OLDER_FILE)).unwrap();
    let receipts = Receipts::open(dir.path());
    receipts.keep(next(&receipts, Stamp::None));
    assert_eq!(fs::metadata(elsewhere.path()).unwrap().len(), 0);
    assert_eq!(Receipts::open(dir.path()).last.get(), 1);
}

#[test]
fn no_part_of_a_secret_is_left_where_an_argument_is_cut() {
    let secret = "canary-".repeat(10);
    let vars = vec![("KEY".to_owned(), SecretText::new(secret.clone()))];
    let mask = Mask::of(&Environment { vars, ..Environment::default() });
    for before in [0, ARGV_BYTES_MAX - 35, ARGV_BYTES_MAX] {
        let arg = "x".repeat(before) + &secret;
        let asked =
            Asked::new(asked_for(&arg), &["a".into(), arg.clone()], Path::new(&secret), &mask);
        let told = format!("{:?} {:?} {}", asked.argv, asked.of.checks, asked.cwd);
        assert!(!told.contains("canary"), "{before}: {told}");
        assert_eq!(asked.argv_cut, before == ARGV_BYTES_MAX, "{before}");
        assert!(asked.argv.concat().len() <= ARGV_BYTES_MAX);
    }
}

#[test]
fn the_longest_receipt_is_a_line_that_is_read() {
    let control = "\u{1}".repeat(ARGV_BYTES_MAX);
    for argv in [vec![control.clone()], vec![String::new(); 100_000]] {
        let mut of = asked_for(&control);
        of.checks = vec![of.checks[0].clone(); 100];
        of.tool_call_id.clone_from(&control);
        let asked = Asked::new(of, &argv, Path::new(&control), &Mask::default());
        assert!(asked.argv_cut);
        let dir = tempfile::tempdir().unwrap();
        let receipts = Receipts::open(dir.path());
        let Asked { of, argv, cwd, .. } = asked;
        let (checks, tool_call_id) = (of.checks, of.tool_call_id);
        receipts.keep(Receipt { argv, cwd, checks, tool_call_id, ..next(&receipts, Stamp::None) });
        assert!(fs::metadata(dir.path().join(FILE)).unwrap().len() <= LINE_BYTES_MAX as u64);
    }
}

#[test]
fn a_number_that_has_no_next_one_is_none_of_ours() {
    let dir = tempfile::tempdir().unwrap();
    let receipts = Receipts::open(dir.path());
    receipts.last.set(u64::MAX - 1);
    receipts.keep(next(&receipts, Stamp::None));
    let again = Receipts::open(dir.path());
    again.keep(next(&again, Stamp::None));
    assert_eq!(kept(&again), [(1, Stamp::None)]);
}

#[tokio::test]
async fn news_is_told_until_it_was_dealt_with() {
    let dir = tempfile::tempdir().unwrap();
    let receipts = Receipts::open(dir.path());
    let stamps =
        |news: &[Receipt]| news.iter().map(|one| (one.number, one.stamp)).collect::<Vec<_>>();
    receipts.keep(next(&receipts, Stamp::Pending));
    receipts.stamp(1, None);
    let (told, news) = receipts.news(None).await;
    assert_eq!(stamps(&news), [(1, Stamp::Pending), (1, Stamp::Failed)]);
    // That bridge died before it told them: the next one hears the same.
    assert_eq!(receipts.news(None).await.1, news);
    let more = async {
        tokio::task::yield_now().await;
        receipts.keep(next(&receipts, Stamp::Pending));
    };
    let ((_, news), ()) = tokio::join!(receipts.news(Some(told)), more);
    assert_eq!(stamps(&news), [(2, Stamp::Pending)]);
}
