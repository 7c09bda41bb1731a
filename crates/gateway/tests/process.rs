//! The gateway as a process of its own: started, found again, killed, replaced. Uses the example
//! `alone`, which is `toft gateway` without the rest of `toft`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so")]

mod house;

use house::{Door, Home, exe, kill, lives};
use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use toft_gateway::{
    ControlError, Gateway, GatewayConfig, ProviderConfig, Secret, SpawnConfig,
    records::usage::UsageLine,
};
use toft_model::machine::EgressLevel;

const KEY: &str = "sk-canary-4711-provider-key";
const ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 63\r\n\
    connection: close\r\n\r\n\
    {\"model\":\"m\",\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}";

fn log(home: &Home) -> String {
    std::fs::read_to_string(toft_gateway::folder::log_path(home.path())).unwrap()
}

/// A provider that answers the same to everything, on threads of its own.
fn provider() -> SocketAddr {
    counting_provider(Arc::default())
}

/// As [`provider`]; counts what it is asked.
fn counting_provider(asked: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let asked = Arc::clone(&asked);
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut seen = Vec::new();
                let mut buf = [0; 4096];
                while !(seen.ends_with(b"{}")
                    || seen.starts_with(b"GET ") && seen.ends_with(b"\r\n\r\n"))
                {
                    match stream.read(&mut buf) {
                        Ok(n) if n > 0 => seen.extend(&buf[..n]),
                        _ => return,
                    }
                }
                asked.fetch_add(1, Ordering::Relaxed);
                // The gateway may have been killed meanwhile.
                let _ = stream.write_all(ANSWER.as_bytes());
            });
        }
    });
    addr
}

