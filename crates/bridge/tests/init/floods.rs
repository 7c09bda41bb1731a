//! Output without bounds, and readers that do not read.

use crate::support::{Machine, ran, sh};
use toft_machine::init_client::{self, ExecEvent};
use toft_model::init::ExecSpec;

#[tokio::test]
async fn a_daemon_that_keeps_the_output_open_does_not_hold_back_the_end() {
    let machine = Machine::start();
    let gate = machine.path("gate");
    let script = format!(
        "(while [ ! -e {0} ]; do sleep 0.01; done; echo late; sleep 1000) & echo early",
        gate.display()
    );
    let spec = ExecSpec { id: Some("d".into()), detach: true, ..sh(&script) };
    let first = ran(machine.exec(spec).await).await;
    assert_eq!((first.out.as_str(), first.exit.code), ("early\n", Some(0)));
    // It may go on printing, and that can be read.
    std::fs::write(&gate, "").unwrap();
    loop {
        let again = init_client::attach(machine.init().await, "d", 0).await.unwrap();
        if ran(again).await.out == "early\nlate\n" {
            break;
        }
    }
}

#[tokio::test]
async fn a_gigabyte_of_output_neither_grows_memory_nor_stalls_others() {
    let machine = Machine::start();
    machine.sh("true").await;
    let (before, _) = machine.memory();
    // One that is followed: every byte arrives. One that nobody follows: it ends all the same.
    let spec = |id: &str| ExecSpec {
        id: Some(id.into()),
        detach: true,
        spill_bytes_max: 1 << 20,
        argv: ["head", "-c", "1G", "/dev/zero"].map(str::to_owned).to_vec(),
        ..ExecSpec::default()
    };
    let mut followed = machine.exec(spec("followed")).await;
    drop(machine.exec(spec("alone")).await);
    let others = async {
        for _ in 0..20 {
            assert_eq!(machine.sh("echo here").await.out, "here\n");
        }
    };
    let count = async {
        let (mut bytes, mut gaps) = (0u64, 0);
        loop {
            match followed.next().await.unwrap().unwrap() {
                ExecEvent::Stdout(piece) => bytes += piece.len() as u64,
                ExecEvent::Gap(_) => gaps += 1,
                ExecEvent::Stderr(_) => unreachable!("head prints no error"),
                ExecEvent::Exit(exit) => return (bytes, gaps, exit),
            }
        }
    };
    let ((bytes, gaps, exit), ()) = tokio::join!(count, others);
    assert_eq!((bytes, gaps, exit.output_bytes), (1 << 30, 0, 1 << 30));
    assert!(exit.truncated);
    assert_eq!(std::fs::metadata(exit.output_path.unwrap()).unwrap().len(), 1 << 20);
    let alone = init_client::attach(machine.init().await, "alone", 0).await.unwrap();
    let alone = ran(alone).await;
    assert_eq!(alone.exit.output_bytes, 1 << 30);
    assert_eq!(alone.gaps.len(), 1, "the middle is not kept");
    let (_, most) = machine.memory();
    assert!(most < before + (8 << 20), "from {before} to {most} bytes");
}

#[tokio::test]
async fn a_follower_that_does_not_read_gets_a_gap_and_the_program_goes_on() {
    let machine = Machine::start();
    let spec = ExecSpec {
        id: Some("a".into()),
        detach: true,
        spill_bytes_max: 1,
        argv: ["head", "-c", "64M", "/dev/zero"].map(str::to_owned).to_vec(),
        ..ExecSpec::default()
    };
    let stuck = machine.exec(spec).await;
    let quick = init_client::attach(machine.init().await, "a", u64::MAX).await.unwrap();
    assert_eq!(ran(quick).await.exit.output_bytes, 64 << 20);
    let stuck = ran(stuck).await;
    assert!(!stuck.gaps.is_empty());
    assert!(stuck.out.len() < 64 << 20);
}
