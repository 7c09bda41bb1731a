//! An internet of a story's own: a network of its own for the story and its server, and beside it
//! another one with public addresses, hosts and a name server. Nothing of the host's network is
//! touched, and nobody outside is spoken to.

use crate::{lane, mounts::WITHOUT_OTHERS};
use anyhow::{Context as _, Result, bail, ensure};
use std::{
    collections::HashMap,
    fs::File,
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket},
    os::fd::AsFd as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// Set where a story runs within.
const WITHIN: &str = "TOFT_STORY_INTERNET";
/// Address of the server's host: a public one by its number.
pub const OURS: Ipv4Addr = Ipv4Addr::new(11, 0, 0, 1);
/// Address of the name server.
pub const NAME_SERVER: Ipv4Addr = Ipv4Addr::new(11, 0, 0, 2);
/// Addresses of hosts.
pub const HOSTS: [Ipv4Addr; 3] =
    [Ipv4Addr::new(11, 1, 0, 1), Ipv4Addr::new(11, 1, 0, 2), Ipv4Addr::new(11, 1, 0, 3)];

/// The server's host and another one, by the newer protocol.
pub const OURS_6: Ipv6Addr = Ipv6Addr::new(0x2a11, 0, 0, 0, 0, 0, 0, 1);
/// See [`OURS_6`].
pub const HOST_6: Ipv6Addr = Ipv6Addr::new(0x2a11, 1, 0, 0, 0, 0, 0, 1);
/// Between the two.
const WAY_6: &str = "2a11::2";

/// See the module.
pub struct Internet {
    /// Holds the other network.
    holder: Child,
    network: Arc<File>,
    names: Arc<Mutex<Names>>,
    /// Whether this host knows IPv6.
    pub six: bool,
}

#[derive(Default)]
struct Names {
    known: HashMap<String, Name>,
    /// All that was asked about, known or not, for addresses or anything else.
    questions: Vec<String>,
}

/// Answers of a name in turn; the last one stays.
#[derive(Default)]
struct Name {
    answers: Vec<Vec<Ipv4Addr>>,
    asked: usize,
    six: Vec<Ipv6Addr>,
}

/// What a host was asked: heads of requests, or the first bytes of what is no HTTP.
pub type Asked = Arc<Mutex<Vec<String>>>;

impl Internet {
    /// Runs the story of this name (`file::test`) once more in a network of its own: `None` when that
    /// is done, or cannot be done here; the internet where it runs within.
    pub fn enter(story: &str) -> Result<Option<Self>> {
        if std::env::var_os(WITHIN).is_some() {
            return Self::open().map(Some);
        }
        if !lane::root() || lane::as_user() {
            lane::skip("an internet of its own", "making networks and names takes root");
            return Ok(None);
        }
        for program in ["ip", "unshare", "nsenter"] {
            if Command::new(program).arg("--version").output().is_err() {
                lane::skip("an internet of its own", format!("{program} is not installed"));
                return Ok(None);
            }
        }
        let status = Command::new("unshare")
            .args(["--net", "--mount", "--propagation", "private"])
            .args(["sh", "-c", &format!("{WITHOUT_OTHERS}exec \"$0\" \"$@\"")])
            .arg(std::env::current_exe()?)
            .args([story, "--exact", "--nocapture"])
            .env(WITHIN, "1")
            .stdin(Stdio::null())
            .status()?;
        ensure!(status.success(), "within its own network the story ended with {status}");
        Ok(None)
    }

