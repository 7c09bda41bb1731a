//! Makes the catalogue of models (`crates/llm/data/models.tsv`) from what models.dev publishes: its
//! `api.json`, as it is or packed with gzip. What a column means stands at the head of the file.
//!
//! All models of the providers below are there, so that what a program calls has its price. Offered to
//! agents are those with tools, text and enough room for a prompt, that still serve and that are asked by
//! the name and in the format that we have for them.

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use std::{collections::BTreeMap, fmt::Write as _, fs, io::Read as _, path::Path};

/// Our id of a provider, theirs, and words of models that our adapters have no use for.
const PROVIDERS: &[(&str, &str, &[&str])] = &[
    ("anthropic", "anthropic", &[]),
    ("azure", "azure", OPENAI_OTHERS),
    ("bedrock", "amazon-bedrock", &[]),
    ("cerebras", "cerebras", &[]),
    ("cohere", "cohere", &[]),
    ("deepseek", "deepseek", &[]),
    ("fireworks", "fireworks-ai", &[]),
    ("google", "google", &["image", "tts", "embedding", "live", "customtools"]),
    ("groq", "groq", &["whisper", "guard", "orpheus", "compound"]),
    ("huggingface", "huggingface", &[]),
    ("kimi", "moonshotai", &[]),
    ("minimax", "minimax", &[]),
    ("mistral", "mistral", &["embed"]),
    ("nvidia", "nvidia", &[]),
    ("openai", "openai", OPENAI_OTHERS),
    ("openrouter", "openrouter", &[]),
    ("qwen", "alibaba", &["livetranslate", "realtime", "asr", "mt-", "ocr", "character"]),
    ("together", "togetherai", &[]),
    ("vercel", "vercel", &[]),
    ("xai", "xai", &["multi-agent", "image", "video"]),
    ("xiaomi", "xiaomi", &[]),
    ("zai", "zai", &[]),
];

const OPENAI_OTHERS: &[&str] = &[
    "deep-research",
    "image",
    "embedding",
    "o1-preview",
    "o1-mini",
    "o1-pro",
    "o3-pro",
    "chat-latest",
    "router",
];

/// Resold models, by the hundred: the old ones are left out.
const RESELLERS: [&str; 2] = ["openrouter", "vercel"];
const RESOLD_SINCE: &str = "2025-02";
const RESOLD_ANYWAY: [&str; 2] = ["openai/gpt-4o-mini", "openai/gpt-4o"];

/// With less room an agent's prompt and a file do not fit.
const CONTEXT_MIN: u64 = 16_000;

/// Bytes of the unpacked list at most; it has 2.3 MB now.
const BYTES_MAX: u64 = 64 << 20;

/// Prices are kept to a millionth of a dollar.
const PRICE_SCALE: f64 = 1e6;

type Catalogue = BTreeMap<String, Provider>;

#[derive(Deserialize)]
struct Provider {
    models: BTreeMap<String, Model>,
}

#[derive(Deserialize)]
struct Model {
    name: String,
    #[serde(default)]
    reasoning: bool,
    #[serde(default)]
    tool_call: bool,
    #[serde(default)]
    release_date: String,
    /// `alpha`, `beta` or `deprecated`; most have none.
    #[serde(default)]
    status: String,
    /// What differs from how the provider's other models are asked.
    provider: Option<Own>,
    modalities: Modalities,
    limit: Limit,
    cost: Option<Cost>,
}

#[derive(Deserialize)]
struct Own {
    /// Another address.
    #[serde(default)]
    api: String,
    /// Another library, which speaks another format.
    #[serde(default)]
    npm: String,
}

#[derive(Deserialize)]
struct Modalities {
    input: Vec<String>,
    output: Vec<String>,
}

#[derive(Deserialize)]
struct Limit {
    context: u64,
    #[serde(default)]
    output: u64,
}

#[derive(Deserialize, Clone, Default)]
struct Cost {
    input: Option<f64>,
    output: Option<f64>,
    cache_read: Option<f64>,
    cache_write: Option<f64>,
    reasoning: Option<f64>,
    #[serde(default)]
    tiers: Vec<Tier>,
}

#[derive(Deserialize, Clone)]
struct Tier {
    input: f64,
    output: f64,
    cache_read: Option<f64>,
    cache_write: Option<f64>,
    #[serde(rename = "tier")]
    bound: Bound,
}

#[derive(Deserialize, Clone)]
struct Bound {
    #[serde(rename = "type")]
    kind: String,
    size: u64,
}

/// Writes the file. `source`: where the list is from and of when.
pub(crate) fn run(root: &Path, from: &Path, source: &str) -> Result<()> {
    let packed = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
    let json = unpacked(&packed).with_context(|| format!("unpacking {}", from.display()))?;
    let list: Catalogue = serde_json::from_slice(&json)
        .with_context(|| format!("{} is no list of models.dev", from.display()))?;
    let text = write(&list, source)?;
    let to = root.join("crates/llm/data/models.tsv");
    fs::write(&to, text).with_context(|| format!("writing {}", to.display()))
}

