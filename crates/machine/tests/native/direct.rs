//! Connections of programs that know no proxy: they come to the gateway's listener, with the address
//! that they were made for, and nothing else has a way.

use super::lab::{Lab, spec};
use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, UdpSocket},
    os::fd::OwnedFd,
};
use toft_lane::skip;
use toft_machine::backend::{Backend as _, Running};

/// `None`, and says why, where this host cannot.
async fn lab() -> Option<Lab> {
    let lab = Lab::open().await?;
    if lab.enforced("connections without proxy").await {
        return Some(lab);
    }
    skip("connections without proxy", "the kernel of this host cannot");
    lab.close(&[]).await;
    None
}

fn sockets(running: Running) -> (TcpListener, UdpSocket) {
    let [_, _, direct, dns] = <[OwnedFd; 4]>::try_from(running.gateway_listeners).unwrap();
    (direct.into(), dns.into())
}

/// Takes one connection; answers whom it was made for and the first line that it says.
fn meet(listener: &TcpListener) -> (String, String) {
    let (mut stream, _) = listener.accept().unwrap();
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    writeln!(stream, "heard {line}").unwrap();
    (stream.local_addr().unwrap().to_string(), line.trim().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_to_any_address_comes_to_the_gateway_and_keeps_it() {
    let Some(lab) = lab().await else { return };
    let (project, running) = lab.machine().await;
    let (listener, _) = sockets(running);
    for address in
        ["198.18.7.9:5432", "1.1.1.1:443", "169.254.169.254:80", "10.0.0.1:22", "127.77.0.1:53"]
    {
        let other = listener.try_clone().unwrap();
        let met = std::thread::spawn(move || meet(&other));
        let command =
            format!("exec 3<>/dev/tcp/{}; echo to $$ >&3; head -1 <&3", address.replace(':', "/"));
        let (said, exit) = lab.exec(&project, &["/bin/bash", "-c", &command]).await;
        assert_eq!(exit.code, Some(0), "{said}");
        let (whom, line) = met.join().unwrap();
        assert_eq!((whom.as_str(), said.trim()), (address, format!("heard {line}").as_str()));
    }
    // What the machine offers itself stays its own.
    let own = "perl -MSocket -e 'socket(S, 2, 1, 0); bind(S, sockaddr_in(4444, INADDR_ANY)); listen(S, 1); \
               if (fork) { accept(C, S); syswrite(C, qq(own\\n)) } else { exec qw(bash -c), \
               q(exec 3<>/dev/tcp/127.0.0.1/4444; head -1 <&3) }; wait'";
    assert_eq!(lab.says(&project, own).await, "own");
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dns_reaches_the_gateway_and_nothing_but_tcp_has_a_route() {
    let Some(lab) = lab().await else { return };
    let (project, running) = lab.machine().await;
    let (listener, dns) = sockets(running);
    listener.set_nonblocking(true).unwrap();
    let asked = std::thread::spawn(move || {
        let mut buffer = [0; 64];
        let (read, whom) = dns.recv_from(&mut buffer).unwrap();
        dns.send_to(b"answer\n", whom).unwrap();
        buffer[..read].to_vec()
    });
    let ask = "exec 3<>/dev/udp/127.77.0.1/53; printf question >&3; head -1 <&3";
    assert_eq!(lab.exec(&project, &["/bin/bash", "-c", ask]).await.0, "answer\n");
    assert_eq!(asked.join().unwrap(), b"question");
    assert_eq!(
        lab.says(&project, "grep ^nameserver /etc/resolv.conf").await,
        "nameserver 127.77.0.1"
    );
    for way in [
        "udp/8.8.8.8/53",
        "udp/198.18.0.1/443",
        "udp/2606:4700::1111/443",
        "tcp/2606:4700::1111/443",
    ] {
        let command = format!("exec 3<>/dev/{way} && echo x >&3");
        let (said, exit) = lab.exec(&project, &["/bin/bash", "-c", &command]).await;
        assert!(exit.code != Some(0) && said.contains("unreachable"), "{way}: {said}");
    }
    // Nobody inside can change the way, or take a foreign address.
    let change = "perl -MSocket -e 'socket(S, 16, 3, 12) and exit 1; socket(S, 2, 1, 0) or exit 2; \
                  setsockopt(S, 0, 19, 1) and exit 3; bind(S, sockaddr_in(80, inet_aton(q(198.18.0.9)))) and exit 4; \
                  setsockopt(S, 0, 15, 1); exit 0'";
    assert_eq!(lab.shell(&project, change).await.1.code, Some(0));
    assert!(listener.accept().is_err(), "none of that came by the listener");
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_may_have_the_gateways_ports_and_does_not_get_its_connections() {
    let Some(lab) = lab().await else { return };
    let (project, running) = lab.machine().await;
    let [model, proxy, _, dns] = <[OwnedFd; 4]>::try_from(running.gateway_listeners).unwrap();
    let (model, proxy) = (TcpListener::from(model), TcpListener::from(proxy));
    let dns = UdpSocket::from(dns);
    let serve = "perl -MSocket -e 'for (80, 3128, 53) { socket(my $s, 2, 1, 0); \
                 bind($s, sockaddr_in($_, INADDR_ANY)) or die qq($_ $!); listen($s, 9); push @s, $s } \
                 socket(U, 2, 2, 17); setsockopt(U, 1, 2, 1); bind(U, sockaddr_in(53, INADDR_ANY)) or die qq(udp $!); \
                 print qq(bound\\n); close STDOUT; for my $s (@s) { next if fork; while (accept(C, $s)) { syswrite(C, qq(program\\n)); close C } } \
                 sleep 600' > /tmp/said 2>&1 & until grep -qs . /tmp/said; do sleep 0.02; done; cat /tmp/said";
    assert_eq!(lab.says(&project, serve).await, "bound");
    for (port, listener) in [(80, &model), (3128, &proxy)] {
        let hear =
            |address: &str| format!("exec 3<>/dev/tcp/{address}/{port}; echo x >&3; head -1 <&3");
        let other = listener.try_clone().unwrap();
        let met = std::thread::spawn(move || meet(&other));
        let (said, _) = lab.exec(&project, &["/bin/bash", "-c", &hear("127.77.0.1")]).await;
        assert_eq!(met.join().unwrap().0, format!("127.77.0.1:{port}"));
        assert_eq!(said, "heard x\n");
        let (said, _) = lab.exec(&project, &["/bin/bash", "-c", &hear("127.0.0.1")]).await;
        assert_eq!(said, "program\n", "{port}");
    }
    let asked = std::thread::spawn(move || dns.recv_from(&mut [0; 9]).unwrap().0);
    lab.exec(&project, &["/bin/bash", "-c", "printf abc > /dev/udp/127.77.0.1/53"]).await;
    assert_eq!(asked.join().unwrap(), 3);
    lab.close(&[&project]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_server_finds_the_same_four_sockets_also_of_a_machine_that_is_paused() {
    let Some(lab) = lab().await else { return };
    let (project, running) = lab.machine().await;
    let names = |all: &[OwnedFd]| -> Vec<u64> {
        all.iter().map(|fd| rustix::fs::fstat(fd).unwrap().st_ino).collect()
    };
    let first = names(&running.gateway_listeners);
    assert_eq!(first.len(), 4);
    for paused in [false, true] {
        if paused {
            lab.native.freeze(&project).await.unwrap();
        }
        let found = lab.reopen().await.start(spec(&project)).await.unwrap();
        assert!(found.adopted);
        assert_eq!(names(&found.gateway_listeners), first, "paused: {paused}");
    }
    lab.close(&[&project]).await;
}