    fn open() -> Result<Self> {
        run("ip", &["link", "set", "lo", "up"])?;
        let holder = Command::new("unshare")
            .args(["--net", "sleep", "infinity"])
            .stdin(Stdio::null())
            .spawn()?;
        let pid = holder.id().to_string();
        let theirs = format!("/proc/{pid}/ns/net");
        let until = Instant::now() + Duration::from_secs(20);
        while std::fs::read_link(&theirs)? == std::fs::read_link("/proc/self/ns/net")? {
            ensure!(Instant::now() < until, "no second network came about");
            std::thread::sleep(Duration::from_millis(5));
        }
        let network = Arc::new(File::open(&theirs)?);
        run("ip", &["link", "add", "way", "type", "veth", "peer", "name", "net", "netns", &pid])?;
        run("ip", &["addr", "add", &format!("{OURS}/24"), "dev", "way"])?;
        run("ip", &["link", "set", "way", "up"])?;
        run("ip", &["route", "add", "default", "via", &NAME_SERVER.to_string()])?;
        let there = |args: &[&str]| run("nsenter", &[&["-t", &pid, "-n", "ip"], args].concat());
        there(&["link", "set", "lo", "up"])?;
        there(&["addr", "add", &format!("{NAME_SERVER}/24"), "dev", "net"])?;
        there(&["link", "set", "net", "up"])?;
        for host in HOSTS {
            there(&["addr", "add", &format!("{host}/32"), "dev", "lo"])?;
        }
        let six = || {
            run("ip", &["addr", "add", &format!("{OURS_6}/64"), "dev", "way", "nodad"])?;
            there(&["addr", "add", &format!("{WAY_6}/64"), "dev", "net", "nodad"])?;
            there(&["addr", "add", &format!("{HOST_6}/128"), "dev", "lo", "nodad"])?;
            run("ip", &["-6", "route", "add", "default", "via", WAY_6])
        };
        let six = six().is_ok();
        let internet = Self { holder, network, names: Arc::default(), six };
        internet.serve_names()?;
        Ok(internet)
    }

    /// Sets what a name resolves to, question by question; the last answer stays.
    pub fn name(&self, name: &str, answers: &[&[Ipv4Addr]]) {
        let answers = answers.iter().map(|answer| answer.to_vec()).collect();
        let mut names = self.names.lock().expect("no holder panics");
        names.known.insert(name.to_owned(), Name { answers, ..Name::default() });
    }

    /// Sets what a name resolves to by the newer protocol, and nothing else.
    pub fn name_6(&self, name: &str, six: &[Ipv6Addr]) {
        let mut names = self.names.lock().expect("no holder panics");
        names.known.insert(name.to_owned(), Name { six: six.to_vec(), ..Name::default() });
    }

    /// All that the name server was asked about so far.
    pub fn questions(&self) -> Vec<String> {
        self.names.lock().expect("no holder panics").questions.clone()
    }

    /// How often the addresses of a name were asked for.
    pub fn asked(&self, name: &str) -> usize {
        self.names.lock().expect("no holder panics").known.get(name).map_or(0, |name| name.asked)
    }

