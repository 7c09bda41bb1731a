//! What each route asks of the key that comes with a request. Every route but those that anybody may ask, or
//! that judge by themselves, stands behind it ([`Routes`](crate::routes)): what is not said to be less
//! takes the scope `admin`.

use super::{caller::Caller, keys::Key};
use crate::{
    api_error::{ApiError, Code},
    hosts,
    state::App,
};
use axum::{
    extract::{FromRequestParts as _, RawPathParams, Request, State},
    http::{HeaderMap, Method},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use toft_model::id::ProjectId;
use toft_store::Scope;

/// What a key needs for a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// No key: it is open to all, or judges by itself.
    Nothing,
    /// `read` for looking, `admin` for all else.
    ByMethod,
    /// `admin`, for looking too.
    Admin,
}

/// A route, as its guard knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) path: &'static str,
    pub(crate) needs: Needs,
}

impl Route {
    /// Whether its `{id}` is a project's.
    fn is_of_project(self) -> bool {
        self.path
            .strip_prefix("/v1/projects/{id}")
            .is_some_and(|r| r.is_empty() || r.starts_with('/'))
    }
}

/// Lets through who may ask that; the handler finds the [`Caller`] that was judged.
pub(crate) async fn judge(
    State((app, route)): State<(App, Route)>,
    params: Result<RawPathParams, axum::extract::rejection::RawPathParamsRejection>,
    req: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = req.into_parts();
    let judged = async {
        let caller = Caller::from_request_parts(&mut parts, &app).await?;
        let Caller::Program(key) = &caller else { return Ok(caller) };
        may(key, scope(route.needs, &parts.method, &parts.headers))?;
        if key.project().is_some() {
            let id = params.iter().flatten().find(|(name, _)| *name == "id").map(|(_, id)| id);
            let found = match id.filter(|_| route.is_of_project()) {
                Some(id) => app.store.project(id).await?,
                None => None,
            };
            in_project(key, found.as_ref().map(|project| &project.id))?;
        }
        Ok::<_, ApiError>(caller)
    };
    match judged.await {
        Ok(caller) => {
            parts.extensions.insert(caller);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(refused) => refused.into_response(),
    }
}

/// The scope that a request takes.
pub(crate) fn scope(needs: Needs, method: &Method, headers: &HeaderMap) -> Scope {
    match needs {
        Needs::ByMethod if hosts::only_reads(method, headers) => Scope::Read,
        Needs::Nothing | Needs::ByMethod | Needs::Admin => Scope::Admin,
    }
}

/// Refuses a key without a scope.
pub(crate) fn may(key: &Key, scope: Scope) -> Result<(), ApiError> {
    if key.has(scope) {
        return Ok(());
    }
    let scope = scope.as_str();
    Err(ApiError::new(
        Code::ScopeMissing,
        format!(
            "this key lacks the scope `{scope}`: an admin makes one that has it (`toft key new`)"
        ),
    ))
}

/// Refuses a key that is bound to another project than that; `None`: what belongs to no project. What is not
/// there is answered in the same way.
pub(crate) fn in_project(key: &Key, project: Option<&ProjectId>) -> Result<(), ApiError> {
    match key.project() {
        Some(bound) if project != Some(bound) => Err(ApiError::new(
            Code::Forbidden,
            format!(
                "this key opens the project {bound} alone: ask below /v1/projects/{bound}, or take another key"
            ),
        )),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_route_grants_takes_less_than_admin() {
        let of = |needs, method| scope(needs, &method, &HeaderMap::new());
        assert_eq!(of(Needs::ByMethod, Method::GET), Scope::Read);
        assert_eq!(of(Needs::ByMethod, Method::HEAD), Scope::Read);
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::TRACE] {
            assert_eq!(of(Needs::ByMethod, method), Scope::Admin);
        }
        assert_eq!(of(Needs::Admin, Method::GET), Scope::Admin);
        // A terminal is opened by a GET, and typed into.
        let upgrade = HeaderMap::from_iter([(
            axum::http::header::UPGRADE,
            axum::http::HeaderValue::from_static("websocket"),
        )]);
        assert_eq!(scope(Needs::ByMethod, &Method::GET, &upgrade), Scope::Admin);
    }
}
