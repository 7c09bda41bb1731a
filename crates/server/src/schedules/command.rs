//! A command that a schedule runs: a program of the machine's init under the firing's own id, which
//! goes on without this server. Starting a known id attaches to it, so that a server which does not
//! know whether it was started asks again without starting it twice.

use super::job::{Ended, Job};
use crate::{machines::gone, secrets};
use std::{collections::VecDeque, time::Duration};
use toft_machine::init_client::{self, ExecEvent, ExecHandle, InitError};
use toft_model::{
    init::{ExecExit, ExecSpec},
    mask::Heard,
};
use toft_store::Step;
use tokio::time::{sleep, sleep_until, timeout};

/// Of what it prints this much is kept in the store: the end, where errors stand.
const OUTPUT_BYTES_KEPT: usize = 4 << 10;
/// Of what it prints this much is kept inside the machine while it runs.
const SPILL_BYTES_MAX: u64 = 1 << 20;
/// Beyond the kill, for the last output and the exit to arrive.
const KILL_TIMEOUT: Duration = Duration::from_secs(20);
/// A connection to init that breaks is made again, so often.
const TRIES_MAX: u32 = 5;
/// First pause between; doubles.
const TRY_PAUSE: Duration = Duration::from_millis(100);

/// Why nothing is known of a program's end.
const ENDED: &str = "the machine ended while the command ran";
const PERHAPS: &str = "server and machine ended while the command was being started: it may have \
                       begun to run";

/// Runs it to its end, or goes on with one that was started.
pub(super) async fn run(job: &mut Job, command: String) -> Ended {
    match follow_up(job, command).await {
        Ok(ended) | Err(ended) => ended,
    }
}

async fn follow_up(job: &mut Job, command: String) -> Result<Ended, Ended> {
    let mut tries = 0;
    // Whether this server knows that nothing of it reached the machine.
    let mut is_unsent = false;
    // Secrets that it may print: those of its start too, also where they are others by its end.
    let mut known = Known::default();
    loop {
        if job.firing.step == Step::Due {
            job.not_replaced()?;
            job.wake().await?;
            job.not_replaced()?;
            job.firing.boot = job.machine.view().started_at;
            job.firing.started_at = Some(job.app.clock.now_ms());
            job.firing.step = Step::Asked;
            job.save().await?;
            is_unsent = true;
        } else {
            if !same_boot(job) {
                let why = if job.firing.step == Step::Started { ENDED } else { PERHAPS };
                return Err(Ended::Failed(why.into()));
            }
            // It may be paused.
            job.wake().await?;
        }
        let stream = match job.app.backend.connect_init(&job.machine.id).await {
            Ok(stream) => stream,
            Err(error) => {
                tries += 1;
                if tries > TRIES_MAX {
                    return Err(Ended::Failed(error.to_string()));
                }
                if gone::check(&job.app, &job.machine).await && is_unsent {
                    // It died unnoticed before anything was sent: woken again.
                    job.firing.step = Step::Due;
                }
                sleep(TRY_PAUSE * 2u32.pow(tries)).await;
                continue;
            }
        };
        is_unsent = false;
        known.hear(job).await;
        let started = if job.firing.step == Step::Started {
            init_client::attach(stream, &job.firing.id, 0).await
        } else {
            init_client::exec(stream, spec(job, &command)).await
        };
        match started {
            Ok(mut handle) => {
                if job.firing.step != Step::Started {
                    job.firing.step = Step::Started;
                    job.save().await?;
                }
                let followed = async {
                    // What an earlier server began may have ended meanwhile.
                    if job.resumed && still_runs(job).await? {
                        job.runs();
                    }
                    to_its_end(job, &mut handle, &mut known).await
                };
                match followed.await {
                    Ok(ended) => return Ok(ended),
                    Err(_) => tries += 1,
                }
            }
            Err(InitError::Refused { message, .. }) => return Err(Ended::Failed(message)),
            Err(error) => {
                tries += 1;
                if tries > TRIES_MAX {
                    return Err(Ended::Failed(error.to_string()));
                }
            }
        }
        if tries > TRIES_MAX {
            return Err(Ended::Failed(ENDED.into()));
        }
        // A machine that is gone is noticed here.
        gone::check(&job.app, &job.machine).await;
        sleep(TRY_PAUSE * 2u32.pow(tries)).await;
    }
}

/// Whether the machine is the same that the command was sent to.
fn same_boot(job: &Job) -> bool {
    job.machine.runs() && job.machine.view().started_at == job.firing.boot
}

/// Whether its program has not ended, as init knows it.
async fn still_runs(job: &Job) -> Result<bool, InitError> {
    let stream = job.app.backend.connect_init(&job.machine.id).await;
    let all = init_client::list(stream.map_err(|_| InitError::Closed)?).await?;
    Ok(all.iter().any(|exec| exec.id == job.firing.id && exec.exit.is_none()))
}

fn spec(job: &Job, command: &str) -> ExecSpec {
    ExecSpec {
        id: Some(job.firing.id.clone()),
        // As the route for commands runs a line.
        argv: vec!["bash".into(), "-lc".into(), command.to_owned()],
        env: vec![
            ("TOFT_SCHEDULE".into(), job.schedule.name.clone()),
            // Unix milliseconds of the moment that was due.
            ("TOFT_SLOT".into(), job.firing.slot.to_string()),
            ("TOFT_FIRING".into(), job.firing.id.clone()),
        ],
        merge_stderr: true,
        detach: true,
        spill_bytes_max: SPILL_BYTES_MAX,
        label: Some(format!("schedule {}", job.schedule.name)),
        ..ExecSpec::default()
    }
}

