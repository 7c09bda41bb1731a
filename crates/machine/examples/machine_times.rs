//! Times of a machine's life on this host: `machine_times EXE ROUNDS [DATA_DIR]`, where EXE is a
//! `toft` binary. Prints one line per step with minimum, median and 99th percentile in ms.

use std::time::{Duration, Instant};
use toft_machine::{
    backend::{Backend as _, StartSpec},
    init_client,
    native::{self, NativeConfig},
};
use toft_model::{id::ProjectId, init::ExecSpec, machine::Limits};

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
    let config = NativeConfig { data_dir, exe: exe.into() };
    let native = native::open(config).await.expect("machines work here");
    let open_ms = opened.elapsed();
    let mut steps: [(&str, Vec<Duration>); 6] =
        ["create", "start", "exec true", "first exec in all", "stop", "destroy"]
            .map(|n| (n, Vec::new()));
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
        let spec = StartSpec {
            project: project.clone(),
            name: "times".to_owned(),
            limits: Limits::default(),
            app_url: String::new(),
            env: Vec::new(),
        };
        native.start(spec).await.expect("start");
        lap(&mut times, &mut at);
        let stream = native.connect_init(&project).await.expect("connect");
        let argv = vec!["/bin/true".to_owned()];
        let exec = ExecSpec { argv, ..ExecSpec::default() };
        let mut handle = init_client::exec(stream, exec).await.expect("exec");
        while handle.next().await.expect("output").is_some() {}
        lap(&mut times, &mut at);
        times.push(begin.elapsed());
        at = Instant::now();
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
    native.close().await.expect("close");
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
