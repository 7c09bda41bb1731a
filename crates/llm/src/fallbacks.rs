//! Which models may stand in for which: names are understood as people write them, and told as the gateway
//! looks them up. Who is asked when is the gateway's.

use crate::catalogue;
use toft_model::provider::{ALL_MODELS, Chains, DEMO_PROVIDER, Fallbacks, ModelInfo, ModelRef};

/// Bytes of a model's name.
const NAME_BYTES_MAX: usize = 200;

/// The own id of the provider that has a name, if there is one.
pub type Named<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The catalogue's providers, and servers of one's own machine.
pub fn catalogued(name: &str) -> Option<String> {
    catalogue::provider(name).map(|spec| spec.id.to_owned())
}

/// Those, and whatever may be a provider's id: for where nobody knows yet what people have added.
pub fn any(name: &str) -> Option<String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let may_be = name != DEMO_PROVIDER && !name.is_empty() && name.bytes().all(plain);
    catalogued(name).or_else(|| may_be.then(|| name.to_owned()))
}

/// A model's own name, `PROVIDER/MODEL`; or what is wrong with the text.
fn name(text: &str, named: Named<'_>) -> Result<String, String> {
    let model = understood(text, named)?;
    if model.id == ALL_MODELS {
        return Err(format!("{model} names no model: what stands in is one model, PROVIDER/MODEL"));
    }
    Ok(model.to_string())
}

/// What has a chain: a model, or with `PROVIDER/*` all models of a provider.
pub fn key(text: &str, named: Named<'_>) -> Result<String, String> {
    Ok(understood(text, named)?.to_string())
}

fn understood(text: &str, named: Named<'_>) -> Result<ModelRef, String> {
    let wrong = || {
        format!(
            "{text:?} is no model: write PROVIDER/MODEL, with a provider of the list and its own name of \
             the model"
        )
    };
    let model = ModelRef::named(text.trim()).ok_or_else(wrong)?;
    // The script is none: a person who waits for an answer must not get a play.
    let provider = named(&model.provider).ok_or_else(wrong)?;
    let plain = model.id.len() <= NAME_BYTES_MAX && model.id.bytes().all(|b| b.is_ascii_graphic());
    if !plain {
        return Err(wrong());
    }
    if model.id != ALL_MODELS && model.id.contains(ALL_MODELS) {
        return Err(format!(
            "{text:?} is no pattern: {provider}/{ALL_MODELS} stands for all models of {provider}, and \
             there is no other"
        ));
    }
    Ok(ModelRef { provider, ..model })
}

/// Those that stand in for a model, or for all of a provider, by their own names.
pub fn chain(
    of: &str,
    others: &[String],
    named: Named<'_>,
) -> Result<(String, Vec<String>), String> {
    let of = understood(of, named)?;
    let mut names: Vec<String> = Vec::new();
    for other in others {
        let other = name(other, named)?;
        if of.id == ALL_MODELS && other.starts_with(&format!("{}/", of.provider)) {
            return Err(format!(
                "{other} is itself one of {of}: name models of other providers, or give the models \
                 that it is to stand in for a chain each"
            ));
        }
        if other == of.to_string() {
            return Err(format!(
                "{other} cannot stand in for itself: leave it out of its own chain"
            ));
        }
        if names.contains(&other) {
            return Err(format!("{other} stands twice in what is asked for {of}: once is enough"));
        }
        names.push(other);
    }
    if names.len() > Fallbacks::CHAIN_MAX {
        let most = Fallbacks::CHAIN_MAX;
        return Err(format!("{of} has more than {most} models to stand in for it: take some out"));
    }
    Ok((of.to_string(), names))
}

/// All chains. Nobody's chain is followed on from another's, so two models may stand in for each other.
pub fn chains(all: &Chains, named: Named<'_>) -> Result<Chains, String> {
    if all.len() > Fallbacks::CHAINS_MAX {
        let most = Fallbacks::CHAINS_MAX;
        return Err(format!(
            "more than {most} models have others to stand in for them: take some out, or say it for all \
             models of a provider with PROVIDER/{ALL_MODELS}"
        ));
    }
    let mut understood = Chains::new();
    for (of, others) in all {
        let (of, others) = chain(of, others, named)?;
        if understood.contains_key(&of) {
            return Err(format!("{of} has two chains, by two names of its provider: keep one"));
        }
        understood.insert(of, others);
    }
    Ok(understood)
}

