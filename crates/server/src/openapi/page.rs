//! The document as a page for people: one file without a script, which loads nothing but its icon. What stands in the document is
//! text in it, never markup.

mod shape;

use serde_json::Value;
use shape::{rows, words_of};
use std::fmt::Write as _;

/// Its look: the dashboard's colours and sizes.
const STYLE: &str = include_str!("page.css");
/// The hedge with its gate.
const MARK: &str = "<svg width=20 height=20 viewBox=\"0 0 20 20\" fill=none stroke=currentColor stroke-width=2.5 \
                    aria-hidden=true><path d=\"M8 17H3V3h14v14h-5\"/></svg>";

/// An operation of the document, with its path.
struct Operation<'a> {
    method: String,
    path: &'a str,
    told: &'a Value,
}

/// Draws it.
pub(crate) fn page(document: &Value) -> String {
    let all = operations(document);
    let areas: Vec<&str> = document["tags"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|tag| tag["name"].as_str())
        .collect();
    let mut nav = String::new();
    let mut body = String::new();
    for area in areas {
        let of_area: Vec<&Operation<'_>> =
            all.iter().filter(|one| one.told["tags"][0] == area).collect();
        let (anchor, name) = (anchor(area), escape(area));
        let _ =
            write!(nav, "<li><a href=\"#{anchor}\">{name} <small>{}</small></a>", of_area.len());
        let _ = write!(body, "<h2 id=\"{anchor}\">{name}</h2>");
        for one in of_area {
            operation(&mut body, document, one);
        }
    }
    let version = escape(document["info"]["version"].as_str().unwrap_or_default());
    let about = inline(document["info"]["description"].as_str().unwrap_or_default());
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>Toft: HTTP API</title><link rel=icon href=\"/favicon.svg\"><style>{STYLE}</style>\
         <a class=skip href=\"#main\">Skip to the operations</a>\
         <header>{MARK}<strong>Toft</strong><span>HTTP API · {version}</span><a href=\"/openapi.json\">openapi.json</a></header>\
         <div class=frame><nav aria-label=Areas><ul>{nav}</ul></nav>\
         <main id=main><h1>HTTP API</h1><p>{about}</p>{body}</main></div></html>\n"
    )
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths
        .flat_map(|(path, methods)| {
            methods.as_object().into_iter().flatten().map(move |(method, told)| Operation {
                method: method.to_uppercase(),
                path,
                told,
            })
        })
        .collect()
}

fn operation(out: &mut String, document: &Value, one: &Operation<'_>) {
    let Operation { method, path, told } = one;
    let id = escape(told["operationId"].as_str().unwrap_or_default());
    let summary = escape(told["summary"].as_str().unwrap_or_default());
    let _ = write!(
        out,
        "<details class=operation id=\"{id}\"><summary><span class=\"method {method}\">{method}</span>\
         <span class=path>{}</span><span class=words>{summary}</span></summary><div class=body>",
        escape(path)
    );
    if let Some(words) = told["description"].as_str() {
        let _ = write!(out, "<p>{}</p>", inline(words));
    }
    let scope = match told["x-toft-scope"].as_str() {
        Some(scope) => format!("A key needs the scope <code>{}</code>.", escape(scope)),
        None => "No sign-in is needed.".to_owned(),
    };
    let _ = write!(out, "<p class=scope>{scope}</p>");
    let parameters: Vec<&Value> = told["parameters"].as_array().into_iter().flatten().collect();
    if !parameters.is_empty() {
        out.push_str("<h3>Parameters</h3><table>");
        for one in parameters {
            let place = one["in"].as_str().unwrap_or_default();
            let name = one["name"].as_str().unwrap_or_default();
            let words = inline(one["description"].as_str().unwrap_or_default());
            let must = must(one["required"] == true && place != "path");
            let kind = words_of(document, &one["schema"]);
            let _ = write!(
                out,
                "<tr><td><code>{}</code> {must}<td>{place}, {}<td>{words}",
                escape(name),
                escape(&kind)
            );
        }
        out.push_str("</table>");
    }
    for (media, content) in told["requestBody"]["content"].as_object().into_iter().flatten() {
        let _ = write!(out, "<h3>Body · {}</h3>", escape(media));
        fields(out, document, &content["schema"], true);
    }
    for (status, answer) in told["responses"].as_object().into_iter().flatten() {
        if status.starts_with(['1', '2', '3']) {
            good(out, document, status, answer);
        }
    }
    errors(out, told);
    let _ =
        write!(out, "<h3>Example</h3><pre>{}</pre></div></details>", escape(&curl(document, one)));
}

