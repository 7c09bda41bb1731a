//! A provider key is in the gateway's memory and nowhere else: not in a machine while it works, not in
//! what is written, printed or answered, not in what a crash leaves.

use super::attacks::sh;
use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use std::{fs, path::PathBuf, process::Command, sync::Arc, time::Duration};
use toft_stories::{
    lane, processes,
    provider::{Fate, Provider, Say, Script},
    scan,
    session::{self, Follow},
    toft::{Start, Toft},
};

/// Made at run time, so that the test binary's own text does not hold it.
fn canary(of: &str) -> String {
    format!("sk-ant-{}-{of}-canary", std::process::id() * 7919)
}

/// A command that stands still until it is let go, so that the machine can be looked at while it works.
fn waits() -> Script {
    Arc::new(|_, turn| match turn {
        0 => Say {
            text: "I wait.".into(),
            tools: vec![(
                "bash".into(),
                json!({"command":"touch there; until [ -e go ]; do sleep 0.05; done; env"}),
            )],
        },
        _ => Say { text: "Done.".into(), tools: vec![] },
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_key_is_in_the_gateway_and_nowhere_else() -> Result<()> {
    let canary = canary("gateway");
    // As some do: the refusal of a key repeats it.
    let echo: &'static str = format!("Incorrect API key provided: {canary}. Find yours …").leak();
    let fates = Arc::new(move |number| match number {
        0 => Fate::Refuse { status: 401, retry_after: None, message: echo },
        _ => Fate::Answer,
    });
    let provider = Provider::start_with(Duration::ZERO, waits(), fates).await?;
    let mut toft = Toft::start(Start {
        env: vec![
            ("ANTHROPIC_BASE_URL".into(), format!("http://{}", provider.addr)),
            // All that can be logged is.
            ("TOFT_LOG".into(), "trace".into()),
        ],
        ..Start::default()
    })
    .await?;
    toft.call("PUT", "/v1/providers/anthropic/key", Some(json!({"key": canary}))).await?;
    let project = toft.new_project("Canary").await?;
    let mut follow = Follow::from(&toft, &project, 0).await?;
    session::prompt(&toft, &project, "be refused").await?;
    let refused = follow.until_agent_end().await?;
    let told: String = refused.iter().map(|event| event.data.to_string()).collect();
    assert!(told.contains("Incorrect API key provided") && !told.contains(&canary), "{told}");

    session::prompt(&toft, &project, "go").await?;
    sh(&toft, &project, "until [ -e there ]; do sleep 0.05; done").await?;
    assert_eq!(scan::places(&toft, &project, canary.as_bytes())?, Vec::<String>::new());
    if lane::root() {
        let gateway = toft.gateway_pid().context("there is a gateway")?;
        assert!(processes::memory_holds(gateway, canary.as_bytes()), "the search finds it there");
        let programs = toft.machine_processes(&project);
        assert!(programs.len() > 2, "the command is among them: {programs:?}");
    }
    // The search finds another one wherever it could be.
    for (plant, remove) in [
        ("> /tmp/x", "rm /tmp/x"),
        ("> /dev/shm/x", "rm /dev/shm/x"),
        ("| xargs touch", "rm ./sk-ant-*"),
        ("| (read -r KEY; export KEY; setsid sleep 4322 >/dev/null 2>&1 &)", ":"),
    ] {
        if !lane::root() && (plant.contains("shm") || plant.contains("sleep")) {
            continue;
        }
        let planted =
            self::canary(&plant[plant.len() - 3..].replace(|c: char| !c.is_alphanumeric(), "-"));
        // In two parts, so that the command itself does not hold it.
        let (one, two) = planted.split_at(9);
        sh(&toft, &project, &format!("printf '%s%s\\n' '{one}' '{two}' {plant}; sync")).await?;
        ensure!(
            !scan::places(&toft, &project, planted.as_bytes())?.is_empty(),
            "not seen: {plant}"
        );
        sh(&toft, &project, remove).await?;
    }
    toft.exec(&project, "touch go").await?;
    follow.until_agent_end().await?;
    let keys = provider.keys();
    assert!(!keys.is_empty() && keys.iter().all(|k| *k == canary), "the provider got the key");

    // Nor in what people, programs and supporters get to see; refusals quote nothing.
    let _ = toft.request("PUT", "/v1/providers/nonsense/key", Some(json!({"key": canary}))).await?;
    let _ = toft.request("PUT", "/v1/providers/anthropic/key", Some(json!([canary]))).await?;
    let paths = ["/v1/providers", "/v1/models", "/v1/doctor", "/v1/usage", "/health"];
    let own = [
        "",
        "/machine",
        "/toft/state",
        "/toft/messages",
        "/toft/transcript",
        "/usage",
        "/egress/log",
    ]
    .map(|path| format!("/v1/projects/{project}{path}"));
    for path in paths.into_iter().chain(own.iter().map(String::as_str)) {
        let (_, answer) = toft.request("GET", path, None).await?;
        assert!(!answer.to_string().contains(&canary), "{path}");
    }
    for verb in [vec!["doctor", "--json"], vec!["ps", "--json"], vec!["logs", "Canary"]] {
        let out = toft.cli(&verb)?;
        let said = [out.stdout, out.stderr].concat();
        assert!(memchr::memmem::find(&said, canary.as_bytes()).is_none(), "{verb:?}");
    }
    assert_eq!(scan::places(&toft, &project, canary.as_bytes())?, Vec::<String>::new());

    // A new server has it again from its own vault.
    toft.kill_server();
    toft.up().await?;
    let test = toft.call("POST", "/v1/providers/anthropic/test", Some(json!({}))).await?;
    assert_eq!(test["ok"], true, "{test}");
    toft.down()
}

/// Core files in these folders.
fn cores(folders: &[PathBuf]) -> Vec<PathBuf> {
    let entries = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let named = |path: &PathBuf| {
        path.is_file()
            && path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("core"))
    };
    entries.map(|entry| entry.path()).filter(named).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_leaves_holds_no_key() -> Result<()> {
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern")?;
    if !pattern.starts_with("core") {
        lane::skip("core files", format!("this host does something else with them: {pattern}"));
        return Ok(());
    }
    let canary = canary("crash");
    let folder = tempfile::tempdir()?;
    let place = folder.path().display().to_string();
    let limits = format!("ulimit -c unlimited && cd {place} && exec \"$@\"");
    let dumped = Command::new("sh")
        .args(["-c", &limits, "-", "sh", "-c", "kill -ABRT $$"])
        .env("CANARY", &canary)
        .status()?;
    let control = cores(&[folder.path().to_owned()]);
    if control.is_empty() {
        lane::skip("core files", format!("there are none on this host: {dumped}"));
        return Ok(());
    }
    assert!(!processes::files_holding(folder.path(), canary.as_bytes()).is_empty(), "a control");
    control.iter().try_for_each(fs::remove_file)?;

    let mut toft = Toft::start(Start {
        env: vec![("ANTHROPIC_API_KEY".into(), canary.clone())],
        before: ["sh", "-c", &limits, "-"].map(str::to_owned).into(),
        ..Start::default()
    })
    .await?;
    let project = toft.new_project("Crash").await?;
    for signal in ["ABRT", "QUIT"] {
        let (server, gateway) = (toft.server_pid(), toft.gateway_pid());
        let (server, gateway) = (server.context("a server")?, gateway.context("a gateway")?);
        let mut folders: Vec<PathBuf> = [server, gateway]
            .iter()
            .map(|pid| fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_else(|_| "/".into()))
            .chain([folder.path().to_owned(), toft.data.clone()])
            .collect();
        folders.sort();
        folders.dedup();
        let before = cores(&folders);
        for pid in [gateway, server] {
            let sent =
                Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status()?;
            ensure!(sent.success(), "kill: {sent}");
        }
        toft.await_end()?;
        while processes::one(gateway).is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut after = cores(&folders);
        after.retain(|core| !before.contains(core));
        for core in &after {
            // Not left behind, whatever it holds.
            fs::remove_file(core)?;
        }
        ensure!(after.is_empty(), "{signal} of a process with keys left {after:?}");
        assert_eq!(scan::written(&toft, canary.as_bytes()), Vec::<String>::new());
        toft.up().await?;
    }
    // One that crashes inside has no key to leave: its core file is the project's own.
    let crash =
        "ulimit -c unlimited 2>/dev/null; sh -c 'kill -ABRT $$'; cat core* 2>/dev/null | wc -c";
    sh(&toft, &project, crash).await?;
    assert_eq!(scan::written(&toft, canary.as_bytes()), Vec::<String>::new());
    toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_project_token_opens_nothing_elsewhere() -> Result<()> {
    let toft = Toft::start(Start {
        env: vec![
            ("ANTHROPIC_API_KEY".into(), canary("stolen")),
            ("ANTHROPIC_BASE_URL".into(), "http://127.0.0.1:9".into()),
        ],
        ..Start::default()
    })
    .await?;
    let (mine, other) = (toft.new_project("Mine").await?, toft.new_project("Other").await?);
    // Where a fork takes it along: on the disk.
    let (_, token) = sh(&toft, &mine, "printf %s $TOFT_TOKEN | tee ~/token").await?;
    ensure!(token.len() >= 32, "a token: {token:?}");
    let fork = toft.call("POST", &format!("/v1/projects/{mine}/fork"), Some(json!({}))).await?;
    let fork = fork["projects"][0]["id"].as_str().context("a fork")?.to_owned();

    // Outside: every way to show it, at every door; the server's own opens them.
    let host = |project: &str| format!("{project}.localhost:{}", toft.port);
    let doors = [
        ("GET", "/v1/projects".to_owned(), None),
        ("GET", format!("/v1/projects/{mine}"), None),
        ("GET", format!("/v1/projects/{mine}/secrets"), None),
        ("POST", format!("/v1/projects/{mine}/exec"), None),
        ("GET", format!("/v1/projects/{mine}/toft/events"), None),
        ("GET", "/llm/models".to_owned(), None),
        ("POST", "/llm/anthropic/v1/messages".to_owned(), None),
        ("POST", "/llm/openai/v1/chat/completions".to_owned(), None),
        ("POST", "/llm/openai/v1/responses".to_owned(), None),
        ("POST", "/llm/google/v1beta/models/m:generateContent".to_owned(), None),
        ("GET", "/llm/openai/v1/models".to_owned(), None),
        ("GET", "/toft/state".to_owned(), Some(host(&mine))),
        ("GET", "/".to_owned(), Some(host(&mine))),
        ("GET", "/".to_owned(), Some(host(&other))),
    ];
    let stays = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let stays = stays.no_proxy().build()?;
    let ask = async |door: &(&str, String, Option<String>), (name, value): (&str, String)| {
        let url = format!("{}{}", toft.base, door.1);
        let mut request = stays.request(door.0.parse()?, url);
        if let Some(host) = &door.2 {
            request = request.header("host", host);
        }
        if door.0 == "POST" {
            request = request
                .json(&json!({"command": "true", "model": "demo/app", "max_tokens": 9,
                "messages": [{"role": "user", "content": "hi"}]}));
        }
        anyhow::Ok(request.header(name, value).send().await?.status().as_u16())
    };
    let ways = |token: &str| {
        [
            ("authorization", format!("Bearer {token}")),
            ("x-agent-api-key", token.to_owned()),
            ("x-api-key", token.to_owned()),
            ("x-goog-api-key", token.to_owned()),
            ("cookie", format!("toft_session={token}")),
            ("cookie", format!("toft_preview={token}")),
        ]
    };
    for door in &doors {
        for way in ways(&token) {
            let status = ask(door, way.clone()).await?;
            assert!(matches!(status, 401 | 403), "{door:?} {}: {status}", way.0);
        }
        let own = ask(door, ways(&toft.token)[0].clone()).await?;
        assert!(!matches!(own, 401 | 403), "the control: {door:?}: {own}");
    }
    for path in [format!("/sign-in?token={token}"), format!("/llm/models?key={token}")] {
        let answer = stays.get(format!("{}{path}", toft.base)).send().await?;
        // It leads to the page where people sign in, or is refused.
        let signed_in = answer.headers().get_all("set-cookie").iter().count();
        assert!(answer.status() != 200 && signed_in == 0, "{path}: {answer:?}");
    }

    // In other machines, and in what was made from its own: the model API, the agent's API, its proxy.
    let inside = |token: &str| {
        let at = |name: &str, value: &str, url: &str| {
            format!(
                "curl -s --noproxy '*' --max-time 10 -o /dev/null -w '%{{http_code}} ' -H '{name}: {value}' {url}; "
            )
        };
        let models = "http://gateway.internal/llm";
        let mut all = String::new();
        for (name, value) in ways(token).into_iter().take(4) {
            for url in [format!("{models}/models"), format!("{models}/anthropic/v1/models")] {
                all += &at(name, &value, &url);
            }
        }
        all + &at("authorization", &format!("Bearer {token}"), "http://127.0.0.1:8080/toft/state")
    };
    for (project, wanted) in [(&mine, "2"), (&other, "4"), (&fork, "4")] {
        let (_, codes) = sh(&toft, project, &inside(&token)).await?;
        let codes: Vec<&str> = codes.split_whitespace().collect();
        // In its own machine one header is the server's, and means nothing.
        let begin = |code: &&&str| code.starts_with(wanted);
        let least = if wanted == "2" { 7 } else { 9 };
        ensure!(codes.len() == 9, "curl is there: {codes:?}");
        ensure!(codes.iter().filter(begin).count() >= least, "{project}: {codes:?}");
    }
    // Those have their own, which works there; the one on the fork's disk is the old one.
    let (_, same) = sh(&toft, &fork, "[ \"$TOFT_TOKEN\" = \"$(cat ~/token)\" ]; echo $?").await?;
    assert_eq!(same, "1\n");
    // When the machine has been started anew it is nobody's.
    let of = format!("/v1/projects/{mine}");
    for step in ["stop", "start"] {
        toft.call("POST", &format!("{of}/{step}"), Some(json!({}))).await?;
    }
    let (_, codes) = sh(&toft, &mine, &inside(&token)).await?;
    assert!(codes.split_whitespace().all(|code| code.starts_with('4')), "{codes}");
    assert!(!toft.log().contains(&token), "nor is it in a log");
    toft.down()
}
