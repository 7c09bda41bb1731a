//! How runs are worked on, where what they leave is kept, and the database: the source's own variables, and flags.

use crate::refused::Refused;
use anyhow::{Context as _, Result, bail};
use std::{collections::BTreeMap, env, path::Path, time::Duration};
use toft_model::run::{RunRules, Signature};
use toft_server::{ArtifactPlace, RunSettings};

/// The most tries that a run may have, as the source has it.
const ATTEMPTS_MAX: u32 = 20;
/// The shortest lease: several looks of a server that is busy.
const LEASE_SECONDS_MIN: u64 = 5;
/// Bytes of a declaration of MCP servers: it is a variable of the machine.
const SERVERS_BYTES_MAX: usize = 64 << 10;
/// As much as agents read of one.
const AGENTS_MD_BYTES_MAX: usize = 32 << 10;
/// What a new project begins with, where a file says nothing else.
const AGENTS_MD: &str = include_str!("agents.md");
/// Begins the address of a bucket.
const BUCKET: &str = "s3://";

/// Settings of runs, by the variables of the environment.
pub(crate) fn runs() -> Result<RunSettings> {
    read(&|name| env::var(name).ok().filter(|value| !value.trim().is_empty()))
}

pub(super) fn wrong(name: &str, wants: &str) -> anyhow::Error {
    Refused { code: "invalid_setting".into(), message: format!("{name} {wants}") }.into()
}

pub(super) fn number(
    tells: &dyn Fn(&str) -> Option<String>,
    name: &str,
    least: u64,
) -> Result<Option<u64>> {
    let Some(text) = tells(name) else { return Ok(None) };
    let given = text.trim().parse().ok().filter(|given| *given >= least);
    given
        .map(Some)
        .ok_or_else(|| wrong(name, &format!("is a whole number from {least} on, not {text:?}")))
}

fn read(tells: &dyn Fn(&str) -> Option<String>) -> Result<RunSettings> {
    let mut runs = RunSettings::default();
    if let Some(attempts) = number(tells, "MAX_JOB_ATTEMPTS", 1)? {
        let given = u32::try_from(attempts).ok().filter(|given| *given <= ATTEMPTS_MAX);
        runs.attempts_max = given
            .ok_or_else(|| wrong("MAX_JOB_ATTEMPTS", &format!("is at most {ATTEMPTS_MAX}")))?;
    }
    if let Some(ms) = number(tells, "AGENT_TIMEOUT_MS", 1_000)? {
        (runs.plan_timeout, runs.build_timeout) =
            (Duration::from_millis(ms), Duration::from_millis(ms));
    }
    for (name, set) in [
        ("AGENT_PLAN_PHASE_TIMEOUT_MS", &mut runs.plan_timeout),
        ("AGENT_BUILD_PHASE_TIMEOUT_MS", &mut runs.build_timeout),
    ] {
        if let Some(ms) = number(tells, name, 1_000)? {
            *set = Duration::from_millis(ms);
        }
    }
    if let Some(seconds) = number(tells, "WORKER_MAX_BACKOFF", 1)? {
        runs.backoff_max = Duration::from_secs(seconds);
    }
    if let Some(count) = number(tells, "TOFT_RUNS_AT_ONCE", 0)? {
        runs.at_once = u32::try_from(count).unwrap_or(u32::MAX);
    }
    if let Some(count) = number(tells, "TOFT_RUNS_PER_TEAM", 1)? {
        runs.per_team = u32::try_from(count).unwrap_or(u32::MAX);
    }
    if let Some(count) = number(tells, "TOFT_WORKSPACES_KEPT", 1)? {
        runs.workspaces_kept = u32::try_from(count).unwrap_or(u32::MAX);
    }
    if let Some(bytes) = number(tells, "ZIP_MAX_BYTES", 1)? {
        runs.archive_bytes_max = bytes;
    }
    if let Some(files) = number(tells, "ZIP_MAX_FILES", 1)? {
        runs.archive_files_max = files;
    }
    if let Some(word) = tells("AUTO_GIT_COMMIT") {
        // The source: only `false` disables it.
        runs.commit = !word.trim().eq_ignore_ascii_case("false");
    }
    if let Some(seconds) =
        number(tells, "WORKER_REQUEUE_RUNNING_AFTER_S", 0)?.filter(|seconds| *seconds > 0)
    {
        if seconds < LEASE_SECONDS_MIN {
            let wants = format!(
                "is 0, which changes nothing, or a whole number from {LEASE_SECONDS_MIN} on"
            );
            return Err(wrong("WORKER_REQUEUE_RUNNING_AFTER_S", &wants));
        }
        runs.lease = Duration::from_secs(seconds);
    }
    runs.rules = rules(tells)?;
    runs.host_installs = flag(tells, "ALLOW_HOST_INSTALLS")?.unwrap_or(false);
    runs.agents_md = agents_md(tells)?;
    runs.author = signature(tells, "AUTHOR")?;
    runs.committer = signature(tells, "COMMITTER")?;
    Ok(runs)
}

