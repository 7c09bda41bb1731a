//! Brokered secrets: programs have a placeholder and are answered as if they had the value, which is in no
//! machine. Real programs, and a host with TLS that this story plays.

use crate::attacks::sh;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::{net::SocketAddr, process::Command};
use tempfile::TempDir;
use toft_gateway::{Gateway, GatewayConfig};
use toft_stories::{
    https::{Https, base64},
    lane, scan,
    servers::with_names,
    toft::{Start, Toft},
};

const NAMES: &[&str] = &["api.story.example", "other.story.example"];

/// A server whose gateway knows [`NAMES`], the host that they mean, and a project.
struct House {
    toft: Toft,
    project: String,
    host: Https,
    port: u16,
    value: String,
    _names: TempDir,
}

impl House {
    async fn open() -> Result<Option<Self>> {
        if !lane::root() || lane::as_user() {
            lane::skip("brokered secrets", "names and servers of its own need root");
            return Ok(None);
        }
        // Made at run time, so that this program's own text does not hold it.
        let value = format!("sk-{}-canary/+value", std::process::id() * 7919);
        let host = Https::start(NAMES, &value).await?;
        let names = tempfile::Builder::new().prefix("toft-names-").tempdir()?;
        let before = with_names(names.path(), NAMES)?;
        let env = vec![("SSL_CERT_FILE".to_owned(), host.root().display().to_string())];
        let toft = Toft::start(Start { before, env, ..Start::default() }).await?;
        let project = toft.new_project("Brokered").await?;
        let house = Self { port: host.address.port(), toft, project, host, value, _names: names };
        house.reachable(1).await?;
        Ok(Some(house))
    }

    /// Opens this host's own address to the gateway, the `nth` of them, for this story alone.
    async fn reachable(&self, nth: usize) -> Result<()> {
        // The server tells a new gateway twice; what this story tells comes after that.
        let said = self.toft.data.join("logs/gateway.log");
        while std::fs::read_to_string(&said)?.matches(" configured ").count() < 3 * nth - 1 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let gateway = Gateway::connect(&self.toft.data).await?;
        let allow_private: Vec<SocketAddr> = vec![self.host.address];
        gateway.set_config(GatewayConfig { allow_private, ..GatewayConfig::default() }).await?;
        Ok(())
    }

    async fn bind(&self, name: &str, binding: Value) -> Result<Value> {
        let path = format!("/v1/projects/{}/secrets/{name}", self.project);
        let body = json!({"value": self.value, "kind": "brokered", "binding": binding});
        self.toft.call("PUT", &path, Some(body)).await
    }

    async fn sh(&self, command: &str) -> Result<(i64, String)> {
        sh(&self.toft, &self.project, &format!("exec 2>&1; {command}")).await
    }

    fn url(&self, rest: &str) -> String {
        format!("https://api.story.example:{}{rest}", self.port)
    }

