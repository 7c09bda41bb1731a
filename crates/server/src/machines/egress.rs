//! What a machine may reach: what is set, and telling the gateway so that it holds at once and whenever
//! it is given the machine again. What it means is judged by `toft_policy`, in the gateway.
//!
//! A project has a level, its own or the server's default, and a ceiling, its own or the server's, to which a
//! wider level yields. Only people set them, and only admins a ceiling. Nothing of it lies in the machine, and nothing inside can ask for it.

use super::{CHANGING, Machine};
use crate::{
    api_error::{ApiError, Code},
    secrets::brokered,
    state::App,
    tasks::finish,
};
use std::sync::Arc;
use toft_gateway::Brokered;
use toft_gateway::control::protocol::LISTENERS_PER_MACHINE;
use toft_machine::{DIRECT, backend::Running};
use toft_model::{
    id::ProjectId,
    machine::{Ability, EgressCeiling, EgressLevel, EgressName, EgressSetting},
};
use toft_policy::{Egress, InvalidRule, egress::rule};
use toft_store::MachineSettings;

/// What a machine may reach, and by whose word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Permitted {
    /// What is set, also where the ceiling narrows it.
    pub(crate) setting: EgressSetting,
    /// The project has set nothing: that is the server's.
    pub(crate) is_default: bool,
    /// The widest level that the project may have.
    pub(crate) ceiling: EgressName,
    /// That is the server's.
    pub(crate) ceiling_is_default: bool,
}

impl Permitted {
    fn of(app: &App, own: &MachineSettings) -> Self {
        Self {
            setting: own.egress.clone().unwrap_or_else(|| app.egress.clone()),
            is_default: own.egress.is_none(),
            ceiling: ceiling(app, own),
            ceiling_is_default: own.ceiling.is_none(),
        }
    }

    /// What holds.
    pub(crate) fn in_force(&self) -> EgressLevel {
        understood(self.setting.in_force(self.ceiling))
    }
}

/// What is to change; what is not given stays.
#[derive(Debug, Default)]
pub(crate) struct Change {
    pub(crate) level: Option<EgressName>,
    pub(crate) rules: Option<Vec<String>>,
    /// One more.
    pub(crate) rule: Option<String>,
    /// Whether the caller may is asked before.
    pub(crate) ceiling: NewCeiling,
}

/// What becomes of a project's ceiling.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum NewCeiling {
    /// It stays.
    #[default]
    Kept,
    /// The server's counts.
    Server,
    /// This one does.
    Own(EgressName),
}

impl Change {
    fn apply(self, app: &App, own: &mut MachineSettings) -> Result<(), ApiError> {
        match self.ceiling {
            NewCeiling::Kept => {}
            NewCeiling::Server => own.ceiling = None,
            NewCeiling::Own(level) => own.ceiling = Some(EgressCeiling { level, inherited: false }),
        }
        if let Some(level) = self.level {
            below(ceiling(app, own), level)?;
        }
        if self.level.is_none() && self.rules.is_none() && self.rule.is_none() {
            return Ok(());
        }
        let setting = own.egress.get_or_insert_with(|| app.egress.clone());
        setting.level = self.level.unwrap_or(setting.level);
        if let Some(rules) = self.rules {
            setting.rules = rules;
        }
        setting.rules.extend(self.rule);
        setting.rules = plain(&setting.rules)?;
        Ok(())
    }
}

fn ceiling(app: &App, own: &MachineSettings) -> EgressName {
    own.ceiling.map_or(app.egress_ceiling, |own| own.beside(app.egress_ceiling))
}

/// Refuses a level that is wider than the ceiling, whoever asks: it is raised first, by those who may.
fn below(ceiling: EgressName, level: EgressName) -> Result<(), ApiError> {
    if level <= ceiling {
        return Ok(());
    }
    let word = |level| serde_json::json!(level).as_str().unwrap_or_default().to_owned();
    Err(ApiError::new(
        Code::EgressCeiling,
        format!(
            "the egress level {level} is wider than this project's ceiling, {ceiling}: an admin may raise \
             it for the project (PUT …/egress with `ceiling`, or `toft egress PROJECT --ceiling \
             {level}`), and who runs the server for all (`toft up --egress-ceiling`)",
            level = word(level),
            ceiling = word(ceiling),
        ),
    ))
}

/// Of a project.
pub(crate) async fn permitted(app: &App, id: &ProjectId) -> Result<Permitted, ApiError> {
    Ok(Permitted::of(app, &app.store.machine_settings(id).await?))
}

/// What a project is made with.
pub(crate) fn first(app: &App, change: Change) -> Result<MachineSettings, ApiError> {
    let mut own = MachineSettings::default();
    change.apply(app, &mut own)?;
    Ok(own)
}

/// Gives the gateway a machine with what it may reach now.
pub(crate) async fn hand_over(app: &App, machine: &Machine, running: Running) {
    machine.set_proxy_only(running.gateway_listeners.len() <= LISTENERS_PER_MACHINE);
    // Who sets it meanwhile comes after this, or before: never in between.
    let _turn = machine.egress_turn.lock().await;
    let level = match permitted(app, &machine.id).await {
        Ok(permitted) => permitted.in_force(),
        Err(error) => {
            tracing::error!(project.id = %machine.id, error = error.message,
                "what the machine may reach cannot be read: it reaches nothing");
            EgressLevel::None
        }
    };
    let brokered = match brokered::of(app, &machine.id).await {
        Ok(brokered) => brokered,
        Err(error) => {
            tracing::error!(project.id = %machine.id, error = error.message,
                "what is brokered for the machine cannot be read: nothing is");
            Brokered::default()
        }
    };
    brokered::note(machine, &brokered);
    let reach = toft_gateway::Reach { egress: level, brokered };
    app.gateway.add_machine(&*app.backend, reach, &machine.id, running).await;
}

