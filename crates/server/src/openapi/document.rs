//! The document: operations written down as OpenAPI 3.1 has it. Always the same text for the same table.

use super::{
    operation::{Answer, Body, Failure, Operation, SchemaOf},
    params,
};
use crate::{api_error::Code, auth::guard::Needs};
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// An operation in its place.
pub(crate) struct Described {
    pub(crate) path: String,
    pub(crate) method: &'static str,
    pub(crate) needs: Needs,
    pub(crate) area: &'static str,
    pub(crate) operation: Operation,
}

/// Where the schemas of answers lie.
const SCHEMAS: &str = "#/components/schemas/";
const ABOUT: &str = "Everything that the dashboard and the command line do. Answers of `/v1` come in an envelope: \
    `{\"ok\": true, \"data\": …, \"meta\": …}`, failures as `{\"ok\": false, \"error\": {\"code\", \"message\"}, \"meta\": …}`, \
    where the code is stable and the message says what to do. Times are RFC 3339 texts, or Unix milliseconds where a \
    field is a number. A key is sent as `X-Agent-Api-Key` or `Authorization: Bearer`; a browser's sign-in is a cookie.";

/// Makes schemas of what comes in, whole in their place, and of what goes out, by their names.
struct Schemas {
    taken: SchemaGenerator,
    given: SchemaGenerator,
}

impl Schemas {
    fn new() -> Self {
        let mut taken = SchemaSettings::draft2020_12();
        taken.inline_subschemas = true;
        taken.meta_schema = None;
        let mut given = SchemaSettings::draft2020_12().for_serialize();
        given.definitions_path = "/components/schemas".into();
        given.meta_schema = None;
        Self { taken: taken.into_generator(), given: given.into_generator() }
    }

    fn taken(&mut self, of: SchemaOf) -> Value {
        of(&mut self.taken).to_value()
    }

    fn given(&mut self, of: SchemaOf) -> Value {
        of(&mut self.given).to_value()
    }
}

/// Writes the document of these operations.
pub(crate) fn document(all: &[Described], version: &str) -> Value {
    let mut schemas = Schemas::new();
    let mut paths: Map<String, Value> = Map::new();
    let mut areas: Vec<&str> = Vec::new();
    for one in all {
        if !areas.contains(&one.area) {
            areas.push(one.area);
        }
        let told = operation(one, &mut schemas);
        let path = paths.entry(&one.path).or_insert_with(|| json!({}));
        path[one.method.to_lowercase()] = told;
    }
    let mut named: Map<String, Value> = schemas.given.take_definitions(true);
    named.extend(fixed());
    named.sort_keys();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {"title": "Toft", "version": version, "description": ABOUT, "license": {"name": "MIT OR Apache-2.0"}},
        "servers": [{"url": "/", "description": "The server that this document came from."}],
        "tags": areas.iter().map(|area| json!({"name": area})).collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": named,
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-Agent-Api-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "toft_session"},
            },
        },
    });
    unlink(&mut document);
    document
}

/// Comments of types link to other types, which lead nowhere from here: the names stay.
fn unlink(value: &mut Value) {
    match value {
        Value::String(text) if text.contains("[`") => {
            *text = text.replace("[`", "`").replace("`]", "`");
        }
        Value::Array(all) => all.iter_mut().for_each(unlink),
        Value::Object(fields) => fields.values_mut().for_each(unlink),
        _ => {}
    }
}

/// As it is printed and sent: JSON to be read, with its end of line.
pub(crate) fn text(document: &Value) -> String {
    format!("{document:#}\n")
}

/// What every answer is made of.
fn fixed() -> Map<String, Value> {
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.parts().0).collect();
    let shapes = json!({
        "Meta": {
            "type": "object",
            "description": "Of every enveloped answer.",
            "properties": {
                "apiVersion": {"const": "v1"},
                "ts": {"type": "string", "format": "date-time", "description": "When it was answered."},
            },
            "required": ["apiVersion", "ts"],
            "additionalProperties": false,
        },
        "Failure": {
            "type": "object",
            "description": "A request that failed.",
            "properties": {
                "ok": {"const": false},
                "error": {
                    "type": "object",
                    "properties": {
                        "code": {
                            "type": "string",
                            "description": "Stable. A machine's bridge has codes of its own, which are told with its routes.",
                            "examples": codes,
                        },
                        "message": {"type": "string", "description": "What happened, and what to do."},
                    },
                    "required": ["code", "message"],
                    "additionalProperties": true,
                },
                "meta": {"$ref": format!("{SCHEMAS}Meta")},
            },
            "required": ["ok", "error", "meta"],
            "additionalProperties": false,
        },
        "BridgeFailure": {
            "type": "object",
            "description": "A request that a machine's bridge has refused.",
            "properties": {
                "type": {"const": "response"},
                "command": {"type": "string"},
                "success": {"const": false},
                "error": {"type": "string", "description": "What happened, and what to do."},
                "code": {"type": "string", "description": "Stable."},
            },
            "required": ["type", "command", "success", "error", "code"],
            "additionalProperties": false,
        },
        "ProviderFailure": {
            "type": "object",
            "description": "A request to a model that failed, as the programs of its provider know it.",
            "additionalProperties": true,
        },
    });
    match shapes {
        Value::Object(shapes) => shapes,
        _ => unreachable!("it is written as an object"),
    }
}

