//! Brokered secrets: programs have a placeholder and are answered as if they had the value, which is in no
//! machine. Real programs, and a host with TLS that this story plays.

use crate::{
    attacks::sh,
    house::{Host, House},
};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use std::process::Command;
use toft_stories::{https::base64, lane, podman::Podman, scan, toft::Start};

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
    // A client that speaks nothing of HTTP, and one for another host, get no connection.
    let other = format!(
        "python3 -c \"import socket, ssl; c = ssl._create_unverified_context(); \
         c.set_alpn_protocols(['spdy/3']); n = 'api.story.example'; \
         c.wrap_socket(socket.create_connection((n, {})), server_hostname=n)\"",
        house.port
    );
    let (code, said) = house.sh(&other).await?;
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

/// What a program of the image asks with: no more than Python is in it.
fn python(url: &str, header: &str) -> String {
    format!(
        "python3 - <<'E'\nimport os, urllib.request as u, urllib.error\n\
         try: print(u.urlopen(u.Request('{url}', headers={{'{header}': 'Bearer ' + os.environ['API_KEY']}})).read().decode())\n\
         except urllib.error.HTTPError as e: print(e.code, e.read().decode())\nE"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn so_do_programs_in_a_container() -> Result<()> {
    let Some(host) = Host::open("brokered secrets in a container").await? else { return Ok(()) };
    let Some(podman) = Podman::start("brokered secrets in a container")? else { return Ok(()) };
    let start = Start { args: podman.args(), ..Start::default() };
    let house = House::of(host, start, Vec::new()).await?;
    let bound = format!("api.story.example:{}", house.port);
    house.bind("API_KEY", json!({"hosts": [bound], "paths": ["/v1/*"]})).await?;
    let (_, placeholder) = house.sh("printf %s $API_KEY").await?;
    assert!(placeholder.starts_with("toft-placeholder-"), "{placeholder}");

    // The authority is trusted, the value is put in, and what the host says of it is not heard.
    let (code, said) = house.sh(&python(&house.url("/v1/me"), "Authorization")).await?;
    let asked = house.host.asked().pop().with_context(|| format!("it came: {said}"))?;
    assert_eq!(asked.header("authorization"), format!("Bearer {}", house.value));
    assert!(code == 0 && said.contains(&placeholder) && !said.contains(&house.value), "{said}");
    // Nothing goes to another path, in another header, or to another host.
    for (url, header) in [("/v2/me", "Authorization"), ("/v1/me", "X-Api-Key")] {
        let (_, said) = house.sh(&python(&house.url(url), header)).await?;
        assert!(said.contains("403") && said.contains("secret_not_bound"), "{said}");
        assert!(house.host.asked().is_empty(), "{url} {header}");
    }
    let other = format!("https://other.story.example:{}/v1/me", house.port);
    let blind = python(&other, "Authorization").replace(
        "import os",
        "import ssl; ssl._create_default_https_context = ssl._create_unverified_context\nimport os",
    );
    let (_, said) = house.sh(&blind).await?;
    let asked = house.host.asked().pop().with_context(|| format!("it came: {said}"))?;
    assert_eq!(asked.header("authorization"), format!("Bearer {placeholder}"));

    // The next start of the container has it again.
    let of = format!("/v1/projects/{}", house.project);
    house.toft.call("POST", &format!("{of}/stop"), Some(json!({}))).await?;
    house.toft.call("POST", &format!("{of}/start"), Some(json!({}))).await?;
    let (_, said) = house.sh(&python(&house.url("/v1/again"), "Authorization")).await?;
    let asked = house.host.asked().pop().with_context(|| format!("it came: {said}"))?;
    assert_eq!(asked.header("authorization"), format!("Bearer {}", house.value));
    let places = scan::places(&house.toft, &house.project, house.value.as_bytes())?;
    assert_eq!(places, Vec::<String>::new());
    house.toft.down()?;
    assert_eq!(podman.containers()?, Vec::<String>::new());
    Ok(())
}