fn must(required: bool) -> &'static str {
    if required { "<span class=must>required</span>" } else { "" }
}

fn good(out: &mut String, document: &Value, status: &str, answer: &Value) {
    let contents: Vec<(&String, &Value)> =
        answer["content"].as_object().into_iter().flatten().collect();
    if contents.is_empty() {
        let words = inline(answer["description"].as_str().unwrap_or_default());
        let _ = write!(out, "<h3>Answer {}</h3><p>{words}</p>", escape(status));
    }
    for (media, content) in contents {
        let schema = &content["schema"];
        let data = schema.pointer("/properties/data");
        let place = if data.is_some() { " · <code>data</code> in the envelope" } else { "" };
        let _ = write!(out, "<h3>Answer {} · {}{place}</h3>", escape(status), escape(media));
        fields(out, document, data.unwrap_or(schema), false);
    }
}

/// What may go wrong, each in its line.
fn errors(out: &mut String, told: &Value) {
    let bad: Vec<(&String, &Value)> = told["responses"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(status, _)| !status.starts_with(['1', '2', '3']))
        .collect();
    if bad.is_empty() {
        return;
    }
    out.push_str("<h3>Errors</h3><table>");
    for (status, answer) in bad {
        let status = if status == "default" { "other" } else { status.as_str() };
        let words = inline(answer["description"].as_str().unwrap_or_default());
        let _ = write!(out, "<tr><td><code>{}</code><td colspan=2>{words}", escape(status));
    }
    out.push_str("</table>");
}

/// Its fields. `is_sent`: somebody must know which have to be there.
fn fields(out: &mut String, document: &Value, schema: &Value, is_sent: bool) {
    let all = rows(document, schema);
    if all.is_empty() {
        let words = schema["description"].as_str().map(|words| format!(". {}", inline(words)));
        let _ = write!(
            out,
            "<p>{}{}</p>",
            escape(&words_of(document, schema)),
            words.unwrap_or_default()
        );
        return;
    }
    out.push_str("<table>");
    for row in all {
        let _ = write!(
            out,
            "<tr><td class=level{}><code>{}</code> {}<td>{}<td>{}",
            row.level,
            escape(&row.name),
            must(is_sent && row.required),
            escape(&row.kind),
            inline(&row.words),
        );
    }
    out.push_str("</table>");
}

/// How it is asked on a command line.
fn curl(document: &Value, one: &Operation<'_>) -> String {
    let Operation { method, path, told } = one;
    let mut command = String::from("curl");
    if *method != "GET" {
        let _ = write!(command, " -X {method}");
    }
    let path = path.replace('{', "$").replace('}', "");
    let _ = write!(command, " \"$TOFT_URL{path}\"");
    if !told["x-toft-scope"].is_null() {
        command.push_str(" \\\n  -H \"X-Agent-Api-Key: $TOFT_API_KEY\"");
    }
    for one in told["parameters"].as_array().into_iter().flatten() {
        if one["in"] == "header" && one["required"] == true {
            let _ = write!(
                command,
                " \\\n  -H \"{}: $(uuidgen)\"",
                one["name"].as_str().unwrap_or_default()
            );
        }
    }
    let contents = &told["requestBody"]["content"];
    if let Some(json) = contents.get("application/json") {
        let body = shape::example(document, &json["schema"]);
        let _ = write!(command, " \\\n  -H 'Content-Type: application/json' \\\n  -d '{body}'");
    } else if !contents.is_null() {
        command.push_str(" \\\n  --data-binary @FILE");
    }
    command
}

/// A name for addresses in the page.
fn anchor(area: &str) -> String {
    area.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

/// Text, with what stands between backticks as code.
fn inline(words: &str) -> String {
    let mut out = String::new();
    for (n, part) in words.split('`').enumerate() {
        let part = escape(part);
        if n % 2 == 1 {
            let _ = write!(out, "<code>{part}</code>");
        } else {
            out.push_str(&part);
        }
    }
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
