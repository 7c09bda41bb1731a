//! Secrets: in the environment of what is started from then on, and nowhere else.

use crate::{
    bridge,
    support::{Machine, line, ran, sh},
};
use std::time::Duration;
use toft_machine::init_client;
use toft_model::{
    init::ExecSpec,
    secret::{Environment, SecretText},
};

fn environment(revision: u64, vars: &[(&str, &str)]) -> Environment {
    let vars = vars.iter().map(|(n, v)| ((*n).to_owned(), SecretText::new(*v))).collect();
    Environment { revision, vars, ..Environment::default() }
}

async fn tell(machine: &Machine, environment: &Environment) {
    init_client::set_environment(machine.init().await, environment).await.unwrap();
}

#[tokio::test]
async fn the_next_program_has_the_new_value_and_one_that_runs_has_its_own() {
    let machine = Machine::start();
    assert_eq!(machine.sh("echo ${KEY-none}").await.out, "none\n");
    tell(&machine, &environment(1, &[("KEY", "first canary")])).await;
    let asks = ExecSpec { id: Some("a".into()), stdin: true, ..sh("echo $KEY; read x; echo $KEY") };
    let mut runs = machine.exec(asks).await;
    assert_eq!((line(&mut runs).await.as_str(), runs.environment), ("first canary", 1));
    tell(&machine, &environment(2, &[("KEY", "second")])).await;
    assert_eq!(machine.sh("echo $KEY").await.out, "second\n");
    runs.input().stdin(b"\n").await.unwrap();
    assert_eq!(line(&mut runs).await, "first canary");
    let listed = init_client::list(machine.init().await).await.unwrap();
    assert_eq!(listed.iter().find(|exec| exec.id == "a").unwrap().environment, 1);
    tell(&machine, &environment(3, &[])).await;
    assert_eq!(machine.sh("echo ${KEY-none}").await.out, "none\n");
    // What a request says comes after it, and what the machine says before.
    tell(&machine, &environment(4, &[("KEY", "secret"), ("TOFT_PROJECT", "other")])).await;
    let spec =
        ExecSpec { env: vec![("KEY".into(), "asked".into())], ..sh("echo $KEY $TOFT_PROJECT") };
    assert_eq!(ran(machine.exec(spec).await).await.out, "asked other\n");
}

#[tokio::test]
async fn init_and_bridge_hold_it_in_memory_only() {
    let machine = Machine::start();
    tell(&machine, &environment(1, &[("KEY", "canary-0123456789")])).await;
    machine.sh("true").await;
    let pids = [machine.pid.as_raw_nonzero().get(), bridge(&machine, 1).await.cast_signed()];
    for pid in pids {
        for file in ["environ", "cmdline"] {
            let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains("canary"), "{pid} {file}");
        }
    }
    let mut folders = vec![machine.path("")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                let bytes = std::fs::read(entry.path()).unwrap();
                assert!(!String::from_utf8_lossy(&bytes).contains("canary"), "{:?}", entry.path());
            }
        }
    }
}

#[tokio::test]
async fn a_bridge_that_waits_is_started_when_the_environment_is_known() {
    let machine = Machine::awaiting();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let hello = init_client::hello(machine.init().await).await.unwrap();
    assert_eq!(hello.bridge_starts, 0);
    // Programs of people run all the same.
    assert_eq!(machine.sh("echo up").await.out, "up\n");
    tell(&machine, &Environment::default()).await;
    bridge(&machine, 1).await;
}

#[tokio::test]
async fn changes_are_told_and_who_leaves_is_forgotten() {
    let machine = Machine::start();
    let now = init_client::environment(machine.init().await).await.unwrap();
    assert_eq!(now.environment, Environment::default());
    let (told, next) = (machine.init().await, environment(7, &[("A", "b")]));
    let known = now.clone();
    let waiting = tokio::spawn(async move { init_client::next_environment(told, &known).await });
    let (left, known) = (machine.init().await, now.clone());
    let leaving = tokio::spawn(async move { init_client::next_environment(left, &known).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    leaving.abort();
    tell(&machine, &next).await;
    let told = waiting.await.unwrap().unwrap();
    assert_eq!(told.environment, next);
    let same = init_client::next_environment(machine.init().await, &now).await.unwrap();
    assert_eq!(same, told);
    // Other values at the same revision are another environment.
    let other = environment(7, &[("A", "c")]);
    let stream = machine.init().await;
    let waiting = tokio::spawn(async move { init_client::next_environment(stream, &told).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    tell(&machine, &other).await;
    let told = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    let told = told.expect("it is told").unwrap().unwrap();
    assert_eq!(told.environment, other);
    // What was replaced is still secret, also for a bridge that comes later.
    let now = init_client::environment(machine.init().await).await.unwrap();
    assert_eq!((&now, &now.before), (&told, &next.vars));
    // A caller that knows no generation is told by revision.
    let older = init_client::ToldEnvironment { generation: None, ..told };
    let asked = init_client::next_environment(machine.init().await, &older);
    assert!(tokio::time::timeout(Duration::from_millis(100), asked).await.is_err());
}