/// What agents have for runs.
fn rules(tells: &dyn Fn(&str) -> Option<String>) -> Result<RunRules> {
    let project_tools = flag(tells, "TOFT_RUN_TOOLS")?;
    let mut rules = RunRules { project_tools, ..RunRules::default() };
    for (name, set) in [
        ("ENABLE_SUBAGENTS", &mut rules.subagents),
        ("AUTO_LINT_AFTER_BUILD", &mut rules.auto_check),
    ] {
        if let Some(given) = flag(tells, name)? {
            *set = given;
        }
    }
    for (name, least, set) in [
        ("AUTO_LINT_TIMEOUT_MS", 1_000, &mut rules.check_timeout_ms),
        ("E2B_CMD_DEFAULT_TIMEOUT_MS", 1_000, &mut rules.cmd_timeout_ms),
        ("MAX_OUTPUT_CHARS", 100, &mut rules.output_chars_max),
    ] {
        if let Some(given) = number(tells, name, least)? {
            *set = given;
        }
    }
    if let Some(times) = number(tells, "AUTO_LINT_FIX_MAX_PASSES", 0)? {
        let most = RunRules::CHECK_FIXES_MAX;
        let given = u32::try_from(times).ok().filter(|times| *times <= most);
        rules.check_fixes_max = given
            .ok_or_else(|| wrong("AUTO_LINT_FIX_MAX_PASSES", &format!("is at most {most}")))?;
    }
    rules.allowed_tools = tells("ALLOWED_TOOLS").map(|given| tools(&given)).transpose()?;
    Ok(rules)
}

/// Names with commas between them, or a JSON list of them.
fn tools(given: &str) -> Result<Vec<String>> {
    let parted = || given.split(',').map(|name| name.trim().to_owned()).collect();
    let names: Vec<String> = serde_json::from_str(given).unwrap_or_else(|_| parted());
    let names: Vec<String> = names.into_iter().filter(|name| !name.is_empty()).collect();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let is_name = |name: &String| name.strip_suffix('*').unwrap_or(name).chars().all(plain);
    if names.is_empty() || !names.iter().all(is_name) {
        return Err(wrong(
            "ALLOWED_TOOLS",
            "is a list of names of tools with commas between them, `*` only at a name's end",
        ));
    }
    Ok(names)
}

fn flag(tells: &dyn Fn(&str) -> Option<String>, name: &str) -> Result<Option<bool>> {
    let Some(given) = tells(name) else { return Ok(None) };
    match given.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(Some(true)),
        "false" | "0" | "no" | "off" => Ok(Some(false)),
        _ => Err(wrong(name, "is true or false")),
    }
}

