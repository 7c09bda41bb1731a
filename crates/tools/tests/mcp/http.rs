//! Servers that are reached over HTTP, and the example server of those who make the protocol.

use crate::place::{Place, names, tool};
use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use toft_model::message::Block;
use toft_tools::host::Shell as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// An HTTP server that answers as streamable HTTP wants it, and keeps what it was asked.
async fn over_http() -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/mcp", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let kept = Arc::clone(&kept);
            tokio::spawn(async move {
                let mut bytes = vec![0; 64 * 1024];
                let mut have = 0;
                let request = loop {
                    let Ok(n @ 1..) = stream.read(&mut bytes[have..]).await else { return };
                    have += n;
                    let text = String::from_utf8_lossy(&bytes[..have]).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head.lines().find_map(|line| {
                        line.to_ascii_lowercase()
                            .strip_prefix("content-length: ")?
                            .parse::<usize>()
                            .ok()
                    });
                    if body.len() >= length.unwrap_or(0) {
                        break text;
                    }
                };
                kept.lock().unwrap().push(request.clone());
                let body = request.split_once("\r\n\r\n").unwrap().1;
                let asked: Value = serde_json::from_str(body).unwrap_or_default();
                let result = match asked["method"].as_str() {
                    Some("initialize") => {
                        json!({ "protocolVersion": "2025-06-18", "capabilities": { "tools": {} },
                        "serverInfo": { "name": "h", "version": "1" } })
                    }
                    Some("tools/list") => json!({ "tools": [tool("far")] }),
                    Some("tools/call") => {
                        json!({ "content": [{ "type": "text", "text": "from afar" }] })
                    }
                    _ => Value::Null,
                };
                let answer = if result.is_null() {
                    let status = if request.starts_with("GET") {
                        "405 Method Not Allowed"
                    } else {
                        "202 Accepted"
                    };
                    format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                } else {
                    let body = json!({ "jsonrpc": "2.0", "id": asked["id"], "result": result })
                        .to_string();
                    format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                        body.len()
                    )
                };
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    (url, asked)
}

#[tokio::test]
async fn a_server_over_http_gets_its_headers_from_the_machine() {
    let place = Place::new();
    let (url, asked) = over_http().await;
    place.bench.shell.set_env("TOKEN", "t0ken");
    place.bench.shell.set_env("NO_PROXY", "127.0.0.1");
    place.declare(&json!({ "h": { "type": "http", "url": url, "headers": { "Authorization": "Bearer ${TOKEN}" } } }));
    let tools = place.tools().await;
    assert_eq!(names(&tools), ["h__far"], "{:?}", place.told());
    assert_eq!(place.call(&tools, "h__far", json!({})).await.said(), "from afar");
    let asked = asked.lock().unwrap().clone();
    let posts: Vec<&String> = asked.iter().filter(|request| request.starts_with("POST")).collect();
    assert!(
        posts.len() >= 4 && posts.iter().all(|post| post.contains("authorization: Bearer t0ken")),
        "{asked:#?}"
    );
    let listed = place.bench.shell.list().await.unwrap();
    assert!(!format!("{listed:?}").contains("t0ken"), "what people see has no secret");
}

/// The example server of those who make the protocol, as a program and over HTTP.
#[tokio::test]
async fn a_real_server_is_understood() {
    let modules = toft_lane::installed("peers").map(|peers| peers.join("node_modules"));
    let script = modules
        .as_ref()
        .map(|all| all.join("@modelcontextprotocol/server-everything/dist/index.js"));
    let Some((modules, script)) = modules.zip(script).filter(|(_, script)| script.exists()) else {
        toft_lane::skip("the example MCP server", "not installed: `.ci/peers` does that");
        return;
    };
    let place = Place::new();
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let node = modules.join("node/bin/node");
    let mut http = tokio::process::Command::new(&node)
        .arg(&script)
        .arg("streamableHttp")
        .env("PORT", port.to_string())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let open = async {
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), open).await.unwrap();
    place.bench.shell.set_env("NO_PROXY", "127.0.0.1");
    place.bench.shell.set_env("SCRIPT", script.to_str().unwrap());
    place.declare(&json!({
        "web": { "url": format!("http://127.0.0.1:{port}/mcp") },
        "std": { "command": node, "args": ["${SCRIPT}", "stdio"] },
    }));
    let tools = place.tools().await;
    let known = place.told();
    assert!(known.is_empty(), "{known:#?}");
    for server in ["std", "web"] {
        let call = async |tool: &str, arguments: Value| {
            let name = format!("{server}__{tool}");
            let direct = tools.get(&name).is_some();
            let all = json!({ "tool": name, "arguments": arguments });
            if direct {
                place.call(&tools, &name, arguments).await
            } else {
                place.call(&tools, "mcp_call", all).await
            }
        };
        assert_eq!(call("echo", json!({ "message": "hi" })).await.said(), "Echo: hi", "{server}");
        let sum = call("get-sum", json!({ "a": 2, "b": 3 })).await;
        assert!(sum.said().contains('5'), "{sum:?}");
        let picture = call("get-tiny-image", json!({})).await;
        assert!(
            picture.content.iter().any(|block| matches!(block, Block::Image { .. })),
            "{picture:?}"
        );
        let bad = call("get-sum", json!({ "a": "x" })).await;
        assert!(bad.is_error && bad.said().len() > 10, "{bad:?}");
    }
    http.kill().await.unwrap();
    let said = place
        .call(&tools, "mcp_call", json!({ "tool": "web__echo", "arguments": { "message": "x" } }))
        .await;
    assert!(said.is_error, "{said:?}");
}
