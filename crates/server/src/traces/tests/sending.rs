//! What happens to spans when the place that takes them is slow, away, picky, or the server ends.

use crate::{
    clock::Clock,
    traces::{
        Traces,
        send::{Means, follow},
        setting::TraceSettings,
    },
};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Response},
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    },
    trace::v1::Span,
};
use prost::Message as _;
use serde_json::json;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tempfile::TempDir;
use toft_model::id::ProjectId;
use toft_store::{
    Events as _, MachineSettings, NewEvent, NewProject, Projects as _, SYSTEM_USER, SqliteStore,
    Traces as _,
};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;

/// How long anything may take before it counts as hung.
const STEP_TIMEOUT: Duration = Duration::from_secs(30);

/// Decides by the number of the request, from 0, and its spans.
type Fate = Arc<dyn Fn(usize, &[Span]) -> Response + Send + Sync>;

#[derive(Clone)]
struct Collector {
    fate: Fate,
    seen: Arc<Mutex<Vec<Vec<Span>>>>,
}

impl Collector {
    async fn start(
        fate: impl Fn(usize, &[Span]) -> Response + Send + Sync + 'static,
    ) -> (Self, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (Self::on(listener, fate), port)
    }

    fn on(
        listener: TcpListener,
        fate: impl Fn(usize, &[Span]) -> Response + Send + Sync + 'static,
    ) -> Self {
        let this = Self { fate: Arc::new(fate), seen: Arc::default() };
        let app = Router::new().route("/v1/traces", post(take)).with_state(this.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        this
    }

    /// Ids of spans, request by request.
    fn ids(&self) -> Vec<Vec<Vec<u8>>> {
        let seen = self.seen.lock().unwrap();
        seen.iter().map(|spans| spans.iter().map(|span| span.span_id.clone()).collect()).collect()
    }

    async fn requests(&self, count: usize) -> Vec<Vec<Vec<u8>>> {
        until(|| self.ids().len() >= count).await;
        self.ids()
    }
}

async fn take(State(this): State<Collector>, headers: HeaderMap, body: Bytes) -> Response {
    assert_eq!(headers["content-type"], "application/x-protobuf");
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let spans = request.resource_spans[0].scope_spans[0].spans.clone();
    let number = {
        let mut seen = this.seen.lock().unwrap();
        seen.push(spans.clone());
        seen.len() - 1
    };
    (this.fate)(number, &spans)
}

fn taken() -> Response {
    ExportTraceServiceResponse::default().encode_to_vec().into_response()
}

async fn until(mut done: impl FnMut() -> bool) {
    let look = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(STEP_TIMEOUT, look).await.expect("it happens");
}

/// A database with a project, and one place that takes traces.
struct House {
    store: Arc<SqliteStore>,
    project: ProjectId,
    settings: TraceSettings,
    traces: Arc<Traces>,
    _dir: TempDir,
}

impl House {
    async fn open(port: u16) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::open(&dir.path().join("toft.db")).await.unwrap());
        let endpoint = format!("http://127.0.0.1:{port}");
        let settings = TraceSettings::read(&|name| match name {
            "OTEL_EXPORTER_OTLP_ENDPOINT" => Some(endpoint.clone()),
            "OTEL_BSP_SCHEDULE_DELAY" => Some("1".into()),
            _ => None,
        })
        .unwrap();
        store.use_trace_sinks(&["otlp"], 1).await.unwrap();
        let project = ProjectId::random();
        let new = NewProject {
            id: project.clone(),
            alias: None,
            name: "Shop".into(),
            owner: SYSTEM_USER.into(),
            backend: None,
            settings: MachineSettings::default(),
        };
        store.create_project(&new, 2).await.unwrap();
        let traces = Arc::new(Traces::new(Some(&settings)));
        Self { store, project, settings, traces, _dir: dir }
    }

    /// Another project, with prompts.
    async fn other(&self, count: u64) -> ProjectId {
        let id = ProjectId::random();
        let new = NewProject {
            id: id.clone(),
            alias: None,
            name: "Other".into(),
            owner: SYSTEM_USER.into(),
            backend: None,
            settings: MachineSettings::default(),
        };
        self.store.create_project(&new, 2).await.unwrap();
        self.prompts_of(&id, count).await;
        id
    }

    /// Prompts with one tool each: two spans.
    async fn prompts(&self, count: u64) {
        self.prompts_of(&self.project, count).await;
    }

    async fn prompts_of(&self, project: &ProjectId, count: u64) {
        let head = self.store.head(project).await.unwrap().seq;
        let tool = |n: u64| json!({"toolCallId": n.to_string(), "toolName": format!("tool{n}")});
        let told = (1..=count).flat_map(|n| {
            [
                ("agent_start", json!({})),
                ("tool_start", tool(n)),
                ("tool_end", tool(n)),
                ("agent_end", json!({"reason": "done"})),
            ]
        });
        let events: Vec<NewEvent> = (head + 1..)
            .zip(told)
            .map(|(seq, (kind, data))| NewEvent {
                seq,
                ts: 1000 + seq,
                session: Some("s".into()),
                kind: kind.into(),
                data: data.to_string(),
            })
            .collect();
        self.store.append_events(project, &events).await.unwrap();
        self.traces.came(project, &events);
    }

    fn follow(&self) -> (JoinHandle<()>, CancellationToken) {
        let ends = CancellationToken::new();
        let means = Means {
            settings: self.settings.clone(),
            store: self.store.clone(),
            clock: Clock::new(|| 5_000),
            version: "0".into(),
            server: "me".into(),
        };
        let line = Arc::clone(&self.traces.lines()[0]);
        (tokio::spawn(follow(line, means, ends.clone())), ends)
    }

    fn report(&self) -> serde_json::Value {
        serde_json::to_value(&self.traces.report()[0]).unwrap()
    }

    async fn sent(&self) -> u64 {
        self.store.trace_cursor("otlp", &self.project).await.unwrap().sent
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_span_is_sent_once_and_the_position_follows() {
    let (collector, port) = Collector::start(|_, _| taken()).await;
    let house = House::open(port).await;
    house.prompts(1).await;
    let (task, ends) = house.follow();
    collector.requests(1).await;
    house.prompts(2).await;
    until(|| house.report()["spansAccepted"] == 6).await;
    ends.cancel();
    timeout(STEP_TIMEOUT, task).await.unwrap().unwrap();
    assert_eq!(house.sent().await, 12);
    let report = house.report();
    assert_eq!((&report["projectsWaiting"], &report["problem"]), (&json!(0), &json!(null)));
    // A server after this one has nothing to send.
    let count = collector.ids().len();
    let (task, ends) = house.follow();
    tokio::time::sleep(Duration::from_millis(200)).await;
    ends.cancel();
    timeout(STEP_TIMEOUT, task).await.unwrap().unwrap();
    assert_eq!(collector.ids().len(), count);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_before_the_answer_sends_the_same_spans_again() {
    // The answer to the first request never comes.
    let (collector, port) = Collector::start(|number, _| {
        if number == 0 {
            std::thread::sleep(Duration::from_millis(300));
        }
        taken()
    })
    .await;
    let house = House::open(port).await;
    house.prompts(1).await;
    let (task, _ends) = house.follow();
    collector.requests(1).await;
    task.abort();
    let _ = task.await;
    assert_eq!(house.sent().await, 0);
    let (_task, _ends) = house.follow();
    let ids = collector.requests(2).await;
    assert_eq!(ids[0], ids[1]);
    until(|| house.report()["spansAccepted"] == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_busy_or_away_gets_everything_later() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let house = House::open(at.port()).await;
    house.prompts(1).await;
    let (_task, _ends) = house.follow();
    until(|| house.report()["problem"]["code"] == "unreachable").await;
    let report = house.report();
    assert_eq!((&report["projectsWaiting"], &report["waitingSince"]), (&json!(1), &json!(1003)));
    house.prompts(1).await;
    let collector = Collector::on(TcpListener::bind(at).await.unwrap(), |number, _| match number {
        0 => (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response(),
        1 => StatusCode::UNAUTHORIZED.into_response(),
        _ => taken(),
    });
    until(|| house.report()["spansAccepted"] == 4).await;
    let ids = collector.ids();
    assert_eq!((ids.len(), &ids[0], &ids[1]), (3, &ids[2], &ids[2]));
    until(|| house.report()["waitingSince"].is_null()).await;
    assert_eq!(house.report()["problem"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_span_that_is_never_taken_does_not_keep_the_others() {
    let (collector, port) = Collector::start(|_, spans| {
        if spans.iter().any(|span| span.name == "execute_tool tool3") {
            return StatusCode::BAD_REQUEST.into_response();
        }
        taken()
    })
    .await;
    let house = House::open(port).await;
    house.prompts(5).await;
    let (_task, _ends) = house.follow();
    until(|| house.report()["spansAccepted"] == 9).await;
    until(|| house.report()["spansLeftOut"] == 1).await;
    house.prompts(1).await;
    until(|| house.report()["spansAccepted"] == 11).await;
    assert!(collector.ids().len() > 2);
    assert_eq!(house.report()["problem"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_whose_spans_are_not_taken_keeps_no_other() {
    let (_collector, port) = Collector::start(|_, spans| {
        // Those of the first project alone: it has the most.
        if spans.iter().any(|span| span.name == "execute_tool tool3") {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        taken()
    })
    .await;
    let house = House::open(port).await;
    house.prompts(3).await;
    let others = [house.other(1).await, house.other(1).await, house.other(2).await];
    let (_task, _ends) = house.follow();
    until(|| house.report()["spansAccepted"] == 8).await;
    for other in &others {
        house.prompts_of(other, 1).await;
    }
    until(|| house.report()["spansAccepted"] == 14).await;
    let report = house.report();
    assert_eq!((&report["projectsWaiting"], &report["waitingSince"]), (&json!(1), &json!(1003)));
    assert_eq!(report["problem"]["code"], "failed");
    assert_eq!(house.sent().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_after_another_knows_that_the_place_takes_spans() {
    let (_collector, port) = Collector::start(|_, spans| {
        if spans.iter().any(|span| span.name == "execute_tool tool1") {
            return StatusCode::BAD_REQUEST.into_response();
        }
        taken()
    })
    .await;
    let mut house = House::open(port).await;
    house.prompts(2).await;
    let (task, ends) = house.follow();
    until(|| house.report()["spansLeftOut"] == 1).await;
    ends.cancel();
    timeout(STEP_TIMEOUT, task).await.unwrap().unwrap();
    // The next one begins with what is refused, and with nothing else.
    house.traces = Arc::new(Traces::new(Some(&house.settings)));
    let tool = json!({"toolCallId": "1", "toolName": "tool1"});
    let said = [("agent_start", json!({})), ("tool_start", tool.clone()), ("tool_end", tool)];
    let events: Vec<NewEvent> = (9..)
        .zip(said)
        .map(|(seq, (kind, data))| NewEvent {
            seq,
            ts: 1000 + seq,
            session: Some("s".into()),
            kind: kind.into(),
            data: data.to_string(),
        })
        .collect();
    house.store.append_events(&house.project, &events).await.unwrap();
    house.traces.came(&house.project, &events);
    let (_task, _ends) = house.follow();
    until(|| house.report()["spansLeftOut"] == 1).await;
    assert_eq!(house.report()["problem"], json!(null));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_never_took_anything_gets_nothing_left_out() {
    let (_collector, port) = Collector::start(|number, _| {
        if number < 7 { StatusCode::BAD_REQUEST.into_response() } else { taken() }
    })
    .await;
    let house = House::open(port).await;
    house.prompts(2).await;
    let (_task, _ends) = house.follow();
    until(|| house.report()["problem"]["code"] == "not_taken").await;
    assert_eq!(house.sent().await, 0);
    until(|| house.report()["spansAccepted"] == 4).await;
    assert_eq!(house.report()["spansLeftOut"], 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_in_part_is_counted_and_not_sent_again() {
    let (collector, port) = Collector::start(|_, _| {
        let partial =
            ExportTracePartialSuccess { rejected_spans: 1, error_message: "too old".into() };
        let answer = ExportTraceServiceResponse { partial_success: Some(partial) };
        answer.encode_to_vec().into_response()
    })
    .await;
    let house = House::open(port).await;
    house.prompts(1).await;
    let (_task, _ends) = house.follow();
    until(|| house.report()["spansRejected"] == 1).await;
    house.prompts(1).await;
    let ids = collector.requests(2).await;
    assert!(ids[0].iter().all(|id| !ids[1].contains(id)));
    until(|| house.report()["spansAccepted"] == 2).await;
}