/// What new projects begin with: the file that is named, or a few lines of ours.
fn agents_md(tells: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>> {
    let path = tells("AGENTS_TEMPLATE_PATH");
    if !flag(tells, "SEED_AGENTS_MD")?.unwrap_or(path.is_some()) {
        return Ok(None);
    }
    let Some(path) = path else { return Ok(Some(AGENTS_MD.to_owned())) };
    let name = "AGENTS_TEMPLATE_PATH";
    let bytes = std::fs::read(&path)
        .map_err(|error| wrong(name, &format!("names {path}, which cannot be read: {error}")))?;
    let text = String::from_utf8(bytes).ok();
    let text = text.filter(|text| !text.trim().is_empty() && text.len() <= AGENTS_MD_BYTES_MAX);
    let kib = AGENTS_MD_BYTES_MAX >> 10;
    let wants = format!("names {path}, which is no text of 1 byte to {kib} KiB");
    text.map(Some).ok_or_else(|| wrong(name, &wants))
}

/// MCP servers of all projects: as JSON, or in a file. May hold secrets, so no value of it is in an error.
pub(crate) fn mcp_servers() -> Result<Option<String>> {
    servers(&|name| env::var(name).ok().filter(|value| !value.trim().is_empty()))
}

fn servers(tells: &dyn Fn(&str) -> Option<String>) -> Result<Option<String>> {
    let (name, text) = match (tells("MCP_SERVERS"), tells("MCP_SERVERS_PATH")) {
        (Some(text), _) => ("MCP_SERVERS", text),
        (None, Some(path)) => {
            let read = std::fs::read_to_string(&path);
            let read =
                read.map_err(|error| wrong("MCP_SERVERS_PATH", &format!("names {path}: {error}")))?;
            ("MCP_SERVERS_PATH", read)
        }
        (None, None) => return Ok(None),
    };
    let is_object =
        serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&text).is_ok();
    if !is_object || text.len() > SERVERS_BYTES_MAX {
        return Err(wrong(
            name,
            "has to hold a JSON object of MCP servers by their names, of at most 64 KiB",
        ));
    }
    Ok(Some(text))
}

/// Who signs. The half that is not named is ours.
fn signature(tells: &dyn Fn(&str) -> Option<String>, who: &str) -> Result<Option<Signature>> {
    let half = |what: &str, ours: &str| {
        let name = format!("AGENT_GIT_{who}_{what}");
        let Some(given) = tells(&name) else { return Ok((false, ours.to_owned())) };
        let is_odd = given.contains(|c: char| c.is_control() || matches!(c, '<' | '>'));
        // A machine would refuse each run for it.
        if is_odd || given.chars().count() > Signature::CHARS_MAX {
            let max = Signature::CHARS_MAX;
            let says = format!("is a line of at most {max} characters without `<` and `>`");
            bail!(wrong(&name, &says));
        }
        Ok((true, given))
    };
    let ((is_named, name), (has_address, email)) =
        (half("NAME", "Toft")?, half("EMAIL", "toft@localhost")?);
    Ok((is_named || has_address).then_some(Signature { name, email }))
}

/// The database that is no file of the data folder. An address of a database may hold a password.
pub(super) fn database(
    tells: &dyn Fn(&str) -> Option<String>,
    flag: Option<&str>,
    file: Option<&str>,
) -> Option<String> {
    let set = |text: &str| Some(text.to_owned()).filter(|text| !text.trim().is_empty());
    let documents = || tells("DATABASE_URL");
    flag.and_then(set)
        .or_else(|| documents().as_deref().and_then(set))
        .or_else(|| file.and_then(set))
}

/// Where people reach this server, as others tell them.
pub(crate) fn advertise(given: Option<&str>) -> Result<Option<String>> {
    let Some(given) = given.map(str::trim).filter(|given| !given.is_empty()) else {
        return Ok(None);
    };
    let is_address = given.starts_with("http://") || given.starts_with("https://");
    // It is shown to everybody who may look.
    if !is_address || given.contains(|c: char| c.is_whitespace() || c.is_control() || c == '@') {
        return Err(wrong(
            "--advertise",
            "is an address like http://10.0.0.7:4000, without a user and a password",
        ));
    }
    Ok(Some(given.trim_end_matches('/').to_owned()))
}

