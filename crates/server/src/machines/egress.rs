//! What a machine may reach: what is set, and telling the gateway so that it holds at once and whenever
//! it is given the machine again. What it means is judged by `toft_policy`, in the gateway.
//!
//! Only people set it. Nothing of it lies in the machine, and nothing inside can ask for it.

use super::{CHANGING, Machine};
use crate::{
    api_error::{ApiError, Code},
    state::App,
    tasks::finish,
};
use std::sync::Arc;
use toft_machine::backend::Running;
use toft_model::{
    id::ProjectId,
    machine::{EgressLevel, EgressSetting},
};
use toft_policy::{Egress, InvalidRule, egress::rule};

/// What a project has set, or the server's default; and whether it is the default.
pub(crate) async fn setting(app: &App, id: &ProjectId) -> Result<(EgressSetting, bool), ApiError> {
    let own = app.store.machine_settings(id).await?.egress;
    let is_default = own.is_none();
    Ok((own.unwrap_or_else(|| app.egress.clone()), is_default))
}

/// Gives the gateway a machine with what it may reach now.
pub(crate) async fn hand_over(app: &App, machine: &Machine, running: Running) {
    // Who sets it meanwhile comes after this, or before: never in between.
    let _turn = machine.egress_turn.lock().await;
    let level = match setting(app, &machine.id).await {
        Ok((setting, _)) => understood(setting.in_force()),
        Err(error) => {
            tracing::error!(project.id = %machine.id, error = error.message,
                "what the machine may reach cannot be read: it reaches nothing");
            EgressLevel::None
        }
    };
    app.gateway.add_machine(&*app.backend, &level, &machine.id, running).await;
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
    change: impl FnOnce(&mut EgressSetting) + Send + 'static,
) -> Result<(EgressSetting, usize), ApiError> {
    let (app2, machine) = (app.clone(), Arc::clone(machine));
    finish(&app.tasks, CHANGING, async move {
        let _turn = machine.egress_turn.lock().await;
        let (mut wanted, _) = setting(&app2, &machine.id).await?;
        change(&mut wanted);
        wanted.rules = plain(&wanted.rules)?;
        // First: a server that is killed in between puts it in force when it comes back.
        let now = app2.clock.now_ms();
        app2.store.put_egress(&machine.id, Some(&wanted), now).await?;
        let cut = app2.gateway.set_egress(&machine.id, wanted.in_force()).await.map_err(|error| {
            tracing::error!(project.id = %machine.id, %error, "the gateway did not take a level");
            ApiError::new(
                Code::MachineError,
                "it is kept for the next start, but the gateway did not take it for the machine that \
                 runs: try again, or stop the machine",
            )
        })?;
        Ok((wanted, cut))
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
