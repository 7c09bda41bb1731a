//! The environment and the file of models read together: who wins, and what is said of mistakes.

use super::*;

#[test]
fn the_environment_wins_over_the_file_and_both_say_what_is_wrong() {
    let of = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let file = KeysFile {
        path: "/k/keys.env".into(),
        values: of(&[("A_KEY", "of-file"), ("B_KEY", "two words"), ("C_KEY", " ")]),
    };
    let env = of(&[("A2_KEY", "of-env\n"), ("D_KEY", "a\nb")]);
    let values = Values::new(Given { env, file: Some(file), ..nothing() });
    let found = |names: &[&'static str]| {
        let found = values.find(names)?;
        Some(Found { name: names.iter().find(|name| **name == found.name)?, ..found })
    };
    let first = found(&["A_KEY", "A2_KEY"]).unwrap();
    assert_eq!((first.name, first.value.expose(), first.in_file), ("A2_KEY", "of-env", false));
    assert_eq!(values.problem(&first), None);
    let second = found(&["B_KEY"]).unwrap();
    let words = values.problem(&second).unwrap();
    assert!(words.contains("B_KEY in /k/keys.env is no key") && !words.contains("two words"));
    let words = values.problem(&found(&["D_KEY"]).unwrap()).unwrap();
    assert!(words.contains("D_KEY in the server's environment"), "{words}");
    assert!(found(&["C_KEY"]).is_none());
    // One that cannot be read changes nothing, the next one all.
    let mut later = values.clone();
    later.file_is_wrong("line 1".to_owned());
    assert_eq!(later.find(&["A_KEY"]).unwrap().value.expose(), "of-file");
    let values = of(&[("C_KEY", "new")]);
    later.take_file(Some(KeysFile { path: "/k/keys.env".into(), values }));
    assert!(later.find(&["A_KEY"]).is_none() && later.wrong().is_none());
    assert_eq!(later.find(&["C_KEY"]).unwrap().value.expose(), "new");
}

fn of(pairs: &[(&str, &str)]) -> Values {
    let env = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Values::new(Given { env, ..nothing() })
}

fn nothing() -> Given {
    let (env, file, variables) = (BTreeMap::new(), None, Arc::new(|_: &str| None));
    Given { env, file, variables, overlay: Ok(Overlay::default()), local_models: false }
}

#[test]
fn the_parts_of_an_accounts_key_are_one_key_and_one_of_the_services_own_wins() {
    let bedrock = Known::Listed(catalogue::provider("bedrock").unwrap());
    let access = ("AWS_ACCESS_KEY_ID", "AKID");
    let secret = ("AWS_SECRET_ACCESS_KEY", "se/cret+");
    let session = ("AWS_SESSION_TOKEN", "token==");
    for (env, want) in [
        (&[][..], None),
        (&[secret, session], None),
        (&[access, secret], Some("AKID:se/cret+")),
        (&[access, secret, session], Some("AKID:se/cret+:token==")),
        (&[access, secret, ("AWS_BEARER_TOKEN_BEDROCK", "ABSKx")], Some("ABSKx")),
        (&[access], None),
        (&[access, ("AWS_SECRET_ACCESS_KEY", "a:b")], None),
        (&[access, ("AWS_SECRET_ACCESS_KEY", "a b")], None),
    ] {
        let got = of(env).key(&bedrock);
        assert_eq!(got.as_ref().map(Secret::expose), want, "{env:?}");
    }
    let problem = of(&[access]).key_of(&bedrock).unwrap().problem.unwrap();
    assert!(problem.contains("AWS_SECRET_ACCESS_KEY beside it is not"), "{problem}");
    // Those of two places are not of one key.
    let file = KeysFile {
        path: "/k".into(),
        values: BTreeMap::from([(secret.0.to_owned(), secret.1.to_owned())]),
    };
    let env = BTreeMap::from([(access.0.to_owned(), access.1.to_owned())]);
    assert!(Values::new(Given { env, file: Some(file), ..nothing() }).key(&bedrock).is_none());
}

