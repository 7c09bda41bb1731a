//! Work of tools that is done in a program of its own, started like any command of the agent: what
//! takes hostile bytes apart (images, PDF, web pages) may crash, hang or eat memory there, ends when the
//! call ends, and reaches the network as programs of the machine do.
//!
//! The binary plays the part `__aside JOB`, where `JOB` is JSON. It answers on its standard output with
//! one line of JSON and the bytes of the result behind it. That output is kept by the shell like any
//! command's, so a long text can be read on from its file.

mod page;
mod pdf;
mod picture;

pub use picture::IMAGE_BYTES_MAX;

use crate::{
    host::{ShellEvent, ToolContext},
    outcome::{STOPPED, ToolOutcome},
};
use futures_util::StreamExt as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use std::{
    ffi::OsString, fs::File, io::Write as _, path::PathBuf, process::ExitCode, time::Duration,
};
use toft_model::init::ExecSpec;
use tokio::time::timeout;

/// The part of the binary.
pub const PART: &str = "__aside";

/// In the place of a job: stands for an MCP server.
pub(crate) const SERVER: &str = "mcp";

/// Memory that such a program may map.
const MEMORY_BYTES_MAX: u64 = 1 << 30;

/// Seconds of processor time that it may take.
const CPU_SECONDS_MAX: u64 = 40;

/// How long it may take by the clock.
const TIME_MAX: Duration = Duration::from_secs(45);

/// Stack for what follows nested structures down.
const STACK_BYTES: usize = 256 << 20;

/// Bytes of a result at most.
const RESULT_BYTES_MAX: usize = 8 << 20;

/// What is to be done.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "snake_case")]
pub(crate) enum Job {
    /// Checks an image and makes it fit for models.
    Picture { path: PathBuf },
    /// The text of a PDF file.
    Pdf { path: PathBuf },
    /// A page of the web as text.
    Page { url: String },
}

/// The line before the bytes.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Answer {
    /// Why there is no result, for the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// Type of the bytes that follow.
    pub(crate) mime_type: String,
    /// Width and height before and after, of an image.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<[(u32, u32); 2]>,
    /// Pages of a document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pages: Option<usize>,
    /// Where a page came from in the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// HTTP status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    /// Bytes of the source.
    pub(crate) bytes: u64,
    /// Whether the source or the result was longer.
    pub(crate) truncated: bool,
}

impl Answer {
    fn failed(why: impl Into<String>) -> Self {
        Self { error: Some(why.into()), ..Self::default() }
    }
}

/// The address that a page is fetched from, or why none can be.
pub(crate) fn checked_url(url: &str) -> Result<String, String> {
    page::parse(url).map(|url| url.to_string())
}

/// A result, and where it is kept.
pub(crate) struct Done {
    pub(crate) answer: Answer,
    pub(crate) body: Vec<u8>,
    /// File with the answer's line and the body.
    pub(crate) kept_in: Option<String>,
}

/// Runs a job in a program of its own. It is the call's own program: a repeated call finds it again.
pub(crate) async fn run(ctx: &ToolContext, job: &Job, label: &str) -> Result<Done, ToolOutcome> {
    let mut argv = ctx.shell.own_program();
    if argv.is_empty() {
        return Err(ToolOutcome::error(
            "This cannot be done here: Toft's own program is not known.",
        ));
    }
    argv.extend([PART.into(), serde_json::to_string(job).expect("paths here come from text")]);
    let spec = ExecSpec {
        id: Some(ctx.run_id.clone()),
        argv,
        cwd: Some("/".into()),
        detach: true,
        label: Some(label.to_owned()),
        ..ExecSpec::default()
    };
    let ended = tokio::select! {
        ended = timeout(TIME_MAX, collect(ctx, spec)) => ended,
        () = ctx.cancel.cancelled() => {
            drop_it(ctx).await;
            return Err(ToolOutcome::cancelled(STOPPED));
        }
    };
    let Ok(ended) = ended else {
        drop_it(ctx).await;
        return Err(ToolOutcome::error(format!(
            "It took longer than {} seconds and was ended.",
            TIME_MAX.as_secs()
        )));
    };
    let (output, kept_in) = ended.map_err(ToolOutcome::error)?;
    let line = output.iter().position(|byte| *byte == b'\n');
    let answer = line.and_then(|end| serde_json::from_slice::<Answer>(&output[..end]).ok());
    let (Some(answer), Some(end)) = (answer, line) else {
        let _ = ctx.shell.forget(&ctx.run_id).await;
        return Err(ToolOutcome::error(
            "It could not be taken apart: it needs too much memory or time, or is damaged.",
        ));
    };
    if let Some(why) = answer.error {
        let _ = ctx.shell.forget(&ctx.run_id).await;
        return Err(ToolOutcome::error(why));
    }
    Ok(Done { answer, body: output[end + 1..].to_vec(), kept_in })
}