/// Where what runs leave is kept.
pub(crate) fn artifacts(given: Option<&str>) -> Result<Option<ArtifactPlace>> {
    let Some(given) = given else { return Ok(None) };
    if given.starts_with(BUCKET) {
        let ours =
            |(name, value): (String, String)| name.starts_with("AWS_").then_some((name, value));
        let variables: BTreeMap<String, String> = env::vars().filter_map(ours).collect();
        return Ok(Some(ArtifactPlace::Bucket { url: given.to_owned(), variables }));
    }
    let folder =
        std::path::absolute(Path::new(given)).context("resolving the folder of artifacts")?;
    Ok(Some(ArtifactPlace::Folder(folder)))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::config) fn servers_of(variables: &[(&str, &str)]) -> Result<Option<String>> {
        servers(&|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    pub(in crate::config) fn with(variables: &[(&str, &str)]) -> Result<RunSettings> {
        read(&|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn the_tools_for_projects_are_the_projects_choice_unless_somebody_says_so() {
        let given = |set: &str| with(&[("TOFT_RUN_TOOLS", set)]).unwrap().rules.project_tools;
        assert_eq!((given("true"), given("off")), (Some(true), Some(false)));
        assert_eq!(with(&[]).unwrap().rules.project_tools, None);
    }

    #[test]
    fn how_much_a_server_works_and_keeps_is_said_by_variables() {
        // Others on its database work on what it accepts.
        assert_eq!(with(&[("TOFT_RUNS_AT_ONCE", "0")]).unwrap().at_once, 0);
        assert_eq!(with(&[("TOFT_WORKSPACES_KEPT", "7")]).unwrap().workspaces_kept, 7);
    }

    #[test]
    fn what_others_tell_of_a_server_is_an_address_without_a_password() {
        assert_eq!(advertise(Some("http://a:1/")).unwrap().as_deref(), Some("http://a:1"));
        assert_eq!(advertise(Some(" ")).unwrap(), None);
        for wrong in ["a:1", "http://me:secret@a:1", "http://a b"] {
            assert!(advertise(Some(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_by_its_name() {
        for (name, value) in [
            ("MAX_JOB_ATTEMPTS", "0"),
            ("MAX_JOB_ATTEMPTS", "21"),
            ("WORKER_MAX_BACKOFF", "-1"),
            ("AGENT_PLAN_PHASE_TIMEOUT_MS", "1h"),
            ("ZIP_MAX_BYTES", "x"),
            ("AGENT_GIT_AUTHOR_NAME", "A\nB"),
            ("AGENT_GIT_AUTHOR_EMAIL", "<a>"),
            ("AUTO_LINT_FIX_MAX_PASSES", "6"),
            ("WORKER_REQUEUE_RUNNING_AFTER_S", "4"),
            ("ALLOW_HOST_INSTALLS", "maybe"),
            ("ENABLE_SUBAGENTS", "2"),
            ("ALLOWED_TOOLS", "read, rm -rf"),
            ("ALLOWED_TOOLS", ","),
            ("SEED_AGENTS_MD", "perhaps"),
            ("AGENTS_TEMPLATE_PATH", "/nowhere/AGENTS.md"),
            ("AGENTS_TEMPLATE_PATH", "/dev/null"),
        ] {
            let error = with(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(&name[..9]), "{error}");
        }
        let odd = [("AGENT_GIT_AUTHOR_NAME", "A <x>"), ("AGENT_GIT_AUTHOR_EMAIL", "a")];
        assert!(with(&odd).unwrap_err().to_string().contains("AUTHOR"));
        let long = "x".repeat(201);
        let long =
            [("AGENT_GIT_COMMITTER_NAME", long.as_str()), ("AGENT_GIT_COMMITTER_EMAIL", "a")];
        assert!(with(&long).unwrap_err().to_string().contains("200 characters"));
    }
}
