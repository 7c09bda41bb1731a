//! Files that are taken, and files that are refused.

use super::*;

fn refused(text: &str, place: &str, part: &str) {
    let error = Overlay::read(text).unwrap_err();
    assert_eq!(error.place, place, "{error}");
    assert!(error.problem.contains(part), "{error}");
}

#[test]
fn the_file_wins_over_the_catalogue_and_adds_to_it() {
    let overlay = Overlay::read(
        r#"{"providers": {
            "claude": {"models": [
                {"id": "claude-opus-4-6", "contextWindow": 100000, "cost": null},
                {"id": "claude-opus-9", "name": "Opus 9", "maxTokens": 5000, "reasoning": true,
                 "input": ["text", "image"], "cost": {"input": 1, "output": 2,
                 "above": {"tokens": 7, "input": 3, "output": 4, "cacheRead": 5, "cacheWrite": 6}}}]},
            "mine": {"name": "My server", "api": "openai-completions", "baseUrl": "http://10.0.0.5:8000/v1/",
                "apiKey": "$MINE_API_KEY", "models": [{"id": "llama", "contextWindow": 8192}]}
        }}"#,
    )
    .unwrap();
    let old = model("anthropic", "claude-opus-4-6").unwrap();
    let got = overlay.model("anthropic", "claude-opus-4-6").unwrap();
    assert_eq!((got.context_window, got.max_tokens, got.price), (100_000, 100_000, None));
    assert_eq!((got.reasoning, got.name), (old.reasoning, old.name));
    let new = overlay.model("claude", "claude-opus-9").unwrap();
    assert_eq!(
        (&*new.name, new.max_tokens, new.reasoning, new.images),
        ("Opus 9", 5_000, true, true)
    );
    let price = new.price.unwrap();
    assert_eq!((price.input, price.cache_read, price.at(8).output), (1.0, 1.0, 4.0));
    let listed = overlay.models("anthropic");
    assert_eq!(listed.len(), models("anthropic").len() + 1);
    assert!(listed.is_sorted_by(|a, b| a.id < b.id));

    let mine = &overlay.providers()[0];
    assert_eq!(
        (&*mine.base_url, mine.key_env.as_deref()),
        ("http://10.0.0.5:8000/v1", Some("MINE_API_KEY"))
    );
    let llama = overlay.model("mine", "llama").unwrap();
    assert_eq!(
        (llama.api, llama.context_window, llama.price),
        (Api::OpenaiCompletions, 8_192, None)
    );
    assert_eq!(overlay.model("mine", "other").unwrap().id, "other");
    assert_eq!(overlay.models("mine").len(), 1);
    assert_eq!(overlay.model("nobody", "x"), None);
    // Without a file it is the catalogue.
    let none = Overlay::read(r#"{"providers": {}}"#).unwrap();
    assert_eq!(none.model("openai", "gpt-5"), model("openai", "gpt-5"));
    assert_eq!(none.models("groq"), models("groq"));
}

#[test]
fn only_what_it_tells_of_is_told() {
    let text = r#"{"providers": {"claude": {"models": [{"id": "claude-opus-4-6", "maxTokens": 9}, {"id": "a"}]},
        "mine": {"api": "openai-completions", "baseUrl": "http://h", "models": [{"id": "m"}]}}}"#;
    let overlay = Overlay::read(text).unwrap();
    let ids = |id: &str| overlay.told(id).into_iter().map(|m| m.id).collect::<Vec<_>>();
    assert_eq!(ids("anthropic"), ["a", "claude-opus-4-6"]);
    assert_eq!((ids("mine"), ids("openai")), (vec!["m".to_owned()], Vec::new()));
    assert_eq!((overlay.count(), overlay.told("anthropic")[1].max_tokens), (3, 9));
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    refused("", "the file", "EOF");
    refused("{}", "the file", "missing field `providers`");
    refused(r#"{"providers": {}} x"#, "the file", "trailing");
    refused(
        r#"{"providers": {"openai": {"model_s": []}}}"#,
        "providers.openai.model_s",
        "unknown field",
    );
    let model = |model: &str| {
        format!(r#"{{"providers": {{"openai": {{"models": [{{"id": "a"}}, {model}]}}}}}}"#)
    };
    let place = |field: &str| format!("providers.openai.models[1]{field}");
    refused(&model(r#"{"name": "x"}"#), &place(""), "missing field `id`");
    refused(&model(r#"{"id": "a"}"#), &place(""), "twice");
    refused(&model(r#"{"id": "b c"}"#), &place(".id"), "without spaces");
    refused(&model(r#"{"id": "b", "name": ""}"#), &place(".name"), "empty");
    refused(
        &model(r#"{"id": "b", "contextWindow": "many"}"#),
        &place(".contextWindow"),
        "invalid type",
    );
    refused(
        &model(r#"{"id": "b", "contextWindow": 0}"#),
        &place(".contextWindow"),
        "no number of tokens",
    );
    refused(
        &model(r#"{"id": "b", "contextWindow": 5, "maxTokens": 6}"#),
        &place(".maxTokens"),
        "does not fit",
    );
    refused(
        &model(r#"{"id": "b", "cost": {"input": 1}}"#),
        &place(".cost"),
        "missing field `output`",
    );
    refused(
        &model(r#"{"id": "b", "cost": {"input": -1, "output": 1}}"#),
        &place(".cost"),
        "dollars",
    );
    refused(&model(r#"{"id": "b", "input": ["smell"]}"#), &place(".input[0]"), "unknown variant");
    let mine = |fields: &str| format!(r#"{{"providers": {{"mine": {{{fields}}}}}}}"#);
    refused(&mine(""), "providers.mine", "give its `api`");
    refused(&mine(r#""api": "scripted""#), "providers.mine", "give its `api`");
    refused(&mine(r#""api": "soap""#), "providers.mine.api", "unknown variant");
    refused(&mine(r#""api": "openai-completions""#), "providers.mine", "give its `baseUrl`");
    for url in ["x", "ftp://h", "http://u:p@h", "http://h?a=b", "http://h#a", "http://"] {
        let fields = format!(r#""api": "openai-completions", "baseUrl": "{url}""#);
        refused(&mine(&fields), "providers.mine.baseUrl", "no address");
    }
    let fields = r#""api": "openai-completions", "baseUrl": "http://h", "apiKey": "sk-secret""#;
    refused(&mine(fields), "providers.mine.apiKey", "holds no keys");
    assert!(!Overlay::read(&mine(fields)).unwrap_err().to_string().contains("sk-secret"));
    refused(
        r#"{"providers": {"openai": {"baseUrl": "http://h"}}}"#,
        "providers.openai.baseUrl",
        "OPENAI_BASE_URL",
    );
    refused(r#"{"providers": {"a/b": {}}}"#, "providers.a/b", "cannot be");
    refused(r#"{"providers": {"..": {}}}"#, "providers...", "cannot be");
    refused(r#"{"providers": {"demo": {}}}"#, "providers.demo", "cannot be");
}