async fn answer(mut stream: TcpStream) -> String {
    let read = move || {
        let mut text = String::new();
        stream.read_to_string(&mut text).map(|_| text).unwrap_or_default()
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

async fn set_up(gateway: &Gateway, provider: SocketAddr, door: &Door) {
    let openai = ProviderConfig {
        id: "openai".into(),
        key: Some(Secret::new(KEY)),
        base_url: Some(format!("http://{provider}/v1")),
        ..ProviderConfig::default()
    };
    let config = GatewayConfig { providers: vec![openai], ..GatewayConfig::default() };
    gateway.set_config(config).await.unwrap();
    gateway
        .add_machine(&door.project, "project-token", EgressLevel::Open, door.descriptors())
        .await
        .unwrap();
}

#[tokio::test]
async fn it_stands_alone_and_is_found_again() {
    let home = Home::new();
    let gateway = home.gateway().await;
    let pid = gateway.pid();
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session: u32 = stat.rsplit(')').next().unwrap().split(' ').nth(4).unwrap().parse().unwrap();
    assert_eq!(session, pid, "it leads a session of its own");
    if rustix::process::geteuid().is_root() {
        assert_eq!(std::fs::read(format!("/proc/{pid}/environ")).unwrap(), b"");
    }
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|l| l.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"));
    assert!(log(&home).contains("serving"), "{}", log(&home));

    // The server goes, another comes.
    drop(gateway);
    let again = home.gateway().await;
    assert_eq!(again.pid(), pid);
    // A second gateway of the same folder sees that it is one too many.
    let second = std::process::Command::new(exe())
        .args(["gateway", "--data"])
        .arg(home.path())
        .env_clear()
        .output()
        .unwrap();
    assert!(second.status.success(), "{second:?}");
    assert!(lives(pid));
    assert_eq!(again.machines().await.unwrap(), []);

    again.shutdown().await.unwrap();
    again.closed().await;
    assert!(!toft_gateway::folder::socket_path(home.path()).exists());
    let refused = Gateway::connect(home.path()).await;
    assert!(matches!(refused, Err(ControlError::NotRunning { .. })), "{refused:?}");
    // At once another one.
    let next = home.gateway().await;
    assert_ne!(next.pid(), pid);
    next.shutdown().await.unwrap();
}

#[tokio::test]
async fn two_servers_that_start_at_once_get_the_same_gateway() {
    let home = Home::new();
    let (a, b, c) = tokio::join!(home.gateway(), home.gateway(), home.gateway());
    assert_eq!((a.pid(), a.pid()), (b.pid(), c.pid()));
    a.shutdown().await.unwrap();
}

/// What the journal says of calls.
#[derive(Default)]
struct Written {
    granted: BTreeSet<String>,
    open: BTreeSet<String>,
    ended: BTreeSet<String>,
    whole: usize,
}

impl Written {
    fn take(&mut self, line: &UsageLine) {
        match line {
            UsageLine::Started(_) => self.open.clear(),
            UsageLine::Granted(call) => {
                assert!(self.granted.insert(call.granted.clone()), "granted twice: {call:?}");
                self.open.insert(call.granted.clone());
            }
            UsageLine::Ended(record) => {
                assert!(self.granted.contains(&record.id), "never granted: {record:?}");
                assert!(self.ended.insert(record.id.clone()), "written twice: {record:?}");
                self.open.remove(&record.id);
                self.whole += usize::from(record.status == 200 && record.error.is_none());
            }
        }
    }
}

#[tokio::test]
async fn a_killed_gateway_loses_no_record_and_the_next_one_answers_who_waited() {
    let home = Home::new();
    let asked = Arc::new(AtomicUsize::new(0));
    let (provider, door) = (counting_provider(Arc::clone(&asked)), Door::new());
    let done = Arc::new(AtomicUsize::new(0));
    for round in 0..20usize {
        let gateway = home.gateway().await;
        set_up(&gateway, provider, &door).await;
        // Some calls are whole, one is somewhere on its way, when it is killed.
        for _ in 0..=round % 3 {
            let text = answer(door.call("{}")).await;
            assert!(text.starts_with("HTTP/1.1 200 ") && text.ends_with("}}"), "{text}");
            done.fetch_add(1, Ordering::Relaxed);
        }
        let on_its_way = tokio::spawn(answer(door.call("{}")));
        for _ in 0..round * 20 {
            std::hint::spin_loop();
        }
        kill(gateway.pid());
        gateway.closed().await;
        assert!(gateway.machines().await.is_err());

        // Nobody serves the listeners: the call waits for the next gateway.
        let waiting = door.call("{}");
        let next = home.gateway().await;
        assert_ne!(next.pid(), gateway.pid());
        set_up(&next, provider, &door).await;
        assert!(answer(waiting).await.ends_with("}}"));
        done.fetch_add(1, Ordering::Relaxed);
        // Taken by the killed one it was cut; not yet taken it waited, too.
        if on_its_way.await.unwrap().ends_with("}}") {
            done.fetch_add(1, Ordering::Relaxed);
        }

        let (lines, _) = toft_gateway::records::usage::read(home.path(), 0, 10_000).unwrap();
        let mut written = Written::default();
        for line in &lines {
            written.take(line);
        }
        // A call may have been written down and then cut on its last way, never the reverse.
        assert!(written.whole >= done.load(Ordering::Relaxed), "{lines:?}");
        // Nothing got as far as the provider that had not been written down before.
        assert!(written.granted.len() >= asked.load(Ordering::Relaxed), "{lines:?}");
        assert_eq!(written.open, BTreeSet::new(), "a killed gateway's calls are closed");
        next.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn the_key_is_nowhere_but_in_memory() {
    let home = Home::new();
    let (provider, door) = (provider(), Door::new());
    // Bound and not listening: it refuses, and nobody else can get the port meanwhile.
    let refusing = tokio::net::TcpSocket::new_v4().unwrap();
    refusing.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let dead = refusing.local_addr().unwrap();
    let gateway = home.gateway().await;
    for provider in [dead, provider] {
        set_up(&gateway, provider, &door).await;
        answer(door.call("{}")).await;
        gateway.test_provider("openai").await.unwrap();
    }
    let nonsense = ProviderConfig {
        id: "openai".into(),
        key: Some(Secret::new(format!("{KEY}\n"))),
        base_url: Some(format!("http://user:{KEY}@h/{KEY}")),
        ..ProviderConfig::default()
    };
    let config = GatewayConfig { providers: vec![nonsense], ..GatewayConfig::default() };
    assert!(!format!("{:?}", config.providers[0].key).contains(KEY));
    gateway.set_config(config).await.unwrap();
    let answered = answer(door.call("{}")).await;
    assert!(answered.contains("bad_base_url") && !answered.contains(KEY), "{answered}");
    let test = gateway.test_provider("openai").await.unwrap();
    assert!(!test.ok && !test.message.contains(KEY), "{test:?}");
    // A broken request on the socket is logged without what it says.
    let pid = gateway.pid();
    let mut raw =
        std::os::unix::net::UnixStream::connect(toft_gateway::folder::socket_path(home.path()))
            .unwrap();
    let broken = format!(r#"{{"id":1,"request":{{"set_config":{{"{KEY}":1}}}}}}"#);
    let frame = toft_model::frame::encode(toft_model::frame::FrameKind::Json, broken.as_bytes());
    raw.write_all(&frame).unwrap();
    raw.shutdown(Shutdown::Write).unwrap();
    assert_eq!(raw.read_to_end(&mut Vec::new()).unwrap(), 0);

    if rustix::process::geteuid().is_root() {
        for file in ["environ", "cmdline"] {
            let bytes = std::fs::read(format!("/proc/{pid}/{file}")).unwrap();
            assert!(!String::from_utf8_lossy(&bytes).contains(KEY), "{file}");
        }
        // The same search does find it where it has to be.
        assert!(memory_holds(pid, KEY.as_bytes()));
        assert!(!memory_holds(pid, b"sk-canary-that-nobody-ever-set-0815"));
    }
    gateway.shutdown().await.unwrap();
    let mut files = 0;
    let mut folders = vec![home.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                assert!(!String::from_utf8_lossy(&bytes).contains(KEY), "{}", path.display());
                files += 1;
            }
        }
    }
    assert!(files >= 3 && log(&home).contains("a model call failed"), "{}", log(&home));
}

fn memory_holds(pid: u32, needle: &[u8]) -> bool {
    use std::os::unix::fs::FileExt as _;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let memory = std::fs::File::open(format!("/proc/{pid}/mem")).unwrap();
    maps.lines().filter(|line| line.contains(" rw-p ")).any(|line| {
        let (from, to) = line.split(' ').next().unwrap().split_once('-').unwrap();
        let from = u64::from_str_radix(from, 16).unwrap();
        let len = u64::from_str_radix(to, 16).unwrap() - from;
        let mut bytes = vec![0; usize::try_from(len).unwrap()];
        memory.read_exact_at(&mut bytes, from).is_ok()
            && memchr::memmem::find(&bytes, needle).is_some()
    })
}

#[tokio::test]
async fn a_gateway_of_another_protocol_is_ended_and_replaced() {
    let home = Home::new();
    std::fs::create_dir_all(home.path().join("run")).unwrap();
    let socket = toft_gateway::folder::socket_path(home.path());
    let old = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let old = std::thread::spawn(move || {
        let mut ended = false;
        while !ended {
            let (mut stream, _) = old.accept().unwrap();
            let mut head = [0; 5];
            stream.read_exact(&mut head).unwrap();
            let len = u32::from_be_bytes(head[..4].try_into().unwrap()) as usize - 1;
            let mut json = vec![0; len];
            stream.read_exact(&mut json).unwrap();
            let json = String::from_utf8(json).unwrap();
            ended = json.contains("shutdown");
            let reply = if ended {
                std::fs::remove_file(&socket).unwrap();
                r#"{"id":1,"reply":"done"}"#
            } else {
                r#"{"id":1,"reply":{"hello":{"protocol":99,"version":"9","pid":1,"machines":3}}}"#
            };
            let kind = toft_model::frame::FrameKind::Json;
            stream.write_all(&toft_model::frame::encode(kind, reply.as_bytes())).unwrap();
        }
    });
    let refused = Gateway::connect(home.path()).await;
    assert!(matches!(refused, Err(ControlError::Protocol { theirs: 99, pid: 1 })), "{refused:?}");
    let gateway = home.gateway().await;
    old.join().unwrap();
    assert_eq!(gateway.hello().protocol, toft_gateway::CONTROL_PROTOCOL);
    gateway.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_gateway_that_cannot_start_says_why() {
    let home = Home::new();
    let missing = SpawnConfig::new("/nowhere/toft", home.path());
    let error = Gateway::connect_or_spawn(missing).await.unwrap_err();
    assert!(matches!(&error, ControlError::Spawn { .. }), "{error}");

    std::fs::create_dir_all(home.path().join("run/gateway.sock.new")).unwrap();
    let broken = SpawnConfig::new(exe(), home.path());
    let error = Gateway::connect_or_spawn(broken).await.unwrap_err();
    assert!(matches!(&error, ControlError::DidNotStart { .. }), "{error}");
    assert!(error.to_string().contains("gateway.log"), "{error}");
    assert!(log(&home).contains("could not serve"), "{}", log(&home));

    let wrong = std::process::Command::new(exe()).args(["gateway", "--dta", "x"]).output().unwrap();
    assert!(!wrong.status.success());
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("--data DIR"), "{wrong:?}");
}
