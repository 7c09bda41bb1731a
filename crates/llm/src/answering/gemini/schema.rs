//! Google's schemas in terms of JSON Schema: types in small letters, `nullable` as a type.

use serde_json::{Map, Value, json};

/// The same schema as JSON Schema. What is JSON Schema already stays as it is.
pub(super) fn json_schema(schema: Value) -> Value {
    match schema {
        Value::Object(map) => Value::Object(object(map)),
        other => other,
    }
}

fn object(map: Map<String, Value>) -> Map<String, Value> {
    let mut out = Map::new();
    let mut nullable = false;
    for (key, value) in map {
        match key.as_str() {
            "type" => {
                out.insert(key, small(value));
            }
            "nullable" => nullable = value == Value::Bool(true),
            "propertyOrdering" | "property_ordering" => {}
            // Names of properties are no keywords.
            "properties" | "$defs" | "defs" => {
                let named = match value {
                    Value::Object(map) => {
                        map.into_iter().map(|(name, one)| (name, json_schema(one))).collect()
                    }
                    other => other,
                };
                out.insert(key, named);
            }
            "items" | "additionalProperties" => {
                out.insert(key, json_schema(value));
            }
            "anyOf" | "any_of" => {
                let list = match value {
                    Value::Array(list) => list.into_iter().map(json_schema).collect(),
                    other => other,
                };
                out.insert("anyOf".to_owned(), list);
            }
            _ => {
                out.insert(key, value);
            }
        }
    }
    if nullable && let Some(kind) = out.get_mut("type") {
        *kind = json!([kind.take(), "null"]);
    }
    out
}

fn small(kind: Value) -> Value {
    match kind {
        Value::String(kind) => Value::String(kind.to_ascii_lowercase()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_of_googles_becomes_json_schema() {
        let given = json!({
            "type": "OBJECT",
            "properties": {
                "type": {"type": "STRING", "nullable": true, "enum": ["A"]},
                "list": {"type": "ARRAY", "items": {"anyOf": [{"type": "INTEGER"}]}},
            },
            "propertyOrdering": ["type"],
            "required": ["type"],
        });
        let expected = json!({
            "type": "object",
            "properties": {
                "type": {"type": ["string", "null"], "enum": ["A"]},
                "list": {"type": "array", "items": {"anyOf": [{"type": "integer"}]}},
            },
            "required": ["type"],
        });
        assert_eq!(json_schema(given), expected);
        assert_eq!(json_schema(expected.clone()), expected);
    }
}
