//! Asking foreign hosts, as the project's machine may: the gateway judges and dials. What a host answers is
//! bounded there, and redirects are answers like any other: nothing that was named is left for something else.

use super::{address::form, failed};
use crate::{
    api_error::{ApiError, Code},
    state::App,
};
use serde::de::DeserializeOwned;
use toft_gateway::{ControlError, Fetch, Fetched};
use toft_model::id::ProjectId;
use toft_vault::Secret;

/// On whose way out.
pub(super) struct Ask<'a> {
    pub(super) app: &'a App,
    pub(super) project: &'a ProjectId,
}

impl Ask<'_> {
    async fn fetch(&self, fetch: Fetch) -> Result<Fetched, ApiError> {
        self.app.gateway.fetch(self.project, fetch).await.map_err(|error| match error {
            ControlError::Refused { code, message } if code == "egress_denied" => ApiError::new(
                Code::EgressDenied,
                format!(
                    "{message} The sign-in goes by the project's way out: allow that host there, then \
                     connect again"
                ),
            ),
            error => failed(format!("{error} Try again in a moment.")),
        })
    }

    /// A document. `None`: there is none.
    pub(super) async fn document<T: DeserializeOwned>(
        &self,
        url: String,
    ) -> Result<Option<T>, ApiError> {
        let headers = vec![("accept".to_owned(), Secret::new("application/json"))];
        let method = "GET".to_owned();
        let fetched = self.fetch(Fetch { method, url, headers, ..Fetch::default() }).await?;
        if fetched.status != 200 {
            return Ok(None);
        }
        Ok(serde_json::from_str(fetched.body.expose()).ok())
    }

    /// Posts JSON. With `head_only` the answer's body is not read.
    pub(super) async fn post_json(
        &self,
        url: &str,
        body: &serde_json::Value,
        accept: &str,
        head_only: bool,
    ) -> Result<Fetched, ApiError> {
        let headers = vec![
            ("content-type".to_owned(), Secret::new("application/json")),
            ("accept".to_owned(), Secret::new(accept)),
        ];
        self.fetch(Fetch {
            method: "POST".to_owned(),
            url: url.to_owned(),
            headers,
            body: Some(Secret::new(body.to_string())),
            head_only,
        })
        .await
    }

    /// Posts a form, with these credentials in a header where there are any.
    pub(super) async fn post_form(
        &self,
        url: &str,
        fields: &[(&str, &str)],
        credentials: Option<Secret>,
    ) -> Result<Fetched, ApiError> {
        let mut headers = vec![
            ("content-type".to_owned(), Secret::new("application/x-www-form-urlencoded")),
            ("accept".to_owned(), Secret::new("application/json")),
        ];
        headers.extend(credentials.map(|value| ("authorization".to_owned(), value)));
        self.fetch(Fetch {
            method: "POST".to_owned(),
            url: url.to_owned(),
            headers,
            body: Some(Secret::new(form(fields))),
            head_only: false,
        })
        .await
    }
}
