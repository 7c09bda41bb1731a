//! A person signs in at an MCP server: the token is in no machine, is renewed, ends, and is taken back. The server
//! and who gives tokens are those of the protocol's own SDK.

use crate::{
    house::{Host, House, NAMES},
    previews::{ask, sign_in, status},
};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{net::SocketAddr, process::Stdio};
use toft_stories::{https::Https, lane, peers, ports, scan, toft::Start};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

struct Scene {
    house: House,
    /// The browser: trusts the host, follows nothing.
    browser: reqwest::Client,
    cookie: String,
    control: String,
    _node: Child,
}

impl Scene {
    async fn open() -> Result<Option<Self>> {
        let story = "a sign-in at an MCP server";
        if !lane::root() || lane::as_user() {
            lane::skip(story, "looking through every process of a machine needs root");
            return Ok(None);
        }
        let modules = peers::installed("peers").map(|peers| peers.join("node_modules"));
        let sdk = modules.as_ref().map(|modules| modules.join("@modelcontextprotocol/sdk"));
        let Some((modules, sdk)) = modules.zip(sdk).filter(|(_, sdk)| sdk.exists()) else {
            lane::skip(story, "not installed: `.ci/peers` does that");
            return Ok(None);
        };
        let inner = ports::free_address();
        let https = Https::in_front_of(NAMES, inner).await?;
        let port = https.address.port();
        let made = json!({
            "sdk": sdk, "port": inner.port(),
            "issuer": format!("https://other.story.example:{port}/"),
            "mcp": format!("https://api.story.example:{port}/mcp"),
        });
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/mcp-sign-in.mjs");
        let mut node = Command::new(modules.join("node/bin/node"))
            .arg(script)
            .env("MADE", made.to_string())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut said = BufReader::new(node.stdout.take().context("its output")?).lines();
        ensure!(said.next_line().await?.as_deref() == Some("listening"), "it listens");
        let root = reqwest::Certificate::from_pem(&std::fs::read(https.root())?)?;
        let host = Host { https, value: String::new() };
        let house = House::of(host, Start::default(), Vec::new()).await?;
        let browser =
            reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let browser = NAMES.iter().fold(browser.tls_certs_only([root]), |browser, name| {
            browser.resolve(name, SocketAddr::from(([127, 0, 0, 1], 0)))
        });
        let browser = browser.build()?;
        let cookie = sign_in(&house.toft).await?;
        let control = format!("http://{inner}/control");
        let scene = Self { house, browser, cookie, control, _node: node };
        // Before anybody is signed in, programs of the machine meet the host itself.
        let root = std::fs::read_to_string(scene.house.host.root())?;
        let trust = format!("printf %s '{root}' >> /etc/ssl/certs/ca-certificates.crt");
        let (code, said) = scene.house.sh(&trust).await?;
        ensure!(code == 0, "{said}");
        scene.declare("api.story.example").await?;
        Ok(Some(scene))
    }

    async fn declare(&self, host: &str) -> Result<()> {
        let url = format!("https://{host}:{}/mcp", self.house.port);
        let text = json!({"mcpServers": {"tracker": {"type": "http", "url": url}}}).to_string();
        let (code, said) = self.house.sh(&format!("printf %s '{text}' > .mcp.json")).await?;
        ensure!(code == 0, "{said}");
        Ok(())
    }

    fn path(&self, rest: &str) -> String {
        format!("/v1/projects/{}/{rest}", self.house.project)
    }

    async fn meddle(&self, change: Value) -> Result<()> {
        self.house
            .toft
            .http()
            .post(&self.control)
            .json(&change)
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }

    async fn seen(&self) -> Result<Value> {
        let url = format!("{}/seen", self.control);
        Ok(self.house.toft.http().get(url).send().await?.json().await?)
    }

    async fn restart(&self) -> Result<()> {
        let path = self.path("toft/mcp/tracker/restart");
        self.house.toft.call("POST", &path, Some(json!({}))).await?;
        Ok(())
    }

    async fn until(&self, state: &str) -> Result<Value> {
        let all = self
            .house
            .toft
            .until(&self.path("toft/mcp"), |all| all["servers"][0]["state"] == state)
            .await?;
        Ok(all["servers"][0].clone())
    }

