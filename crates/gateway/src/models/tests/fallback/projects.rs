//! What a project says itself, and chains for all models of a provider: whose holds.

use super::{CHAT, CLAUDE, Door, GPT, GROQ, House, Played, chat, claude, refuse};
use crate::testing::{ask, header, post, status};
use serde_json::json;
use toft_model::{machine::EgressLevel::Open, provider::Chains};

const MINI: &str = "openai/gpt-5-mini";

fn chains(all: &[(&str, &[&str])]) -> Chains {
    let of = |(name, others): &(&str, &[&str])| {
        ((*name).to_owned(), others.iter().map(ToString::to_string).collect())
    };
    all.iter().map(of).collect()
}

impl House {
    async fn sets(&mut self, of_all: &[(&str, &[&str])], own: &[(&str, &[&str])]) {
        self.config.fallbacks.chains = chains(of_all);
        let own = (self.door.project.clone(), chains(own));
        self.config.project_fallbacks = [own].into();
        self.bench.gateway.set_config(self.config.clone()).await.unwrap();
    }

    /// Who answers a program of a machine, or the status that it gets.
    async fn answers(&self, door: &Door, model: &str) -> String {
        let body = json!({"model": model, "messages": [{"role": "user", "content": "hi"}]});
        let (head, body) = ask(door.models, post(door, CHAT, &body.to_string())).await;
        let body = String::from_utf8(body).unwrap();
        match status(&head) {
            200 => header(&head, "x-toft-model").unwrap().to_owned(),
            // Whoever was asked in vain would be named.
            status => format!("{status} {}", body.contains("Asked in its place")),
        }
    }
}

#[tokio::test]
async fn a_project_has_chains_of_its_own_and_pays_for_who_answers() {
    let down = Played::start(refuse(503, "", "no room")).await;
    let (anthropic, groq) = (Played::start(claude()).await, Played::start(chat("m", false)).await);
    let providers = [
        ("openai", down.fake.url()),
        ("anthropic", anthropic.fake.url()),
        ("groq", groq.fake.url()),
    ];
    let mut house = House::start(&providers, &[]).await;
    let other = house.bench.machine(Open).await;

    house.sets(&[(GPT, &[GROQ])], &[("openai/*", &[CLAUDE]), (MINI, &[])]).await;
    // All models of the provider, where it says so: before what holds for all projects.
    assert_eq!(house.answers(&house.door, GPT).await, CLAUDE);
    let [refused, answered] = &house.records(2).await[..] else { panic!() };
    assert_eq!(refused.provider, "openai");
    assert_eq!(
        (&*answered.provider, answered.project.as_ref()),
        ("anthropic", Some(&house.door.project))
    );
    assert!(answered.reserved.is_some(), "of the project's own budget: {answered:?}");
    // 7 tokens in and 9 out, at Claude's prices: 1 and 5 dollars for a million.
    assert_eq!(answered.cost, Some(7_000 + 45_000));
    // A model's own chain before the provider's, be it that nobody is asked.
    assert_eq!(house.answers(&house.door, MINI).await, "503 false");
    // What another project says is its own business.
    assert_eq!(house.answers(&other, GPT).await, GROQ);
    assert_eq!(house.answers(&other, MINI).await, "503 false");

    house.sets(&[("openai/*", &[GROQ])], &[(GPT, &[CLAUDE])]).await;
    assert_eq!(house.answers(&house.door, GPT).await, CLAUDE);
    assert_eq!(house.answers(&house.door, MINI).await, GROQ);
    assert_eq!(house.answers(&other, GPT).await, GROQ);

    // Nobody, for all models of the provider, whatever holds for all projects.
    house.sets(&[(GPT, &[GROQ])], &[("openai/*", &[])]).await;
    assert_eq!(house.answers(&house.door, GPT).await, "503 false");
    assert_eq!(house.answers(&other, GPT).await, GROQ);
    house.bench.end().await;
}

#[tokio::test]
async fn only_who_has_a_key_stands_in() {
    let down = Played::start(refuse(503, "", "no room")).await;
    let groq = Played::start(chat("m", false)).await;
    let providers = [("openai", down.fake.url()), ("groq", groq.fake.url())];
    let mut house = House::start(&providers, &[]).await;
    house.sets(&[], &[(GPT, &[CLAUDE, "demo/app", GROQ])]).await;
    assert_eq!(house.answers(&house.door, GPT).await, GROQ);
    house.bench.end().await;
}