    /// A host that takes connections and does this with each, on a thread of its own.
    pub fn host(
        &self,
        address: impl Into<IpAddr>,
        port: u16,
        each: impl Fn(TcpStream) + Clone + Send + 'static,
    ) -> Result<()> {
        let address = address.into();
        let listener = self.there(move || TcpListener::bind((address, port)))??;
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let each = each.clone();
                std::thread::spawn(move || each(stream));
            }
        });
        Ok(())
    }

    /// A host of HTTP/1: answers the head of each request, which it keeps.
    pub fn web(
        &self,
        address: impl Into<IpAddr>,
        port: u16,
        answer: impl Fn(&str) -> String + Clone + Send + 'static,
    ) -> Result<Asked> {
        let asked = Asked::default();
        let kept = Arc::clone(&asked);
        self.host(address, port, move |mut stream| {
            while let Some(head) = head(&mut stream) {
                kept.lock().expect("no holder panics").push(head.clone());
                if stream.write_all(answer(&head).as_bytes()).is_err() {
                    return;
                }
            }
        })?;
        Ok(asked)
    }

    /// Starts a program among the hosts.
    pub fn program(&self, argv: &[&str]) -> Result<Child> {
        let pid = self.holder.id().to_string();
        let mut command = Command::new("nsenter");
        command.args(["-t", &pid, "-n"]).args(argv);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().with_context(|| format!("starting {argv:?}"))
    }

    /// What is put in front of a program that is to run among the hosts.
    pub fn before(&self) -> Vec<String> {
        ["nsenter", "-t", &self.holder.id().to_string(), "-n"].map(str::to_owned).into()
    }

    /// From now on all packets to the hosts are lost on their way, and nobody is told; or they come through again.
    pub fn lose(&self, are_lost: bool) -> Result<()> {
        let way = NAME_SERVER.to_string();
        if are_lost {
            // They go to somebody who is not there.
            let nobody = "02:00:00:00:00:99";
            return run(
                "ip",
                &["neigh", "replace", &way, "lladdr", nobody, "dev", "way", "nud", "permanent"],
            );
        }
        run("ip", &["neigh", "del", &way, "dev", "way"])
    }

    /// Does something in the other network.
    fn there<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
        let network = Arc::clone(&self.network);
        let entered = std::thread::spawn(move || {
            let kind = rustix::thread::LinkNameSpaceType::Network;
            rustix::thread::move_into_link_name_space(network.as_fd(), Some(kind))?;
            Ok::<T, rustix::io::Errno>(work())
        });
        let Ok(done) = entered.join() else { bail!("what was done there panicked") };
        done.context("entering the other network")
    }

    /// A name server, and a host that asks it and nobody else.
    fn serve_names(&self) -> Result<()> {
        let socket = self.there(|| UdpSocket::bind(SocketAddrV4::new(NAME_SERVER, 53)))??;
        let names = Arc::clone(&self.names);
        std::thread::spawn(move || {
            let mut question = [0; 512];
            while let Ok((n, from)) = socket.recv_from(&mut question) {
                if let Some(answer) = resolve(&question[..n], &names) {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        let mut file = tempfile::Builder::new().prefix("toft-story-resolv").tempfile()?;
        writeln!(file, "nameserver {NAME_SERVER}\noptions timeout:2 attempts:2")?;
        let place = std::fs::canonicalize("/etc/resolv.conf").unwrap_or("/etc/resolv.conf".into());
        rustix::mount::mount_bind(file.path(), &place)
            .with_context(|| format!("replacing {}", place.display()))?;
        // In this mount namespace only, and what is mounted stays when its name goes.
        drop(file);
        ensure!(Path::new("/etc/resolv.conf").exists(), "there is no resolv.conf");
        Ok(())
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// An answer of HTTP/1 with this body.
pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// A head up to its empty line; `None` at the end.
fn head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && head.len() < 1 << 16 {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// The answer to one question (RFC 1035 §4, RFC 3596): addresses, or that there are none.
fn resolve(question: &[u8], names: &Mutex<Names>) -> Option<Vec<u8>> {
    let mut at = 12;
    let mut labels: Vec<String> = Vec::new();
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8_lossy(question.get(at..at + length)?).to_lowercase());
        at += length;
    }
    let kind = u16::from_be_bytes([*question.get(at)?, *question.get(at + 1)?]);
    let end = at + 4;
    let mut names = names.lock().ok()?;
    names.questions.push(labels.join("."));
    let known = names.known.get_mut(&labels.join("."));
    // A name that is not there.
    let code = if known.is_some() { 0 } else { 3 };
    let addresses: Vec<Vec<u8>> = match known {
        Some(Name { answers, asked, .. }) if kind == 1 => {
            *asked += 1;
            let answer = answers.get((*asked - 1).min(answers.len().saturating_sub(1)));
            answer.into_iter().flatten().map(|address| address.octets().to_vec()).collect()
        }
        Some(Name { six, .. }) if kind == 28 => {
            six.iter().map(|address| address.octets().to_vec()).collect()
        }
        Some(_) | None => Vec::new(),
    };
    let mut answer = question.get(..2)?.to_vec();
    answer.extend([0x81, 0x80 | code, 0, 1]);
    answer.extend(u16::try_from(addresses.len()).ok()?.to_be_bytes());
    answer.extend([0, 0, 0, 0]);
    answer.extend(question.get(12..end)?);
    for address in addresses {
        // The name of the question, of its kind, of the internet, good for this moment only.
        answer.extend([0xc0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 0]);
        answer.extend(u16::try_from(address.len()).ok()?.to_be_bytes());
        answer.extend(address);
    }
    Some(answer)
}

fn run(program: &str, args: &[&str]) -> Result<()> {
    let ran = Command::new(program).args(args).stdin(Stdio::null()).output()?;
    ensure!(ran.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&ran.stderr));
    Ok(())
}
