//! The document as types for the dashboard, a file for each area. Not its calls: what a call is for, and what it is
//! called, is the dashboard's.

mod areas;
mod kind;

use areas::{Area, areas};
use kind::{Names, kind, words};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

const HEAD: &str = "/* oxlint-disable */\n\
    // Made by `make api` of the server's own types: never edited by hand.\n";

/// The text of each file by its name. `index.ts` has all of them in one.
pub(crate) fn typescript(document: &Value) -> BTreeMap<String, String> {
    let (areas, several) = areas(document);
    let mut files = BTreeMap::new();
    let mut index = Index::default();

    let mut text = format!("// What answers of several areas are made of.\n{HEAD}");
    schemas(&mut text, &several, Names { several: &BTreeSet::new() });
    index.add("several", &text);
    files.insert("several.ts".to_owned(), text);

    let of_others: BTreeSet<&str> = several.into_keys().collect();
    for (name, area) in &areas {
        let file: String = name.to_lowercase().replace(' ', "-");
        let text = text_of(name, area, Names { several: &of_others });
        index.add(&file, &text);
        files.insert(format!("{file}.ts"), text);
    }
    files.insert("index.ts".to_owned(), index.text());
    files
}

fn text_of(name: &str, area: &Area<'_>, of: Names<'_>) -> String {
    let mut body = String::new();
    if !area.schemas.is_empty() {
        schemas(&mut body, &area.schemas, of);
    }
    let mut told = String::new();
    for (method, path, operation) in &area.operations {
        self::operation(&mut told, method, path, operation, of);
    }
    if !told.is_empty() {
        let _ = write!(
            body,
            "\n/** What each operation takes, and the data of its answer. */\nexport interface Operations {{\n{told}}}\n"
        );
    }
    let import = if body.contains("Several['") {
        "\nimport type { Schemas as Several } from './several'\n"
    } else {
        ""
    };
    format!("// {name}: what the server takes and gives.\n{HEAD}{import}{body}")
}

fn schemas(out: &mut String, all: &BTreeMap<&str, &Value>, of: Names<'_>) {
    out.push_str("\n/** What answers are made of. */\nexport interface Schemas {\n");
    for (name, schema) in all {
        words(out, schema, 1);
        let _ = writeln!(out, "  {name}: {}", kind(schema, of, 1));
    }
    out.push_str("}\n");
}

fn operation(out: &mut String, method: &str, path: &str, told: &Value, of: Names<'_>) {
    let body = told.pointer("/requestBody/content/application~1json/schema");
    let data = ["200", "202"].iter().find_map(|status| {
        let schema = &told["responses"][*status]["content"]["application/json"]["schema"];
        schema.pointer("/properties/data").or_else(|| schema.as_object().map(|_| schema))
    });
    // Streams and files have no type of their own.
    if body.is_none() && data.is_none() {
        return;
    }
    let id = told["operationId"].as_str().unwrap_or_default();
    let _ = writeln!(out, "  /** `{method} {path}` */\n  {id}: {{");
    for (name, schema) in [("body", body), ("data", data)] {
        if let Some(schema) = schema {
            let _ = writeln!(out, "    {name}: {}", kind(schema, of, 2));
        }
    }
    out.push_str("  }\n");
}

/// All files as one, for those who ask by name and need not know where it lies.
#[derive(Default)]
struct Index {
    imports: String,
    schemas: Vec<String>,
    operations: Vec<String>,
}

impl Index {
    fn add(&mut self, file: &str, text: &str) {
        let name = file.replace('-', "_");
        let before = self.schemas.len() + self.operations.len();
        for (interface, all) in
            [("Schemas", &mut self.schemas), ("Operations", &mut self.operations)]
        {
            if text.contains(&format!("export interface {interface} {{")) {
                all.push(format!("{name}.{interface}"));
            }
        }
        if self.schemas.len() + self.operations.len() > before {
            let _ = writeln!(self.imports, "import type * as {name} from './{file}'");
        }
    }

    fn text(&self) -> String {
        format!(
            "// Everything that the server takes and gives.\n{HEAD}\n{}\n\
            /** What answers are made of. */\nexport interface Schemas\n  extends {} {{}}\n\n\
            /** What each operation takes, and the data of its answer. */\nexport interface Operations\n  extends {} {{}}\n",
            self.imports,
            self.schemas.join(",\n    "),
            self.operations.join(",\n    "),
        )
    }
}
