//! What init holds for others: the bridge, the listeners of the gateway, its own protocol.

use crate::{
    bridge,
    support::{Machine, lives, sh},
};
use std::{net::TcpListener, os::fd::OwnedFd};
use toft_machine::init_client::{self};
use toft_model::init::ExecSpec;

#[tokio::test]
async fn the_bridge_is_started_again_and_what_runs_keeps_its_pid() {
    let machine = Machine::start();
    let spec = ExecSpec { id: Some("tool".into()), detach: true, ..sh("sleep 1000") };
    let tool = machine.exec(spec).await.pid;
    let first = bridge(&machine, 1).await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(first).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let second = bridge(&machine, 2).await;
    assert_ne!(first, second);
    init_client::restart_bridge(machine.init().await).await.unwrap();
    assert!(!lives(second));
    bridge(&machine, 3).await;
    let list = init_client::list(machine.init().await).await.unwrap();
    assert_eq!((list[0].pid, list[0].exit.is_none()), (tool, true));
    assert!(lives(tool));
}

#[tokio::test]
async fn a_bridge_that_cannot_run_does_not_hurt_init() {
    let machine = Machine::with_bridge(vec!["/no/such/bridge".into()]);
    assert_eq!(machine.sh("echo fine").await.out, "fine\n");
    let hello = init_client::hello(machine.init().await).await.unwrap();
    assert_eq!(hello.bridge_pid, None);
}

#[tokio::test]
async fn the_gateways_listeners_are_handed_over_and_stay_open() {
    let machine = Machine::start();
    for _ in 0..2 {
        let fds: Vec<OwnedFd> = init_client::gateway_listeners(machine.init().await).await.unwrap();
        let addresses: Vec<_> =
            fds.into_iter().map(|fd| TcpListener::from(fd).local_addr().unwrap()).collect();
        assert_eq!(addresses, machine.gateways);
    }
    // Nobody accepts now, but nobody is refused either.
    std::net::TcpStream::connect(machine.gateways[0]).unwrap();
}

#[tokio::test]
async fn nonsense_is_answered_and_ends_only_its_own_connection() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let machine = Machine::start();
    for bytes in [
        &b"\0\0\0\x05\0{]}?"[..],
        &b"\xff\xff\xff\xff\0"[..],
        &b"\0\0\0\x02\x09x"[..],
        &b"\0\0\0\x02\x01x"[..],
        &b"\0\0\0\0"[..],
    ] {
        let mut stream = machine.init().await;
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(String::from_utf8_lossy(&answer).contains("\"invalid\""), "{bytes:?}");
    }
    assert_eq!(machine.sh("echo fine").await.out, "fine\n");
}
