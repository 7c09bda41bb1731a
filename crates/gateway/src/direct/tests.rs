//! DNS over real sockets of a whole gateway, and what becomes of connections to the addresses that it
//! answers. That such connections come here at all is shown with real machines (`crates/machine`).

use super::*;
use crate::{
    config::GatewayConfig,
    records::egress_log::Outcome,
    testing::{Bench, Door, Fake, Names as Zone},
};
use std::{
    net::TcpListener as StdListener, net::UdpSocket as StdSocket, os::fd::OwnedFd, path::Path,
};

/// A machine with all four sockets.
struct All {
    door: Door,
    listener: StdListener,
    questions: StdSocket,
}

impl All {
    async fn new(bench: &Bench, level: EgressLevel) -> Self {
        let door = Door::new();
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        let questions = StdSocket::bind("127.0.0.1:0").unwrap();
        let run = bench.data_dir().join("run/m").join(door.project.as_str());
        std::fs::create_dir_all(run).unwrap();
        let all = Self { door, listener, questions };
        all.hand_over(bench, level).await;
        all
    }

    async fn hand_over(&self, bench: &Bench, level: EgressLevel) {
        let mut sockets = self.door.descriptors();
        sockets.extend([
            OwnedFd::from(self.listener.try_clone().unwrap()),
            OwnedFd::from(self.questions.try_clone().unwrap()),
        ]);
        let Door { project, token, .. } = &self.door;
        bench.gateway.add_machine(project, token, level, sockets).await.unwrap();
    }

    /// The address of a name, asked by UDP; the answer's code when there is none.
    async fn look_up(&self, name: &str) -> Result<Ipv4Addr, u8> {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.send_to(&question(name, 1), self.questions.local_addr().unwrap()).await.unwrap();
        let mut buffer = [0; 512];
        let (read, _) = socket.recv_from(&mut buffer).await.unwrap();
        told(&buffer[..read])
    }

    /// What becomes of a connection to `to`, in the gateway.
    async fn connect(&self, bench: &Bench, to: (Ipv4Addr, u16)) -> Result<Passage, String> {
        let machine = bench.state.machines().get(&self.door.project).cloned().unwrap();
        let names = Names::open(&bench.state.names_path(&self.door.project));
        let own = self.listener.local_addr().unwrap().ip();
        let state = Arc::clone(&bench.state);
        let way = Way { state, machine: Arc::clone(&machine), names: Mutex::new(names), own };
        way.open(&machine, SocketAddr::from(to)).await.map_err(|e| e.message)
    }
}

fn question(name: &str, kind: u8) -> Vec<u8> {
    let mut bytes = vec![1, 2, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.bytes());
    }
    bytes.extend([0, 0, kind, 0, 1]);
    bytes
}

fn told(answer: &[u8]) -> Result<Ipv4Addr, u8> {
    assert_eq!(answer[..2], [1, 2]);
    if answer[7] == 1 {
        Ok(Ipv4Addr::from(*answer.last_chunk::<4>().unwrap()))
    } else {
        Err(answer[3] & 0xF)
    }
}

fn only(host: &str) -> EgressLevel {
    EgressLevel::AllowList(vec![host.to_owned()])
}

