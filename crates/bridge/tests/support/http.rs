//! HTTP to a bridge, over its socket or its port.

use super::Machine;
use axum::body::Body;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

/// One request over a fresh connection.
pub(crate) async fn send<S>(stream: S, mut request: Request<Body>) -> Response<Incoming>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    request.headers_mut().entry("host").or_insert("abcdefghijkl.localhost:4000".parse().unwrap());
    sender.send_request(request).await.unwrap()
}

pub(crate) async fn bytes(answer: Response<Incoming>) -> Vec<u8> {
    answer.into_body().collect().await.unwrap().to_bytes().to_vec()
}

pub(crate) async fn text(answer: Response<Incoming>) -> String {
    String::from_utf8(bytes(answer).await).unwrap()
}

impl Machine {
    /// A connection to the bridge, as the server has it.
    pub(crate) async fn socket(&self) -> UnixStream {
        UnixStream::connect(self.path("bridge.sock")).await.unwrap()
    }

    /// As the server.
    pub(crate) async fn ask(&self, request: Request<Body>) -> Response<Incoming> {
        send(self.socket().await, request).await
    }

    /// As something inside the machine.
    pub(crate) async fn ask_inside(&self, request: Request<Body>) -> Response<Incoming> {
        send(TcpStream::connect(self.app).await.unwrap(), request).await
    }

    /// A command of the bridge: status and answer.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("/toft/{path}"))
            .header("content-type", "application/json")
            .body(body.map_or_else(Body::empty, |b| Body::from(b.to_string())))
            .unwrap();
        let answer = self.ask(request).await;
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&bytes(answer).await).unwrap())
    }
}