/// Ends it and keeps nothing of it.
async fn drop_it(ctx: &ToolContext) {
    let _ = ctx.shell.kill(&ctx.run_id, 0).await;
    let _ = ctx.shell.forget(&ctx.run_id).await;
}

/// The whole output, and the file that has it.
async fn collect(ctx: &ToolContext, spec: ExecSpec) -> Result<(Vec<u8>, Option<String>), String> {
    let mut run = ctx.shell.start(spec).await.map_err(|error| format!("Not done: {error}"))?;
    let mut output = Vec::new();
    loop {
        match run.events.next().await {
            Some(ShellEvent::Output(bytes) | ShellEvent::Errors(bytes)) => {
                let free = RESULT_BYTES_MAX.saturating_sub(output.len());
                output.extend_from_slice(&bytes[..bytes.len().min(free)]);
            }
            Some(ShellEvent::Gap(_)) => {}
            Some(ShellEvent::Exit(exit)) => return Ok((output, exit.output_path)),
            Some(ShellEvent::Lost) | None => {
                // It goes on, and is found again by its id.
                run =
                    ctx.shell.attach(&ctx.run_id, output.len() as u64).await.map_err(|error| {
                        format!("The connection to the machine was lost: {error}")
                    })?;
            }
        }
    }
}

/// Plays the part: does the job that the first argument says, prints the result. Blocks.
pub fn main(mut argv: impl Iterator<Item = OsString>) -> ExitCode {
    let job = argv.next();
    if job.as_ref().is_some_and(|job| job == SERVER) {
        return crate::mcp::part::main();
    }
    let job = job.and_then(|job| serde_json::from_str::<Job>(job.to_str()?).ok());
    let Some(job) = job else { return ExitCode::FAILURE };
    // What the parsers print must not come between.
    let out = File::from(match rustix::stdio::stdout().try_clone_to_owned() {
        Ok(out) => out,
        Err(_) => return ExitCode::FAILURE,
    });
    if let Ok(nowhere) = File::options().write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdout(&nowhere);
        let _ = rustix::stdio::dup2_stderr(&nowhere);
    }
    limit(Resource::As, MEMORY_BYTES_MAX);
    limit(Resource::Cpu, CPU_SECONDS_MAX);
    limit(Resource::Core, 0);
    let work = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || match job {
        Job::Picture { path } => picture::fit(&path),
        Job::Pdf { path } => pdf::text(&path),
        Job::Page { url } => page::fetch(&url),
    });
    let (answer, body) = match work.map(std::thread::JoinHandle::join) {
        Ok(Ok(Ok(done))) => done,
        Ok(Ok(Err(why))) => (Answer::failed(why), Vec::new()),
        Ok(Err(_)) | Err(_) => {
            (Answer::failed("It is damaged and could not be taken apart."), Vec::new())
        }
    };
    let mut line = serde_json::to_vec(&answer).expect("it holds text and numbers");
    line.push(b'\n');
    let mut out = out;
    match out.write_all(&line).and_then(|()| out.write_all(&body)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// A result of a job: what to say of it, and its bytes.
type Outcome = Result<(Answer, Vec<u8>), String>;

/// Lowers a limit of this process.
pub(crate) fn limit(resource: Resource, most: u64) {
    let now = getrlimit(resource).maximum;
    let most = now.map_or(most, |now| now.min(most));
    let _ = setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
}
