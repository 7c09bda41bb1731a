//! E2B's control plane: sandboxes made, found, woken, paused, kept alive and deleted. Only what the backend
//! needs of it, in the shapes that the published clients send (`docs/backends.md` says which versions).

use super::{
    http::{Fault, Http, secret},
    settings::E2bConfig,
};
use crate::backend::MachineError;
use reqwest::{
    Client, Method, RequestBuilder,
    header::{HeaderMap, HeaderName},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{Arc, OnceLock},
    time::Duration,
};
use toft_model::id::{ProjectId, random_hex};

const KEY_HEADER: HeaderName = HeaderName::from_static("x-api-key");
const IDEMPOTENCY_HEADER: HeaderName = HeaderName::from_static("idempotency-key");
const NEXT_HEADER: &str = "x-next-token";
/// What says whose a sandbox is: of which data folder, of which servers that share a database, and which project's.
const OF_SERVER: &str = "toft_server";
const OF_INSTALLATION: &str = "toft_installation";
const OF_PROJECT: &str = "toft_project";
/// Sandboxes in one answer.
const PAGE: &str = "100";
/// Answers in a row: more sandboxes than a team may have.
const PAGES_MAX: usize = 100;

/// Speaks to the control plane.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    http: Http,
    base: String,
    headers: HeaderMap,
    template: String,
    server: String,
    installation: Arc<OnceLock<String>>,
    timeout_s: u64,
}

/// A sandbox that may be used now.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Woken {
    #[serde(rename = "sandboxID")]
    pub(crate) id: String,
    /// Lets who holds it into the sandbox.
    #[serde(default)]
    pub(crate) envd_access_token: Option<String>,
    #[serde(default)]
    pub(crate) domain: Option<String>,
}

/// A sandbox that there is.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Listed {
    #[serde(rename = "sandboxID")]
    pub(crate) id: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    metadata: Option<BTreeMap<String, String>>,
}

impl Listed {
    /// Whose it is, if it is a project's of this server, or of one that shares its database.
    fn project_of(&self, server: &str, installation: Option<&str>) -> Option<ProjectId> {
        let metadata = self.metadata.as_ref()?;
        let says = |name: &str, wanted: Option<&str>| {
            wanted.is_some() && metadata.get(name).map(String::as_str) == wanted
        };
        if !says(OF_SERVER, Some(server)) && !says(OF_INSTALLATION, installation) {
            return None;
        }
        metadata.get(OF_PROJECT)?.parse().ok()
    }
}

/// A sandbox of a project's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owned {
    pub(crate) project: ProjectId,
    pub(crate) id: String,
    pub(crate) is_awake: bool,
}

impl Api {
    /// `server` names the data folder.
    pub(crate) fn new(config: &E2bConfig, http: Http, server: String) -> Result<Self, Fault> {
        let mut headers = HeaderMap::new();
        secret(&mut headers, KEY_HEADER, config.key.expose())?;
        Ok(Self {
            http,
            base: config.api_url.trim_end_matches('/').to_owned(),
            headers,
            template: config.template.clone(),
            server,
            installation: Arc::default(),
            timeout_s: config.sandbox_timeout.as_secs().max(1),
        })
    }

    /// What all servers on its database call themselves: sandboxes are made as theirs from now on.
    pub(crate) fn called(&self, installation: &str) {
        // It is said once, and stays the same.
        let _ = self.installation.set(installation.to_owned());
    }

    pub(crate) fn template(&self) -> &str {
        &self.template
    }

    /// How long a sandbox lives from each word on.
    pub(crate) fn lives(&self) -> Duration {
        Duration::from_secs(self.timeout_s)
    }

    fn request(&self, client: &Client, method: &Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.base);
        client.request(method.clone(), url).headers(self.headers.clone())
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Vec<u8>, Fault> {
        let make = |client: &Client| {
            let request = self.request(client, &method, path);
            match body {
                Some(body) => request.json(body),
                None => request,
            }
        };
        self.http.often(make).await
    }