/// The abilities of the host as those of a machine that runs: its network is what it was when it started.
pub(crate) fn abilities_of(machine: &Machine, mut of_host: Vec<Ability>) -> Vec<Ability> {
    let direct = of_host.iter_mut().find(|one| one.name == DIRECT && one.enforced);
    if let Some(direct) = direct.filter(|_| machine.runs() && machine.proxy_only()) {
        let how = "this machine was started by an earlier version: its programs reach hosts only by \
                   HTTP_PROXY and HTTPS_PROXY";
        *direct = Ability {
            name: DIRECT.to_owned(),
            enforced: false,
            how: how.to_owned(),
            remedy: Some("Stop the machine and start it again.".to_owned()),
        };
    }
    of_host
}

/// The same level; nothing at all where its rules are not understood (an earlier version took more).
fn understood(level: EgressLevel) -> EgressLevel {
    match Egress::new(&level) {
        Ok(_) => level,
        Err(error) => {
            tracing::warn!(%error, "this allow-list is not understood: the machine reaches nothing");
            EgressLevel::None
        }
    }
}

/// Changes what a machine may reach: at once, and for every later start. Answers what holds now and how
/// many open connections that ends.
pub(crate) async fn set(
    app: &App,
    machine: &Arc<Machine>,
    change: Change,
) -> Result<(Permitted, usize), ApiError> {
    let (app2, machine) = (app.clone(), Arc::clone(machine));
    finish(&app.tasks, CHANGING, async move {
        let _turn = machine.egress_turn.lock().await;
        let before = app2.store.machine_settings(&machine.id).await?;
        let mut own = before.clone();
        change.apply(&app2, &mut own)?;
        // First: a server that is killed in between puts it in force when it comes back.
        let now = app2.clock.now_ms();
        if own.ceiling != before.ceiling {
            app2.store.put_egress_ceiling(&machine.id, own.ceiling.as_ref(), now).await?;
        }
        if own.egress != before.egress {
            app2.store.put_egress(&machine.id, own.egress.as_ref(), now).await?;
        }
        let permitted = Permitted::of(&app2, &own);
        let cut = app2.gateway.set_egress(&machine.id, permitted.in_force()).await.map_err(|error| {
            tracing::error!(project.id = %machine.id, %error, "the gateway did not take a level");
            ApiError::new(
                Code::MachineError,
                "it is kept for the next start, but the gateway did not take it for the machine that \
                 runs: try again, or stop the machine",
            )
        })?;
        Ok((permitted, cut))
    })
    .await
}

/// Rules as they are understood, each once. The first one that is not is named.
pub(crate) fn plain(rules: &[String]) -> Result<Vec<String>, ApiError> {
    let refused = |error: InvalidRule| ApiError::invalid(error.to_string());
    let mut plain: Vec<String> = Vec::with_capacity(rules.len());
    for text in rules {
        let text = rule(text.trim()).map_err(refused)?;
        if !plain.contains(&text) {
            plain.push(text);
        }
    }
    Egress::new(&EgressLevel::AllowList(plain.clone())).map_err(refused)?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_of_an_earlier_version_does_not_claim_a_way_that_it_has_not() {
        use toft_model::machine::MachineState;
        let machine = Machine::new(ProjectId::random(), MachineState::Running, None);
        let host = |enforced| {
            let of = |name: &str| Ability {
                name: name.to_owned(),
                enforced,
                how: "somehow".to_owned(),
                remedy: None,
            };
            vec![of("freezer"), of(DIRECT)]
        };
        assert_eq!(abilities_of(&machine, host(true)), host(true));
        machine.set_proxy_only(true);
        let shown = abilities_of(&machine, host(true));
        assert_eq!((&shown[0], shown[1].enforced), (&host(true)[0], false));
        assert!(shown[1].remedy.as_deref().unwrap().contains("start it again"));
        assert_eq!(abilities_of(&machine, host(false)), host(false), "the host's own reason stays");
        machine.view().state = MachineState::Cold;
        assert_eq!(abilities_of(&machine, host(true)), host(true), "its next start has it");
    }

    #[test]
    fn rules_are_kept_as_they_are_understood_and_each_once() {
        let texts = |rules: &[&str]| rules.iter().map(ToString::to_string).collect::<Vec<_>>();
        let kept =
            plain(&texts(&["Example.COM", " *.Pkg.test:443 ", "example.com", "[::ffff:1.1.1.1]"]));
        assert_eq!(kept.unwrap(), ["example.com", "*.pkg.test:443", "1.1.1.1"]);
        for wrong in ["https://a.test", "localhost", "10.0.0.1", "", "*"] {
            let said = plain(&texts(&["fine.test", wrong])).unwrap_err();
            assert_eq!(said.code, Code::InvalidArgument);
            assert!(said.message.contains(&format!("{wrong:?}")), "{}", said.message);
        }
        assert_eq!(understood(EgressLevel::AllowList(texts(&["*"]))), EgressLevel::None);
        assert_eq!(understood(EgressLevel::Open), EgressLevel::Open);
    }
}
