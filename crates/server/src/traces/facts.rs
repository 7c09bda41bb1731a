//! What spans say of models and tokens. Names of attributes are those of the OpenTelemetry GenAI
//! conventions; `toft.*` are ours.

use super::{content, span::Fact, told::name};
use toft_model::message::{AssistantMessage, StopReason, Usage};

pub(super) type Facts = Vec<(&'static str, Fact)>;

pub(super) fn titled(operation: &str, of: &str) -> String {
    if of.is_empty() { operation.to_owned() } else { format!("{operation} {of}") }
}

/// The conventions' name of a provider.
fn provider_name(id: &str) -> &str {
    match id {
        "google" => "gcp.gemini",
        "bedrock" => "aws.bedrock",
        "azure" => "azure.ai.openai",
        "mistral" => "mistral_ai",
        "xai" => "x_ai",
        // The others are called there as they are here, or have no name there.
        other => other,
    }
}

pub(super) fn answered_by(provider: &str, model: &str) -> Facts {
    vec![
        ("gen_ai.provider.name", Fact::from(provider_name(provider))),
        ("gen_ai.request.model", Fact::from(model)),
        ("gen_ai.response.model", Fact::from(model)),
    ]
}

pub(super) fn usage(of: &Usage) -> Facts {
    if of.total_tokens == 0 {
        return Vec::new();
    }
    // The convention counts what came from a cache and went into one among the input.
    let read = of.input.saturating_add(of.cache_read).saturating_add(of.cache_write);
    let mut facts = vec![
        ("gen_ai.usage.input_tokens", Fact::Count(read)),
        ("gen_ai.usage.output_tokens", Fact::Count(of.output)),
    ];
    for (name, count) in [
        ("gen_ai.usage.cache_read.input_tokens", Some(of.cache_read).filter(|n| *n > 0)),
        ("gen_ai.usage.cache_creation.input_tokens", Some(of.cache_write).filter(|n| *n > 0)),
        ("gen_ai.usage.reasoning.output_tokens", of.reasoning),
    ] {
        facts.extend(count.map(|n| (name, Fact::Count(n))));
    }
    facts.extend(of.cost.as_ref().map(|cost| ("toft.cost_usd", Fact::Amount(cost.total))));
    facts
}

pub(super) fn chat(answer: &AssistantMessage) -> Facts {
    let mut facts = vec![("gen_ai.operation.name", Fact::from("chat"))];
    facts.extend(answered_by(&name(&answer.provider), &name(&answer.model)));
    if let Some(reason) = content::finish_reason(answer.stop_reason) {
        facts.push(("gen_ai.response.finish_reasons", Fact::Texts(vec![reason.to_owned()])));
    }
    facts.extend(usage(&answer.usage));
    if answer.stop_reason == StopReason::Aborted {
        facts.push(("toft.aborted", Fact::Flag(true)));
    }
    facts
}
