//! One schema as a type. What schemas are of which file is `areas`.

use serde_json::Value;
use std::{collections::BTreeSet, fmt::Write as _};

/// How a file calls what it refers to: its own schemas, and those that lie in the file for several.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    /// Of another file.
    pub(super) several: &'a BTreeSet<&'a str>,
}

impl Names<'_> {
    fn named(self, name: &str) -> String {
        let of = if self.several.contains(name) { "Several" } else { "Schemas" };
        format!("{of}['{name}']")
    }
}

/// What is said of something, as an editor shows it.
pub(super) fn words(out: &mut String, schema: &Value, level: usize) {
    if let Some(words) = schema["description"].as_str() {
        let words = words.replace('\n', " ").replace("*/", "* /");
        let _ = writeln!(out, "{}/** {words} */", indent(level));
    }
}

fn indent(level: usize) -> String {
    "  ".repeat(level)
}

/// What it is, as TypeScript says it, that far within other things.
pub(super) fn kind(schema: &Value, of: Names<'_>, level: usize) -> String {
    if let Some(target) = schema["$ref"].as_str() {
        return of.named(target.rsplit('/').next().unwrap_or_default());
    }
    if let Some(value) = schema.get("const") {
        return literal(value);
    }
    if let Some(values) = schema["enum"].as_array() {
        return union(values.iter().map(literal));
    }
    for way in ["anyOf", "oneOf"] {
        if let Some(ways) = schema[way].as_array() {
            let ways = union(ways.iter().map(|way| kind(way, of, level)));
            // Beside fields of all ways.
            let is_more = schema.get("properties").is_some();
            return if is_more {
                format!("{} & ({ways})", object(schema, of, level))
            } else {
                ways
            };
        }
    }
    if let Some(parts) = schema["allOf"].as_array() {
        let parts: Vec<String> = parts.iter().map(|part| kind(part, of, level)).collect();
        return parts.join(" & ");
    }
    match &schema["type"] {
        Value::String(name) => named(name, schema, of, level),
        Value::Array(names) => {
            union(names.iter().filter_map(Value::as_str).map(|name| named(name, schema, of, level)))
        }
        _ => "unknown".to_owned(),
    }
}

fn named(name: &str, schema: &Value, of: Names<'_>, level: usize) -> String {
    match name {
        "integer" | "number" => "number".to_owned(),
        "array" => {
            let item =
                schema.get("items").map_or("unknown".to_owned(), |item| kind(item, of, level));
            if item.contains(" | ") || item.contains(" & ") {
                format!("({item})[]")
            } else {
                format!("{item}[]")
            }
        }
        "object" => object(schema, of, level),
        other => other.to_owned(),
    }
}

fn object(schema: &Value, of: Names<'_>, level: usize) -> String {
    let more = &schema["additionalProperties"];
    let fields: Vec<(&String, &Value)> =
        schema["properties"].as_object().into_iter().flatten().collect();
    if fields.is_empty() {
        return match more {
            Value::Object(_) => format!("Record<string, {}>", kind(more, of, level)),
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
        let _ = writeln!(out, "{}{name}{maybe}: {}", indent(level + 1), kind(field, of, level + 1));
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
        let several = BTreeSet::from(["Many"]);
        assert_eq!(kind(schema, Names { several: &several }, 0), want);
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
        check(&json!({"$ref": "#/components/schemas/Many"}), "Several['Many']");
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
