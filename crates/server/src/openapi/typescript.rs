//! The document as types for the dashboard. Not its calls: what a call is for, and what it is called, is the dashboard's.

use serde_json::Value;
use std::fmt::Write as _;

const HEAD: &str = "/* oxlint-disable */\n\
    // What the server takes and gives, by its own types. Made by `toft openapi --typescript`: never edited by hand.\n";

/// Writes them.
pub(crate) fn typescript(document: &Value) -> String {
    let mut out = String::from(HEAD);
    out.push_str("\n/** What answers are made of. */\nexport interface Schemas {\n");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        words(&mut out, schema, 1);
        let _ = writeln!(out, "  {name}: {}", kind(schema, 1));
    }
    out.push_str("}\n\n/** What each operation takes, and the data of its answer. */\nexport interface Operations {\n");
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, told) in methods.as_object().into_iter().flatten() {
            operation(&mut out, &method.to_uppercase(), path, told);
        }
    }
    out.push_str("}\n");
    out
}

fn operation(out: &mut String, method: &str, path: &str, told: &Value) {
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
            let _ = writeln!(out, "    {name}: {}", kind(schema, 2));
        }
    }
    out.push_str("  }\n");
}

/// What is said of something, as an editor shows it.
fn words(out: &mut String, schema: &Value, level: usize) {
    if let Some(words) = schema["description"].as_str() {
        let words = words.replace('\n', " ").replace("*/", "* /");
        let _ = writeln!(out, "{}/** {words} */", indent(level));
    }
}

fn indent(level: usize) -> String {
    "  ".repeat(level)
}

fn kind(schema: &Value, level: usize) -> String {
    if let Some(target) = schema["$ref"].as_str() {
        return format!("Schemas['{}']", target.rsplit('/').next().unwrap_or_default());
    }
    if let Some(value) = schema.get("const") {
        return literal(value);
    }
    if let Some(values) = schema["enum"].as_array() {
        return union(values.iter().map(literal));
    }
    for way in ["anyOf", "oneOf"] {
        if let Some(ways) = schema[way].as_array() {
            let ways = union(ways.iter().map(|way| kind(way, level)));
            // Beside fields of all ways.
            let is_more = schema.get("properties").is_some();
            return if is_more { format!("{} & ({ways})", object(schema, level)) } else { ways };
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let parts: Vec<String> = parts.iter().map(|part| kind(part, level)).collect();
        return parts.join(" & ");
    }
    match &schema["type"] {
        Value::String(name) => named(name, schema, level),
        Value::Array(names) => {
            union(names.iter().filter_map(Value::as_str).map(|name| named(name, schema, level)))
        }
        _ => "unknown".to_owned(),
    }
}

fn named(name: &str, schema: &Value, level: usize) -> String {
    match name {
        "integer" | "number" => "number".to_owned(),
        "array" => {
            let item = schema.get("items").map_or("unknown".to_owned(), |item| kind(item, level));
            if item.contains(" | ") || item.contains(" & ") {
                format!("({item})[]")
            } else {
                format!("{item}[]")
            }
        }
        "object" => object(schema, level),
        other => other.to_owned(),
    }
}

fn object(schema: &Value, level: usize) -> String {
    let more = &schema["additionalProperties"];
    let fields: Vec<(&String, &Value)> =
        schema["properties"].as_object().into_iter().flatten().collect();
    if fields.is_empty() {
        return match more {
            Value::Object(_) => format!("Record<string, {}>", kind(more, level)),
            Value::Bool(false) => "Record<string, never>".to_owned(),
            _ => "Record<string, unknown>".to_owned(),
        };
    }
    let required = schema["required"].as_array();
    let mut out = String::from("{\n");
    for (name, field) in fields {
        let is_required = required.is_some_and(|all| all.iter().any(|one| one == name));
        words(&mut out, field, level + 1);
        let is_word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let name = if is_word { name.clone() } else { format!("'{name}'") };
        let maybe = if is_required { "" } else { "?" };
        let _ = writeln!(out, "{}{name}{maybe}: {}", indent(level + 1), kind(field, level + 1));
    }
    let _ = write!(out, "{}}}", indent(level));
    out
}

fn literal(value: &Value) -> String {
    match value {
        Value::String(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        other => other.to_string(),
    }
}

/// Each once.
fn union(kinds: impl Iterator<Item = String>) -> String {
    let mut all: Vec<String> = Vec::new();
    for kind in kinds {
        if !all.contains(&kind) {
            all.push(kind);
        }
    }
    all.join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(schema: &Value, want: &str) {
        assert_eq!(kind(schema, 0), want);
    }

    #[test]
    fn schemas_become_types() {
        check(&json!(true), "unknown");
        check(&json!({"type": ["string", "null"]}), "string | null");
        check(&json!({"type": "array", "items": {"enum": ["a", 1, null]}}), "('a' | 1 | null)[]");
        check(
            &json!({"anyOf": [{"$ref": "#/components/schemas/One"}, {"type": "null"}]}),
            "Schemas['One'] | null",
        );
        check(
            &json!({"type": "object", "additionalProperties": {"type": "integer"}}),
            "Record<string, number>",
        );
        check(
            &json!({"type": "object", "properties": {"a": {"type": "boolean"}, "b-c": {"const": "x"}}, "required": ["a"]}),
            "{\n  a: boolean\n  'b-c'?: 'x'\n}",
        );
    }
}
