//! How runs are worked on, where what they leave is kept, and the database: the source's own variables, and flags.

use crate::refused::Refused;
use anyhow::{Context as _, Result, bail};
use std::{collections::BTreeMap, env, path::Path, time::Duration};
use toft_model::run::Signature;
use toft_server::{ArtifactPlace, RunSettings};

/// The most tries that a run may have, as the source has it.
const ATTEMPTS_MAX: u32 = 20;
/// Begins the address of a bucket.
const BUCKET: &str = "s3://";

/// Settings of runs, by the variables of the environment.
pub(crate) fn runs() -> Result<RunSettings> {
    read(&|name| env::var(name).ok().filter(|value| !value.trim().is_empty()))
}

fn wrong(name: &str, wants: &str) -> anyhow::Error {
    Refused { code: "invalid_setting".into(), message: format!("{name} {wants}") }.into()
}

fn number(tells: &dyn Fn(&str) -> Option<String>, name: &str, least: u64) -> Result<Option<u64>> {
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
    runs.author = signature(tells, "AUTHOR")?;
    runs.committer = signature(tells, "COMMITTER")?;
    Ok(runs)
}

/// Who signs. One half alone says too little.
fn signature(tells: &dyn Fn(&str) -> Option<String>, who: &str) -> Result<Option<Signature>> {
    let (name, email) = (format!("AGENT_GIT_{who}_NAME"), format!("AGENT_GIT_{who}_EMAIL"));
    match (tells(&name), tells(&email)) {
        (None, None) => Ok(None),
        (Some(name), Some(email)) => {
            for part in [&name, &email] {
                if part.contains(|c: char| c.is_control() || matches!(c, '<' | '>')) {
                    bail!(wrong(
                        &format!("AGENT_GIT_{who}_NAME and _EMAIL"),
                        "are lines without `<` and `>`"
                    ));
                }
            }
            Ok(Some(Signature { name, email }))
        }
        (Some(_), None) => Err(wrong(&email, &format!("is not set, and {name} is: set both"))),
        (None, Some(_)) => Err(wrong(&name, &format!("is not set, and {email} is: set both"))),
    }
}

/// The database that is no file of the data folder. An address of a database may hold a password.
pub(crate) fn database(flag: Option<&str>, file: Option<&str>) -> Option<String> {
    let set = |text: &str| Some(text.to_owned()).filter(|text| !text.trim().is_empty());
    let documents = || env::var("DATABASE_URL").ok();
    flag.and_then(set)
        .or_else(|| documents().as_deref().and_then(set))
        .or_else(|| file.and_then(set))
}

/// Where people reach this server, as others tell them.
pub(crate) fn advertise(given: Option<&str>) -> Result<Option<String>> {
    let Some(given) = given.map(str::trim).filter(|given| !given.is_empty()) else { return Ok(None) };
    let is_address = given.starts_with("http://") || given.starts_with("https://");
    // It is shown to everybody who may look.
    if !is_address || given.contains(|c: char| c.is_whitespace() || c.is_control() || c == '@') {
        return Err(wrong("--advertise", "is an address like http://10.0.0.7:4000, without a user and a password"));
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
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Result<RunSettings> {
        read(&|name| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned()))
    }

    #[test]
    fn each_variable_of_the_source_does_what_it_says() {
        let runs = with(&[]).unwrap();
        assert_eq!((runs.attempts_max, runs.commit, runs.author.is_none()), (3, true, true));
        assert_eq!(with(&[("MAX_JOB_ATTEMPTS", "5")]).unwrap().attempts_max, 5);
        let plan = with(&[("AGENT_PLAN_PHASE_TIMEOUT_MS", "90000")]).unwrap().plan_timeout;
        assert_eq!(plan, Duration::from_secs(90));
        let build = with(&[("AGENT_BUILD_PHASE_TIMEOUT_MS", "120000")]).unwrap().build_timeout;
        assert_eq!(build, Duration::from_mins(2));
        assert_eq!(
            with(&[("WORKER_MAX_BACKOFF", "7")]).unwrap().backoff_max,
            Duration::from_secs(7)
        );
        assert!(!with(&[("AUTO_GIT_COMMIT", "False")]).unwrap().commit);
        assert!(with(&[("AUTO_GIT_COMMIT", "0")]).unwrap().commit, "only `false` does it");
        // Others on its database work on what it accepts.
        assert_eq!(with(&[("TOFT_RUNS_AT_ONCE", "0")]).unwrap().at_once, 0);
        assert_eq!(with(&[("TOFT_WORKSPACES_KEPT", "7")]).unwrap().workspaces_kept, 7);
        assert_eq!(with(&[("ZIP_MAX_BYTES", "9")]).unwrap().archive_bytes_max, 9);
        assert_eq!(with(&[("ZIP_MAX_FILES", "8")]).unwrap().archive_files_max, 8);
        let both = [("AGENT_GIT_AUTHOR_NAME", "A"), ("AGENT_GIT_AUTHOR_EMAIL", "a@b.c")];
        let author = with(&both).unwrap().author.unwrap();
        assert_eq!((author.name.as_str(), author.email.as_str()), ("A", "a@b.c"));
        let both = [("AGENT_GIT_COMMITTER_NAME", "C"), ("AGENT_GIT_COMMITTER_EMAIL", "c@b.c")];
        assert_eq!(with(&both).unwrap().committer.unwrap().name, "C");
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
            ("AGENT_GIT_AUTHOR_NAME", "A"),
        ] {
            let error = with(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(&name[..9]), "{error}");
        }
        let odd = [("AGENT_GIT_AUTHOR_NAME", "A <x>"), ("AGENT_GIT_AUTHOR_EMAIL", "a")];
        assert!(with(&odd).unwrap_err().to_string().contains("AUTHOR"));
    }
}
