//! The document is whole: every route is in it, and all that is in it is a route.

use super::{
    document::{Described, names_in},
    params,
};
use crate::routes;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// Answers whose data may be anything: what a machine's bridge gives, and this document. A new one must be a decision.
const OPEN_ANSWERS: usize = 48;

fn document() -> Value {
    routes::document("0.0.0")
}

fn each(document: &Value) -> Vec<(String, String, &Value)> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            all.push((method.to_uppercase(), path.clone(), operation));
        }
    }
    all
}

#[test]
fn every_route_is_told_and_nothing_else() {
    let document = document();
    let told: BTreeSet<String> = each(&document).into_iter().map(|(_, path, _)| path).collect();
    // One that is for many is told as those.
    let fits = |path: &str, told: &str| {
        let below = path.strip_suffix("{*rest}");
        below.map_or(told == path.replace("{*", "{"), |below| told.starts_with(below))
    };
    for path in routes::paths() {
        let is_told = told.iter().any(|told| fits(path, told));
        assert!(is_told, "{path} is not told: say what its methods do");
    }
    for told in &told {
        let is_there = routes::paths().iter().any(|path| fits(path, told));
        assert!(is_there, "{told} is told, and there is no such route");
    }
}

#[test]
fn what_is_said_of_each_is_enough() {
    let mut ids = BTreeSet::new();
    for Described { path, method, area, operation, .. } in routes::described() {
        let name = format!("{method} {path}");
        assert!(!operation.summary.is_empty() && !area.is_empty(), "{name} lacks words or an area");
        assert!(!operation.is_unseen, "{name}: say what it gives, its handler's type does not");
        assert!(!operation.answers.is_empty(), "{name} gives nothing");
        for part in names_in(&path) {
            assert!(
                params::of_path(&path, part).is_some(),
                "{name}: nobody has told what {{{part}}} is"
            );
        }
    }
    let document = document();
    for (method, path, operation) in each(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{method} {path}: {id} is the name of another one too");
    }
}

#[test]
fn it_is_the_same_text_each_time_and_valid() {
    assert_eq!(routes::openapi("1.2.3"), routes::openapi("1.2.3"));
    let document = document();
    let text = document.to_string();
    for (at, _) in text.match_indices("\"$ref\":\"") {
        let target = text[at + 8..].split('"').next().unwrap();
        let pointer = target.strip_prefix('#').unwrap_or_else(|| panic!("{target} is elsewhere"));
        assert!(document.pointer(pointer).is_some(), "{target} leads nowhere");
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let found = jsonschema::meta::validate(schema);
        assert!(
            found.is_ok(),
            "{name} is no JSON Schema: {:?}",
            found.err().map(|e| e.to_string())
        );
    }
}

#[test]
fn open_answers_are_counted() {
    let document = document();
    let open = |schema: &Value| {
        let of_data = schema.pointer("/properties/data").unwrap_or(schema);
        *of_data == json!(true) || of_data["additionalProperties"] == json!(true)
    };
    let all: Vec<String> = each(&document)
        .into_iter()
        .filter(|(_, _, operation)| {
            operation["responses"].as_object().unwrap().iter().any(|(status, answer)| {
                status.starts_with('2')
                    && answer.pointer("/content/application~1json/schema").is_some_and(open)
            })
        })
        .map(|(method, path, _)| format!("{method} {path}"))
        .collect();
    assert_eq!(all.len(), OPEN_ANSWERS, "{all:#?}");
}

/// `UPDATE=1` writes them anew, and removes those of areas that are gone.
#[test]
fn the_dashboards_types_are_those_of_the_document() {
    let folder =
        Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../dashboard/src/api/generated"));
    let now = routes::typescript();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::remove_dir_all(folder).ok();
        std::fs::create_dir(folder).unwrap();
        for (name, text) in &now {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }
    let mut kept = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        kept.insert(name, std::fs::read_to_string(&path).unwrap());
    }
    for name in kept.keys().chain(now.keys()) {
        let is_so = kept.get(name) == now.get(name);
        assert!(is_so, "{name} is not what the API is: run `make api`, which writes all anew");
    }
}

/// The bridge's routes stand in its sources, as axum takes them.
#[test]
fn every_route_of_a_bridge_is_told_too() {
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/../bridge/src");
    let mut found = BTreeSet::new();
    let mut folders = vec![std::path::PathBuf::from(sources)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for line in text.split(".route(\"/").skip(1) {
                let (path, methods) = line.split_once('"').unwrap();
                let methods = methods.split('\n').next().unwrap();
                for method in ["get", "put", "post", "delete"] {
                    let begins = methods.contains(&format!(", {method}("));
                    if begins || methods.contains(&format!(".{method}(")) {
                        found.insert(shape(&method.to_uppercase(), &format!("/{path}")));
                    }
                }
            }
        }
    }
    // The stop of streams is tried at a route of its own, and what the host saw comes by no other way.
    found.remove("GET /");
    found.remove("POST /observed");
    let told: BTreeSet<String> = super::BRIDGE_ROUTES
        .iter()
        .flat_map(|(_, routes)| *routes)
        .map(|(method, path, _)| shape(method, path))
        // The server reads these from the host.
        .filter(|told| told != "GET /receipts")
        .collect();
    assert_eq!(found, told);
}

/// Without the names of its parts.
fn shape(method: &str, path: &str) -> String {
    let parts: Vec<&str> =
        path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect();
    format!("{method} {}", parts.join("/"))
}