    /// Makes a sandbox. It reaches nothing of the internet by itself; it is paused, not ended, when
    /// nobody keeps it alive.
    pub(crate) async fn create(&self, project: &ProjectId) -> Result<Woken, Fault> {
        let mut metadata = json!({OF_SERVER: self.server, OF_PROJECT: project.as_str()});
        if let Some(installation) = self.installation.get() {
            metadata[OF_INSTALLATION] = installation.as_str().into();
        }
        let body = json!({
            "templateID": self.template,
            "timeout": self.timeout_s,
            "autoPause": true,
            "metadata": metadata,
            "allow_internet_access": false,
        });
        // One for all attempts: whichever arrived made it.
        let key = format!("toft-{}", random_hex(16));
        let make = |client: &Client| {
            let request = self.request(client, &Method::POST, "/v2/sandboxes");
            request.header(IDEMPOTENCY_HEADER, &key).json(&body)
        };
        self.read(&self.http.often(make).await?)
    }

    /// Wakes it if it is paused, and keeps it alive. `None`: there is none.
    pub(crate) async fn wake(&self, id: &str) -> Result<Option<Woken>, Fault> {
        let path = format!("/v2/sandboxes/{}/connect", plain(id)?);
        let asked = self.ask(Method::POST, &path, Some(&json!({"timeout": self.timeout_s}))).await;
        match there(asked)? {
            Some(answer) => self.read(&answer).map(Some),
            None => Ok(None),
        }
    }

    /// Whether there is one, running or paused.
    pub(crate) async fn is_there(&self, id: &str) -> Result<bool, Fault> {
        let asked = self.ask(Method::GET, &format!("/sandboxes/{}", plain(id)?), None).await;
        Ok(there(asked)?.is_some())
    }

