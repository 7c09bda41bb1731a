//! `GET …/models` at the formats' own endpoints: what can be asked for, in the format's own shape. The
//! models of the path's own provider go by their bare names, all others as `PROVIDER/MODEL`.

use super::{catalogue::model_list, target::Target};
use crate::{
    api_error::{ApiError, Code},
    understood::Config,
};
use serde_json::Value;
use toft_llm::{
    answering::{
        WireFormat,
        listing::{self, Listed},
    },
    catalogue,
};

fn listed(config: &Config, target: &Target) -> Vec<Listed> {
    let own = catalogue::provider(&target.provider).map_or("", |spec| spec.id);
    let name = |provider: &str, id: &str| {
        if provider == own { id.to_owned() } else { format!("{provider}/{id}") }
    };
    let models = model_list(config).models.into_iter();
    models.map(|info| Listed { name: name(&info.provider, &info.id), info }).collect()
}

/// All of them.
pub(super) fn all(config: &Config, target: &Target, format: WireFormat) -> Value {
    listing::list(format, &listed(config, target))
}

/// One of them, also by its full name.
pub(super) fn one(
    config: &Config,
    target: &Target,
    format: WireFormat,
    name: &str,
) -> Result<Value, ApiError> {
    let models = listed(config, target);
    let full = |m: &Listed| format!("{}/{}", m.info.provider, m.info.id) == name;
    let model = models.iter().find(|m| m.name == name || full(m)).ok_or_else(|| {
        let message = format!("There is no model {name:?} in the list: read the list of models.");
        ApiError::new(Code::UnknownModel, message)
    })?;
    Ok(listing::one(format, model))
}