#[test]
fn only_names_that_some_level_reaches_have_an_address() {
    let own = IpAddr::V4(Ipv4Addr::new(127, 77, 0, 1));
    for (name, expected) in [
        ("GitHub.com", Known::Host("github.com".into())),
        ("localhost", Known::Here(Ipv4Addr::LOCALHOST)),
        ("a23.localhost", Known::Here(Ipv4Addr::LOCALHOST)),
        ("gateway.internal", Known::Here(Ipv4Addr::new(127, 77, 0, 1))),
        ("metadata.google.internal", Known::Nothing),
        ("printer.local", Known::Nothing),
        ("metadata", Known::Nothing),
        ("_ldap._tcp.example.com", Known::Nothing),
        ("127.0.0.1", Known::Nothing),
        ("0x7f.1", Known::Nothing),
        ("a b.example.com", Known::Nothing),
    ] {
        assert_eq!(known(name, own), expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dns_answers_by_datagram_and_by_connection_and_asks_nobody() {
    let zone = Arc::new(Zone::default());
    let bench = Bench::with(Arc::clone(&zone) as _).await;
    zone.set("git.test", &[&["127.0.0.1"]]);
    // The level does not matter: nothing is judged here.
    let machine = All::new(&bench, EgressLevel::None).await;
    let first = machine.look_up("git.test").await.unwrap();
    assert!(names::stands_for_a_name(first));
    assert_eq!(machine.look_up("GIT.test").await, Ok(first));
    assert_ne!(machine.look_up("db.test").await, Ok(first));
    assert_eq!(machine.look_up("gateway.internal").await, Ok(Ipv4Addr::LOCALHOST));
    assert_eq!(machine.look_up("printer.local").await, Err(3));
    let mut stream = TcpStream::connect(machine.listener.local_addr().unwrap()).await.unwrap();
    for (kind, expected) in [(1, Ok(first)), (28, Err(0)), (16, Err(0)), (1, Ok(first))] {
        let question = question("git.test", kind);
        stream.write_u16(u16::try_from(question.len()).unwrap()).await.unwrap();
        stream.write_all(&question).await.unwrap();
        let mut answer = vec![0; stream.read_u16().await.unwrap().into()];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(told(&answer), expected, "{kind}");
    }
    // Nonsense ends that connection, and nothing else.
    stream.write_all(&[0, 2, 9, 9]).await.unwrap();
    assert_eq!(stream.read(&mut [0; 9]).await.unwrap(), 0);
    assert_eq!(machine.look_up("git.test").await, Ok(first));
    assert!(bench.egress_log().is_empty(), "looking up is no line");
    assert_eq!(zone.asked_at_all(), 0);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_is_judged_and_dialled_as_the_name_that_it_stands_for() {
    let zone = Arc::new(Zone::default());
    let host = Fake::answering("hello").await;
    zone.answer("git.test", vec![vec![host.addr.ip()]]);
    let bench = Bench::with(Arc::clone(&zone) as _).await;
    let config = GatewayConfig { allow_private: vec![host.addr], ..GatewayConfig::default() };
    bench.gateway.set_config(config).await.unwrap();
    let machine = All::new(&bench, only("git.test")).await;
    let (git, evil) =
        (machine.look_up("git.test").await.unwrap(), machine.look_up("evil.test").await.unwrap());
    let port = host.addr.port();
    let passage = machine.connect(&bench, (git, port)).await.unwrap_or_else(|e| panic!("{e}"));
    drop(passage);
    for (to, rule) in [
        (evil, "not-listed"),
        (Ipv4Addr::new(198, 19, 0, 1), "unknown-name"),
        // The host itself, by address: no rule lists it.
        (Ipv4Addr::LOCALHOST, "loopback"),
        (Ipv4Addr::new(169, 254, 169, 254), "link-local"),
        (Ipv4Addr::new(1, 1, 1, 1), "not-listed"),
    ] {
        assert!(machine.connect(&bench, (to, port)).await.is_err(), "{to}");
        let last = bench.egress_log().pop().unwrap();
        assert_eq!((last.verdict, last.rule.as_str()), (Outcome::Deny, rule), "{last:?}");
        assert_eq!(last.port, port);
    }
    let all = bench.egress_of(6).await;
    let shown: Vec<(&str, Via)> = all.iter().map(|line| (line.host.as_str(), line.via)).collect();
    assert_eq!(shown[..2], [("git.test", Via::Direct), ("evil.test", Via::Direct)]);
    bench.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_comes_after_knows_what_programs_hold() {
    let bench = Bench::start().await;
    let machine = All::new(&bench, EgressLevel::Open).await;
    let held = machine.look_up("held.test").await.unwrap();
    // The same sockets, served anew: as by the gateway of the next process.
    bench.gateway.remove_machine(&machine.door.project).await.unwrap();
    machine.hand_over(&bench, EgressLevel::None).await;
    assert_ne!(machine.look_up("other.test").await, Ok(held));
    assert_eq!(machine.look_up("held.test").await, Ok(held));
    assert!(machine.connect(&bench, (held, 22)).await.is_err_and(|e| e.contains("`none`")));
    let all = bench.egress_of(1).await;
    assert_eq!((all[0].host.as_str(), all[0].rule.as_str()), ("held.test", "level-none"));
    assert!(Path::new(&bench.state.names_path(&machine.door.project)).exists());
    bench.end().await;
}
