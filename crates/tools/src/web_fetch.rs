//! Tool `web_fetch`: a page of the web as text. Fetched by a program of the machine (see `aside`), so
//! that its way out and the rules for it are those of every program.

use crate::{
    about::{About, Again},
    arguments::{Arguments, Refused},
    aside::{self, Job},
    host::{Tool, ToolContext},
    outcome::ToolOutcome,
    output::{LINES_MAX, head},
};
use async_trait::async_trait;
use serde_json::{Value, json};
use toft_model::tool::ToolSpec;

/// See the module.
pub(crate) struct WebFetch;

#[async_trait]
impl Tool for WebFetch {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "web_fetch".into(),
            description: "Fetch a web page as Markdown; PDF and other text too.".into(),
            parameters: json!({
                "type": "object",
                "properties": { "url": { "type": "string" } },
                "required": ["url"]
            }),
        }
    }

    fn about(&self, arguments: &Value) -> About {
        About::argument(arguments, &["url"])
    }

    fn again(&self, _arguments: &Value) -> Again {
        Again::Safe
    }

    async fn run(&self, ctx: &ToolContext, arguments: Value) -> ToolOutcome {
        let parsed = Arguments::new("web_fetch", &["url"], arguments).and_then(|args| {
            let url = args.some_text("url", "the address of the page")?;
            aside::checked_url(&url).map_err(Refused::new)
        });
        let url = match parsed {
            Ok(url) => url,
            Err(refused) => return refused.into(),
        };
        let label = format!("web_fetch {url}");
        let done = match aside::run(ctx, &Job::Page { url: url.clone() }, &label).await {
            Ok(done) => done,
            Err(outcome) => return outcome,
        };
        let text = String::from_utf8_lossy(&done.body);
        let limited = head(text.lines(), LINES_MAX);
        let mut parts = Vec::new();
        let answer = done.answer;
        let last_url = answer.url.unwrap_or_default();
        if last_url != url {
            parts.push(format!("[From {last_url}]"));
        }
        let status = answer.status.unwrap_or_default();
        let failed = !(200..300).contains(&status);
        if failed {
            parts.push(format!("[HTTP status {status}]"));
        }
        let shown = if limited.lines == 0 && !text.is_empty() {
            // One line that is too long: its beginning says more than nothing.
            crate::output::cut_at_char(&text, crate::output::BYTES_MAX).to_owned()
        } else {
            limited.text
        };
        let whole = shown.len() >= text.trim_end().len();
        parts.push(if shown.trim().is_empty() { "(no text)".into() } else { shown });
        let kept_in = done.kept_in.filter(|_| !whole);
        match &kept_in {
            Some(path) => parts.push(format!("[There is more. Full text: {path}]")),
            None if !whole => parts.push("[There is more.]".into()),
            // Nobody reads it there.
            None => drop(ctx.shell.forget(&ctx.run_id).await),
        }
        if answer.truncated {
            parts.push("[The page is longer than what is fetched.]".into());
        }
        let details = json!({
            "url": last_url, "status": status, "mimeType": answer.mime_type, "bytes": answer.bytes,
            "truncated": !whole || answer.truncated, "fullOutputPath": kept_in
        });
        let outcome = ToolOutcome::text(parts.join("\n\n")).details(details);
        ToolOutcome { is_error: failed, ..outcome }
    }
}
