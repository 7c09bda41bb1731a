//! The list of models: a file of sorted lines, in which a line is found by halving. Nothing of it is kept
//! in memory beside the file itself, which is a part of the program.

use super::ProviderSpec;
use std::cmp::Ordering;
use toft_model::provider::{Api, ModelInfo, Price, PriceAbove};

/// Made by `cargo xtask catalogue`, from models.dev (MIT licence); its head says what stands in a line.
const DATA: &str = include_str!("../../data/models.tsv");

/// One model.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    provider: &'static str,
    pub(super) id: &'static str,
    name: &'static str,
    context_window: u64,
    max_tokens: u64,
    abilities: &'static str,
    price: &'static str,
    above: &'static str,
}

impl Row {
    /// `None` for a line that is none of a model.
    fn of(line: &'static str) -> Option<Self> {
        let mut fields = line.split('\t');
        let mut next = || fields.next();
        Some(Self {
            provider: next()?,
            id: next()?,
            name: next()?,
            context_window: next()?.parse().ok()?,
            max_tokens: next()?.parse().ok()?,
            abilities: next()?,
            price: next()?,
            above: next()?,
        })
    }

    /// Whether an agent can work with it.
    pub(super) fn is_offered(&self) -> bool {
        self.abilities.contains('o')
    }

    /// What is not said costs what input does: those who say nothing of a cache ask for no other price.
    pub(super) fn price(&self) -> Option<Price> {
        let [input, output, cache_read, cache_write, reasoning] = numbers(self.price);
        let input = input?;
        let above = self.above.split_once(' ').and_then(|(tokens, prices)| {
            let [input, output, cache_read, cache_write] = numbers(prices);
            Some(PriceAbove {
                tokens: tokens.parse().ok()?,
                input: input?,
                output: output?,
                cache_read: cache_read.or(input)?,
                cache_write: cache_write.or(input)?,
            })
        });
        Some(Price {
            input,
            output: output?,
            cache_read: cache_read.unwrap_or(input),
            cache_write: cache_write.unwrap_or(input),
            reasoning,
            above,
        })
    }

    pub(super) fn info(&self, spec: &ProviderSpec) -> ModelInfo {
        let by_responses = self.abilities.contains('s');
        let responses =
            Some(Api::OpenaiResponses).filter(|api| by_responses && spec.path_in(*api).is_some());
        ModelInfo {
            provider: spec.id.to_owned(),
            id: self.id.to_owned(),
            name: self.name.to_owned(),
            api: responses.unwrap_or(spec.api),
            context_window: self.context_window,
            max_tokens: self.max_tokens,
            reasoning: self.abilities.contains('r'),
            images: self.abilities.contains('i'),
            price: self.price(),
            demo: false,
        }
    }
}

fn numbers<const N: usize>(text: &str) -> [Option<f64>; N] {
    let mut words = text.split(' ');
    std::array::from_fn(|_| words.next().and_then(|word| word.parse().ok()))
}

/// One model of a provider.
pub(super) fn row(provider: &str, id: &str) -> Option<Row> {
    let row = Row::of(DATA[lower_bound(provider, id)..].lines().next()?)?;
    (row.provider == provider && row.id == id).then_some(row)
}

/// All models of a provider, by id; none for one that the file does not know.
pub(super) fn rows(provider: &str) -> impl Iterator<Item = Row> {
    let lines = DATA[lower_bound(provider, "")..].lines();
    lines.map_while(Row::of).take_while(move |row| row.provider == provider)
}

/// Where the first line begins whose provider and id are not less.
fn lower_bound(provider: &str, id: &str) -> usize {
    let (mut low, mut high) = (0, DATA.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let begin =
            DATA.as_bytes()[..middle].iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
        let line = DATA[begin..].lines().next().unwrap_or_default();
        let mut fields = line.split('\t');
        let key = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        if key.cmp(&(provider, id)) == Ordering::Less {
            low = begin + line.len() + 1;
        } else {
            high = begin;
        }
    }
    low.min(DATA.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By reading all of it.
    fn all() -> Vec<Row> {
        let lines: Vec<&str> = DATA.lines().skip_while(|line| line.starts_with('#')).collect();
        let rows: Vec<Row> = lines.iter().filter_map(|line| Row::of(line)).collect();
        assert_eq!(rows.len(), lines.len(), "a line is none of a model");
        rows
    }

    #[test]
    fn the_file_is_sorted_and_every_line_of_it_is_found() {
        let all = all();
        assert!(all.len() > 500 && all.is_sorted_by_key(|row| (row.provider, row.id)));
        for one in &all {
            assert_eq!(row(one.provider, one.id).unwrap().name, one.name);
            assert!(row(one.provider, &format!("{} ", one.id)).is_none());
        }
        for spec in super::super::providers() {
            let of_all: Vec<&str> =
                all.iter().filter(|row| row.provider == spec.id).map(|row| row.id).collect();
            assert_eq!(rows(spec.id).map(|row| row.id).collect::<Vec<_>>(), of_all);
        }
        for (provider, id) in
            [("", ""), ("aaa", "x"), ("zzz", ""), ("#Made by", ""), ("zai", "zzz")]
        {
            assert!(row(provider, id).is_none(), "{provider} {id}");
        }
        assert_eq!((rows("").count(), rows("zzz").count(), rows("open").count()), (0, 0, 0));
    }

    #[test]
    fn what_is_offered_is_sane_and_every_provider_has_some() {
        for spec in super::super::providers() {
            let offered: Vec<Row> = rows(spec.id).filter(Row::is_offered).collect();
            assert!(!offered.is_empty(), "{} has no models", spec.id);
            for row in offered {
                assert!(row.context_window >= 16_000, "{}", row.id);
                assert!(row.max_tokens > 0 && row.max_tokens <= row.context_window, "{}", row.id);
            }
        }
    }

    #[test]
    fn prices_are_read_as_they_stand() {
        let price = |provider, id| row(provider, id).unwrap().price().unwrap();
        let sonnet = price("anthropic", "claude-sonnet-4-5");
        let (reasoning, above) = (None, None);
        let wanted = Price {
            input: 3.0,
            output: 15.0,
            cache_read: 0.3,
            cache_write: 3.75,
            reasoning,
            above,
        };
        assert_eq!(sonnet, wanted);
        let above = price("google", "gemini-2.5-pro").above.unwrap();
        assert_eq!((above.tokens, above.input, above.output), (200_000, 2.5, 15.0));
        assert_eq!((above.cache_read, above.cache_write), (0.25, 2.5));
        assert_eq!(price("openai", "gpt-5.4").above.unwrap().tokens, 272_000);
        assert_eq!(price("qwen", "qwen-plus").reasoning, Some(4.0));
        // What no agent is offered has a price all the same; what has none is not guessed.
        assert!(price("openai", "text-embedding-3-small").input > 0.0);
        let unpriced = all().into_iter().filter(|row| row.price.is_empty()).collect::<Vec<_>>();
        assert!(!unpriced.is_empty() && unpriced.iter().all(|row| row.price().is_none()));
    }

    #[test]
    fn models_that_only_openais_own_endpoint_serves_are_asked_there() {
        let api = |provider: &str, id: &str| super::super::model(provider, id).unwrap().api;
        assert_eq!(api("openai", "gpt-5-codex"), Api::OpenaiResponses);
        assert_eq!(api("openai", "gpt-5.4-2026-03-05"), Api::OpenaiResponses);
        assert_eq!(api("openai", "gpt-5"), Api::OpenaiCompletions);
    }
}