    /// As the dashboard does it: where to go.
    async fn connect(&self) -> Result<(u16, Value)> {
        let origin = format!("http://localhost:{}", self.house.toft.port);
        let answer = self
            .house
            .toft
            .http()
            .post(format!("{origin}{}", self.path("mcp/tracker/connect")))
            .header("cookie", &self.cookie)
            .header("origin", &origin)
            .json(&json!({}))
            .send()
            .await?;
        let status = answer.status().as_u16();
        let mut body: Value = answer.json().await?;
        let part = if body["ok"] == true { "data" } else { "error" };
        Ok((status, body[part].take()))
    }

    /// What a person does there: agrees, and is sent back. The path of the callback.
    async fn agree(&self, started: &Value) -> Result<String> {
        let url = started["authorizationUrl"].as_str().with_context(|| format!("{started}"))?;
        let answer = self.browser.get(url).send().await?;
        let there = answer.headers().get("location").with_context(|| format!("{answer:?}"))?;
        let origin = format!("http://localhost:{}", self.house.toft.port);
        let back = there.to_str()?.strip_prefix(&origin).with_context(|| format!("{there:?}"))?;
        Ok(back.to_owned())
    }

    /// As a browser that comes from another site.
    async fn back(&self, path: &str, cookie: Option<&str>) -> Result<String> {
        let host = format!("localhost:{}", self.house.toft.port);
        let mut headers = vec![
            ("Host", &*host),
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Mode", "navigate"),
        ];
        headers.extend(cookie.map(|cookie| ("Cookie", cookie)));
        ask(&self.house.toft, &format!("GET {path}"), &headers).await
    }

    async fn signed_in(&self) -> Result<()> {
        let (code, started) = self.connect().await?;
        ensure!(code == 200, "{started}");
        let path = self.agree(&started).await?;
        let said = self.back(&path, Some(&self.cookie)).await?;
        ensure!(status(&said) == 200 && said.contains("tracker is connected"), "{said}");
        self.until("ready").await?;
        Ok(())
    }