/// By which names an operation is called in generated clients: method and path, as one word.
fn id_of(method: &str, path: &str) -> String {
    let mut id = method.to_lowercase();
    // Some are there twice: below `/v1` in the envelope, and without it.
    if !path.starts_with("/v1") && !path.starts_with("/llm") {
        id.push_str("Root");
    }
    for part in path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()) {
        if part == "v1" {
            continue;
        }
        let (first, rest) = part.split_at(1);
        id.push_str(&first.to_uppercase());
        id.push_str(rest);
    }
    id
}

fn operation(one: &Described, schemas: &mut Schemas) -> Value {
    let Operation { summary, note, role, .. } = one.operation;
    let mut told = json!({
        "operationId": id_of(one.method, &one.path),
        "tags": [one.area],
        "summary": summary,
    });
    let role = role.map(|role| format!("Takes the role {role} or more."));
    let words: Vec<&str> = note.into_iter().chain(role.as_deref()).collect();
    if !words.is_empty() {
        told["description"] = words.join("\n\n").into();
    }
    let parameters = parameters(one, schemas);
    if !parameters.is_empty() {
        told["parameters"] = parameters.into();
    }
    match one.operation.body {
        Some(Body::Json(of)) => {
            let schema = schemas.taken(of);
            // An empty body is `{}`.
            let required = schema.get("required").is_some() || schema.get("anyOf").is_some();
            told["requestBody"] =
                json!({"required": required, "content": {"application/json": {"schema": schema}}});
        }
        Some(Body::Raw) => {
            told["requestBody"] = json!({"content": {"application/octet-stream": {"schema": {}}}});
        }
        None => {}
    }
    told["responses"] = answers(one, schemas);
    told["security"] = match one.needs {
        Needs::Nothing if one.operation.failure == Failure::Provider => {
            json!([{"key": []}, {"bearer": []}])
        }
        Needs::Nothing => json!([]),
        Needs::ByMethod | Needs::Admin => json!([{"key": []}, {"bearer": []}, {"cookie": []}]),
    };
    told["x-toft-scope"] = match one.needs {
        Needs::Nothing if one.operation.failure == Failure::Provider => "models".into(),
        Needs::Nothing => Value::Null,
        Needs::ByMethod if one.method == "GET" => "read".into(),
        Needs::ByMethod | Needs::Admin => "admin".into(),
    };
    told
}

/// The names in braces.
pub(crate) fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|part| part.split_once('}')).map(|(name, _)| name)
}

fn parameters(one: &Described, schemas: &mut Schemas) -> Vec<Value> {
    let mut all = Vec::new();
    for name in names_in(&one.path) {
        let words = params::of_path(&one.path, name).unwrap_or_default();
        all.push(json!({
            "name": name, "in": "path", "required": true, "description": words, "schema": {"type": "string", "minLength": 1},
        }));
    }
    if let Some(of) = one.operation.query {
        let schema = schemas.taken(of);
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, shape) in schema["properties"].as_object().into_iter().flatten() {
            let mut shape = unset(shape.clone());
            let words = shape.as_object_mut().and_then(|shape| shape.remove("description"));
            let mut parameter = json!({
                "name": name, "in": "query", "required": required.contains(&json!(name)), "schema": shape,
            });
            if let Some(words) = words {
                parameter["description"] = words;
            }
            all.push(parameter);
        }
    }
    for header in &one.operation.headers {
        let schema = json!({"type": "string"});
        all.push(json!({
            "name": header.name, "in": "header", "required": header.required, "description": header.words, "schema": schema,
        }));
    }
    all
}

