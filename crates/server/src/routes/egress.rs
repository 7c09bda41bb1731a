//! `/v1/projects/{id}/egress`: what a machine may permitted, and the log of what it tried. Nothing here is
//! any use of the machine.

mod log;

pub(crate) use log::get as log;

use super::given::Given;
use crate::{
    api_error::ApiError,
    auth::caller::Caller,
    envelope::{Data, JsonBody},
    machines::egress::{self, Change, NewCeiling, Permitted},
    project::{Member, OfProject, Viewer},
    state::App,
};
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toft_model::machine::EgressName;
use toft_store::Role;

/// What to change; what is left out stays.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    level: Option<EgressName>,
    rules: Option<Vec<String>>,
    /// `null`: the server's.
    #[serde(default)]
    ceiling: Given<EgressName>,
}

impl Wish {
    /// What it means for a caller who may work in the project.
    pub(crate) fn by(self, caller: &Caller) -> Result<Change, ApiError> {
        let ceiling = match self.ceiling {
            Given::Left => NewCeiling::Kept,
            Given::Set(ceiling) => {
                caller.require(Role::Admin)?;
                ceiling.map_or(NewCeiling::Server, NewCeiling::Own)
            }
        };
        Ok(Change { level: self.level, rules: self.rules, ceiling, ..Change::default() })
    }
}

/// One more rule.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRule {
    rule: String,
}

/// What a machine may reach.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Egress")]
pub(crate) struct Shown {
    level: EgressName,
    /// Hosts, for the level `allow-list`.
    rules: Vec<String>,
    /// Whether nobody has set it.
    is_default: bool,
    /// The widest level that it may have.
    ceiling: EgressName,
    /// Whether that is the server's.
    ceiling_is_default: bool,
    /// The narrower one of both.
    in_force: EgressName,
    /// Whether all that it sends passes the gateway.
    enforced: bool,
    /// Open connections that this has ended.
    cut: usize,
}

fn shown(app: &App, permitted: &Permitted, cut: usize) -> Data<Shown> {
    Data(Shown {
        level: permitted.setting.level,
        rules: permitted.setting.rules.clone(),
        is_default: permitted.is_default,
        ceiling: permitted.ceiling,
        ceiling_is_default: permitted.ceiling_is_default,
        in_force: permitted.setting.level.min(permitted.ceiling),
        enforced: app.backend.can().egress,
        cut,
    })
}

/// `GET …/egress`.
pub(crate) async fn get(
    State(app): State<App>,
    OfProject { project, .. }: OfProject<Viewer>,
) -> Result<Data<Shown>, ApiError> {
    Ok(shown(&app, &egress::permitted(&app, &project.id).await?, 0))
}

/// `PUT …/egress`: in force at once.
pub(crate) async fn put(
    State(app): State<App>,
    OfProject { caller, machine, .. }: OfProject<Member>,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Data<Shown>, ApiError> {
    let (permitted, cut) = egress::set(&app, &machine, wish.by(&caller)?).await?;
    Ok(shown(&app, &permitted, cut))
}

/// `POST …/egress/rules`: one more, whatever others have added meanwhile.
pub(crate) async fn add_rule(
    State(app): State<App>,
    OfProject { machine, .. }: OfProject<Member>,
    JsonBody(new): JsonBody<NewRule>,
) -> Result<Data<Shown>, ApiError> {
    let change = Change { rule: Some(new.rule), ..Change::default() };
    let (permitted, cut) = egress::set(&app, &machine, change).await?;
    Ok(shown(&app, &permitted, cut))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};
    use toft_store::User;

    #[test]
    fn only_an_admin_sets_a_ceiling() {
        let caller = |role| Caller::Person {
            user: User {
                id: "u1".to_owned(),
                name: "Ann".to_owned(),
                email: "ann@example.org".to_owned(),
                role,
                has_password: false,
            },
            session: "s1".to_owned(),
        };
        let by = |body: Value, role| {
            let wish: Wish = serde_json::from_value(body).unwrap();
            wish.by(&caller(role)).map(|change| (change.level, change.ceiling))
        };
        let refused = |body| by(body, Role::Member).map_err(|e| e.code).unwrap_err();
        assert_eq!(refused(json!({"ceiling": "none"})), crate::api_error::Code::Forbidden);
        assert_eq!(refused(json!({"ceiling": null})), crate::api_error::Code::Forbidden);
        let level = json!({"level": "open"});
        assert_eq!(by(level, Role::Member).unwrap(), (Some(EgressName::Open), NewCeiling::Kept));
        let both = json!({"level": "open", "ceiling": "open"});
        let set = (Some(EgressName::Open), NewCeiling::Own(EgressName::Open));
        assert_eq!(by(both, Role::Admin).unwrap(), set);
        assert_eq!(by(json!({"ceiling": null}), Role::Admin).unwrap(), (None, NewCeiling::Server));
    }
}