    async fn connection(&self) -> Result<Value> {
        let all = self.house.toft.call("GET", &self.path("mcp"), None).await?;
        Ok(all["connections"][0].clone())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_signs_in_at_an_mcp_server_and_the_token_is_in_no_machine() -> Result<()> {
    let Some(scene) = Scene::open().await? else { return Ok(()) };
    let house = &scene.house;
    scene.restart().await?;
    let server = scene.until("needs_sign_in").await?;
    assert!(server["error"].as_str().is_some_and(|why| why.contains("sign in")), "{server}");
    assert_eq!((&server["transport"], &server["source"]), (&json!("http"), &json!(".mcp.json")));

    let (code, started) = scene.connect().await?;
    assert_eq!(code, 200, "{started}");
    assert_eq!(started["host"], format!("other.story.example:{}", house.port));
    assert_eq!(started["serverHost"], format!("api.story.example:{}", house.port));
    let path = scene.agree(&started).await?;
    // Only the person who began it ends it, and only once.
    let nobody = scene.back(&path, None).await?;
    assert!(status(&nobody) == 401 && nobody.contains("not signed in"), "{nobody}");
    let other = sign_in(&house.toft).await?;
    assert_eq!(status(&scene.back(&path, Some(&other)).await?), 409);
    let state = path.split("state=").nth(1).context("a state")?;
    let forged = format!("/v1/mcp/callback?code=x&state={}", state.replace(|c| c != '0', "1"));
    assert_eq!(status(&scene.back(&forged, Some(&scene.cookie)).await?), 409);
    let said = scene.back(&path, Some(&scene.cookie)).await?;
    assert!(status(&said) == 200 && said.contains("tracker is connected"), "{said}");
    assert_eq!(status(&scene.back(&path, Some(&scene.cookie)).await?), 409);

    let server = scene.until("ready").await?;
    assert_eq!(
        (&server["toolCount"], &server["tools"][0]["calledAs"]),
        (&json!(1), &json!("tracker__whoami"))
    );
    let seen = scene.seen().await?;
    assert_eq!(seen["resources"], json!([format!("https://api.story.example:{}/mcp", house.port)]));
    let token = seen["given"][0].as_str().context("a token")?.to_owned();
    let heard = seen["authorization"].as_array().context("requests")?;
    assert_eq!(heard.last(), Some(&json!(format!("Bearer {token}"))));
    assert!(!seen["authorization"].to_string().contains("placeholder"), "{seen}");
    // Inside there is what stands for it; neither token is anywhere in the machine, nor in a log or file in the clear.
    let (_, inside) = house.sh("printf %s $MCP_TOKEN_TRACKER").await?;
    assert!(inside.starts_with("toft-placeholder-"), "{inside}");
    for secret in seen["given"].as_array().context("tokens")? {
        let secret = secret.as_str().context("text")?.as_bytes();
        assert_eq!(scan::places(&house.toft, &house.project, secret)?, Vec::<String>::new());
        assert_eq!(scan::written(&house.toft, secret), Vec::<String>::new());
    }
    let connection = scene.connection().await?;
    assert_eq!(
        (&connection["server"], &connection["state"]),
        (&json!("tracker"), &json!("connected"))
    );
    assert!(
        connection["connectedBy"].is_string() && connection["expiresAt"].is_string(),
        "{connection}"
    );
    let secrets = house.toft.call("GET", &scene.path("secrets"), None).await?;
    assert_eq!(
        (&secrets["secrets"][0]["name"], &secrets["secrets"][0]["kind"]),
        (&json!("MCP_TOKEN_TRACKER"), &json!("mcp"))
    );
    // It stands for nothing at another host.
    let elsewhere = format!(
        "curl -sSk -X POST -H \"Authorization: Bearer $MCP_TOKEN_TRACKER\" https://other.story.example:{}/mcp",
        house.port
    );
    let (_, said) = house.sh(&elsewhere).await?;
    assert!(said.contains("invalid_token"), "{said}");
    let heard = scene.seen().await?["authorization"].take();
    let last = heard.as_array().and_then(|all| all.last()).context("it came")?;
    assert_eq!(*last, json!(format!("Bearer {inside}")));
    let fork =
        house.toft.call("POST", &scene.path("fork"), Some(json!({"secrets": "all"}))).await?;
    let twin = fork["projects"][0]["id"].as_str().context("a fork")?;
    let theirs = house.toft.call("GET", &format!("/v1/projects/{twin}/mcp"), None).await?;
    assert_eq!(theirs["connections"][0]["state"], "missing", "{theirs}");
    scene.house.toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_is_renewed_ends_and_is_taken_back() -> Result<()> {
    let Some(scene) = Scene::open().await? else { return Ok(()) };
    let toft = &scene.house.toft;
    // Renewed before its end, and the same placeholder stands for the new one.
    scene.meddle(json!({"lifeS": 8})).await?;
    scene.signed_in().await?;
    let (_, placeholder) = scene.house.sh("printf %s $MCP_TOKEN_TRACKER").await?;
    scene.meddle(json!({"lifeS": 3600})).await?;
    let renewed = async {
        while scene.seen().await?["renewed"] != 1 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(toft_stories::toft::STEP_TIMEOUT, renewed).await??;
    assert_eq!(scene.house.sh("printf %s $MCP_TOKEN_TRACKER").await?.1, placeholder);
    // Renewed when the server no longer takes it.
    scene.meddle(json!({"expire": true})).await?;
    scene.restart().await?;
    let renewed = async {
        while scene.seen().await?["renewed"] != 2 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(toft_stories::toft::STEP_TIMEOUT, renewed).await??;
    scene.until("ready").await?;
    // A server that is killed and started again goes on with it.
    let seen = scene.seen().await?;
    let token = seen["given"].as_array().and_then(|all| all.get(4)).context("the third one")?;
    assert_eq!(
        seen["authorization"].as_array().and_then(|all| all.last()),
        Some(&json!(format!("Bearer {}", token.as_str().unwrap_or_default())))
    );
    // Refused for good: it ends, and is told.
    scene.meddle(json!({"expire": true, "renews": false})).await?;
    scene.restart().await?;
    toft.until(&scene.path("mcp"), |all| all["connections"][0]["state"] == "ended").await?;
    let connection = scene.connection().await?;
    assert!(
        connection["error"].as_str().is_some_and(|why| why.contains("it was taken back")),
        "{connection}"
    );
    let server = scene.until("needs_sign_in").await?;
    assert!(
        server["error"].as_str().is_some_and(|why| why.contains("connect it again")),
        "{server}"
    );
    // Connected again and given up: both tokens are taken back, and nothing is left.
    scene.meddle(json!({"renews": true})).await?;
    scene.signed_in().await?;
    let seen = scene.seen().await?;
    let given = seen["given"].as_array().context("tokens")?;
    let last: Vec<&Value> = given.iter().rev().take(2).collect();
    let done = toft.call("POST", &scene.path("mcp/tracker/disconnect"), Some(json!({}))).await?;
    assert_eq!(done["revoked"], true);
    assert_eq!(scene.seen().await?["revoked"], json!(last));
    assert_eq!(toft.call("GET", &scene.path("mcp"), None).await?["connections"], json!([]));
    assert_eq!(scene.house.sh("printf %s ${MCP_TOKEN_TRACKER-none}").await?.1, "none");
    scene.until("needs_sign_in").await?;
    let (code, _) =
        toft.request("POST", &scene.path("mcp/tracker/disconnect"), Some(json!({}))).await?;
    assert_eq!(code, 404);
    scene.house.toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_description_of_a_sign_in_leads_nowhere_else() -> Result<()> {
    let Some(scene) = Scene::open().await? else { return Ok(()) };
    let toft = &scene.house.toft;
    let check = async |what: &str, expected: (u16, &str)| {
        let (code, said) = scene.connect().await?;
        ensure!(
            (code, said["code"].as_str()) == (expected.0, Some(expected.1)),
            "{what}: {code} {said}"
        );
        anyhow::Ok(said["message"].as_str().unwrap_or_default().to_owned())
    };
    // Addresses of this computer and of its neighbours, by number and by name.
    for inner in
        ["https://10.0.0.1", "https://127.0.0.1", "https://169.254.169.254", "https://localhost"]
    {
        scene.meddle(json!({"authorizationServer": inner})).await?;
        let said = check(inner, (403, "egress_denied")).await?;
        assert!(said.contains("allow that host"), "{said}");
    }
    for no_host in
        ["http://other.story.example", "https://a@other.story.example", "file:///etc/passwd"]
    {
        scene.meddle(json!({"authorizationServer": no_host})).await?;
        check(no_host, (502, "sign_in_failed")).await?;
    }
    // One who calls itself something else than it was called; a sign-in for another server.
    scene.meddle(json!({"authorizationServer": format!("https://api.story.example:{}", scene.house.port)})).await?;
    check("another issuer", (502, "sign_in_failed")).await?;
    scene
        .meddle(json!({"authorizationServer": null, "described": "https://bank.example/mcp"}))
        .await?;
    let said = check("another resource", (502, "sign_in_failed")).await?;
    assert!(said.contains("for another server"), "{said}");
    scene
        .meddle(json!({"described": format!("https://api.story.example:{}/mcp", scene.house.port)}))
        .await?;
    // What the project may not reach, its sign-in does not reach either.
    let list = json!({"level": "allow-list", "rules": ["api.story.example"]});
    toft.call("PUT", &scene.path("egress"), Some(list)).await?;
    let said = check("a list without who signs in", (403, "egress_denied")).await?;
    assert!(said.contains("other.story.example"), "{said}");
    toft.call("PUT", &scene.path("egress"), Some(json!({"level": "open"}))).await?;
    // No server, a program, and what is not there.
    let text = json!({"mcpServers": {"tracker": {"command": "true"}}}).to_string();
    scene.house.sh(&format!("printf %s '{text}' > .mcp.json")).await?;
    check("a program", (400, "invalid_argument")).await?;
    let text =
        json!({"mcpServers": {"tracker": {"url": "http://api.story.example/mcp"}}}).to_string();
    scene.house.sh(&format!("printf %s '{text}' > .mcp.json")).await?;
    check("without TLS", (400, "invalid_argument")).await?;
    scene.house.sh("printf {} > .mcp.json").await?;
    check("none", (404, "not_found")).await?;
    assert_eq!(scene.seen().await?["given"], json!([]), "nothing was ever given");
    scene.house.toft.down()
}