/// Those of some chains that are not among the models of their providers: new ones, or misspelt.
pub fn unlisted(chains: &Chains, models: impl Fn(&str) -> Vec<ModelInfo>) -> Vec<String> {
    let names = chains.iter().flat_map(|(of, others)| others.iter().chain([of]));
    let mut unlisted: Vec<String> =
        names.filter(|name| !is_listed(name, &models)).cloned().collect();
    unlisted.sort();
    unlisted.dedup();
    unlisted
}

/// One of a day's date counts as the one that it is of.
fn is_listed(name: &str, models: impl Fn(&str) -> Vec<ModelInfo>) -> bool {
    let Some(model) = ModelRef::named(name) else { return false };
    let of = |listed: &str| {
        model.id.strip_prefix(listed).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    model.id == ALL_MODELS || models(&model.provider).iter().any(|one| of(&one.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(model: &str, others: &[&str], expected: Result<(&str, &[&str]), &str>) {
        let others: Vec<String> = others.iter().map(ToString::to_string).collect();
        match (chain(model, &others, &catalogued), expected) {
            (Ok((name, names)), Ok((want, wanted))) => {
                assert_eq!((&*name, names.len()), (want, wanted.len()));
                assert!(names.iter().zip(wanted).all(|(a, b)| a == b), "{names:?}");
            }
            (Err(words), Err(part)) => assert!(words.contains(part), "{words}"),
            (got, _) => panic!("{model}: {got:?}"),
        }
    }

    #[test]
    fn chains_are_of_models_that_can_be_asked() {
        check(
            "claude/x",
            &["openai/y", "gemini/z"],
            Ok(("anthropic/x", &["openai/y", "google/z"])),
        );
        check(" openai/a/b ", &[], Ok(("openai/a/b", &[])));
        for bad in ["x", "/x", "openai/", "nobody/x", "demo/app", "openai/a b", "openai/é"] {
            check(bad, &[], Err("PROVIDER/MODEL"));
            check("openai/x", &[bad], Err("PROVIDER/MODEL"));
        }
        check("openai/x", &["openai/x"], Err("itself"));
        check("openai/x", &["groq/y", "groq/y"], Err("twice"));
        let many: Vec<String> = (0..9).map(|n| format!("groq/{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        check("openai/x", &many, Err("more than 8"));
    }

    #[test]
    fn one_chain_may_be_for_all_models_of_a_provider() {
        check("claude/*", &["openai/y"], Ok(("anthropic/*", &["openai/y"])));
        check("claude/*", &["anthropic/x"], Err("one of anthropic/*"));
        check("openai/x", &["claude/*"], Err("names no model"));
        for bad in ["openai/gpt-*", "openai/**", "openai/*/x"] {
            check(bad, &["groq/y"], Err("there is no other"));
        }
        check("*/x", &["groq/y"], Err("PROVIDER/MODEL"));
        let two = ["claude/x", "anthropic/x"].map(|name| (name.to_owned(), Vec::new()));
        assert!(chains(&two.into(), &catalogued).unwrap_err().contains("two chains"));
    }

    #[test]
    fn what_people_have_added_may_stand_in_too() {
        let named = |name: &str| catalogued(name).or((name == "mine").then(|| name.to_owned()));
        let others = ["mine/llama:8b".to_owned()];
        let (of, names) = chain("claude/*", &others, &named).unwrap();
        assert_eq!((&*of, &*names), ("anthropic/*", &others[..]));
        assert_eq!(key("mine/*", &named).unwrap(), "mine/*");
        assert!(chain("claude/*", &["yours/x".to_owned()], &named).is_err());
        // Before anybody knows who was added.
        assert_eq!(key("yours/x", &any).unwrap(), "yours/x");
        for bad in ["demo/x", "a b/x", "/x", "é/x"] {
            assert!(key(bad, &any).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_that_nobody_lists_are_found() {
        let others = vec!["openai/gpt-5".to_owned(), "openai/gtp-5".to_owned()];
        let all = [("anthropic/*".to_owned(), others)].into();
        assert_eq!(unlisted(&all, catalogue::models), ["openai/gtp-5"]);
    }
}
