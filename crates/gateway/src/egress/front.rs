//! Requests within TLS for the one host that a connection leads to: each is judged, gets the values of brokered
//! secrets that it may have, and is answered; in which version of HTTP does not matter here.

use super::{
    connection::{Body, Connection, serve_requests},
    forward, http_inside,
    refused::not_bound,
    websocket::{self, Opened, WebSocket},
};
use crate::{
    api_error::{ApiError, Code},
    brokered::open_answer,
    records::egress_log::Via,
};
use http::{Method, Request, Response, uri::Scheme};
use hyper::body::Incoming;
use std::sync::{Mutex, PoisonError};
use toft_policy::HostPort;

/// A connection whose requests are for one host.
pub(super) struct Front {
    pub(super) connection: Connection,
    target: HostPort,
    /// What its last request became.
    opened: Mutex<Option<Box<WebSocket>>>,
}

impl Front {
    pub(super) fn new(connection: Connection, target: HostPort) -> Self {
        Self { connection, target, opened: Mutex::default() }
    }

    /// As HTTP/1.1 has it.
    pub(super) async fn serve_one_by_one(
        &self,
        client: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    ) {
        serve_requests(&self.connection, client, |request| self.answer(request)).await;
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(opened) = opened {
            opened.carry(&self.connection, &self.target).await;
        }
    }

    /// Answers one request.
    pub(super) async fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> Result<Response<Body>, ApiError> {
        let Self { connection, target, .. } = self;
        if request.method() == Method::CONNECT
            || request.uri().scheme().is_some_and(|scheme| *scheme != Scheme::HTTPS)
        {
            let message = "Within TLS only https:// of its own host is fetched.";
            return Err(ApiError::new(Code::UseConnect, message));
        }
        connection.kept.aim(target);
        let mut log = http_inside::for_its_host(connection, &request, target, Via::Https)?;
        let broker = connection.machine.broker();
        let method = request.method().clone();
        let client = websocket::asked(&mut request);
        let (mut parts, body) = request.into_parts();
        match broker.put_in(&mut parts, target) {
            Ok(secrets) => log.brokered(secrets),
            Err(why) => return Err(not_bound(&why, log)),
        }
        request = Request::from_parts(parts, body);
        let response = match client {
            None => forward::forward(connection, request, target.clone(), log).await?,
            Some(client) => {
                match websocket::open(connection, client, request, target, &broker, log).await? {
                    Opened::No(response) => response,
                    Opened::Yes(response, websocket) => {
                        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
                        *opened = Some(websocket);
                        return Ok(response);
                    }
                }
            }
        };
        let look = broker.look(connection.echo(target));
        open_answer(look, &method, response).await
    }
}