    /// Pauses it with its memory. Paused or gone: done.
    pub(crate) async fn pause(&self, id: &str) -> Result<(), Fault> {
        let path = format!("/sandboxes/{}/pause", plain(id)?);
        match self.ask(Method::POST, &path, Some(&json!({}))).await {
            Err(fault) if matches!(fault.status(), Some(404 | 409)) => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Keeps it alive. False: it does not run.
    pub(crate) async fn keep(&self, id: &str) -> Result<bool, Fault> {
        let path = format!("/sandboxes/{}/timeout", plain(id)?);
        let asked = self.ask(Method::POST, &path, Some(&json!({"timeout": self.timeout_s}))).await;
        Ok(there(asked)?.is_some())
    }

    /// Deletes it. Gone: done.
    pub(crate) async fn delete(&self, id: &str) -> Result<(), Fault> {
        let path = format!("/sandboxes/{}", plain(id)?);
        there(self.ask(Method::DELETE, &path, None).await).map(|_| ())
    }

    /// Sandboxes, running and paused: of a project, whichever of the servers on its database made them; or all that
    /// this one made.
    pub(crate) async fn list(&self, project: Option<&ProjectId>) -> Result<Vec<Owned>, Fault> {
        let metadata = match project {
            Some(project) => format!("{OF_PROJECT}={project}"),
            None => format!("{OF_SERVER}={}", self.server),
        };
        let installation =
            self.installation.get().map(String::as_str).filter(|_| project.is_some());
        let mut found = Vec::new();
        let mut next: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let query = [
                ("metadata", Some(metadata.as_str())),
                ("state", Some("running,paused")),
                ("limit", Some(PAGE)),
                ("nextToken", next.as_deref()),
            ];
            let query: Vec<_> = query.iter().filter_map(|(k, v)| Some((*k, (*v)?))).collect();
            let url = url(&self.base, "/v2/sandboxes", &query)?;
            let (answer, following) = self.page(&url).await?;
            let page: Vec<Listed> = self.read(&answer)?;
            // Whatever the other side takes for a filter: nothing of others is touched.
            found.extend(page.into_iter().filter_map(|listed| {
                let of = listed.project_of(&self.server, installation)?;
                let is_awake = listed.state == "running";
                project.is_none_or(|wanted| *wanted == of).then_some(Owned {
                    project: of,
                    id: listed.id,
                    is_awake,
                })
            }));
            match following {
                Some(token) if !token.is_empty() => next = Some(token),
                _ => return Ok(found),
            }
        }
        Ok(found)
    }

    async fn page(&self, url: &str) -> Result<(Vec<u8>, Option<String>), Fault> {
        let make = |client: &Client| client.get(url).headers(self.headers.clone());
        let (answer, headers) = self.http.often_with_headers(make).await?;
        let next = headers.get(NEXT_HEADER).and_then(|value| value.to_str().ok());
        Ok((answer, next.map(str::to_owned)))
    }

    /// Whether the key is taken at all.
    pub(crate) async fn check(&self) -> Result<(), Fault> {
        let url = url(&self.base, "/v2/sandboxes", &[("limit", "1")])?;
        self.page(&url).await.map(|_| ())
    }

    fn read<T: DeserializeOwned>(&self, answer: &[u8]) -> Result<T, Fault> {
        serde_json::from_slice(answer)
            .map_err(|e| Fault::Strange { at: format!("E2B ({})", self.base), why: e.to_string() })
    }

    /// In words for people, and what to do.
    pub(crate) fn explain(&self, project: Option<&ProjectId>, fault: Fault) -> MachineError {
        let unable = |missing: String, remedy: &str| MachineError::Unsupported {
            missing,
            remedy: remedy.to_owned(),
        };
        match fault.status() {
            Some(401 | 403) => unable(
                format!("E2B refuses the key ({fault})"),
                "Set E2B_API_KEY to a key of the team whose sandboxes these are, and E2B_API_URL to \
                 the API that it belongs to, then start the server again",
            ),
            Some(400 | 404) => unable(
                format!("E2B makes no sandbox of the template {:?} ({fault})", self.template),
                "Set E2B_TEMPLATE to the id or name of a template of that team, then start the \
                 server again",
            ),
            Some(429) => MachineError::Unable {
                what: "asking E2B for a sandbox",
                why: format!("it has enough for now ({fault}): wait a little, or raise its limits"),
            },
            _ => match project {
                Some(project) => crate::error::step(project, "asking E2B for the sandbox")(fault),
                None => unable(
                    format!("{fault}"),
                    "Look whether E2B_API_URL is right and whether this host gets there, then start \
                     again",
                ),
            },
        }
    }
}

/// `None`: there is no such thing.
fn there(asked: Result<Vec<u8>, Fault>) -> Result<Option<Vec<u8>>, Fault> {
    match asked {
        Ok(answer) => Ok(Some(answer)),
        Err(fault) if fault.status() == Some(404) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// An id that may stand in a path and in a host's name.
pub(crate) fn plain(id: &str) -> Result<&str, Fault> {
    let harmless = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !id.is_empty() && id.len() <= 128 && id.chars().all(harmless) {
        return Ok(id);
    }
    let why = "the id of a sandbox has characters that none should have".to_owned();
    Err(Fault::Strange { at: "E2B".to_owned(), why })
}

fn url(base: &str, path: &str, query: &[(&str, &str)]) -> Result<String, Fault> {
    let parsed = reqwest::Url::parse_with_params(&format!("{base}{path}"), query);
    let strange = |e| Fault::Strange { at: format!("the address {base}"), why: format!("{e}") };
    parsed.map(String::from).map_err(strange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_names_this_server_is_its_own() {
        let listed = |metadata: Value| -> Listed {
            serde_json::from_value(json!({"sandboxID": "s", "metadata": metadata})).unwrap()
        };
        let of = |metadata: Value| {
            listed(metadata).project_of("own", Some("ours")).map(|p| p.to_string())
        };
        let project = "a23456789bcd";
        let of_ours =
            json!({"toft_server": "other", "toft_installation": "ours", "toft_project": project});
        assert_eq!(of(of_ours.clone()), Some(project.to_owned()));
        assert_eq!(listed(of_ours).project_of("own", None), None);
        let nameless = json!({"toft_server": "other", "toft_project": project});
        assert_eq!(listed(nameless).project_of("own", None), None);
        assert_eq!(
            of(json!({"toft_server": "own", "toft_project": project})),
            Some(project.to_owned())
        );
        for other in [
            json!({"toft_server": "other", "toft_project": project}),
            json!({"toft_server": "other", "toft_installation": "others", "toft_project": project}),
            json!({"toft_project": project}),
            json!({"toft_server": "own"}),
            json!({"toft_server": "own", "toft_project": "../x"}),
            json!(null),
        ] {
            assert_eq!(of(other.clone()), None, "{other}");
        }
    }

    #[test]
    fn an_id_goes_into_a_path_only_when_it_is_one() {
        assert!(plain("i3ab-CD_9").is_ok());
        for id in ["", "a/b", "a.b", "..", "a b", &"x".repeat(200)] {
            assert!(plain(id).is_err(), "{id}");
        }
    }

    #[test]
    fn a_query_keeps_what_is_in_it() {
        let made = url("http://h:1", "/v2/sandboxes", &[("metadata", "a=b&c=d")]).unwrap();
        assert_eq!(made, "http://h:1/v2/sandboxes?metadata=a%3Db%26c%3Dd");
    }
}
