//! The way out for programs that know no proxy. Their connections come here whatever address they
//! were made for, and so does DNS. A name is answered with an address of its own that leads only
//! here; the connection to that address is then judged, dialled and logged by the name, as at the
//! proxy. DNS itself asks nobody and judges nothing, so a look-up tells nobody anything.

pub(crate) mod dns;
mod names;
mod refusal;

use crate::{
    accept::{accept_all, behind},
    api_error::ApiError,
    egress::{self, passage::Passage},
    machine::Machine,
    records::egress_log::Via,
    state::State,
};
use dns::{Found, Wanted};
use names::Names;
use rustix::net::{RecvFlags, SendFlags, recvfrom, sendto};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use toft_model::machine::EgressLevel;
use toft_policy::{Host, HostPort, Verdict, host::unmapped};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, Interest},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::OwnedSemaphorePermit,
    time::timeout,
};

/// Longest question that is read: ours fit, and those with options (RFC 6891).
const QUESTION_BYTES_MAX: usize = 4096;
/// Questions that are answered before others of this machine have their turn.
const QUESTIONS_AT_ONCE: usize = 64;
/// Pause after reading failed.
const READ_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection for DNS may say nothing (RFC 7766 §6.2.3: a few seconds).
const DNS_IDLE: Duration = Duration::from_secs(10);

/// What the connections of a machine share.
struct Way {
    state: Arc<State>,
    machine: Arc<Machine>,
    names: Mutex<Names>,
    /// The gateway's address, as the machine sees it.
    own: IpAddr,
}

/// Serves both sockets until the machine is no longer served.
pub(crate) async fn serve(
    state: Arc<State>,
    machine: Arc<Machine>,
    listener: TcpListener,
    questions: UdpSocket,
) -> io::Result<()> {
    let own = listener.local_addr()?.ip();
    // Read on this thread, which serves nobody else.
    let names = Mutex::new(Names::open(&state.names_path(&machine.project)));
    let way = Arc::new(Way { state, machine, names, own });
    let limit = way.machine.direct_connections();
    let turns = &way.machine.turns;
    let connections = accept_all(listener, limit, turns, |stream, permit| way.take(stream, permit));
    tokio::join!(connections, way.answer_all(&questions));
    Ok(())
}

impl Way {
    fn take(self: &Arc<Self>, stream: TcpStream, permit: OwnedSemaphorePermit) {
        // Whose it is also says whose names count: those of a machine that is taken anew are read
        // from the file.
        let Some(machine) = behind(&self.state, &self.machine) else { return };
        let way = Arc::clone(self);
        self.state.tasks.spawn(async move {
            let cancel = machine.cancel.clone();
            cancel.run_until_cancelled(way.serve(machine, stream)).await;
            drop(permit);
        });
    }

    async fn serve(&self, machine: Arc<Machine>, stream: TcpStream) {
        let Ok(address) = stream.local_addr() else { return };
        // Made for the gateway itself: only DNS comes here.
        if address.ip() == self.own {
            return self.answer_stream(stream).await;
        }
        match self.open(&machine, address).await {
            Ok(passage) => passage.carry(stream, bytes::Bytes::new()).await,
            Err(error) => refusal::tell(stream, &error).await,
        }
    }

    async fn open(&self, machine: &Arc<Machine>, to: SocketAddr) -> Result<Passage, ApiError> {
        let Some(host) = self.host_at(unmapped(to.ip())) else {
            let ip = to.ip();
            let reason = format!("{ip} stands for no name that is known: look the name up again");
            let verdict = Verdict::deny("unknown-name", reason);
            let place = (ip.to_string(), to.port());
            return Err(egress::refuse(&self.state, machine, place, Via::Direct, &verdict));
        };
        let target = HostPort { host, port: to.port() };
        Passage::open(&self.state, machine, target, Via::Direct).await
    }

