//! What init promises, asked of a real init process over its protocol.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod ends;
mod environment;
mod floods;
mod house;
mod programs;
mod read_only;
mod receipts;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;
use support::Machine;
use toft_machine::init_client;

/// Not a test: init itself, when the tests start it.
#[test]
fn init_process() {
    if support::is_a_process() {
        toft_bridge::init::main(0).unwrap();
    }
}

/// Pid of the bridge once it was started `starts` times.
async fn bridge(machine: &Machine, starts: u32) -> u32 {
    loop {
        let hello = init_client::hello(machine.init().await).await.unwrap();
        if let Some(pid) = hello.bridge_pid.filter(|_| hello.bridge_starts == starts) {
            return pid;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
