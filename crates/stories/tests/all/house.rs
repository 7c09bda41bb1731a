//! A server whose gateway knows a host with TLS that a story plays, and a project whose machine is to meet
//! it: where stories of brokered secrets take place.

use crate::attacks::sh;
use anyhow::Result;
use serde_json::{Value, json};
use toft_gateway::{Gateway, GatewayConfig, ProviderConfig};
use toft_stories::{
    https::Https,
    lane,
    toft::{Start, Toft},
};

/// What the host is called.
pub(crate) const NAMES: &[&str] = &["api.story.example", "other.story.example"];

/// The host, and a value that is worth something there.
pub(crate) struct Host {
    pub(crate) https: Https,
    pub(crate) value: String,
}

impl Host {
    /// `None`, and says why, where it cannot be.
    pub(crate) async fn open(story: &str) -> Result<Option<Self>> {
        if !lane::root() || lane::as_user() {
            lane::skip(story, "looking through every process of a machine needs root");
            return Ok(None);
        }
        // Made at run time, so that this program's own text does not hold it.
        let value = format!("sk-{}-canary/+value", std::process::id() * 7919);
        Ok(Some(Self { https: Https::start(NAMES, &value).await?, value }))
    }

    pub(crate) fn port(&self) -> u16 {
        self.https.address.port()
    }
}

/// See the module.
pub(crate) struct House {
    pub(crate) toft: Toft,
    pub(crate) project: String,
    pub(crate) host: Https,
    pub(crate) port: u16,
    pub(crate) value: String,
    providers: Vec<ProviderConfig>,
}

impl House {
    pub(crate) async fn open() -> Result<Option<Self>> {
        let Some(host) = Host::open("brokered secrets").await? else { return Ok(None) };
        Self::of(host, Start::default(), Vec::new()).await.map(Some)
    }

    /// On a server that is started so. It and its gateway know these providers.
    pub(crate) async fn of(
        host: Host,
        mut start: Start,
        providers: Vec<ProviderConfig>,
    ) -> Result<Self> {
        let root = host.https.root().display().to_string();
        start.env.push(("SSL_CERT_FILE".to_owned(), root));
        let toft = Toft::start(start).await?;
        let project = toft.new_project("Brokered").await?;
        let port = host.port();
        let Host { https: host, value } = host;
        let house = Self { toft, project, host, port, value, providers };
        house.reachable(1).await?;
        Ok(house)
    }

    /// Tells the gateway, the `nth` of them, where the host is, for this story alone.
    pub(crate) async fn reachable(&self, nth: usize) -> Result<()> {
        // The server tells a new gateway twice; what this story tells comes after that.
        let said = self.toft.data.join("logs/gateway.log");
        while std::fs::read_to_string(&said)?.matches(" configured ").count() < 3 * nth - 1 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let gateway = Gateway::connect(&self.toft.data).await?;
        let config = GatewayConfig {
            providers: self.providers.clone(),
            names: NAMES.iter().map(|name| ((*name).to_owned(), self.host.address.ip())).collect(),
            allow_private: vec![self.host.address],
            ..GatewayConfig::default()
        };
        gateway.set_config(config).await?;
        Ok(())
    }

    pub(crate) async fn bind(&self, name: &str, binding: Value) -> Result<Value> {
        let path = format!("/v1/projects/{}/secrets/{name}", self.project);
        let body = json!({"value": self.value, "kind": "brokered", "binding": binding});
        self.toft.call("PUT", &path, Some(body)).await
    }

    pub(crate) async fn sh(&self, command: &str) -> Result<(i64, String)> {
        sh(&self.toft, &self.project, &format!("exec 2>&1; {command}")).await
    }

    pub(crate) fn url(&self, rest: &str) -> String {
        format!("https://api.story.example:{}{rest}", self.port)
    }

    /// Lines of the log of what went out, newest first.
    pub(crate) async fn lines(&self) -> Result<Vec<Value>> {
        let path = format!("/v1/projects/{}/egress/log?limit=200", self.project);
        let mut log = self.toft.call("GET", &path, None).await?;
        Ok(serde_json::from_value(log["lines"].take())?)
    }
}
