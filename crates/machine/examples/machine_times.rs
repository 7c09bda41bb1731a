//! Times of a machine's life on this host: `machine_times EXE ROUNDS [DATA_DIR]`, where EXE is a
//! `toft` binary. Prints one line per step with minimum, median and 99th percentile in ms; then the
//! same for checkpoints, forks and restores of a project with 50,000 files.

use std::time::{Duration, Instant};
use toft_machine::{
    backend::{Backend as _, StartSpec},
    init_client,
    native::{self, Native, NativeConfig},
};
use toft_model::{
    checkpoint::{CheckpointId, Ticket},
    id::ProjectId,
    init::ExecSpec,
    machine::Limits,
};

/// Makes a tree like that of an application with its packages.
const FILES_50_000: &str = "d=0; while [ $d -lt 500 ]; do mkdir -p tree/$d; f=0; \
    while [ $f -lt 100 ]; do echo $d.$f > tree/$d/$f; f=$((f+1)); done; d=$((d+1)); done; sync -f .";
/// Writes 20 MB a second until its file is removed.
const WRITER: &str = "touch writing; while [ -e writing ]; do \
    head -c 2000000 /dev/urandom > written; sleep 0.09; done";

#[tokio::main]
async fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, exe, rounds, rest @ ..] = &args[..] else {
        panic!("usage: machine_times EXE ROUNDS [DATA_DIR]")
    };
    let rounds: usize = rounds.parse().expect("a number of rounds");
    let own = tempfile::tempdir().expect("a temporary folder");
    let data_dir = rest.first().map_or_else(|| own.path().join("data"), Into::into);
    let opened = Instant::now();
    let config = NativeConfig { data_dir, exe: exe.into(), disk_bytes_max: None };
    let native = native::open(config).await.expect("machines work here");
    let open_ms = opened.elapsed();
    let names = [
        "create",
        "start",
        "exec true",
        "first exec in all",
        "freeze",
        "thaw to exec",
        "stop",
        "destroy",
    ];
    let mut steps = names.map(|n| (n, Vec::new()));
    for round in 0..=rounds {
        let project = ProjectId::random();
        let mut times = Vec::new();
        let begin = Instant::now();
        let lap = |times: &mut Vec<Duration>, at: &mut Instant| {
            times.push(at.elapsed());
            *at = Instant::now();
        };
        let mut at = begin;
        native.create(&project).await.expect("create");
        lap(&mut times, &mut at);
        native.start(spec(&project)).await.expect("start");
        lap(&mut times, &mut at);
        exec(&native, &project, &["/bin/true"]).await;
        lap(&mut times, &mut at);
        times.push(begin.elapsed());
        at = Instant::now();
        native.freeze(&project).await.expect("freeze");
        lap(&mut times, &mut at);
        native.thaw(&project).await.expect("thaw");
        exec(&native, &project, &["/bin/true"]).await;
        lap(&mut times, &mut at);
        native.stop(&project, Duration::from_millis(100)).await.expect("stop");
        lap(&mut times, &mut at);
        native.destroy(&project).await.expect("destroy");
        lap(&mut times, &mut at);
        // The first round makes the template.
        if round > 0 {
            for ((_, all), time) in steps.iter_mut().zip(times) {
                all.push(time);
            }
        }
    }
    print_line("open", &mut [open_ms]);
    for (name, times) in &mut steps {
        print_line(name, times);
    }
    copies(&native, rounds).await;
    native.close().await.expect("close");
}

fn spec(project: &ProjectId) -> StartSpec {
    StartSpec {
        project: project.clone(),
        name: "times".to_owned(),
        limits: Limits::default(),
        app_url: String::new(),
        env: Vec::new(),
        awaits_environment: false,
    }
}

async fn exec(native: &Native, project: &ProjectId, argv: &[&str]) {
    let stream = native.connect_init(project).await.expect("connect");
    let argv = argv.iter().map(|a| (*a).to_owned()).collect();
    let exec = ExecSpec { argv, ..ExecSpec::default() };
    let mut handle = init_client::exec(stream, exec).await.expect("exec");
    while handle.next().await.expect("output").is_some() {}
}

async fn copies(native: &Native, rounds: usize) {
    let project = ProjectId::random();
    native.create(&project).await.expect("create");
    native.start(spec(&project)).await.expect("start");
    exec(native, &project, &["/bin/sh", "-c", FILES_50_000]).await;
    let mut kept = None;
    for (name, meanwhile) in [("checkpoint, idle", "true"), ("checkpoint, writing", WRITER)] {
        let (other, of) = (native.clone(), project.clone());
        let writer =
            tokio::spawn(async move { exec(&other, &of, &["/bin/sh", "-c", meanwhile]).await });
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut times = Vec::new();
        for _ in 0..rounds {
            let id = CheckpointId::random();
            let at = Instant::now();
            native.checkpoint(&project, &id).await.expect("checkpoint");
            times.push(at.elapsed());
            if let Some(old) = kept.replace(id) {
                native.drop_checkpoint(&project, &old).await.expect("drop");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        print_line(name, &mut times);
        exec(native, &project, &["/bin/rm", "-f", "writing"]).await;
        writer.await.expect("it ends when its file is gone");
    }
    let kept = kept.expect("at least one round");
    let mut steps: [(&str, Vec<Duration>); 4] =
        ["fork", "fork to first exec", "restore", "restore to exec"].map(|n| (n, Vec::new()));
    for _ in 0..rounds {
        let fork = ProjectId::random();
        let at = Instant::now();
        let ticket =
            Ticket::Fork { from: project.clone(), seq: 1, checkpoint_id: None, at: 1, place: None };
        native.fork(&project, None, &fork, &ticket).await.expect("fork");
        steps[0].1.push(at.elapsed());
        native.start(spec(&fork)).await.expect("start");
        exec(native, &fork, &["/bin/true"]).await;
        steps[1].1.push(at.elapsed());
        native.destroy(&fork).await.expect("destroy");
        native.stop(&project, Duration::from_millis(100)).await.expect("stop");
        let at = Instant::now();
        let ticket = Ticket::Restore {
            checkpoint_id: kept.clone(),
            label: None,
            at: 1,
            taken_at: 1,
            place: None,
        };
        native.restore(&project, &kept, &ticket, false).await.expect("restore");
        steps[2].1.push(at.elapsed());
        native.start(spec(&project)).await.expect("start");
        exec(native, &project, &["/bin/true"]).await;
        steps[3].1.push(at.elapsed());
    }
    for (name, times) in &mut steps {
        print_line(name, times);
    }
    let at = Instant::now();
    let changes = native.diff(&project, &kept, None, 1000).await.expect("diff");
    print_line(&format!("diff, {} changes", changes.changes.len()), &mut [at.elapsed()]);
    native.destroy(&project).await.expect("destroy");
}

#[expect(clippy::print_stdout, reason = "the lines are what it is for")]
fn print_line(name: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let ms = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
    println!(
        "{name:20} min {:7.2}  p50 {:7.2}  p99 {:7.2}  n {}",
        ms(0),
        ms(50),
        ms(99),
        times.len()
    );
}
