//! What a person calls a thing, as the one thing that is meant.

use crate::refused::Refused;
use anyhow::{Result, bail};
use serde_json::Value;

/// How things of one kind are told to a person.
pub(crate) struct Kind {
    /// One of them, for example `project`.
    pub(crate) one: &'static str,
    /// Which fields may name it, the most exact first.
    pub(crate) by: &'static [&'static str],
    /// Where they are listed.
    pub(crate) listed: &'static str,
}

/// A project.
pub(crate) const PROJECT: Kind = Kind {
    one: "project",
    by: &["id", "alias", "name"],
    listed: "`toft ps` lists them, `toft new` makes one",
};

/// A checkpoint of a project.
pub(crate) const CHECKPOINT: Kind = Kind {
    one: "checkpoint",
    by: &["id", "label"],
    listed: "`toft checkpoints PROJECT` lists them",
};

/// The id of the one that `given` names. A name that several have is refused and never guessed: what follows may be a
/// restore or a deletion.
pub(crate) fn pick(all: &[Value], given: &str, kind: &Kind) -> Result<String> {
    let Kind { one, by, listed } = kind;
    for field in *by {
        let ids: Vec<&str> = all
            .iter()
            .filter(|thing| thing[*field].as_str() == Some(given))
            .filter_map(|thing| thing["id"].as_str())
            .collect();
        match ids.as_slice() {
            [] => {}
            [id] => return Ok((*id).to_owned()),
            many => bail!(Refused {
                code: "conflict".to_owned(),
                message: format!(
                    "{} {one}s are called {given:?}: use one of the ids {}",
                    many.len(),
                    many.join(", ")
                ),
            }),
        }
    }
    bail!(Refused {
        code: "not_found".to_owned(),
        message: format!("there is no {one} {given:?}: {listed}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_id_comes_before_a_label_and_a_label_that_two_have_is_refused() {
        let all = [
            json!({"id": "a1", "label": "before"}),
            json!({"id": "b2", "label": "a1"}),
            json!({"id": "c3", "label": "twice"}),
            json!({"id": "d4", "label": "twice"}),
            json!({"id": "e5", "label": null}),
        ];
        let code = |given: &str| {
            let failed = pick(&all, given, &CHECKPOINT).unwrap_err();
            failed.downcast_ref::<Refused>().unwrap().code.clone()
        };
        assert_eq!(pick(&all, "a1", &CHECKPOINT).unwrap(), "a1");
        assert_eq!(pick(&all, "before", &CHECKPOINT).unwrap(), "a1");
        assert_eq!(code("twice"), "conflict");
        assert_eq!(code(""), "not_found");
        assert_eq!(code("null"), "not_found");
    }
}
