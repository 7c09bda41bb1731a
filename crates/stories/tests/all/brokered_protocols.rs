//! Brokered secrets in what programs speak besides plain requests: WebSockets, HTTP/2 with trailers, packed
//! answers; and the alarm when a host says a value back. Real programs, and a host that this story plays.

use crate::house::House;
use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use toft_stories::{lane, session::Follow};

async fn open() -> Result<Option<(House, String)>> {
    let Some(house) = House::open().await? else { return Ok(None) };
    let bound = format!("api.story.example:{}", house.port);
    house.bind("API_KEY", json!({"hosts": [bound]})).await?;
    let (_, placeholder) = house.sh("printf %s $API_KEY").await?;
    Ok(Some((house, placeholder)))
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_and_packed_answers_of_a_bound_host_have_no_value_and_an_echo_is_told() -> Result<()>
{
    let Some((house, placeholder)) = open().await? else { return Ok(()) };
    let key = "-H \"Authorization: Bearer $API_KEY\"";
    // curl speaks HTTP/2 where it can.
    if house.sh("curl --version | grep -q HTTP2").await?.0 == 0 {
        for (rest, body) in [("/pieces", ""), ("/gzip", "")] {
            let ask = format!("curl -sS --http2 -w ' %{{http_version}}' {key} {}", house.url(rest));
            let (_, said) = house.sh(&ask).await?;
            assert_eq!(said, format!("Bearer {placeholder}{body} 2"), "{rest}");
            let asked = house.host.asked().pop().context("it came")?;
            assert_eq!(asked.header("authorization"), format!("Bearer {}", house.value));
        }
        let two = format!("{key} -H 'X-Original-URL: /other' {}", house.url("/v1/me"));
        let (_, said) = house.sh(&format!("curl -sS --http2 {two}")).await?;
        assert!(said.contains("secret_not_bound") && house.host.asked().is_empty(), "{said}");
    } else {
        lane::skip("curl over HTTP/2", "it cannot");
    }
    // Node's own client: many streams of one connection, and what follows their bodies.
    if house.sh("node -e 1").await?.0 == 0 {
        let script = format!(
            "const h2 = require('http2'); const c = h2.connect('https://api.story.example:{}'); \
             let left = 20; for (let i = 0; i < 20; i++) {{ \
             const s = c.request({{':path': '/trailers', ':method': 'POST', \
             authorization: 'Bearer ' + process.env.API_KEY, te: 'trailers'}}); let said = ''; \
             s.setEncoding('utf8'); s.on('data', d => said += d); s.on('trailers', t => \
             console.log(said, t['grpc-status'], t['x-said'])); \
             s.on('close', () => --left || c.close()); s.end('n' + i); }}",
            house.port
        );
        house.sh(&format!("cat > h2.js <<'END'\n{script}\nEND")).await?;
        let (code, said) = house.sh("node h2.js").await?;
        for nth in 0..20 {
            assert!(said.contains(&format!("n{nth} 0 Bearer {placeholder}\n")), "{code} {said}");
        }
        assert!(!said.contains(&house.value), "{said}");
        assert_eq!(house.host.asked().len(), 20);
    } else {
        lane::skip("Node over HTTP/2", "it is not on this host");
    }
    let (_, said) = house.sh(&format!("curl -sS {key} {}", house.url("/pieces"))).await?;
    assert_eq!(said, format!("Bearer {placeholder}"));

    // That the host said it back is in the log once, whatever it said it in, and an event.
    let echoes = |lines: &[Value]| -> Vec<Value> {
        lines.iter().filter(|line| line["rule"] == "secret-echoed").cloned().collect()
    };
    let lines = echoes(&house.lines().await?);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(
        (&lines[0]["secrets"], &lines[0]["verdict"]),
        (&json!(["API_KEY"]), &json!("allow"))
    );
    let mut follow = Follow::from(&house.toft, &house.project, 0).await?;
    let seen = follow.until(|event| event.data["code"] == "secret_echoed").await?;
    let told = &seen.last().context("it is told")?.data["message"].to_string();
    assert!(told.contains("api.story.example") && told.contains("API_KEY"), "{told}");
    assert!(!told.contains(&house.value), "{told}");
    house.toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_to_a_bound_host_has_the_key_and_never_says_it() -> Result<()> {
    let Some((house, placeholder)) = open().await? else { return Ok(()) };
    let url = format!("wss://api.story.example:{}/socket", house.port);
    let script = format!(
        "const w = new WebSocket('{url}', {{headers: {{authorization: 'Bearer ' + \
         process.env.API_KEY}}}}); let n = 0; w.onopen = () => w.send('mine: ' + \
         process.env.API_KEY); w.onmessage = e => {{ console.log('got ' + e.data); \
         if (++n == 3) w.close(); }}; w.onclose = e => console.log('closed ' + e.code); \
         w.onerror = e => console.log('error', e.message);"
    );
    house.sh(&format!("cat > ws.js <<'END'\n{script}\nEND")).await?;
    let node = "node --experimental-websocket";
    if house
        .sh(&format!("{node} -e 'new WebSocket(\"ws://127.0.0.1:9\").onerror = () => 0'"))
        .await?
        .0
        != 0
    {
        lane::skip("a WebSocket of Node's", "it has none");
        return house.toft.down();
    }
    let (code, said) = house.sh(&format!("{node} ws.js 2>&1 | grep -v Warning")).await?;
    let asked = house.host.asked().pop().with_context(|| format!("it came: {code} {said}"))?;
    assert_eq!(asked.header("authorization"), format!("Bearer {}", house.value));
    assert_eq!(asked.header("sec-websocket-extensions"), "");
    // As long as the value, whole or in pieces; and what it sends itself is not read.
    let shown: String =
        placeholder.chars().chain(std::iter::repeat('*')).take(house.value.len()).collect();
    assert_eq!(said.matches(&format!("got Bearer {shown}\n")).count(), 2, "{said}");
    assert!(said.contains(&format!("got mine: {placeholder}\n")), "{said}");
    assert!(said.contains("closed ") && !said.contains(&house.value), "{said}");

    // Tightening ends one that is open.
    let waits = script.replace("if (++n == 3) w.close();", "");
    house.sh(&format!("cat > ws.js <<'END'\n{waits}\nEND")).await?;
    house
        .sh(&format!(
            "({node} ws.js > ws.out 2>&1 &) ; until grep -q mine: ws.out; do sleep 0.05; done"
        ))
        .await?;
    let path = format!("/v1/projects/{}/egress", house.project);
    let set = house.toft.call("PUT", &path, Some(json!({"level": "none"}))).await?;
    assert_eq!(set["cut"], 1, "{set}");
    let (_, said) =
        house.sh("until grep -q closed ws.out; do sleep 0.05; done; cat ws.out").await?;
    assert!(said.contains("closed 1006"), "{said}");
    house.toft.down()
}
