//! The gateway killed at each moment of a streamed call, with budgets and with a model that stands in:
//! whatever reached a provider was granted with a reservation, and the next gateway counts all of it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod house;

use house::{Door, Home, kill, lives};
use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
};
use toft_gateway::{
    Gateway, GatewayConfig, ProviderConfig, Secret,
    records::usage::{self, Granted, UsageLine, UsageRecord},
};
use toft_model::{
    budget::{Budget, Budgets},
    machine::EgressLevel,
    provider::Fallbacks,
};

const ASK: &str = r#"{"model":"gpt-5","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;
const FRAMES: [&str; 5] = [
    "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n",
    "data: {\"model\":\"m\",\"choices\":[{\"delta\":{\"content\":\"b\"}}]}\n\n",
    "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":300,\"completion_tokens\":40}}\n\n",
    "data: [DONE]\n\n",
];

/// What a provider does with each request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Refuse,
    /// So many frames, and then silence; all of them are an answer.
    Say(usize),
}

/// A provider on threads of its own, and how many requests have reached it.
#[derive(Clone)]
struct Provider {
    addr: SocketAddr,
    now: Arc<Mutex<(Deed, usize)>>,
}

impl Provider {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let now = Arc::new(Mutex::new((Deed::Refuse, 0)));
        let shared = Arc::clone(&now);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let now = Arc::clone(&shared);
                std::thread::spawn(move || serve(stream.unwrap(), &now));
            }
        });
        Self { addr, now }
    }

    fn does(&self, deed: Deed) {
        self.now.lock().unwrap().0 = deed;
    }

    fn reached(&self) -> usize {
        self.now.lock().unwrap().1
    }
}

