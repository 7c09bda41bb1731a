//! Programs that know no proxy: ssh, git, psql and whatever else opens a connection reach an allowed
//! host by its name, and no other; what is no TCP connection reaches nobody.

use crate::attacks::sh;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    os::{
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr as UnixAddress, UnixListener, UnixStream},
    },
    sync::{Arc, Mutex},
};
use tempfile::TempDir;
use toft_gateway::{Gateway, GatewayConfig};
use toft_stories::{
    abilities::connects_without_proxy,
    lane,
    servers::{Server, postgres_programs, with_names},
    toft::{Start, Toft},
};

/// Names that mean this host for the gateway of these stories.
const NAMES: &[&str] =
    &["git.story.example", "db.story.example", "web.story.example", "other.story.example"];

/// A server whose gateway knows [`NAMES`], and a project that may reach only some of them.
struct House {
    toft: Toft,
    project: String,
    _names: TempDir,
}

impl House {
    /// `None`, and says why, where this cannot be shown.
    async fn open(story: &str, allowed: &[&str], servers: &[SocketAddr]) -> Result<Option<Self>> {
        let names = tempfile::Builder::new().prefix("toft-names-").tempdir()?;
        let before = with_names(names.path(), NAMES)?;
        let toft = Toft::start(Start { before, ..Start::default() }).await?;
        let project = toft.new_project("Ways").await?;
        let path = format!("/v1/projects/{project}");
        if !connects_without_proxy(&toft, &project).await? {
            lane::skip(story, "the kernel of this host cannot hand connections to the gateway");
            toft.down()?;
            return Ok(None);
        }
        let wish = json!({"level": "allow-list", "rules": allowed});
        toft.call("PUT", &format!("{path}/egress"), Some(wish)).await?;
        // The server tells a new gateway twice; what this story tells comes after that.
        let said = toft.data.join("logs/gateway.log");
        while std::fs::read_to_string(&said)?.matches(" configured ").count() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        // The servers are this host's, which no level reaches: opened for this test alone.
        let gateway = Gateway::connect(&toft.data).await?;
        let allow_private = servers.to_vec();
        gateway.set_config(GatewayConfig { allow_private, ..GatewayConfig::default() }).await?;
        Ok(Some(Self { toft, project, _names: names }))
    }

    async fn sh(&self, command: &str) -> Result<(i64, String)> {
        sh(&self.toft, &self.project, &format!("exec 2>&1; {command}")).await
    }

    /// Waits until a connection to this host is open.
    async fn line_open(&self, host: &str) -> Result<()> {
        let path = format!("/v1/projects/{}/egress/log", self.project);
        let is_open = |log: &Value| {
            log["open"].as_array().is_some_and(|all| all.iter().any(|open| open["host"] == host))
        };
        self.toft.until(&path, is_open).await.map(drop)
    }

    /// The log of what went out.
    async fn lines(&self) -> Result<Value> {
        let path = format!("/v1/projects/{}/egress/log?limit=200", self.project);
        Ok(self.toft.call("GET", &path, None).await?["lines"].take())
    }

    /// Waits for a line of the log of what went out.
    async fn line(&self, host: &str, verdict: &str) -> Result<Value> {
        let path = format!("/v1/projects/{}/egress/log?limit=200", self.project);
        let is_it = |line: &Value| line["host"] == host && line["verdict"] == verdict;
        let found = |log: &Value| {
            log["lines"].as_array().and_then(|all| all.iter().find(|line| is_it(line)).cloned())
        };
        let log = self.toft.until(&path, |log| found(log).is_some()).await?;
        found(&log).context("it was there")
    }
}

