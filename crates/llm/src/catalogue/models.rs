//! Reads the packed list of models, once, when it is first asked for.

use super::ProviderSpec;
use serde::Deserialize;
use std::{collections::BTreeMap, sync::OnceLock};
use toft_model::provider::{ModelInfo, Price};

/// The packed list; made from models.dev (MIT licence), see `source` in it.
const DATA: &str = include_str!("../../data/models.json");

#[derive(Deserialize)]
struct File {
    providers: BTreeMap<String, Vec<Packed>>,
}

/// id, name, context window, output tokens, flags, prices: see `columns` in the file.
#[derive(Deserialize)]
struct Packed(String, String, u64, u64, String, Option<[f64; 4]>);

/// One model.
pub(super) struct Row {
    pub(super) id: String,
    name: String,
    context_window: u64,
    max_tokens: u64,
    reasoning: bool,
    images: bool,
    price: Option<Price>,
}

impl Row {
    pub(super) fn price(&self) -> Option<Price> {
        self.price
    }

    pub(super) fn info(&self, spec: &ProviderSpec) -> ModelInfo {
        ModelInfo {
            provider: spec.id.to_owned(),
            id: self.id.clone(),
            name: self.name.clone(),
            api: spec.api,
            context_window: self.context_window,
            max_tokens: self.max_tokens,
            reasoning: self.reasoning,
            images: self.images,
            price: self.price,
            demo: false,
        }
    }
}

impl From<Packed> for Row {
    fn from(Packed(id, name, context_window, max_tokens, flags, price): Packed) -> Self {
        Self {
            id,
            name,
            context_window,
            max_tokens,
            reasoning: flags.contains('r'),
            images: flags.contains('i'),
            price: price.map(|[input, output, cache_read, cache_write]| Price {
                input,
                output,
                cache_read,
                cache_write,
            }),
        }
    }
}

/// Rows of a provider, by id; empty for one that the file does not know.
pub(super) fn rows(provider: &str) -> &'static [Row] {
    static ROWS: OnceLock<BTreeMap<String, Vec<Row>>> = OnceLock::new();
    let all = ROWS.get_or_init(|| {
        let file: File = serde_json::from_str(DATA).expect("the packed list is checked by a test");
        let unpack = |(id, rows): (String, Vec<Packed>)| {
            (id, rows.into_iter().map(Row::from).collect::<Vec<_>>())
        };
        file.providers.into_iter().map(unpack).collect()
    });
    all.get(provider).map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_packed_list_is_whole_and_sane() {
        for spec in super::super::providers() {
            let rows = super::rows(spec.id);
            assert!(!rows.is_empty(), "{} has no models", spec.id);
            for row in rows {
                assert!(row.context_window >= 16_000, "{}", row.id);
                assert!(row.max_tokens > 0 && row.max_tokens <= row.context_window, "{}", row.id);
            }
        }
    }
}