/// Follows a program. An error: the connection broke.
async fn to_its_end(
    job: &mut Job,
    handle: &mut ExecHandle,
    known: &mut Known,
) -> Result<Ended, InitError> {
    let mut tail = Tail::default();
    let (deadline, gone, replaced) = (job.deadline(), job.gone.clone(), job.replaced.clone());
    let exit = loop {
        let event = tokio::select! {
            event = handle.next() => event?,
            () = sleep_until(deadline) => break None,
            () = gone.cancelled() => break None,
            () = replaced.cancelled() => break None,
        };
        match event {
            Some(ExecEvent::Stdout(bytes) | ExecEvent::Stderr(bytes)) => tail.push(&bytes),
            Some(ExecEvent::Gap(_)) => tail.cut = true,
            Some(ExecEvent::Exit(exit)) => break Some(exit),
            None => return Err(InitError::Closed),
        }
    };
    let ended = if let Some(exit) = exit {
        ended(job, &exit)
    } else {
        kill(job, handle, &mut tail).await?;
        if replaced.is_cancelled() { Job::replaced() } else { job.over_time() }
    };
    known.hear(job).await;
    job.firing.output = known.masked(&tail.text());
    if gone.is_cancelled() {
        forget(job).await;
        return Ok(Ended::Gone);
    }
    Ok(ended)
}

/// The secrets that a command may print.
#[derive(Default)]
struct Known {
    heard: Heard,
    lost: bool,
}

impl Known {
    /// Those that hold now.
    async fn hear(&mut self, job: &Job) {
        match secrets::environment(&job.app, &job.machine.id).await {
            Ok(environment) => self.heard.take(&environment.vars),
            Err(_) => self.lost = true,
        }
    }

    /// What is written down: names stand for the values. Where those are not known, nothing is.
    fn masked(&self, text: &str) -> Option<String> {
        (!self.lost).then(|| self.heard.mask().text(text).into_owned())
    }
}

fn ended(job: &mut Job, exit: &ExecExit) -> Ended {
    job.firing.exit_code = exit.code;
    match (exit.code, exit.signal) {
        (Some(0), _) => Ended::Well(None),
        (Some(code), _) => Ended::Failed(format!("the command ended with exit code {code}")),
        (None, Some(signal)) => Ended::Failed(format!("signal {signal} ended the command")),
        (None, None) => Ended::Failed("the command ended without an exit code".into()),
    }
}

/// Ends it with everything that it started; what it had printed still comes.
async fn kill(job: &Job, handle: &mut ExecHandle, tail: &mut Tail) -> Result<(), InitError> {
    let stream = job.app.backend.connect_init(&job.machine.id).await;
    let stream = stream.map_err(|_| InitError::Closed)?;
    init_client::kill(stream, &job.firing.id, 0).await?;
    let rest = async {
        while let Ok(Some(event)) = handle.next().await {
            match event {
                ExecEvent::Stdout(bytes) | ExecEvent::Stderr(bytes) => tail.push(&bytes),
                ExecEvent::Gap(_) | ExecEvent::Exit(_) => {}
            }
        }
    };
    // Without it the end of the output is missing, nothing else.
    let _ = timeout(KILL_TIMEOUT, rest).await;
    Ok(())
}

/// Init keeps ended programs for those who come back. Once its end is stored nobody will.
pub(super) async fn forget(job: &Job) {
    let Ok(stream) = job.app.backend.connect_init(&job.machine.id).await else { return };
    if let Err(error) = init_client::forget(stream, &job.firing.id).await {
        tracing::debug!(project.id = %job.schedule.project, %error, "an ended program is still kept");
    }
}

/// The end of an output.
#[derive(Default)]
struct Tail {
    bytes: VecDeque<u8>,
    cut: bool,
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        let bytes = match bytes.len().checked_sub(OUTPUT_BYTES_KEPT) {
            Some(over) if over > 0 => {
                self.cut = true;
                &bytes[over..]
            }
            _ => bytes,
        };
        let over = (self.bytes.len() + bytes.len()).saturating_sub(OUTPUT_BYTES_KEPT);
        self.cut |= over > 0;
        self.bytes.drain(..over);
        self.bytes.extend(bytes);
    }

    /// As text; `…` stands for what is not kept.
    fn text(self) -> String {
        let bytes: Vec<u8> = self.bytes.into();
        // A cut may fall into a character: its rest is no text.
        let from = if self.cut {
            bytes.iter().take(3).take_while(|b| (0x80..0xc0).contains(*b)).count()
        } else {
            0
        };
        let text = String::from_utf8_lossy(&bytes[from..]);
        if self.cut { format!("…{text}") } else { text.into_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_output_is_kept_however_it_comes() {
        let of = |pieces: &[&[u8]]| {
            let mut tail = Tail::default();
            for piece in pieces {
                tail.push(piece);
            }
            tail.text()
        };
        assert_eq!(of(&[b"one\n", b"two\n"]), "one\ntwo\n");
        assert_eq!(of(&[&vec![b'x'; OUTPUT_BYTES_KEPT]]), "x".repeat(OUTPUT_BYTES_KEPT));
        let cut = format!("…{}y", "x".repeat(OUTPUT_BYTES_KEPT - 1));
        assert_eq!(of(&[&vec![b'x'; OUTPUT_BYTES_KEPT], b"y"]), cut);
        assert_eq!(of(&[&vec![b'x'; 3 * OUTPUT_BYTES_KEPT], b"y"]), cut);
        // `é` is two bytes, and its first one is cut off.
        let text = format!("é{}", "x".repeat(OUTPUT_BYTES_KEPT - 1));
        assert_eq!(of(&[text.as_bytes()]), format!("…{}", "x".repeat(OUTPUT_BYTES_KEPT - 1)));
        assert_eq!(of(&[b"a\xffb"]), "a\u{fffd}b");
    }
}