fn unpacked(bytes: &[u8]) -> Result<Vec<u8>> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes.to_vec());
    }
    let mut out = Vec::new();
    flate2::read::GzDecoder::new(bytes).take(BYTES_MAX).read_to_end(&mut out)?;
    Ok(out)
}

fn write(list: &Catalogue, source: &str) -> Result<String> {
    ensure!(!source.contains(['\n', '\t']), "the source is one line");
    let mut lines = Vec::new();
    for (ours, theirs, others) in PROVIDERS {
        let provider =
            list.get(*theirs).with_context(|| format!("the list has no provider {theirs}"))?;
        for (id, model) in &provider.models {
            if model.limit.context == 0 || is_old(ours, id, model) {
                continue;
            }
            let has_profile = || {
                let bare = format!(".{id}");
                *ours == "bedrock" && provider.models.keys().any(|other| other.ends_with(&bare))
            };
            let line = line(ours, id, model, others, has_profile());
            let plain = line.matches('\t').count() == 7 && !line.contains(['\n', '\r']);
            ensure!(plain, "{theirs}/{id} has a tab or a line break in its name");
            lines.push(line);
        }
    }
    // By provider and id: a tab comes before all that a name may have.
    lines.sort_unstable();
    let mut out = format!(
        "#Made by `cargo xtask catalogue` from {source}. MIT licence, Copyright (c) 2025 models.dev.\n\
         #Columns: provider, id, name, tokens in its context, tokens of output, abilities, price, price above.\n\
         #Abilities: i images in, o offered to agents, r thinks, s by OpenAI's responses, t tools.\n\
         #Prices in US dollars per million tokens: input, output, cache read, cache write, thinking; `-` unsaid.\n\
         #Price above: a prompt of more tokens than the first number has the others: input, output, cache.\n"
    );
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(out)
}

fn is_old(provider: &str, id: &str, model: &Model) -> bool {
    RESELLERS.contains(&provider)
        && &*model.release_date < RESOLD_SINCE
        && !RESOLD_ANYWAY.contains(&id)
}

/// Whether it is asked at the address and in the format of its provider's other models.
fn is_asked_as_others(provider: &str, id: &str, model: &Model) -> bool {
    // OpenAI's own dialect is not that of whatever else is deployed there.
    let is_openais = ["gpt-", "o1", "o3", "o4", "codex-"].iter().any(|begin| id.starts_with(begin));
    // Both of OpenAI's formats are ours for its own models.
    let others = |own: &Own| {
        !own.api.is_empty() || !(own.npm.is_empty() || own.npm.starts_with("@ai-sdk/openai"))
    };
    (provider != "azure" || is_openais)
        // Resellers name a library for each maker, and are asked in one format all the same.
        && (RESELLERS.contains(&provider) || !model.provider.as_ref().is_some_and(others))
}

/// `has_profile`: it is refused by this name, and asked by that of a profile (Amazon).
fn line(provider: &str, id: &str, model: &Model, others: &[&str], has_profile: bool) -> String {
    let Limit { context, output } = model.limit;
    let cost = model.cost.clone().unwrap_or_default();
    let has = |kinds: &[String], kind: &str| kinds.iter().any(|k| k == kind);
    let offered = model.tool_call
        && has(&model.modalities.output, "text")
        && context >= CONTEXT_MIN
        && output > 0
        && model.status != "deprecated"
        && !has_profile
        && is_asked_as_others(provider, id, model)
        && !others.iter().any(|word| id.contains(word));
    let abilities: String = [
        ('i', has(&model.modalities.input, "image")),
        ('o', offered),
        ('r', model.reasoning),
        ('s', matches!(provider, "openai" | "azure") && speaks_responses(id)),
        ('t', model.tool_call),
    ]
    .into_iter()
    .filter_map(|(letter, has)| has.then_some(letter))
    .collect();
    let output = output.clamp(1, context);
    let (price, above) = (price(&cost), above(&cost));
    format!("{provider}\t{id}\t{}\t{context}\t{output}\t{abilities}\t{price}\t{above}", model.name)
}

/// What OpenAI serves at that endpoint only, or with thinking and tools together only there.
fn speaks_responses(id: &str) -> bool {
    let minor = || id.strip_prefix("gpt-5.")?.split('-').next()?.parse::<u32>().ok();
    id.contains("codex") || id.ends_with("-pro") || minor().is_some_and(|minor| minor >= 4)
}

/// Empty where it is not known. Two zeros stand for plans that are paid otherwise.
fn price(cost: &Cost) -> String {
    let (Some(input), Some(output)) = (cost.input, cost.output) else { return String::new() };
    if input + output == 0.0 {
        return String::new();
    }
    let all = [Some(input), Some(output), cost.cache_read, cost.cache_write, cost.reasoning];
    all.map(number).join(" ")
}