/// Whether these stories can be told here; says why not.
fn possible(story: &str) -> bool {
    if !lane::root() || lane::as_user() {
        lane::skip(story, "names and servers of its own need root");
        return false;
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_and_git_reach_an_allowed_host_by_its_name_and_no_other() -> Result<()> {
    let story = "ssh and git";
    if !possible(story) {
        return Ok(());
    }
    let Some(server) = Server::ssh()? else {
        lane::skip(story, "no OpenSSH server; `.ci/prepare tests` unpacks one");
        return Ok(());
    };
    let allowed = format!("git.story.example:{}", server.address.port());
    let Some(house) = House::open(story, &[&allowed], &[server.address]).await? else {
        return Ok(());
    };
    let (port, key) = (server.address.port(), server.key()?);
    let prepare = format!(
        "mkdir -p ~/.ssh && cat > ~/.ssh/id_ed25519 <<'E'\n{key}E\nchmod 600 ~/.ssh/id_ed25519; \
         printf 'Host *\\n Port {port}\\n User git\\n StrictHostKeyChecking accept-new\\n' > ~/.ssh/config; \
         git config --global user.email a@b.example; git config --global user.name A"
    );
    assert_eq!(house.sh(&prepare).await?.0, 0);
    let (code, said) = house.sh("ssh git.story.example 'echo over ssh; pwd'").await?;
    let folder = server.folder.path().display().to_string();
    assert!(code == 0 && said.contains("over ssh") && said.contains(&folder), "{code} {said}");
    let line = house.line("git.story.example", "allow").await?;
    assert_eq!((&line["via"], &line["port"]), (&json!("direct"), &json!(port)), "{line}");
    assert!(line["bytesIn"].as_u64() > Some(1_000), "{line}");

    // A repository there and back again.
    let repository = server.folder.path().join("repository.git");
    let made = std::process::Command::new("git")
        .args(["init", "-q", "--bare"])
        .arg(&repository)
        .status()?;
    ensure!(made.success(), "git init");
    let url = format!("ssh://git.story.example{}", repository.display());
    let (code, said) = house
        .sh(&format!(
            "set -e; cd /root; git clone {url} one; cd one; echo hello > file; git add file; \
             git commit -qm first; git push origin HEAD; cd ..; git clone {url} two; cat two/file"
        ))
        .await?;
    assert!(code == 0 && said.trim_end().ends_with("hello"), "{code} {said}");

    // The same server by another name, by its address, and this host's own sshd port.
    for (host, shown, rule) in [
        ("other.story.example", "other.story.example", "not-listed"),
        ("10.0.0.1", "10.0.0.1", "private"),
        ("169.254.169.254", "169.254.169.254", "link-local"),
        ("198.19.255.1", "198.19.255.1", "unknown-name"),
    ] {
        let (code, said) = house.sh(&format!("ssh {host} echo in")).await?;
        assert!(code == 255 && !said.contains("in\n"), "{host}: {code} {said}");
        assert_eq!(house.line(shown, "deny").await?["rule"], rule, "{host}");
    }
    // Another port of the allowed host.
    let (code, said) = house.sh("ssh -p 22 git.story.example echo in").await?;
    assert!(code == 255 && !said.contains("in\n"), "{code} {said}");
    house.line("git.story.example", "deny").await?;
    house.toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_reaches_an_allowed_database_and_keeps_reaching_it_when_the_gateway_is_killed()
-> Result<()> {
    let story = "psql";
    if !possible(story) {
        return Ok(());
    }
    let (Some(server), Some(programs)) = (Server::postgres()?, postgres_programs()) else {
        lane::skip(story, "no PostgreSQL; `.ci/prepare tests` installs it");
        return Ok(());
    };
    let Some(mut house) = House::open(story, &["db.story.example"], &[server.address]).await?
    else {
        return Ok(());
    };
    let (port, psql) = (server.address.port(), programs.join("psql"));
    let psql = |host: &str, sql: &str| {
        format!("{} -h {host} -p {port} -U story -d postgres -At -c '{sql}'", psql.display())
    };
    let (code, said) = house.sh(&psql("db.story.example", "select 40 + 2")).await?;
    let lines = house.lines().await?;
    assert!(code == 0 && said.trim() == "42", "{code} {said} {lines}");
    assert_eq!(house.line("db.story.example", "allow").await?["via"], "direct");
    let (code, said) = house.sh(&psql("other.story.example", "select 40 + 2")).await?;
    assert!(code == 2 && said.lines().all(|line| line != "42"), "{code} {said}");
    assert_eq!(house.line("other.story.example", "deny").await?["rule"], "not-listed");

    // A program that holds the address goes on with it when another gateway has come.
    let held = house.sh("getent ahostsv4 db.story.example | head -1 | cut -d' ' -f1").await?.1;
    let old = house.toft.gateway_pid().context("a gateway runs")?;
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(old.cast_signed()).context("a pid")?,
        rustix::process::Signal::KILL,
    )?;
    let gateway = loop {
        match Gateway::connect(&house.toft.data).await {
            Ok(gateway) if gateway.pid() != old && !gateway.machines().await?.is_empty() => {
                break gateway;
            }
            _ => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    };
    let config = GatewayConfig { allow_private: vec![server.address], ..GatewayConfig::default() };
    gateway.set_config(config).await?;
    let (code, said) = house.sh(&psql(held.trim(), "select 6 * 7")).await?;
    assert!(code == 0 && said.trim() == "42", "{held}: {code} {said}");

    // A query that takes long ends when the level is tightened.
    let wait = psql("db.story.example", "select pg_sleep(600)");
    let tighten = async {
        house.line_open("db.story.example").await?;
        let path = format!("/v1/projects/{}/egress", house.project);
        house.toft.call("PUT", &path, Some(json!({"level": "none"}))).await
    };
    let (ran, tightened) = tokio::join!(house.sh(&wait), tighten);
    tightened?;
    let (code, said) = ran?;
    assert!(code == 2 && said.contains("closed"), "{code} {said}");
    house.toft.kill_server();
    house.toft.up().await?;
    house.toft.down()
}

/// A web server that answers everything, and keeps what was asked.
fn web() -> Result<(SocketAddr, Arc<Mutex<Vec<u8>>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (address, asked) = (listener.local_addr()?, Arc::new(Mutex::new(Vec::new())));
    let keeps = Arc::clone(&asked);
    // Ends with the test's process.
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(std::result::Result::ok) {
            let mut first = [0; 4096];
            let read = stream.read(&mut first).unwrap_or_default();
            keeps.lock().expect("nobody panics with it").extend(&first[..read]);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\nserved";
            // Who went away is not served.
            let _ = stream.write_all(answer);
        }
    });
    Ok((address, asked))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_connection_says_of_its_host_must_be_what_it_was_made_for() -> Result<()> {
    let story = "hosts that are named within";
    if !possible(story) {
        return Ok(());
    }
    let (address, asked) = web()?;
    let port = address.port();
    let Some(house) = House::open(story, &["web.story.example"], &[address]).await? else {
        return Ok(());
    };
    let get_at = |at: &str, host: &str| {
        format!(
            "timeout 10 bash -c 'exec 3<>/dev/tcp/{at}/{port}; \
             printf \"GET / HTTP/1.1\\r\\nHost: {host}\\r\\nConnection: close\\r\\n\\r\\n\" >&3; cat <&3'"
        )
    };
    let get = |host: &str| get_at("web.story.example", host);
    let (code, said) = house.sh(&get(&format!("web.story.example:{port}"))).await?;
    assert!(code == 0 && said.ends_with("served"), "{code} {said}");
    asked.lock().expect("nobody panics with it").clear();
    let (_, said) = house.sh(&get("other.story.example")).await?;
    assert!(said.starts_with("HTTP/1.1 403") && !said.contains("served"), "{said}");
    // A host that is not allowed at all: the program hears why.
    let (_, said) = house.sh(&get_at("other.story.example", "other.story.example")).await?;
    assert!(said.starts_with("HTTP/1.1 403") && said.contains("allow-list"), "{said}");
    if house.sh("command -v openssl").await?.0 == 0 {
        let hello = |host: &str| {
            format!(
                "timeout 10 openssl s_client -connect web.story.example:{port} -servername {host} </dev/null"
            )
        };
        let refused = format!("openssl s_client -connect other.story.example:{port} </dev/null");
        let (_, said) = house.sh(&refused).await?;
        assert!(said.contains("access denied"), "{said}");
        house.sh(&hello("other.story.example")).await?;
        house.line("web.story.example", "deny").await?;
        assert!(asked.lock().expect("nobody panics with it").is_empty(), "nothing of it went out");
        house.sh(&hello("web.story.example")).await?;
        // Handshake records of TLS begin so.
        assert_eq!(asked.lock().expect("nobody panics with it").first(), Some(&0x16));
    } else {
        lane::skip("names in TLS", "no openssl in the machine");
    }
    house.toft.down()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_connection_of_an_allowed_host_gets_nowhere() -> Result<()> {
    let toft = Toft::start(Start::default()).await?;
    let (project, other) = (toft.new_project("Digger").await?, toft.new_project("Other").await?);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let datagrams = std::net::UdpSocket::bind("127.0.0.1:0")?;
    datagrams.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let udp = datagrams.local_addr()?.port();
    let serve = "setsid perl -MSocket -e 'socket(S,2,1,0);setsockopt(S,1,2,1);bind(S,sockaddr_in(7777,INADDR_ANY));\
                 listen(S,5);while(accept(C,S)){syswrite(C,\"peer\\n\");close C}' >/dev/null 2>&1 & \
                 until (exec 3<>/dev/tcp/127.0.0.1/7777) 2>/dev/null; do sleep 0.05; done";
    assert_eq!(sh(&toft, &other, serve).await?.0, 0);
    let hear = |to: &str| format!("timeout 5 bash -c 'exec 3<>/dev/{to}; echo x >&3; head -1 <&3'");
    assert_eq!(sh(&toft, &other, &hear("tcp/127.0.0.1/7777")).await?.1, "peer\n", "the control");
    for to in [
        "tcp/127.0.0.1/7777".to_owned(),
        format!("tcp/127.0.0.1/{port}"),
        format!("tcp/127.0.0.1/{}", toft.port),
        format!("tcp/127.77.0.1/{port}"),
        format!("tcp/10.0.0.1/{}", toft.port),
        format!("tcp/192.168.0.1/{port}"),
        "tcp/169.254.169.254/80".to_owned(),
        "tcp/0.0.0.0/7777".to_owned(),
        format!("udp/127.0.0.1/{udp}"),
        "udp/1.1.1.1/53".to_owned(),
        "udp/1.1.1.1/443".to_owned(),
        "udp/10.0.0.1/53".to_owned(),
        "tcp/::1/7777".to_owned(),
        "tcp/2606:4700::1111/443".to_owned(),
    ] {
        let (_, said) = sh(&toft, &project, &format!("{} 2>/dev/null", hear(&to))).await?;
        assert_eq!(said, "", "{to}");
    }
    assert!(listener.accept().is_err(), "nobody called");
    assert!(datagrams.recv(&mut [0; 9]).is_err(), "nothing came");
    // A name carries nothing out: it is answered here, whatever it is, and never asked about.
    let digs = "for i in 1 2 3; do getent ahostsv4 secret-$i.tunnel.example | head -1; done; \
                getent hosts nowhere.local; echo $?";
    let (_, said) = sh(&toft, &project, digs).await?;
    let answers: Vec<&str> = said.lines().collect();
    assert!(
        answers.len() == 4
            && answers[..3].iter().all(|a| a.starts_with("198.18."))
            && answers[3] == "2",
        "{said}"
    );
    // A socket of the host without a path, which anybody on the host may call.
    let name = format!("toft-story-{port}");
    let abstracted = UnixAddress::from_abstract_name(&name)?;
    let host = UnixListener::bind_addr(&abstracted)?;
    UnixStream::connect_addr(&abstracted).context("the control")?;
    host.accept()?;
    let call = format!(
        "perl -e 'socket(S, 1, 1, 0) or exit 2; exit(connect(S, pack(q(S a*), 1, qq(\\0{name}))) ? 0 : 1)'"
    );
    assert_eq!(sh(&toft, &project, &call).await?.0, 1, "a socket without a path");
    // ICMP, raw sockets, packets, and the host's other families.
    for (name, family, kind, protocol) in [
        ("ping", 2, 2, 1),
        ("raw icmp", 2, 3, 1),
        ("raw ip", 2, 3, 255),
        ("packet", 17, 3, 768),
        ("vsock", 40, 1, 0),
    ] {
        let open = format!("perl -e 'socket(my $s, {family}, {kind}, {protocol}) or exit 1'");
        assert_eq!(sh(&toft, &project, &open).await?.0, 1, "{name}");
    }
    toft.down()
}

/// A filter of system calls for the server and all that it starts: there is no nf_tables.
const WITHOUT_NF_TABLES: &str = "my @f = ([32,0,0,0],[21,0,5,41],[32,0,0,16],[21,0,3,16],[32,0,0,32],[21,0,1,12],\
    [6,0,0,327774],[6,0,0,2147418112]); my $f = join q(), map { pack(q(SCCL), @$_) } @f; \
    syscall(157, 38, 1, 0, 0, 0) == 0 or die; \
    syscall(157, 22, 2, unpack(q(Q), pack(q(P), pack(q(S x6 P), scalar @f, $f))), 0, 0) == 0 or die qq($!); exec @ARGV";

#[tokio::test(flavor = "multi_thread")]
async fn without_nf_tables_the_machine_says_so_and_the_proxy_is_there() -> Result<()> {
    if cfg!(not(target_arch = "x86_64")) || !std::path::Path::new("/usr/bin/perl").exists() {
        lane::skip("no nf_tables", "the filter of this test is perl's, for x86_64");
        return Ok(());
    }
    let before = ["perl", "-e", WITHOUT_NF_TABLES].map(str::to_owned).into();
    let toft = Toft::start(Start { before, ..Start::default() }).await?;
    let project = toft.new_project("Old kernel").await?;
    let machine = toft.call("GET", &format!("/v1/projects/{project}/machine"), None).await?;
    let ability = machine["enforced"]
        .as_array()
        .and_then(|all| all.iter().find(|a| a["name"] == "connections without proxy"))
        .context("the machine's page has it")?;
    assert_eq!(ability["enforced"], false, "{ability}");
    let said = (ability["how"].as_str(), ability["remedy"].as_str());
    assert!(
        said.0.is_some_and(|how| how.contains("nf_tables") && how.contains("HTTP_PROXY"))
            && said.1.is_some_and(|remedy| remedy.contains("nft_tproxy")),
        "{ability}"
    );
    let ways = "(exec 3<>/dev/tcp/127.77.0.1/3128) && echo proxy; (exec 3<>/dev/tcp/127.77.0.1/80) && echo models; \
                (exec 3<>/dev/tcp/1.1.1.1/443) 2>&1 | grep -o unreachable | head -1; \
                (exec 3<>/dev/tcp/127.77.0.1/53) 2>&1 | grep -o refused | head -1; getent hosts git.story.example || echo nobody";
    let (_, said) = sh(&toft, &project, ways).await?;
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        ["proxy", "models", "unreachable", "refused", "nobody"]
    );
    toft.down()
}
