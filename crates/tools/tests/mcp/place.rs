//! A project that declares servers, and servers that are shell scripts.

use serde_json::{Value, json};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use toft_model::mcp::{McpChange, McpState};
use toft_tools::{
    ToolOutcome, Toolbox,
    host::{Secrets, Shell as _},
    mcp::{News, Pace, Servers},
    testing::Bench,
};

/// A server in a shell: answers each request by its method. `TOOLS` is what it lists.
const SERVER: &str = r#"
echo run >> starts
echo "words on standard error" >&2
while IFS= read -r line; do
  id=$(sed -n 's/.*"id":\([0-9]*\).*/\1/p' <<<"$line")
  say() { printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$1"; }
  case $line in
    *'"initialize"'*) say '{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"f","version":"1"}}' ;;
    *'"tools/list"'*) say "{\"tools\":$TOOLS}" ;;
    *'"crash"'*) echo "I give up" >&2; exit 7 ;;
    *'"flood"'*) say "{\"content\":[{\"type\":\"text\",\"text\":\"$(seq 1 5000 | sed 's/$/\\n/' | tr -d '\n')\"}]}" ;;
    *'"slow"'*) sleep 60; say '{"content":[]}' ;;
    *'"picture"'*) say '{"content":[{"type":"text","text":"here"},{"type":"image","data":"DOT","mimeType":"image/webp"},{"type":"image","data":"TALL","mimeType":"image/png"},{"type":"image","data":"aGk=","mimeType":"image/png"}]}' ;;
    *'"fail"'*) say '{"content":[{"type":"text","text":"it did not work"}],"isError":true}' ;;
    *'"tools/call"'*) say "{\"content\":[{\"type\":\"text\",\"text\":\"$WORD $(sed 's/.*"arguments"/arguments/; s/"/-/g' <<<"$line")\"}]}" ;;
  esac
done
"#;

/// A picture of one pixel, and one of 1x2400.
pub(crate) const DOT: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mP4DwABAQEAHLCMmQAAAABJRU5ErkJggg==";
pub(crate) const TALL: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAlgCAAAAABsTgJ5AAAAHUlEQVR42u3CMQ0AAAACIPuX1hoeDNIAAAAAwK0BUD9XKBapL0wAAAAASUVORK5CYII=";

pub(crate) struct Place {
    pub(crate) bench: Bench,
    pub(crate) servers: Servers,
    told: Arc<Mutex<Vec<String>>>,
    changes: Arc<Mutex<Vec<McpChange>>>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::at(Pace::default())
    }

    pub(crate) fn at(pace: Pace) -> Self {
        let bench = Bench::new();
        bench.shell.set_own_program(&[env!("CARGO_BIN_EXE_toft-aside")]);
        bench.write("server.sh", &SERVER.replace("DOT", DOT).replace("TALL", TALL));
        let told = Arc::new(Mutex::new(Vec::new()));
        let (words, changes) = (Arc::clone(&told), Arc::new(Mutex::new(Vec::new())));
        let changed = Arc::clone(&changes);
        let servers = Servers::with_pace(
            Arc::clone(&bench.shell) as _,
            Arc::clone(&bench.secrets) as Arc<dyn Secrets>,
            bench.path(""),
            Arc::new(move |news| match news {
                News::Words(word) => words.lock().unwrap().push(word),
                News::Changed(change) => changed.lock().unwrap().push(change),
            }),
            pace,
        );
        Self { bench, servers, told, changes }
    }

    pub(crate) fn declare(&self, servers: &Value) {
        self.bench.write(".mcp.json", &json!({ "mcpServers": servers }).to_string());
    }

    pub(crate) async fn tools(&self) -> Toolbox {
        self.servers.add_to(Toolbox::of([]), true, |_| true).await
    }

    pub(crate) async fn call(&self, tools: &Toolbox, name: &str, arguments: Value) -> ToolOutcome {
        let (ctx, _updates) = self.bench.context("call");
        tools.run(name, &ctx, arguments).await
    }

    pub(crate) fn starts(&self) -> usize {
        self.bench.read("starts").lines().count()
    }

    pub(crate) fn told(&self) -> Vec<String> {
        self.told.lock().unwrap().clone()
    }

    pub(crate) fn changes(&self) -> Vec<McpChange> {
        self.changes.lock().unwrap().clone()
    }

    pub(crate) async fn hears(&self, part: &str) -> String {
        let heard = async {
            loop {
                if let Some(word) = self.told().into_iter().find(|word| word.contains(part)) {
                    return word;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), heard).await.unwrap()
    }

    /// What has become of a server, in order.
    pub(crate) fn states(&self, name: &str) -> Vec<McpState> {
        let changes = self.changes.lock().unwrap();
        changes.iter().filter(|change| change.name == name).map(|change| change.state).collect()
    }

    /// Waits until a server has come to this.
    pub(crate) async fn until(&self, name: &str, state: McpState) {
        self.until_is(|| self.states(name).last() == Some(&state)).await;
    }

    pub(crate) async fn until_is(&self, is: impl Fn() -> bool) {
        let waits = async {
            while !is() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waits).await.unwrap();
    }

    pub(crate) async fn until_none_runs(&self) {
        let none = async {
            while self.runs().await > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), none).await.unwrap();
    }

    pub(crate) async fn runs(&self) -> usize {
        self.bench.shell.list().await.unwrap().iter().filter(|exec| exec.exit.is_none()).count()
    }
}

pub(crate) fn tool(name: &str) -> Value {
    json!({ "name": name, "description": format!("Does {name}."), "inputSchema": { "$schema": "x", "type": "object" } })
}

pub(crate) fn server(tools: &[&str]) -> Value {
    let tools: Vec<Value> = tools.iter().map(|name| tool(name)).collect();
    json!({ "command": "bash", "args": ["server.sh"], "env": { "TOOLS": json!(tools).to_string(), "WORD": "$GREETING" } })
}

pub(crate) fn names(tools: &Toolbox) -> Vec<String> {
    tools.specs().into_iter().map(|spec| spec.name).collect()
}
