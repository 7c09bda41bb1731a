//! Skills of a project, and what is wrong with others.

use super::session::answer;
use crate::{answer::Failure, runtime::AgentRuntime};
use axum::{extract::State, http::StatusCode, response::Response};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) async fn list(State(runtime): State<Arc<AgentRuntime>>) -> Response {
    let skills = Arc::clone(&runtime.around().skills);
    let found = tokio::task::spawn_blocking(move || skills.find()).await;
    let result = found.map_err(|_| {
        Failure::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "the skills could not be looked for",
        )
    });
    let result = result.map(|found| {
        let skills = found.skills.iter().map(|skill| {
            json!({
                "name": skill.name,
                "description": skill.description,
                "path": skill.path,
                "source": if skill.of_project { "project" } else { "home" },
                "disableModelInvocation": skill.only_people,
            })
        });
        let faults = found.faults.iter();
        let faults = faults.map(|fault| json!({ "path": fault.path, "message": fault.message }));
        json!({ "skills": skills.collect::<Vec<Value>>(), "faults": faults.collect::<Vec<Value>>() })
    });
    answer("list_skills", StatusCode::OK, result)
}