    /// Lines of the log of what went out, newest first.
    async fn lines(&self) -> Result<Vec<Value>> {
        let path = format!("/v1/projects/{}/egress/log?limit=200", self.project);
        let mut log = self.toft.call("GET", &path, None).await?;
        Ok(serde_json::from_value(log["lines"].take())?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_use_a_key_that_is_in_no_machine() -> Result<()> {
    let Some(house) = House::open().await? else { return Ok(()) };
    let bound = format!("api.story.example:{}", house.port);
    let set = house
        .bind("API_KEY", json!({"hosts": [bound], "paths": ["/v1/*", "/files/*", "/pieces", "/redirect*", "/zipped"]}))
        .await?;
    let row = &set["secrets"][0];
    assert_eq!((&row["kind"], &row["binding"]["hosts"][0]), (&json!("brokered"), &json!(bound)));
    let (_, placeholder) = house.sh("printf %s $API_KEY").await?;
    assert!(placeholder.starts_with("toft-placeholder-"), "{placeholder}");

    // curl, Python and Node: each meets the host, and reads its own placeholder in what it says.
    let (code, said) = house
        .sh(&format!("curl -sS -i -H \"Authorization: Bearer $API_KEY\" {}", house.url("/v1/me")))
        .await?;
    let asked = house.host.asked().pop().context("curl came")?;
    assert_eq!(asked.header("authorization"), format!("Bearer {}", house.value));
    assert!(code == 0 && said.contains(&placeholder) && !said.contains(&house.value), "{said}");
    assert_eq!(said.matches(&placeholder).count(), 2, "header and body: {said}");
    let python = format!(
        "python3 -c \"import os, urllib.request as u; \
         print(u.urlopen(u.Request('{}', headers={{'Authorization': 'Bearer ' + os.environ['API_KEY']}})).read().decode())\"",
        house.url("/v1/python")
    );
    let requests = format!(
        "python3 -c \"import os, requests; \
         print(requests.get('{}', auth=('me', os.environ['API_KEY'])).text)\"",
        house.url("/v1/requests")
    );
    let node = format!(
        "node -e \"fetch('{}', {{headers: {{authorization: 'Bearer ' + process.env.API_KEY}}}})\
         .then(r => r.text()).then(console.log)\"",
        house.url("/v1/node")
    );
    for (what, has, command) in [
        ("Python", "python3 -c 1", &python),
        ("Python requests", "python3 -c 'import requests'", &requests),
        ("Node", "node -e 1", &node),
    ] {
        if house.sh(has).await?.0 != 0 {
            lane::skip(what, "it is not on this host");
            continue;
        }
        let (code, said) = house.sh(command).await?;
        let asked = house.host.asked().pop().with_context(|| format!("{what} came: {said}"))?;
        let basic = format!("Basic {}", base64(format!("me:{}", house.value).as_bytes()));
        let bearer = format!("Bearer {}", house.value);
        assert!(
            [basic.as_str(), &bearer].contains(&asked.header("authorization")),
            "{what}: {asked:?}"
        );
        assert!(code == 0 && !said.contains(&house.value), "{what}: {code} {said}");
        assert!(!said.contains(&base64(house.value.as_bytes())[..16]), "{what}: {said}");
    }

    // git, over https, with the placeholder as the password.
    let repository = house.host.folder.path().join("files/repository.git");
    let made = Command::new("sh")
        .args(["-c", "git init -q --bare \"$0\" && git -C \"$0\" -c user.name=a -c user.email=a@b.example \
                commit-tree -m first $(git -C \"$0\" mktree </dev/null) | xargs git -C \"$0\" update-ref HEAD && \
                git -C \"$0\" update-server-info"])
        .arg(&repository)
        .status()?;
    assert!(made.success(), "a repository");
    let remote =
        format!("https://me:$API_KEY@api.story.example:{}/files/repository.git", house.port);
    let (code, said) =
        house.sh(&format!("git clone -q {remote} one && git -C one log --format=%s")).await?;
    assert!(code == 0 && said.contains("first"), "{code} {said}");
    house.host.asked();

    // A value that is cut into single bytes; what is encoded although nobody asked; another host.
    let key = "-H \"Authorization: Bearer $API_KEY\"";
    let (_, said) = house.sh(&format!("curl -sS {key} {}", house.url("/pieces"))).await?;
    assert_eq!(said, format!("Bearer {placeholder}"));
    let (_, said) = house.sh(&format!("curl -sS {key} {}", house.url("/zipped"))).await?;
    assert!(said.contains("answer_encoded"), "{said}");
    let other = format!("https://other.story.example:{}/v1/me", house.port);
    let (code, said) = house
        .sh(&format!("curl -sSk -L --location-trusted {key} '{}?{other}'", house.url("/redirect")))
        .await?;
    let asked = house.host.asked();
    let there = asked.last().context("it was led there")?;
    assert_eq!(there.header("authorization"), format!("Bearer {placeholder}"), "{code} {said}");

    // Where it may not stand, nothing is sent.
    for (what, arguments) in [
        ("path", format!("{key} {}", house.url("/v2/me"))),
        ("path", format!("{key} --path-as-is {}", house.url("/v1/../v2/me"))),
        ("header", format!("-H \"X-Api-Key: $API_KEY\" {}", house.url("/v1/me"))),
        ("URL", format!("'{}?key='$API_KEY", house.url("/v1/me"))),
        ("URL", house.url("/v1/$API_KEY")),
        ("TLS", format!("{key} http://other.story.example:{}/v1/me", house.port)),
    ] {
        let (_, said) = house.sh(&format!("curl -sS {arguments}")).await?;
        assert!(
            said.contains("secret_not_bound") && !said.contains(&house.value),
            "{what}: {said}"
        );
        assert!(house.host.asked().is_empty(), "{what}");
    }
    // In a body it is text like any other.
    let (_, said) = house.sh(&format!("curl -sS -d \"$API_KEY\" {}", house.url("/v1/me"))).await?;
    assert!(said.contains(&placeholder), "{said}");
    assert_eq!(house.host.asked().pop().context("it came")?.body, placeholder);
    // A client that speaks HTTP/2 alone, and one for another host, get no connection.
    let h2 = format!(
        "python3 -c \"import socket, ssl; c = ssl._create_unverified_context(); \
         c.set_alpn_protocols(['h2']); n = 'api.story.example'; \
         c.wrap_socket(socket.create_connection((n, {})), server_hostname=n)\"",
        house.port
    );
    let (code, said) = house.sh(&h2).await?;
    assert!(code != 0 && said.contains("no application protocol"), "{said}");
    let sni = format!(
        "curl -sSk --connect-to ::api.story.example:{} {key} https://other.story.example:{}/v1/me",
        house.port, house.port
    );
    let (code, said) = house.sh(&sni).await?;
    assert!(code != 0 && house.host.asked().is_empty(), "{code} {said}");

    // The log has names.
    let lines = house.lines().await?;
    let https = |line: &&Value| line["via"] == "https";
    assert!(lines.iter().filter(https).any(|l| l["secrets"] == json!(["API_KEY"])), "{lines:?}");
    let refused = |line: &&Value| line["rule"] == "secret-not-bound" && line["verdict"] == "deny";
    // Equal ones that follow soon are one line, a moment later.
    let path = format!("/v1/projects/{}/egress/log?limit=200", house.project);
    let counted = |log: &Value| {
        let lines = log["lines"].as_array().map_or(&[][..], Vec::as_slice);
        lines.iter().filter(refused).filter_map(|line| line["count"].as_u64()).sum::<u64>() >= 5
    };
    house.toft.until(&path, counted).await?;

    // The value is nowhere in the machine, nor is the authority's key; a search would find it.
    assert_eq!(
        scan::places(&house.toft, &house.project, house.value.as_bytes())?,
        Vec::<String>::new()
    );
    house.sh("printf %s \"$API_KEY\" > planted; sync").await?;
    assert_ne!(
        scan::places(&house.toft, &house.project, placeholder.as_bytes())?,
        Vec::<String>::new()
    );
    // Whoever works in the machine can read what to trust.
    let (code, said) =
        house.sh("setpriv --reuid 65534 --clear-groups head -c 27 $SSL_CERT_FILE").await?;
    assert_eq!((code, said.as_str()), (0, "-----BEGIN CERTIFICATE-----"));
    let (_, keys) = house.sh("cat $(dirname $SSL_CERT_FILE)/*").await?;
    assert!(keys.contains("BEGIN CERTIFICATE") && !keys.contains("PRIVATE"), "{keys}");
    house.toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_counts_for_the_next_request_and_for_no_other_machine() -> Result<()> {
    let Some(mut house) = House::open().await? else { return Ok(()) };
    let bound = format!("api.story.example:{}", house.port);
    house.bind("API_KEY", json!({"hosts": [bound]})).await?;
    let get = format!("curl -sS -H \"Authorization: $API_KEY\" {}", house.url("/v1/me"));
    house.sh(&get).await?;
    assert_eq!(house.host.asked().pop().context("it came")?.header("authorization"), house.value);

    // A binding alone, by who does not know the value, sends it nowhere else.
    let path = format!("/v1/projects/{}/secrets/API_KEY", house.project);
    let elsewhere = json!({"hosts": ["evil.story.example"]});
    for body in [json!({"binding": elsewhere}), json!({"kind": "environment"})] {
        let (status, answer) = house.toft.request("PUT", &path, Some(body)).await?;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (400, &json!("invalid_argument")),
            "{answer}"
        );
    }
    // A new value keeps its kind; programs that run keep their placeholder.
    let (_, placeholder) = house.sh("printf %s $API_KEY").await?;
    house.value = format!("{}-second", house.value);
    house.toft.call("PUT", &path, Some(json!({"value": house.value}))).await?;
    assert_eq!(house.sh("printf %s $API_KEY").await?.1, placeholder);
    house.sh(&get).await?;
    assert_eq!(house.host.asked().pop().context("it came")?.header("authorization"), house.value);

    // A gateway that is killed is told again.
    let gateway = house.toft.gateway_pid().context("there is a gateway")?;
    toft_stories::processes::kill9(gateway);
    house.reachable(2).await?;
    let (_, said) = house.sh(&get).await?;
    let asked = house.host.asked().pop().with_context(|| said)?;
    assert_eq!(asked.header("authorization"), house.value);

    // A fork has the name and its binding, a placeholder of its own, and no value.
    let fork = format!("/v1/projects/{}/fork", house.project);
    let forked = house.toft.call("POST", &fork, Some(json!({}))).await?;
    let twin = forked["projects"][0]["id"].as_str().context("a fork")?.to_owned();
    let listed = house.toft.call("GET", &format!("/v1/projects/{twin}/secrets"), None).await?;
    assert_eq!(listed["secrets"][0]["state"], "missing", "{listed}");
    assert_eq!(listed["secrets"][0]["binding"]["hosts"][0], bound);
    assert_eq!(sh(&house.toft, &twin, "printf %s ${API_KEY-none}").await?.1, "none");
    // What this project's machine trusts, that one's does not.
    let granted = house.toft.call("POST", &fork, Some(json!({"secrets": "all"}))).await?;
    let twin = granted["projects"][0]["id"].as_str().context("a fork")?.to_owned();
    let (_, theirs) = sh(&house.toft, &twin, "printf %s $API_KEY").await?;
    assert!(theirs.starts_with("toft-placeholder-") && theirs != placeholder, "{theirs}");
    let authority = "cat $(dirname $SSL_CERT_FILE)/authority.pem";
    assert_ne!(sh(&house.toft, &twin, authority).await?.1, house.sh(authority).await?.1);
    sh(&house.toft, &twin, &get).await?;
    assert_eq!(house.host.asked().pop().context("it came")?.header("authorization"), house.value);

    // Deleted: the host is met as any other, and has a placeholder that means nothing.
    house.toft.call("DELETE", &path, None).await?;
    let stale = format!("curl -sSk -H \"Authorization: {placeholder}\" {}", house.url("/v1/me"));
    house.sh(&stale).await?;
    assert_eq!(house.host.asked().pop().context("it came")?.header("authorization"), placeholder);
    house.toft.down()
}
