//! What a JSON Schema says, for people: a line for each field, and an example. Not how it is drawn.

use serde_json::{Map, Value, json};

/// Fields of fields of fields: deeper ones have their names only.
const LEVELS: usize = 3;

/// A field.
pub(super) struct Row {
    pub(super) level: usize,
    pub(super) name: String,
    pub(super) required: bool,
    pub(super) kind: String,
    pub(super) words: String,
}

/// The schema that a reference means.
fn follow<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema["$ref"].as_str().and_then(|target| target.strip_prefix('#'));
    target.and_then(|target| document.pointer(target)).unwrap_or(schema)
}

/// Of a choice with nothing, the something.
fn some<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let schema = follow(document, schema);
    let Some(ways) = schema["anyOf"].as_array() else { return schema };
    let mut rest = ways.iter().filter(|way| way["type"] != "null");
    match (rest.next(), rest.next()) {
        (Some(one), None) => follow(document, one),
        _ => schema,
    }
}

/// The fields of an object, or of the objects of a list.
pub(super) fn rows(document: &Value, schema: &Value) -> Vec<Row> {
    let mut out = Vec::new();
    add(&mut out, document, schema, 0);
    out
}

fn add(out: &mut Vec<Row>, document: &Value, schema: &Value, level: usize) {
    let mut schema = some(document, schema);
    if !schema["items"].is_null() {
        schema = some(document, &schema["items"]);
    }
    for way in ["anyOf", "oneOf"].iter().filter_map(|way| schema[*way].as_array()).flatten() {
        add(out, document, way, level);
    }
    let required = schema["required"].as_array();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let own = field["description"].as_str();
        let words = own.or_else(|| follow(document, field)["description"].as_str());
        out.push(Row {
            level,
            name: name.clone(),
            required: required.is_some_and(|all| all.contains(&json!(name))),
            kind: words_of(document, field),
            words: words.unwrap_or_default().to_owned(),
        });
        if level + 1 < LEVELS {
            add(out, document, field, level + 1);
        }
    }
}

/// What kind of value it is, in a few words.
pub(super) fn words_of(document: &Value, schema: &Value) -> String {
    let schema = follow(document, schema);
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> = values.iter().map(Value::to_string).collect();
        return values.join(" or ");
    }
    for way in ["anyOf", "oneOf"] {
        if let Some(ways) = schema[way].as_array() {
            let mut kinds: Vec<String> = ways.iter().map(|way| words_of(document, way)).collect();
            kinds.dedup();
            return kinds.join(" or ");
        }
    }
    match &schema["type"] {
        Value::String(kind) if kind == "array" => {
            format!("list of {}", words_of(document, &schema["items"]))
        }
        Value::String(kind) if kind == "string" => "text".to_owned(),
        Value::String(kind) => kind.clone(),
        Value::Array(kinds) => {
            let kinds: Vec<String> = kinds
                .iter()
                .map(|kind| words_of(document, &json!({"type": kind, "items": schema["items"]})))
                .collect();
            kinds.join(" or ")
        }
        _ => "anything".to_owned(),
    }
}

/// A value that fits: what is required, or the first field where nothing is.
pub(super) fn example(document: &Value, schema: &Value) -> Value {
    let schema = some(document, schema);
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
        return first.clone();
    }
    for way in ["anyOf", "oneOf"] {
        if let Some(first) = schema[way].as_array().and_then(|ways| ways.first()) {
            return example(document, first);
        }
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.first().and_then(Value::as_str),
        kind => kind.as_str(),
    };
    match kind {
        Some("object") => object(document, schema),
        Some("array") => json!([example(document, &schema["items"])]),
        Some("integer" | "number") => {
            json!(schema["minimum"].as_u64().unwrap_or(1).max(1))
        }
        Some("boolean") => json!(true),
        Some("string") => json!("…"),
        _ => Value::Null,
    }
}

fn object(document: &Value, schema: &Value) -> Value {
    let fields: Vec<(&String, &Value)> =
        schema["properties"].as_object().into_iter().flatten().collect();
    let required = schema["required"].as_array();
    let is_required = |name: &str| required.is_some_and(|all| all.iter().any(|one| one == name));
    let mut chosen: Vec<_> = fields.iter().filter(|(name, _)| is_required(name)).collect();
    if chosen.is_empty() {
        chosen = fields.iter().take(1).collect();
    }
    let fields: Map<String, Value> = chosen
        .into_iter()
        .map(|(name, field)| ((*name).clone(), example(document, field)))
        .collect();
    Value::Object(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_told_through_references_and_lists() {
        let document = json!({"components": {"schemas": {"One": {
            "type": "object", "properties": {"id": {"type": "string", "description": "Which."}}, "required": ["id"],
        }}}});
        let schema = json!({"type": "object", "properties": {
            "all": {"type": "array", "items": {"$ref": "#/components/schemas/One"}},
            "next": {"anyOf": [{"$ref": "#/components/schemas/One"}, {"type": "null"}]},
        }});
        let told: Vec<(usize, String, String)> = rows(&document, &schema)
            .into_iter()
            .map(|row| (row.level, row.name, row.kind))
            .collect();
        let row = |level, name: &str, kind: &str| (level, name.to_owned(), kind.to_owned());
        let want = [
            row(0, "all", "list of object"),
            row(1, "id", "text"),
            row(0, "next", "object or null"),
            row(1, "id", "text"),
        ];
        assert_eq!(told, want);
        assert_eq!(example(&document, &schema), json!({"all": [{"id": "…"}]}));
    }
}
