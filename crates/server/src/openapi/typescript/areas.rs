//! Which schema lies in which file: with the one area whose operations name it, or with those of several.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Operations of one area of the documentation, and the schemas that only they name.
#[derive(Default)]
pub(super) struct Area<'a> {
    pub(super) schemas: BTreeMap<&'a str, &'a Value>,
    /// Method, path, and what is told.
    pub(super) operations: Vec<(String, &'a str, &'a Value)>,
}

/// Areas by name, and the schemas of several. What no operation names is of none.
pub(super) fn areas(document: &Value) -> (BTreeMap<&str, Area<'_>>, BTreeMap<&str, &Value>) {
    let mut areas: BTreeMap<&str, Area<'_>> = BTreeMap::new();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, told) in methods.as_object().into_iter().flatten() {
            let area = areas.entry(told["tags"][0].as_str().unwrap_or_default()).or_default();
            area.operations.push((method.to_uppercase(), path, told));
        }
    }
    let mut of: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (name, area) in &areas {
        let mut seen = BTreeSet::new();
        for (_, _, told) in &area.operations {
            reach(document, told, &mut seen);
        }
        for schema in seen {
            of.entry(schema).or_default().insert(name);
        }
    }
    let mut several = BTreeMap::new();
    for (schema, named) in of {
        let told = &document["components"]["schemas"][schema];
        match named.first().and_then(|name| areas.get_mut(name)) {
            Some(area) if named.len() == 1 => area.schemas.insert(schema, told),
            _ => several.insert(schema, told),
        };
    }
    (areas, several)
}

/// All schemas that something names, and those that they name.
fn reach<'a>(document: &'a Value, value: &'a Value, seen: &mut BTreeSet<&'a str>) {
    match value {
        Value::Array(all) => all.iter().for_each(|one| reach(document, one, seen)),
        Value::Object(fields) => {
            for (name, value) in fields {
                let target = value.as_str().and_then(|target| target.rsplit('/').next());
                match target {
                    Some(schema) if name == "$ref" => {
                        if seen.insert(schema) {
                            reach(document, &document["components"]["schemas"][schema], seen);
                        }
                    }
                    _ => reach(document, value, seen),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_two_areas_name_is_of_neither() {
        let names = |schema: &str| json!({"$ref": format!("#/components/schemas/{schema}")});
        let document = json!({
            "paths": {
                "/a": {"get": {"tags": ["A"], "responses": [names("Own")]}},
                "/b": {"get": {"tags": ["B"], "responses": [names("Both")]}},
            },
            "components": {"schemas": {
                "Own": {"items": [names("Both"), names("Own"), names("Inner")]},
                "Inner": {}, "Both": {"items": names("Below")}, "Below": {}, "Nobody": {},
            }},
        });
        let (areas, several) = areas(&document);
        let of = |area: &str| areas[area].schemas.keys().copied().collect::<Vec<_>>();
        assert_eq!(of("A"), ["Inner", "Own"]);
        assert!(of("B").is_empty());
        // What is of several names nothing that is of one.
        assert_eq!(several.into_keys().collect::<Vec<_>>(), ["Below", "Both"]);
    }
}
