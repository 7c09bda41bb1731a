//! What the server was given about providers: values of the environment, and of a file of keys, which the
//! environment wins over and which may change while it runs, as may the file of models. What people set
//! later is in the store.

use super::{DEFAULT_MODEL, DEFAULT_PROVIDER, known::Known};
use crate::config::{FORCED_MODEL, FORCED_PROVIDER, KeysFile, Variables};
use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
};
use toft_llm::catalogue::{self, Auth, ProviderSpec, local, overlay::Overlay};
use toft_model::provider::{DEMO_PROVIDER, ModelRef};
use toft_vault::Secret;

/// As the binary read it.
pub(crate) struct Given {
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) file: Option<KeysFile>,
    /// Of the environment, by names that the file of models has.
    pub(crate) variables: Variables,
    /// That file.
    pub(crate) overlay: Result<Overlay, String>,
    /// Whether servers of models of this machine are looked for, where Settings say nothing.
    pub(crate) local_models: bool,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Values {
    env: Arc<BTreeMap<String, Secret>>,
    file: Arc<BTreeMap<String, Secret>>,
    path: Option<PathBuf>,
    /// Why the file cannot be read as it is now; its values are those of before.
    wrong: Option<String>,
    variables: Variables,
    /// Those that the file of models names.
    named: Arc<BTreeMap<String, Secret>>,
    overlay: Arc<Overlay>,
    /// As `wrong`, of the file of models.
    overlay_wrong: Option<String>,
    local_models: bool,
}

/// A key as it was given.
pub(crate) struct GivenKey {
    /// The variable that holds it, or the first of several.
    pub(crate) name: String,
    /// What the gateway gets.
    pub(crate) key: Secret,
    /// Of the file, not of the environment.
    pub(crate) in_file: bool,
    /// Why it cannot be one, and where to correct it.
    pub(crate) problem: Option<String>,
    /// It is an account's, and is set for all that the account is used for: whoever has it set has not asked
    /// for this provider with that.
    pub(crate) of_account: bool,
}

/// Whether a switch is on.
fn is_on(set: &str) -> bool {
    matches!(set.trim().to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on")
}

/// One of them.
pub(crate) struct Found<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: &'a Secret,
    /// Of the file, not of the environment.
    pub(crate) in_file: bool,
}

impl Values {
    pub(crate) fn new(given: Given) -> Self {
        let mut values = Self {
            env: Arc::new(secrets(given.env)),
            file: Arc::default(),
            path: None,
            wrong: None,
            variables: given.variables,
            named: Arc::default(),
            overlay: Arc::default(),
            overlay_wrong: None,
            local_models: given.local_models,
        };
        values.take_file(given.file);
        values.take_overlay(given.overlay);
        values
    }

    /// With the file of models as it is now; one that cannot be read changes nothing.
    pub(crate) fn take_overlay(&mut self, overlay: Result<Overlay, String>) {
        match overlay {
            Ok(overlay) => {
                let names = overlay.providers().iter().filter_map(|own| own.key_env.clone());
                let values = names.filter_map(|name| Some(((self.variables)(&name)?, name)));
                self.named = Arc::new(secrets(values.map(|(value, name)| (name, value)).collect()));
                self.overlay = Arc::new(overlay);
                self.overlay_wrong = None;
            }
            Err(why) => self.overlay_wrong = Some(why),
        }
    }

    /// What the file of models says.
    pub(crate) fn overlay(&self) -> &Overlay {
        &self.overlay
    }

    /// Why it cannot be read.
    pub(crate) fn overlay_wrong(&self) -> Option<&str> {
        self.overlay_wrong.as_deref()
    }

    /// All providers that there are, in the order of choice. Servers of this machine are among them where
    /// they are looked for (`settings`, else the start of the server), or where their address was given.
    pub(crate) fn providers(&self, settings: &HashMap<String, String>) -> Vec<Known> {
        let looks = self.looks_for_local(settings);
        let given = |spec: &ProviderSpec| self.find(spec.base_url_env).is_some();
        let local = local::SERVERS.iter().filter(|server| looks || given(&server.spec));
        let listed = catalogue::providers().iter().map(Known::Listed);
        let own = self.overlay.providers().iter().cloned().map(Known::Own);
        listed.chain(local.map(Known::Local)).chain(own).collect()
    }

    /// Whether servers of this machine are looked for.
    pub(crate) fn looks_for_local(&self, settings: &HashMap<String, String>) -> bool {
        settings.get(LOCAL_MODELS).map_or(self.local_models, |set| set == "on")
    }

    /// One of all that may be, by its id or another name.
    pub(crate) fn provider(&self, id: &str) -> Option<Known> {
        if let Some(server) = local::LocalServer::named(id) {
            return Some(Known::Local(server));
        }
        let own = || self.overlay.providers().iter().find(|own| own.id == id).cloned();
        catalogue::provider(id).map(Known::Listed).or_else(|| own().map(Known::Own))
    }

    /// With the file as it is now; `None`: there is none.
    pub(crate) fn take_file(&mut self, file: Option<KeysFile>) {
        let (values, path) = file.map_or_else(Default::default, |f| (f.values, Some(f.path)));
        self.file = Arc::new(secrets(values));
        self.path = path;
        self.wrong = None;
    }