#[test]
fn what_goes_with_every_request_comes_from_its_variables() {
    let known = |id| Known::Listed(catalogue::provider(id).unwrap());
    let values = of(&[("OPENROUTER_APP_NAME", "Mine"), ("AWS_DEFAULT_REGION", "eu-west-1")]);
    let headers = BTreeMap::from([("x-title".to_owned(), "Mine".to_owned())]);
    assert_eq!(values.headers(&known("openrouter")), headers);
    assert!(values.headers(&known("openai")).is_empty());
    assert_eq!(values.region(&known("bedrock")).as_deref(), Some("eu-west-1"));
    assert_eq!(values.region(&known("openai")), None);
}

#[test]
fn servers_of_this_machine_are_there_where_somebody_said_so() {
    let ids = |values: &Values, set: Option<&str>| {
        let settings = set.map(|set| (LOCAL_MODELS.to_owned(), set.to_owned()));
        let all = values.providers(&settings.into_iter().collect());
        all.iter().filter(|k| k.is_local()).map(|k| k.id().to_owned()).collect::<Vec<_>>()
    };
    let all = ["ollama", "lmstudio", "vllm", "llamacpp"];
    assert!(ids(&of(&[]), None).is_empty() && ids(&of(&[]), Some("off")).is_empty());
    assert_eq!(ids(&of(&[]), Some("on")), all);
    let started = Values::new(Given { local_models: true, ..nothing() });
    assert_eq!(ids(&started, None), all);
    assert!(ids(&started, Some("off")).is_empty(), "Settings win");
    let named = of(&[("VLLM_BASE_URL", "http://10.0.0.5:8000/v1")]);
    assert_eq!(ids(&named, Some("off")), ["vllm"]);
    let vllm = named.provider("vllm").unwrap();
    assert_eq!(named.base_url(&vllm).unwrap().as_deref(), Some("http://10.0.0.5:8000/v1"));
}

#[test]
fn a_provider_of_the_file_of_models_has_its_key_from_the_variable_that_it_names() {
    let text = r#"{"providers":{"mine":{"api":"openai-completions","baseUrl":"http://h/v1",
        "apiKey":"$MINE_KEY","models":[{"id":"m"}]}}}"#;
    let variables: Variables = Arc::new(|name| (name == "MINE_KEY").then(|| "k-1".to_owned()));
    let overlay = Overlay::read(text).map_err(|e| e.to_string());
    let mut values = Values::new(Given { variables, overlay, ..nothing() });
    let mine = values.provider("mine").unwrap();
    assert_eq!(values.key(&mine).unwrap().expose(), "k-1");
    assert_eq!(values.base_url(&mine).unwrap().as_deref(), Some("http://h/v1"));
    assert!(!mine.wants_no_key() && values.providers(&HashMap::new()).len() > 1);
    values.take_overlay(Err("line 1".to_owned()));
    assert!(values.provider("mine").is_some() && values.overlay_wrong() == Some("line 1"));
    values.take_overlay(Ok(Overlay::default()));
    assert!(values.provider("mine").is_none() && values.overlay_wrong().is_none());
    assert!(values.find(&["MINE_KEY"]).is_none(), "nobody names it any more");
}

#[test]
fn sessions_get_what_people_chose_else_what_the_environment_names() {
    let check = |env: &[(&str, &str)], settings: &[(&str, &str)], want: Option<&str>| {
        let settings =
            settings.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let with_key = |id: &str| ["openai", "groq"].contains(&id);
        let got =
            of(env).default_model(&settings, with_key, with_key).map(|model| model.to_string());
        assert_eq!(got.as_deref(), want, "{env:?} {settings:?}");
    };
    let forced = ("AGENT_PROVIDER", "groq");
    let model = ("AGENT_MODEL", "m");
    check(&[], &[], Some("openai/gpt-5"));
    check(&[("OPENAI_MODEL", "gpt-4o")], &[], Some("openai/gpt-4o"));
    check(&[forced], &[], Some("groq/llama-3.3-70b-versatile"));
    check(&[forced, ("GROQ_MODEL", "g"), ("OPENAI_MODEL", "o")], &[], Some("groq/g"));
    check(&[forced, ("GROQ_MODEL", "g"), model], &[], Some("groq/m"));
    check(&[model], &[], Some("openai/m"));
    // One without a key, or that is none, is not asked.
    check(&[("AGENT_PROVIDER", "mistral")], &[], Some("openai/gpt-5"));
    check(&[("AGENT_PROVIDER", "nobody")], &[], Some("openai/gpt-5"));
    // Nor is its model asked of another one.
    check(&[("AGENT_PROVIDER", "mistral"), model], &[], Some("openai/gpt-5"));
    check(&[("AGENT_PROVIDER", "nobody"), model], &[], Some("openai/gpt-5"));
    check(
        &[forced, model],
        &[(DEFAULT_PROVIDER, "openai"), (DEFAULT_MODEL, "x")],
        Some("openai/x"),
    );
    // The environment's model is none of the provider that people chose.
    check(&[model], &[(DEFAULT_PROVIDER, "groq")], Some("groq/llama-3.3-70b-versatile"));
    check(&[forced, model], &[(DEFAULT_PROVIDER, "groq")], Some("groq/m"));
}

