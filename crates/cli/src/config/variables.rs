//! What is said at the start of the source's variables that are set and do nothing here. The table is
//! `toft_server::VARIABLES`.

use crate::args::BackendName;
use std::env;
use toft_server::{ReadBy, VARIABLES};

/// What is read with the backend `e2b` only.
const OF_E2B: &[&str] = &[
    "E2B_API_KEY",
    "E2B_TEMPLATE",
    "E2B_REQUEST_TIMEOUT_MS",
    "E2B_RETRY_ATTEMPTS",
    "E2B_RETRY_BASE_DELAY_MS",
    "E2B_RETRY_MAX_DELAY_MS",
    "E2B_SANDBOX_TIMEOUT_MS",
];

/// One remark for each, without its value.
pub(crate) fn remarks(backends: &[BackendName]) -> Vec<String> {
    remarks_of(&|name| env::var(name).ok().filter(|value| !value.trim().is_empty()), backends)
}

fn remarks_of(tells: &dyn Fn(&str) -> Option<String>, backends: &[BackendName]) -> Vec<String> {
    let mut remarks = Vec::new();
    let unread = VARIABLES.iter().filter(|row| row.read_by == ReadBy::Nobody);
    for row in unread.filter(|row| tells(row.name).is_some()) {
        remarks.push(format!("{} is set, and has {}", row.name, row.says));
    }
    let of_e2b = VARIABLES.iter().filter(|row| row.read_by == ReadBy::Program);
    for row in of_e2b.filter(|row| OF_E2B.contains(&row.name) && tells(row.name).is_some()) {
        if !backends.contains(&BackendName::E2b) {
            remarks.push(format!(
                "{} is set, and means something with the backend e2b only: say --backend e2b \
                 (AGENT_WORKSPACE_BACKEND=e2b) to have machines in sandboxes there",
                row.name
            ));
        }
    }
    // Read, and of no effect with another backend.
    for (name, only) in [
        (
            "WORKSPACE_ROOT",
            "say --backend host (AGENT_WORKSPACE_BACKEND=host) to have projects live in a folder",
        ),
        ("ALLOW_HOST_INSTALLS", "machines of other backends have walls, and may install"),
    ] {
        if !backends.contains(&BackendName::Host) && tells(name).is_some() {
            remarks.push(format!(
                "{name} is set, and means something with the backend host only: {only}"
            ));
        }
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        args::{At, Up},
        config::{
            checks,
            e2b::tests as e2b,
            resolve_with,
            runs::tests::{servers_of, with},
        },
    };
    use std::{collections::BTreeSet, fs, time::Duration};
    use toft_server::RunSettings;

    /// A row's name, and what shows that it does what it says.
    type Row = (&'static str, fn(&'static str));

    fn runs(name: &str, value: &str) -> RunSettings {
        with(&[(name, value)]).unwrap()
    }

    fn author(name: &'static str) {
        let both = [("AGENT_GIT_AUTHOR_NAME", "A"), ("AGENT_GIT_AUTHOR_EMAIL", "a@b.c")];
        let author = with(&both).unwrap().author.unwrap();
        assert_eq!((&*author.name, &*author.email), ("A", "a@b.c"));
        let half = with(&[(name, "x")]).unwrap().author.unwrap();
        let rest = if name.ends_with("NAME") { ("x", "toft@localhost") } else { ("Toft", "x") };
        assert_eq!((&*half.name, &*half.email), rest);
    }

    fn committer(name: &'static str) {
        let both = [("AGENT_GIT_COMMITTER_NAME", "C"), ("AGENT_GIT_COMMITTER_EMAIL", "c@b.c")];
        let committer = with(&both).unwrap().committer.unwrap();
        assert_eq!((&*committer.name, &*committer.email), ("C", "c@b.c"));
        let half = with(&[(name, "x")]).unwrap().committer.unwrap();
        assert!([&half.name, &half.email].iter().any(|part| *part == "x"));
    }

    /// The backend of a server with these variables, and the folder of projects.
    fn backend(
        given: &[(&str, &str)],
    ) -> anyhow::Result<(BackendName, Option<std::path::PathBuf>)> {
        let dir = tempfile::tempdir()?;
        let tells =
            |name: &str| given.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        let at = At { data: Some(dir.path().to_owned()), url: None };
        let resolved = resolve_with(&at, &Up::default(), &tells)?;
        Ok((resolved.backend, resolved.allow_host))
    }

    fn workspace(name: &'static str) {
        let root = ("WORKSPACE_ROOT", "/srv/work");
        assert_eq!(
            backend(&[(name, "host"), root]).unwrap(),
            (BackendName::Host, Some("/srv/work".into()))
        );
        assert_eq!(backend(&[(name, "Native")]).unwrap().0, BackendName::Native);
        assert_eq!(backend(&[root]).unwrap(), (BackendName::Native, None));
        for (value, words) in [
            ("e2b", "E2B_API_KEY is not set"),
            ("moon", "native, oci, host or e2b"),
            ("host", "--allow-host"),
        ] {
            let error = backend(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let both = [("WORKSPACE_BACKEND", "moon"), ("AGENT_WORKSPACE_BACKEND", "native")];
        assert_eq!(backend(&both).unwrap().0, BackendName::Native, "the longer name counts");
    }

    fn mcp(name: &'static str) {
        let text = r#"{"mcpServers":{"docs":{"command":"docs-server"}}}"#;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("mcp.json");
        fs::write(&file, text).unwrap();
        let (value, wrong) = if name == "MCP_SERVERS" {
            (text, "[1, \"s3cret\"]")
        } else {
            (file.to_str().unwrap(), "/nowhere")
        };
        assert_eq!(servers_of(&[(name, value)]).unwrap().as_deref(), Some(text));
        let error = servers_of(&[(name, wrong)]).unwrap_err().to_string();
        assert!(error.contains(name) && !error.contains("s3cret"), "{error}");
    }

    fn asked(name: &str, value: &str) -> crate::verbs::check::Asked {
        checks::read(&|known| (known == name).then(|| value.to_owned())).unwrap()
    }

    const ROWS: &[Row] = &[
        ("AGENT_API_KEY", |name| {
            // Read as it is; that it opens everything is shown by the stories, which all use it.
            assert_eq!(asked(name, "k").key.as_deref(), Some("k"));
        }),
        ("API_KEY", |name| assert_eq!(asked(name, "k").key.as_deref(), Some("k"))),
        ("DATABASE_URL", |name| {
            let dir = tempfile::tempdir().unwrap();
            let at = At { data: Some(dir.path().to_owned()), url: None };
            let tells = |known: &str| (known == name).then(|| "postgres://h/d".to_owned());
            let database = resolve_with(&at, &Up::default(), &tells).unwrap().database.unwrap();
            assert_eq!(database.0.expose(), "postgres://h/d");
        }),
        ("WORKSPACE_ROOT", |_| workspace("AGENT_WORKSPACE_BACKEND")),
        ("AGENT_WORKSPACE_BACKEND", workspace),
        ("WORKSPACE_BACKEND", workspace),
        ("ALLOW_HOST_INSTALLS", |name| {
            assert!(runs(name, "true").host_installs && !runs(name, "false").host_installs);
        }),
        ("MCP_SERVERS", mcp),
        ("MCP_SERVERS_PATH", mcp),
        ("AUTO_GIT_COMMIT", |name| {
            assert!(!runs(name, "False").commit);
            assert!(runs(name, "0").commit, "only `false` does it");
        }),
        ("AGENT_GIT_AUTHOR_NAME", author),
        ("AGENT_GIT_AUTHOR_EMAIL", author),
        ("AGENT_GIT_COMMITTER_NAME", committer),
        ("AGENT_GIT_COMMITTER_EMAIL", committer),
        ("AGENT_TIMEOUT_MS", |name| {
            let both = runs(name, "90000");
            assert_eq!(
                (both.plan_timeout, both.build_timeout),
                (Duration::from_secs(90), Duration::from_secs(90))
            );
            let own = with(&[(name, "90000"), ("AGENT_PLAN_PHASE_TIMEOUT_MS", "5000")]).unwrap();
            assert_eq!(
                (own.plan_timeout, own.build_timeout),
                (Duration::from_secs(5), Duration::from_secs(90))
            );
        }),
        ("AGENT_PLAN_PHASE_TIMEOUT_MS", |name| {
            assert_eq!(runs(name, "90000").plan_timeout, Duration::from_secs(90));
        }),
        ("AGENT_BUILD_PHASE_TIMEOUT_MS", |name| {
            assert_eq!(runs(name, "120000").build_timeout, Duration::from_mins(2));
        }),
        ("ALLOWED_TOOLS", |name| {
            for list in ["read, sandbox_cmd,mcp_*", r#"["read","sandbox_cmd","mcp_*"]"#] {
                let rules = runs(name, list).rules;
                assert!(
                    rules.allows("read") && rules.allows("mcp_x") && !rules.allows("bash"),
                    "{list}"
                );
            }
        }),
        ("ENABLE_SUBAGENTS", |name| {
            assert!(
                !runs(name, "false").rules.allows("task")
                    && runs(name, "true").rules.allows("task")
            );
        }),
        ("AUTO_LINT_AFTER_BUILD", |name| assert!(!runs(name, "false").rules.auto_check)),
        ("AUTO_LINT_FIX_MAX_PASSES", |name| assert_eq!(runs(name, "0").rules.check_fixes_max, 0)),
        ("AUTO_LINT_TIMEOUT_MS", |name| {
            assert_eq!(runs(name, "60000").rules.check_timeout_ms, 60_000);
        }),
        ("E2B_API_KEY", |name| {
            // That it is sent, and to nobody else, is shown by the stories of that backend.
            let said = format!("{:?}", e2b::with(&[(name, "e2b_s3cret")]).unwrap());
            assert!(!said.contains("s3cret"), "{said}");
            assert!(e2b::with(&[(name, "two words")]).is_err());
        }),
        ("E2B_TEMPLATE", |name| assert_eq!(e2b::with(&[(name, "own")]).unwrap().template, "own")),
        ("E2B_REQUEST_TIMEOUT_MS", |name| {
            let parts = e2b::with(&[(name, "5000")]).unwrap();
            assert_eq!(parts.request_timeout, Duration::from_secs(5));
        }),
        ("E2B_RETRY_ATTEMPTS", |name| {
            assert_eq!(e2b::with(&[(name, "7")]).unwrap().retry.attempts, 7);
            for wrong in ["0", "21", "x"] {
                let error = e2b::with(&[(name, wrong)]).unwrap_err().to_string();
                assert!(error.contains(name), "{error}");
            }
        }),
        ("E2B_RETRY_BASE_DELAY_MS", |name| {
            let retry = e2b::with(&[(name, "50")]).unwrap().retry;
            assert_eq!(retry.base_delay, Duration::from_millis(50));
        }),
        ("E2B_RETRY_MAX_DELAY_MS", |name| {
            let retry = e2b::with(&[(name, "900")]).unwrap().retry;
            assert_eq!(retry.max_delay, Duration::from_millis(900));
        }),
        ("E2B_SANDBOX_TIMEOUT_MS", |name| {
            let parts = e2b::with(&[(name, "60000")]).unwrap();
            assert_eq!(parts.sandbox_timeout, Duration::from_mins(1));
            assert!(e2b::with(&[(name, "1000")]).is_err(), "shorter than its words");
        }),
        ("E2B_CMD_DEFAULT_TIMEOUT_MS", |name| {
            assert_eq!(runs(name, "5000").rules.cmd_timeout_ms, 5_000);
        }),
        ("SEED_AGENTS_MD", |name| {
            assert!(runs(name, "true").agents_md.unwrap().starts_with("# Instructions for agents"));
            assert_eq!(runs(name, "false").agents_md, None);
            assert_eq!(with(&[]).unwrap().agents_md, None);
        }),
        ("AGENTS_TEMPLATE_PATH", |name| {
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("template.md");
            fs::write(&file, "Be kind.\n").unwrap();
            let path = file.to_str().unwrap();
            assert_eq!(runs(name, path).agents_md.as_deref(), Some("Be kind.\n"));
            let off = [(name, path), ("SEED_AGENTS_MD", "false")];
            assert_eq!(with(&off).unwrap().agents_md, None);
            fs::write(&file, [0xff, 0xfe]).unwrap();
            assert!(with(&[(name, path)]).unwrap_err().to_string().contains(name));
            fs::write(&file, "x".repeat(40 << 10)).unwrap();
            assert!(with(&[(name, path)]).unwrap_err().to_string().contains("32 KiB"));
        }),
        ("MAX_JOB_ATTEMPTS", |name| assert_eq!(runs(name, "5").attempts_max, 5)),
        ("MAX_OUTPUT_CHARS", |name| assert_eq!(runs(name, "500").rules.output_chars_max, 500)),
        ("WORKER_MAX_BACKOFF", |name| {
            assert_eq!(runs(name, "7").backoff_max, Duration::from_secs(7));
        }),
        ("WORKER_REQUEUE_RUNNING_AFTER_S", |name| {
            assert_eq!(runs(name, "90").lease, Duration::from_secs(90));
            assert_eq!(
                runs(name, "0").lease,
                RunSettings::default().lease,
                "as in the source: off"
            );
        }),
        ("ZIP_MAX_BYTES", |name| assert_eq!(runs(name, "9").archive_bytes_max, 9)),
        ("ZIP_MAX_FILES", |name| assert_eq!(runs(name, "8").archive_files_max, 8)),
        ("API_BASE", |name| {
            // Clap's: the flag of the verb.
            use clap::CommandFactory as _;
            let cli = crate::args::Cli::command();
            let check = cli.find_subcommand("check").unwrap();
            assert!(
                check.get_arguments().any(|flag| flag.get_env().is_some_and(|env| env == name))
            );
        }),
        ("CHECK_PROJECT_ID", |name| assert_eq!(asked(name, "x").project, "x")),
        ("CHECK_PROJECT_NAME", |name| assert_eq!(asked(name, "x").project_name, "x")),
        ("CHECK_PROMPT", |name| assert_eq!(asked(name, "x").prompt, "x")),
        ("CHECK_FOLLOWUP_PROMPT", |name| assert_eq!(asked(name, "x").follow_up, "x")),
        ("CHECK_PROVIDER", |name| assert_eq!(asked(name, "x").provider.as_deref(), Some("x"))),
        ("CHECK_MODEL", |name| assert_eq!(asked(name, "x").model.as_deref(), Some("x"))),
        ("RUN_TIMEOUT_MS", |name| {
            assert_eq!(asked(name, "5").run_timeout, Duration::from_millis(5));
        }),
        ("RUN_POLL_MS", |name| assert_eq!(asked(name, "5").poll, Duration::from_millis(5))),
    ];

    #[test]
    fn each_variable_that_the_program_reads_does_what_its_row_says() {
        let of_table =
            VARIABLES.iter().filter(|row| row.read_by == ReadBy::Program).map(|row| row.name);
        let tested: BTreeSet<&str> = ROWS.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            of_table.collect::<BTreeSet<&str>>(),
            tested,
            "a row without a test, or a test without a row"
        );
        for (name, shows) in ROWS {
            shows(name);
        }
    }

    #[test]
    fn a_variable_that_does_nothing_here_is_said_with_what_to_use() {
        for row in VARIABLES {
            let set = |name: &str| (name == row.name).then(|| "s3cret".to_owned());
            let said = remarks_of(&set, &[BackendName::Host]);
            if row.read_by == ReadBy::Nobody {
                assert!(said.len() == 1 && said[0].starts_with(row.name), "{}: {said:?}", row.name);
                assert!(said[0].contains(row.says) && !said[0].contains("s3cret"), "{said:?}");
            } else if OF_E2B.contains(&row.name) {
                assert!(said.len() == 1 && said[0].contains("--backend e2b"), "{said:?}");
                assert!(remarks_of(&set, &[BackendName::E2b]).is_empty(), "{}", row.name);
            } else {
                assert!(said.is_empty(), "{said:?}");
            }
        }
        let folder = |name: &str| (name == "WORKSPACE_ROOT").then(|| "/w".to_owned());
        assert!(remarks_of(&folder, &[BackendName::Native])[0].contains("--backend host"));
    }
}