    /// The file cannot be read as it is now.
    pub(crate) fn file_is_wrong(&mut self, why: String) {
        self.wrong = Some(why);
    }

    /// Why not.
    pub(crate) fn wrong(&self) -> Option<&str> {
        self.wrong.as_deref()
    }

    /// The first of these names that has a value.
    pub(crate) fn find<'a>(&'a self, names: &[&'a str]) -> Option<Found<'a>> {
        let of = |values: &BTreeMap<String, Secret>| {
            names.iter().find(|name| values.contains_key(**name)).copied()
        };
        for values in [&self.env, &self.named] {
            if let Some(name) = of(values) {
                return Some(Found { name, value: &values[name], in_file: false });
            }
        }
        let name = of(&self.file)?;
        Some(Found { name, value: &self.file[name], in_file: true })
    }

    /// The value of the first of these names that has one; none that is a key.
    pub(crate) fn text(&self, names: &[&'static str]) -> Option<String> {
        self.find(names).map(|found| found.value.expose().to_owned())
    }

    /// The key of a provider, whatever may be wrong with it.
    pub(crate) fn key_of(&self, known: &Known) -> Option<GivenKey> {
        let Some(found) = self.find(&known.key_env()) else {
            return self.account_key(known.spec()?);
        };
        let problem = self.problem(&found);
        let (name, key, in_file) = (found.name.to_owned(), found.value.clone(), found.in_file);
        Some(GivenKey { name, key, in_file, problem, of_account: false })
    }

    /// The key of an account, whose parts have variables of their own, as one: `ACCESS:SECRET[:SESSION]`.
    fn account_key(&self, spec: &ProviderSpec) -> Option<GivenKey> {
        let Auth::Aws(names) = spec.auth else { return None };
        let access = self.find(names.access_key_env)?;
        let of_same = |names| self.find(names).filter(|found| found.in_file == access.in_file);
        let secret = of_same(names.secret_key_env);
        let session = of_same(names.session_token_env);
        let mut problem = secret.is_none().then(|| {
            let one_of = names.secret_key_env.join(" or ");
            format!("{} is set, and {one_of} beside it is not. Set both", access.name)
        });
        let mut parts = Vec::new();
        for part in [Some(&access), secret.as_ref(), session.as_ref()].into_iter().flatten() {
            problem = problem.or_else(|| self.problem(part));
            if part.value.expose().contains(':') {
                problem = problem
                    .or_else(|| Some(format!("{} is no key: it has a `:` in it", part.name)));
            }
            parts.push(part.value.expose());
        }
        let (name, in_file) = (access.name.to_owned(), access.in_file);
        let key = Secret::new(parts.join(":"));
        Some(GivenKey { name, key, in_file, problem, of_account: true })
    }

    /// The key of a provider, if it can be one.
    pub(crate) fn key(&self, known: &Known) -> Option<Secret> {
        self.key_of(known).filter(|given| given.problem.is_none()).map(|given| given.key)
    }

    /// Whether all that was given of a provider is a key for other work: then it is asked only where somebody
    /// names it. A model or an address of it in the environment does.
    pub(crate) fn is_only_if_named(&self, known: &Known) -> bool {
        let model_env = known.spec().map_or(&[][..], |spec| spec.model_env);
        let named = [model_env, known.base_url_env()].iter().any(|env| self.find(env).is_some());
        !named && self.key_of(known).is_some_and(|key| key.of_account)
    }

    /// Says in the log which keys and addresses cannot be any, and what is wrong with the file of models.
    pub(crate) fn warn(&self) {
        for known in self.providers(&HashMap::new()) {
            let Some(key) = self.key_of(&known) else { continue };
            let problems = [key.problem, self.base_url(&known).err()];
            for problem in problems.into_iter().flatten() {
                tracing::warn!(provider = known.id(), "{problem}");
            }
        }
        if let Some(named) = self.text(&[FORCED_PROVIDER])
            && named != DEMO_PROVIDER
            && self.provider(&named).is_none()
        {
            tracing::warn!(
                provider = named,
                "{FORCED_PROVIDER} names a provider that there is not"
            );
        }
        if let Some(wrong) = self.overlay_wrong() {
            tracing::warn!("{wrong}");
        }
    }

    /// The region that signatures are for.
    pub(crate) fn region(&self, known: &Known) -> Option<String> {
        let part = known.spec()?.url_parts.iter().find(|part| part.name == "region")?;
        self.text(part.env)
    }

    /// Headers that go with every request.
    pub(crate) fn headers(&self, known: &Known) -> BTreeMap<String, String> {
        let named = known.spec().map_or(&[][..], |spec| spec.header_env);
        let value = |(name, variable): &(&'static str, &'static str)| {
            Some(((*name).to_owned(), self.text(&[*variable])?))
        };
        named.iter().filter_map(value).collect()
    }

    /// Why a key cannot be one, and where to correct it.
    pub(crate) fn problem(&self, found: &Found<'_>) -> Option<String> {
        if is_plain(found.value.expose()) {
            return None;
        }
        let name = found.name;
        let (place, then) = match self.path().filter(|_| found.in_file) {
            Some(path) => (path, ", which is read again then"),
            None => ("the server's environment".to_owned(), " and start the server again"),
        };
        Some(format!(
            "{name} in {place} is no key: it has a line break, a space or another sign in it that no key \
             has. Correct it there{then}, or set the key here"
        ))
    }

    /// What the server was given in place of the catalogue's, or what fills it in; or why nothing can.
    pub(crate) fn base_url(&self, known: &Known) -> Result<Option<String>, String> {
        let spec = match known {
            Known::Own(own) => return Ok(Some(own.base_url.clone())),
            Known::Listed(spec) => *spec,
            Known::Local(server) => &server.spec,
        };
        let value = |names: &[&'static str]| self.text(names);
        match value(spec.base_url_env) {
            Some(own) => Ok(Some(own)),
            None if let Some((name, other)) = spec.base_url_switch
                && value(&[name]).is_some_and(|set| is_on(&set)) =>
            {
                Ok(Some(other.to_owned()))
            }
            None => Ok(Some(spec.base_url_with(value)?).filter(|url| url != spec.base_url)),
        }
    }

    /// What people chose; else what the environment names, for the provider that it names or the first
    /// one that `is_first`, of those with a key.
    pub(crate) fn default_model(
        &self,
        settings: &HashMap<String, String>,
        with_key: impl Fn(&str) -> bool,
        is_first: impl Fn(&str) -> bool,
    ) -> Option<ModelRef> {
        let forced_model = || self.text(&[FORCED_MODEL]);
        let model_of = |provider: &str, forced: Option<String>| {
            Some(self.model_with(&self.provider(provider)?, forced))
        };
        let forced = self.forced();
        let chosen = settings.get(DEFAULT_PROVIDER).cloned();
        match (chosen, settings.get(DEFAULT_MODEL).cloned()) {
            (Some(provider), Some(id)) => Some(ModelRef { provider, id }),
            (Some(provider), None) if provider == DEMO_PROVIDER => {
                let id = catalogue::models(DEMO_PROVIDER).into_iter().next()?.id;
                Some(ModelRef { provider, id })
            }
            (Some(provider), None) => {
                // The environment's model is of the environment's provider.
                let same = forced.is_some_and(|known| known.id() == provider);
                let id = model_of(&provider, forced_model().filter(|_| same))?;
                Some(ModelRef { provider, id })
            }
            (None, _) => {
                let first = || {
                    let mut all = catalogue::providers().iter();
                    all.find(|spec| with_key(spec.id) && is_first(spec.id)).map(Known::Listed)
                };
                let named = forced.filter(|known| {
                    let there = with_key(known.id());
                    if !there {
                        tracing::warn!(
                            provider = known.id(),
                            "{FORCED_PROVIDER} names a provider without a key: another one is asked"
                        );
                    }
                    there
                });
                let known = named.or_else(first)?;
                // The environment's model is of the provider that it names, if it names one.
                let same = self.text(&[FORCED_PROVIDER]).is_none_or(|name| {
                    self.provider(&name).is_some_and(|named| named.id() == known.id())
                });
                let id = model_of(known.id(), forced_model().filter(|_| same))?;
                Some(ModelRef { provider: known.id().to_owned(), id })
            }
        }
    }

    /// The provider that is named for work for which nobody chose one.
    pub(crate) fn forced(&self) -> Option<Known> {
        self.text(&[FORCED_PROVIDER]).and_then(|id| self.provider(&id))
    }

    /// The model of a provider that somebody names without one. Empty: its first, which the gateway knows.
    pub(crate) fn model_of(&self, known: &Known) -> String {
        let forced = self.forced();
        let same = forced.is_some_and(|forced| forced.id() == known.id());
        self.model_with(known, self.text(&[FORCED_MODEL]).filter(|_| same))
    }

    fn model_with(&self, known: &Known, forced: Option<String>) -> String {
        let spec = known.spec();
        let named = forced.or_else(|| self.text(spec?.model_env));
        named.unwrap_or_else(|| {
            let region = self.region(known);
            spec.map_or("", |spec| spec.default_model_in(region.as_deref())).to_owned()
        })
    }

    /// Where the file is, if there is one.
    pub(crate) fn path(&self) -> Option<String> {
        self.path.as_ref().map(|path| path.display().to_string())
    }
}

/// The setting that has servers of this machine looked for: `on` or `off`.
pub(crate) const LOCAL_MODELS: &str = "local_models";

fn secrets(values: BTreeMap<String, String>) -> BTreeMap<String, Secret> {
    let some = values.into_iter().filter(|(_, value)| !value.trim().is_empty());
    some.map(|(name, value)| (name, Secret::new(value.trim()))).collect()
}

/// Longest key: Google's service account keys are the longest known, below 3 KiB.
pub(crate) const KEY_BYTES_MAX: usize = 8 << 10;

/// Whether a text can be a key.
pub(crate) fn is_plain(text: &str) -> bool {
    (1..=KEY_BYTES_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

#[cfg(test)]
mod tests;