/// Of several bounds the lowest: above it a call costs no less than that.
fn above(cost: &Cost) -> String {
    let tiers = cost.tiers.iter().filter(|tier| tier.bound.kind == "context");
    let Some(tier) = tiers.min_by_key(|tier| tier.bound.size) else { return String::new() };
    let all = [Some(tier.input), Some(tier.output), tier.cache_read, tier.cache_write];
    format!("{} {}", tier.bound.size, all.map(number).join(" "))
}

fn number(dollars: Option<f64>) -> String {
    dollars
        .map_or_else(|| "-".to_owned(), |d| ((d * PRICE_SCALE).round() / PRICE_SCALE).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(json: &str) -> Model {
        serde_json::from_str(json).unwrap()
    }

    const GROK: &str = r#"{"name":"Grok 4.3","reasoning":true,"tool_call":true,"release_date":"2026-04-17",
        "modalities":{"input":["text","image"],"output":["text"]},"limit":{"context":1000000,"output":30000},
        "cost":{"input":1.25,"output":2.5,"cache_read":0.2,"tiers":[{"input":2.5,"output":5,
        "cache_read":0.4,"tier":{"type":"context","size":200000}}]}}"#;

    #[test]
    fn a_line_says_what_the_list_does() {
        assert_eq!(
            line("xai", "grok-4.3", &model(GROK), &[], false),
            "xai\tgrok-4.3\tGrok 4.3\t1000000\t30000\tiort\t1.25 2.5 0.2 - -\t200000 2.5 5 0.4 -"
        );
        assert!(line("xai", "grok-4.3", &model(GROK), &["4.3"], false).contains("\tirt\t"));
        let odd = GROK
            .replace("1.25", "0.049999999999999996")
            .replace("\"output\":2.5", "\"output\":2e-7");
        assert!(line("xai", "g", &model(&odd), &[], false).contains("\t0.05 0 0.2 - -\t"));
        for unpriced in [r#""input":0,"output":0"#, r#""output":2"#, ""] {
            let cost = format!(
                "{}{{{unpriced}}}}}",
                GROK.split_once("\"cost\":").map(|(a, _)| format!("{a}\"cost\":")).unwrap()
            );
            assert!(
                line("xai", "g", &model(&cost), &[], false).ends_with("\tiort\t\t"),
                "{unpriced}"
            );
        }
    }

    #[test]
    fn what_cannot_be_asked_is_not_offered() {
        let check = |provider: &str, id: &str, json: &str, has_profile, expected: bool| {
            let line = line(provider, id, &model(json), &[], has_profile);
            assert_eq!(line.split('\t').nth(5).unwrap().contains('o'), expected, "{line}");
        };
        let with = |more: &str| GROK.replacen('{', &format!("{{{more},"), 1);
        check("xai", "grok", GROK, false, true);
        check("xai", "grok", &with(r#""status":"deprecated""#), false, false);
        check("xai", "grok", &with(r#""status":"beta""#), false, true);
        check("azure", "gpt-5", GROK, false, true);
        for id in ["claude-opus-4-6", "kimi-k2.6", "llama-4", "deepseek-r1"] {
            check("azure", id, GROK, false, false);
        }
        let other = with(r#""provider":{"npm":"@ai-sdk/anthropic"}"#);
        check("fireworks", "x", &other, false, false);
        check("vercel", "x", &other, false, true);
        check(
            "fireworks",
            "x",
            &with(r#""provider":{"npm":"@ai-sdk/openai-compatible"}"#),
            false,
            true,
        );
        check("fireworks", "x", &with(r#""provider":{"api":"https://elsewhere"}"#), false, false);
        check("bedrock", "anthropic.claude-x", GROK, true, false);
    }

    #[test]
    fn openais_own_endpoint_is_known_by_the_name() {
        for (id, expected) in [
            ("gpt-5", false),
            ("gpt-5.2", false),
            ("gpt-5.4", true),
            ("gpt-5.4-mini-2026", true),
            ("gpt-5-codex", true),
            ("o3-pro", true),
            ("o3", false),
        ] {
            assert_eq!(speaks_responses(id), expected, "{id}");
        }
    }

    #[test]
    fn the_file_is_sorted_and_a_name_cannot_break_it() {
        let mut list: Catalogue = PROVIDERS
            .iter()
            .map(|(_, theirs, _)| ((*theirs).to_owned(), Provider { models: BTreeMap::new() }))
            .collect();
        for id in ["b", "a-1", "a", "a.1"] {
            list.get_mut("xai").unwrap().models.insert(id.to_owned(), model(GROK));
        }
        let text = write(&list, "a test").unwrap();
        let ids: Vec<&str> = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.split('\t').nth(1).unwrap())
            .collect();
        assert_eq!(ids, ["a", "a-1", "a.1", "b"]);
        list.get_mut("xai").unwrap().models.insert("x\ty".to_owned(), model(GROK));
        assert!(write(&list, "a test").unwrap_err().to_string().contains("xai/x\ty"));
        list.remove("xai");
        assert!(write(&list, "a test").unwrap_err().to_string().contains("no provider xai"));
    }
}
