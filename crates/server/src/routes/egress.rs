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
use serde::Deserialize;
use serde_json::{Value, json};
use toft_model::machine::EgressName;
use toft_store::Role;

/// What to change; what is left out stays.
#[derive(Deserialize)]
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
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRule {
    rule: String,
}

fn shown(app: &App, permitted: &Permitted, cut: usize) -> Data<Value> {
    Data(json!({
        "level": permitted.setting.level,
        "rules": permitted.setting.rules,
        "isDefault": permitted.is_default,
        "ceiling": permitted.ceiling,
        "ceilingIsDefault": permitted.ceiling_is_default,
        "inForce": permitted.setting.level.min(permitted.ceiling),
        "enforced": app.backend.can().egress,
        "cut": cut,
    }))
}

/// `GET …/egress`.
pub(crate) async fn get(
    State(app): State<App>,
    OfProject { project, .. }: OfProject<Viewer>,
) -> Result<Data<Value>, ApiError> {
    Ok(shown(&app, &egress::permitted(&app, &project.id).await?, 0))
}

/// `PUT …/egress`: in force at once.
pub(crate) async fn put(
    State(app): State<App>,
    OfProject { caller, machine, .. }: OfProject<Member>,
    JsonBody(wish): JsonBody<Wish>,
) -> Result<Data<Value>, ApiError> {
    let (permitted, cut) = egress::set(&app, &machine, wish.by(&caller)?).await?;
    Ok(shown(&app, &permitted, cut))
}

/// `POST …/egress/rules`: one more, whatever others have added meanwhile.
pub(crate) async fn add_rule(
    State(app): State<App>,
    OfProject { machine, .. }: OfProject<Member>,
    JsonBody(new): JsonBody<NewRule>,
) -> Result<Data<Value>, ApiError> {
    let change = Change { rule: Some(new.rule), ..Change::default() };
    let (permitted, cut) = egress::set(&app, &machine, change).await?;
    Ok(shown(&app, &permitted, cut))
}

#[cfg(test)]
mod tests {
    use super::*;
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