/// A query has no `null`: what is not there is left out.
fn unset(mut schema: Value) -> Value {
    if let Some(kinds) = schema.get("type").and_then(Value::as_array) {
        let kinds: Vec<Value> = kinds.iter().filter(|kind| *kind != "null").cloned().collect();
        schema["type"] = match &kinds[..] {
            [one] => one.clone(),
            _ => kinds.into(),
        };
    }
    if let Some(ways) = schema.get("anyOf").and_then(Value::as_array) {
        let mut rest = ways.iter().filter(|way| way["type"] != "null");
        if let (Some(one), None) = (rest.next(), rest.next()) {
            let (one, words) = (one.clone(), schema.get("description").cloned());
            schema = one;
            if let Some(words) = words {
                schema["description"] = words;
            }
        }
    }
    if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        values.retain(|value| !value.is_null());
    }
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("default");
    }
    schema
}

fn answers(one: &Described, schemas: &mut Schemas) -> Value {
    let mut all = Map::new();
    let mut good = Map::new();
    for answer in &one.operation.answers {
        match answer {
            Answer::Data(of) => {
                let schema = enveloped(&schemas.given(*of));
                good.insert("application/json".into(), json!({"schema": schema}));
            }
            Answer::Reply(of) => {
                let schema = replied(&schemas.given(*of));
                good.insert("application/json".into(), json!({"schema": schema}));
            }
            Answer::Bare(of) => {
                let schema = schemas.given(*of);
                good.insert("application/json".into(), json!({"schema": schema}));
            }
            Answer::Events(names) => {
                let schema = event(names);
                good.insert("text/event-stream".into(), json!({"schema": schema}));
            }
            Answer::Bytes(media) => {
                good.insert((*media).into(), json!({"schema": {}}));
            }
            Answer::Elsewhere => {
                let headers = json!({"Location": {"schema": {"type": "string"}}});
                all.insert(
                    "303".into(),
                    json!({"description": "It is at another address.", "headers": headers}),
                );
            }
            Answer::Socket => {
                all.insert(
                    "101".into(),
                    json!({"description": "The connection is a WebSocket now."}),
                );
            }
        }
    }
    if !good.is_empty() {
        let status = one.operation.status;
        all.insert(status.into(), json!({"description": "It went well.", "content": good}));
    }
    let shape = |name: &str| json!({"$ref": format!("{SCHEMAS}{name}")});
    let shape = match one.operation.failure {
        Failure::None => return Value::Object(all),
        Failure::Envelope => shape("Failure"),
        Failure::Bridge => json!({"anyOf": [shape("Failure"), shape("BridgeFailure")]}),
        Failure::Provider => shape("ProviderFailure"),
        Failure::Page => {
            let content = json!({"text/html": {"schema": {}}});
            all.insert(
                "default".into(),
                json!({"description": "Why not, for people.", "content": content}),
            );
            return Value::Object(all);
        }
    };
    let failed = |words: &str| {
        let schema = &shape;
        json!({"description": words, "content": {"application/json": {"schema": schema}}})
    };
    for (status, words) in statuses(one) {
        all.insert((*status).to_owned(), failed(words));
    }
    Value::Object(all)
}

/// One event of a stream, as clients read it.
fn event(names: &str) -> Value {
    json!({
        "type": "object",
        "description": format!("Server-sent events: {names}."),
        "properties": {
            "event": {"type": "string", "description": "Its name."},
            "id": {"type": "string", "description": "Its number: streams go on after `Last-Event-ID`."},
            "data": {"type": "string", "description": "JSON."},
            "retry": {"type": "integer"},
        },
        "required": ["data"],
    })
}

/// What may go wrong, by what the operation takes.
fn statuses(one: &Described) -> Vec<&'static (&'static str, &'static str)> {
    static ALL: [(&str, &str); 5] = [
        ("400", "Something of the request does not fit; the message names it."),
        ("401", "Nobody is signed in, or the key opens nothing."),
        ("403", "Not for this caller: a scope, a role or a rule is in the way."),
        ("404", "It is not there."),
        ("default", "Another failure; its code says which."),
    ];
    let judged = one.needs != Needs::Nothing || one.operation.failure == Failure::Provider;
    let has_part = one.path.contains('{');
    ALL.iter()
        .filter(|(status, _)| match *status {
            "401" | "403" => judged,
            "404" => has_part,
            _ => true,
        })
        .collect()
}

fn replied(data: &Value) -> Value {
    json!({
        "type": "object",
        "properties": {
            "type": {"const": "response"}, "command": {"type": "string"}, "success": {"const": true}, "data": data,
        },
        "required": ["type", "command", "success", "data"],
        "additionalProperties": false,
    })
}

fn enveloped(data: &Value) -> Value {
    json!({
        "type": "object",
        "properties": {"ok": {"const": true}, "data": data, "meta": {"$ref": format!("{SCHEMAS}Meta")}},
        "required": ["ok", "data", "meta"],
        "additionalProperties": false,
    })
}