fn serve(mut stream: TcpStream, now: &Mutex<(Deed, usize)>) {
    let (mut seen, mut buf) = (Vec::new(), [0; 4096]);
    while !seen.ends_with(b"}]}") {
        match stream.read(&mut buf) {
            Ok(n) if n > 0 => seen.extend(&buf[..n]),
            _ => return,
        }
    }
    let deed = {
        let mut now = now.lock().unwrap();
        now.1 += 1;
        now.0
    };
    // The gateway may be killed at any moment: nobody reads then.
    let _ = match deed {
        Deed::Refuse => {
            stream.write_all(b"HTTP/1.1 503 X\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        }
        Deed::Say(frames) => {
            let head =
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\n\r\n";
            let text: String = FRAMES[..frames].concat();
            // Without a frame not even a head: it only has the request.
            let said = if frames == 0 {
                Ok(())
            } else {
                stream.write_all(format!("{head}{text}").as_bytes())
            };
            if frames < FRAMES.len() {
                // Until the other side is gone.
                while stream.read(&mut buf).is_ok_and(|n| n > 0) {}
            }
            said
        }
    };
}

async fn set_up(gateway: &Gateway, providers: &[Provider; 2], door: &Door, total: u64) {
    let provider = |(id, provider): (&str, &Provider)| ProviderConfig {
        id: id.to_owned(),
        key: Some(Secret::new("sk-killed")),
        base_url: Some(format!("http://{}", provider.addr)),
        ..ProviderConfig::default()
    };
    let chain = ("openai/gpt-5".to_owned(), vec!["groq/llama-3.3-70b-versatile".to_owned()]);
    let budget = Budget { total: Some(total), ..Budget::default() };
    let config = GatewayConfig {
        providers: ["openai", "groq"].into_iter().zip(providers).map(provider).collect(),
        fallbacks: Fallbacks { chains: BTreeMap::from([chain]), ..Fallbacks::default() },
        budgets: Budgets { team: budget, ..Budgets::default() },
        ..GatewayConfig::default()
    };
    gateway.set_config(config).await.unwrap();
    gateway
        .add_machine(&door.project, "project-token", EgressLevel::Open, door.descriptors())
        .await
        .unwrap();
}

/// Reads until so many frames are there; all there is when it ends before.
fn frames(stream: &mut TcpStream, count: usize) -> String {
    let (mut text, mut buf) = (String::new(), [0; 4096]);
    while text.matches("data: ").count() < count {
        match stream.read(&mut buf) {
            Ok(n) if n > 0 => text.push_str(&String::from_utf8_lossy(&buf[..n])),
            _ => break,
        }
    }
    text
}

/// Waits until so many requests have reached them.
async fn reached(providers: &[Provider; 2], wanted: [usize; 2]) {
    while (0..2).any(|n| providers[n].reached() < wanted[n]) {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

/// What the journal says was granted, with its end where there is one.
fn written(home: &Home) -> Vec<(Granted, Option<UsageRecord>)> {
    let (lines, _) = usage::read(home.path(), 0, 100_000).unwrap();
    let mut calls: Vec<(Granted, Option<UsageRecord>)> = Vec::new();
    for line in lines {
        match line {
            UsageLine::Started(_) => {}
            UsageLine::Granted(granted) => calls.push((granted, None)),
            UsageLine::Ended(record) => {
                let call = calls.iter_mut().find(|(granted, _)| granted.granted == record.id);
                let end = &mut call.expect("what ended was granted").1;
                assert!(end.replace(record).is_none(), "written twice");
            }
        }
    }
    calls
}

/// What is spent, by the journal alone.
fn spent(calls: &[(Granted, Option<UsageRecord>)]) -> u64 {
    let of = |(granted, ended): &(Granted, Option<UsageRecord>)| {
        let reserved = granted.reserved.expect("nothing is granted without a reservation");
        let ended = ended.as_ref();
        ended.map_or(reserved, |end| end.cost.or(end.counted).unwrap_or(reserved))
    };
    calls.iter().map(of).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn however_far_a_streamed_call_is_it_was_granted_and_the_next_gateway_counts_it() {
    let home = Home::new();
    let providers = [Provider::start(), Provider::start()];
    let door = Door::new();
    let all = FRAMES.len();
    let said = (0..=all).map(Deed::Say);
    // The chosen one answers so far; or it refuses, and so far comes who stands in for it.
    let points = said.clone().map(|deed| [deed, Deed::Refuse]);
    let points = points.chain(said.map(|deed| [Deed::Refuse, deed]));
    let mut asked = [0, 0];
    for point in points {
        let gateway = home.gateway().await;
        set_up(&gateway, &providers, &door, u64::MAX).await;
        for (provider, deed) in providers.iter().zip(point) {
            provider.does(deed);
        }
        let mut call = door.call(ASK);
        asked[0] += 1;
        asked[1] += usize::from(point[0] == Deed::Refuse);
        let Deed::Say(said) = (if point[0] == Deed::Refuse { point[1] } else { point[0] }) else {
            unreachable!("one of them says something");
        };
        let (mut call, text) = tokio::task::spawn_blocking(move || {
            let text = frames(&mut call, said);
            (call, text)
        })
        .await
        .unwrap();
        assert_eq!(text.matches("data: ").count(), said, "{point:?} {text}");
        reached(&providers, asked).await;
        kill(gateway.pid());
        gateway.closed().await;
        // Its connections go a little before it does.
        while lives(gateway.pid()) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        let cut = tokio::task::spawn_blocking(move || {
            let mut rest = String::new();
            call.read_to_string(&mut rest).map(|_| rest)
        });
        let _ = cut.await.unwrap();

        let calls = written(&home);
        assert_eq!(calls.len(), asked[0] + asked[1], "{point:?}: each try, and no more");
        let last = calls.last().unwrap();
        let by = if point[0] == Deed::Refuse { "groq" } else { "openai" };
        assert_eq!(last.0.provider, by, "{point:?}");
        if point[0] == Deed::Refuse {
            let refused = calls[calls.len() - 2].1.as_ref().expect("it had ended before");
            assert_eq!((refused.status, refused.cost), (503, Some(0)), "{point:?}");
        }
        // The next one knows to the last billionth what is spent.
        let spent = spent(&calls);
        let next = home.gateway().await;
        for provider in &providers {
            provider.does(Deed::Refuse);
        }
        set_up(&next, &providers, &door, spent).await;
        let refused = answer(door.call(ASK)).await;
        assert!(refused.contains("x-toft-error: budget_spent"), "{point:?} {spent} {refused}");
        set_up(&next, &providers, &door, spent + 1).await;
        let granted = answer(door.call(ASK)).await;
        assert!(granted.starts_with("HTTP/1.1 503 "), "{point:?} {spent} {granted}");
        asked = [asked[0] + 1, asked[1] + 1];
        reached(&providers, asked).await;
        next.shutdown().await.unwrap();
    }
    let calls = written(&home);
    assert_eq!(calls.len(), asked[0] + asked[1]);
    assert!(calls.iter().any(|(_, end)| end.is_none()) && spent(&calls) > 0);
}

async fn answer(mut stream: TcpStream) -> String {
    let read = move || {
        let mut text = String::new();
        stream.read_to_string(&mut text).map(|_| text).unwrap_or_default()
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}
