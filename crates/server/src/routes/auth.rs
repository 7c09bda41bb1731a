//! Signing in and out: by one-time link, by password.

use crate::{
    api_error::{ApiError, Code},
    auth::{Key, caller::Caller, cookie, session, token},
    envelope::{Data, JsonBody, Query},
    hosts,
    listen::Peer,
    routes::{given::Done, me},
    state::App,
};
use axum::{
    Extension,
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use toft_vault::Secret;

/// How long a printed link is good.
const LINK_MS: u64 = 15 * 60 * 1000;
/// What links are for, in the table of one-time tokens.
const LINK: &str = "sign-in";
/// The first admin, until they say who they are.
const FIRST_NAME: &str = "Admin";
const FIRST_EMAIL: &str = "admin@localhost";

/// Makes a sign-in link. `alone` voids the earlier ones.
pub(crate) async fn make_link(app: &App, alone: bool) -> Result<(String, u64), ApiError> {
    let secret = token::random();
    let now = app.clock.now_ms();
    let ends_at = now + LINK_MS;
    app.store.put_verification(LINK, &token::digest(&secret), now, ends_at, alone).await?;
    Ok((format!("{}/sign-in?token={secret}", app.hosts.control_url()), ends_at))
}

/// A link that signs in once.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SignInLink")]
pub(crate) struct NewLink {
    url: String,
    /// RFC 3339.
    expires_at: String,
}

/// `POST /v1/sign-in-links`: for the CLI on this computer only.
pub(crate) async fn new_link(
    State(app): State<App>,
    caller: Caller,
) -> Result<Data<NewLink>, ApiError> {
    only_cli(&caller)?;
    let (url, ends_at) = make_link(&app, false).await?;
    Ok(Data(NewLink { url, expires_at: toft_model::time::rfc3339(ends_at) }))
}

/// Refuses everybody but the CLI with the local token.
pub(crate) fn only_cli(caller: &Caller) -> Result<(), ApiError> {
    match caller {
        Caller::Program(Key::Cli) => Ok(()),
        Caller::Program(Key::Agent | Key::Made(_)) | Caller::Person { .. } => Err(ApiError::new(
            Code::Forbidden,
            "only the CLI on the server's own computer may do this: run it there",
        )),
    }
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct LinkQuery {
    #[serde(default)]
    token: String,
}

/// `GET /sign-in?token=…`: signs the first admin in, once per token.
pub(crate) async fn sign_in(
    State(app): State<App>,
    Extension(Peer(address)): Extension<Peer>,
    Query(query): Query<LinkQuery>,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    // A preview of the link, in a chat or a mail client, must not use it up.
    if method == Method::HEAD {
        return Ok(redirect("/", None));
    }
    let now = app.clock.now_ms();
    if !app.store.take_verification(LINK, &token::digest(&query.token), now).await? {
        return Ok(redirect("/?signIn=expired", None));
    }
    let user = app.store.first_admin(FIRST_NAME, FIRST_EMAIL, now).await?;
    let cookie = session::begin(&app, &user, &headers, Some(address)).await?;
    tracing::info!(user.id = user.id, "signed in by link");
    Ok(redirect("/", Some(cookie)))
}

fn redirect(to: &'static str, cookie: Option<HeaderValue>) -> Response {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::SEE_OTHER;
    let out = answer.headers_mut();
    out.insert(header::LOCATION, HeaderValue::from_static(to));
    out.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(cookie) = cookie {
        out.insert(header::SET_COOKIE, cookie);
    }
    answer
}

#[derive(Deserialize, JsonSchema)]
pub(crate) struct PasswordBody {
    email: String,
    password: String,
}

/// The same for an unknown account, a wrong password and a locked one.
fn refused() -> ApiError {
    ApiError::new(
        Code::Unauthenticated,
        "e-mail address or password is wrong, or there were too many attempts: check both, or \
         wait 15 minutes. `toft link` on the server prints a sign-in link",
    )
}

/// `POST /v1/auth/password`.
pub(crate) async fn password(
    State(app): State<App>,
    Extension(Peer(address)): Extension<Peer>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<PasswordBody>,
) -> Result<Response, ApiError> {
    own_page(&app, &headers)?;
    let password = Secret::new(body.password);
    let address: Option<IpAddr> = Some(address);
    let judged = app.auth.lockout.begin(&body.email, address, app.clock.now_ms());
    let found = app.store.user_by_email(&body.email).await?;
    let (user, phc) = found.map_or((None, None), |(user, phc)| (Some(user), phc));
    // Hashed in any case: time tells nothing.
    let fits = app.auth.hasher.fits(password, phc).await?;
    let Some(user) = user.filter(|_| fits && judged) else {
        tracing::warn!(%judged, "a password was refused");
        return Err(refused());
    };
    app.auth.lockout.succeeded(&body.email, address);
    let cookie = session::begin(&app, &user, &headers, address).await?;
    tracing::info!(user.id = user.id, "signed in by password");
    let mut answer = Data(me::OneUser { user: me::shown(&user) }).into_response();
    answer.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(answer)
}

/// Another site's form must not sign a browser in as somebody (login CSRF). Programs send neither
/// header.
fn own_page(app: &App, headers: &HeaderMap) -> Result<(), ApiError> {
    let host = headers.get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let site = hosts::fetch_site(headers);
    let foreign = match (headers.contains_key(header::ORIGIN), site) {
        (_, Some("same-origin")) | (false, None) => false,
        (true, _) => !app.hosts.is_own_origin(headers, host),
        (false, Some(site)) => site != "none",
    };
    if foreign {
        return Err(ApiError::new(
            Code::Forbidden,
            "sign in on the dashboard's own page, not from another site",
        ));
    }
    Ok(())
}

/// `POST /v1/auth/sign-out`: ends this sign-in, its streams and its previews.
pub(crate) async fn sign_out(State(app): State<App>, caller: Caller) -> Result<Response, ApiError> {
    if let Some(id) = caller.session() {
        app.store.delete_session(id).await?;
        app.auth.rights_ended();
    }
    let mut answer = Data(Done {}).into_response();
    let gone = cookie::session("", 0, app.hosts.control_is_tls());
    answer.headers_mut().insert(header::SET_COOKIE, gone);
    Ok(answer)
}