    /// Whom an address means. `None`: a name that is not known.
    fn host_at(&self, address: IpAddr) -> Option<Host> {
        match address {
            IpAddr::V4(v4) if names::stands_for_a_name(v4) => {
                let name = self.names().name_of(v4)?;
                Host::parse(&name).ok()
            }
            IpAddr::V4(_) | IpAddr::V6(_) => Some(Host::Address(address)),
        }
    }

    fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, name: &str, wanted: Wanted) -> Found {
        match (known(name, self.own), wanted) {
            (Known::Nothing, _) => Found::NoName,
            (Known::Here(_) | Known::Host(_), Wanted::Other) => Found::NoRecord,
            (Known::Here(address), Wanted::Address) => Found::Address(address),
            (Known::Host(name), Wanted::Address) => match self.names().address_of(&name) {
                Some(address) => Found::Address(address),
                None => Found::Refused,
            },
        }
    }

    /// Answers questions that come as datagrams.
    async fn answer_all(&self, socket: &UdpSocket) {
        let mut buffer = vec![0; QUESTION_BYTES_MAX];
        loop {
            // It could not be read from at all, or no longer.
            if let Err(error) = self.answer_some(socket, &mut buffer).await {
                tracing::debug!(%error, "questions of a machine could not be read");
                tokio::time::sleep(READ_PAUSE).await;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Never waits in the kernel, whatever the machine's init has made of its socket.
    async fn answer_some(&self, socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<()> {
        socket.readable().await?;
        for _ in 0..QUESTIONS_AT_ONCE {
            self.machine.questions.next().await;
            let read = socket.try_io(Interest::READABLE, || {
                Ok(recvfrom(socket, &mut *buffer, RecvFlags::DONTWAIT | RecvFlags::TRUNC)?)
            });
            let (_, read, asker) = match read {
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(e) => return Err(e),
            };
            let answer = buffer.get(..read).and_then(|q| dns::answer(q, |n, w| self.find(n, w)));
            if let (Some(answer), Some(asker)) = (answer, asker) {
                // Who does not take it asks again.
                let _ = sendto(socket, &answer, SendFlags::DONTWAIT, &asker);
            }
        }
        Ok(())
    }

    /// Answers questions that come on a connection, each with its length before it.
    async fn answer_stream(&self, mut stream: TcpStream) {
        let mut buffer = vec![0; QUESTION_BYTES_MAX];
        loop {
            self.machine.questions.next().await;
            let question = timeout(DNS_IDLE, async {
                let length = usize::from(stream.read_u16().await?);
                let question = buffer.get_mut(..length).ok_or(io::ErrorKind::InvalidData)?;
                stream.read_exact(question).await.map(|_| length)
            });
            let Ok(Ok(length)) = question.await else { return };
            let Some(answer) = dns::answer(&buffer[..length], |n, w| self.find(n, w)) else {
                return;
            };
            let Ok(length) = u16::try_from(answer.len()) else { return };
            let whole = [&length.to_be_bytes()[..], &answer].concat();
            if !matches!(timeout(DNS_IDLE, stream.write_all(&whole)).await, Ok(Ok(()))) {
                return;
            }
        }
    }
}

/// What a name means here.
#[derive(Debug, PartialEq, Eq)]
enum Known {
    /// This address of the machine's own.
    Here(Ipv4Addr),
    /// A host outside, by this name; whether it may be reached is asked when it is.
    Host(String),
    /// Nothing: no level reaches such a name.
    Nothing,
}

fn known(name: &str, own: IpAddr) -> Known {
    let Ok(host @ Host::Name(_)) = Host::parse(name) else { return Known::Nothing };
    let lower = host.to_string();
    if lower == "localhost" || lower.ends_with(".localhost") {
        return Known::Here(Ipv4Addr::LOCALHOST);
    }
    if let ("gateway.internal", IpAddr::V4(own)) = (lower.as_str(), own) {
        return Known::Here(own);
    }
    // Any port: what is refused here is refused for its name.
    if toft_policy::decide(&EgressLevel::Open, &host, 1).allowed() {
        Known::Host(lower)
    } else {
        Known::Nothing
    }
}

#[cfg(test)]
mod tests;
