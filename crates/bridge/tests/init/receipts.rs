//! Init keeps a receipt of each program that has one, by what it saw itself.

use crate::support::{Machine, ran, sh};
use toft_machine::init_client;
use toft_model::{
    init::ExecSpec,
    receipt::{Check, CheckKind, FILE, Receipt, ReceiptFor, Stamp},
    secret::{Environment, SecretText},
};

fn of(checks: Vec<Check>) -> ReceiptFor {
    ReceiptFor { session_id: "s".parse().unwrap(), tool_call_id: "c".into(), checks }
}

#[tokio::test]
async fn a_program_has_a_receipt_with_its_end_and_without_secrets() {
    let machine = Machine::start();
    let vars = vec![("KEY".to_owned(), SecretText::new("canary-value-1"))];
    let environment = Environment { revision: 1, vars, ..Environment::default() };
    init_client::set_environment(machine.init().await, &environment).await.unwrap();
    let check = Check { kind: CheckKind::Test, command: "t canary-value-1".into(), decides: true };
    let checked = ExecSpec {
        id: Some("a".into()),
        receipt: Some(of(vec![check])),
        ..sh("exit 3 # canary-value-1")
    };
    ran(machine.exec(checked).await).await;
    let killed =
        ExecSpec { id: Some("b".into()), receipt: Some(of(Vec::new())), ..sh("kill -9 $$") };
    ran(machine.exec(killed).await).await;
    machine.sh("echo nobody asked").await;

    let session = "s".parse().unwrap();
    let receipts = init_client::receipts(machine.init().await, &session).await.unwrap();
    let ends: Vec<_> =
        receipts.iter().map(|r| (r.number, r.run_id.as_str(), r.exit_code, r.signal)).collect();
    assert_eq!(ends, [(1, "a", Some(3), None), (2, "b", None, Some(9))]);
    assert_eq!(receipts[0].argv, ["sh", "-c", "exit 3 # [secret KEY]"]);
    assert_eq!(receipts[1].stamp, Stamp::None);
    let other = "other".parse().unwrap();
    assert_eq!(init_client::receipts(machine.init().await, &other).await.unwrap(), []);

    // This machine's bridge is no program of Toft's: who was to read the tree fails.
    let mut told = None;
    let failed: Receipt = loop {
        let (position, news) = init_client::receipt_news(machine.init().await, told).await.unwrap();
        told = Some(position);
        assert!(news.iter().all(|one| one.number == 1), "only checks are news");
        if let Some(failed) = news.into_iter().find(|one| one.stamp == Stamp::Failed) {
            break failed;
        }
    };
    assert_eq!((failed.number, failed.tree), (1, None));
    assert_eq!(init_client::tree(machine.init().await).await.unwrap(), None);
    let text = std::fs::read_to_string(machine.path("log").join(FILE)).unwrap();
    assert!(text.lines().count() == 3 && !text.contains("canary"), "{text}");
}