#[test]
fn an_address_is_the_one_that_was_given_or_is_filled_in() {
    let check = |env: &[(&str, &str)], id: &str, want: Option<&str>| {
        let got = of(env).base_url(&Known::Listed(catalogue::provider(id).unwrap()));
        assert_eq!(got.ok().flatten().as_deref(), want, "{env:?}");
    };
    check(&[], "openai", None);
    check(&[("OPENAI_BASE_URL", "http://h/v1")], "openai", Some("http://h/v1"));
    check(&[], "bedrock", Some("https://bedrock-runtime.us-east-1.amazonaws.com"));
    let region = ("AWS_REGION", "eu-west-1");
    check(&[region], "bedrock", Some("https://bedrock-runtime.eu-west-1.amazonaws.com"));
    let own = ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://h");
    check(&[region, own], "bedrock", Some("http://h"));
    check(&[], "azure", None);
    let resource = ("AZURE_OPENAI_RESOURCE_NAME", "mine");
    check(&[resource], "azure", Some("https://mine.openai.azure.com/openai/v1"));
    check(&[("AZURE_OPENAI_RESOURCE_NAME", "evil.example/")], "azure", None);
    // What is set and cannot be is said, and not that it is missing.
    let wrong = |env: &[(&str, &str)], id: &str| {
        of(env).base_url(&Known::Listed(catalogue::provider(id).unwrap())).unwrap_err()
    };
    let words = wrong(&[("AZURE_OPENAI_RESOURCE_NAME", "evil.example/")], "azure");
    assert!(words.contains("\"evil.example/\" is no resource"), "{words}");
    let words = wrong(&[("AWS_REGION", "eu wést")], "bedrock");
    assert!(words.contains("is no region") && words.contains("AWS_REGION"), "{words}");
}

#[test]
fn the_key_of_an_account_is_no_choice_of_who_is_asked() {
    let bedrock = Known::Listed(catalogue::provider("bedrock").unwrap());
    let account = [("AWS_ACCESS_KEY_ID", "AKID"), ("AWS_SECRET_ACCESS_KEY", "s")];
    let check = |more: &[(&str, &str)], only_if_named: bool, want: Option<&str>| {
        let values = of(&[&account[..], more].concat());
        assert_eq!(values.is_only_if_named(&bedrock), only_if_named, "{more:?}");
        let got = values.default_model(&HashMap::new(), |id| id == "bedrock", |_| !only_if_named);
        assert_eq!(got.map(|model| model.to_string()).as_deref(), want, "{more:?}");
    };
    let us = Some("bedrock/us.anthropic.claude-opus-4-6-v1");
    check(&[], true, None);
    check(&[("AGENT_PROVIDER", "bedrock")], true, us);
    check(
        &[("AGENT_PROVIDER", "aws"), ("AWS_REGION", "eu-west-1")],
        true,
        Some("bedrock/eu.anthropic.claude-opus-4-6-v1"),
    );
    check(&[("BEDROCK_MODEL", "m")], false, Some("bedrock/m"));
    check(&[("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://h")], false, us);
    check(&[("AWS_BEARER_TOKEN_BEDROCK", "ABSKx")], false, us);
}
