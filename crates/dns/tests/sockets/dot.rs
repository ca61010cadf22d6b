//! Connections under TLS.

use crate::world::{Answer, PATIENCE, World, framed, query};
use dns::Rtype;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

type Stream = StreamOwned<ClientConnection, TcpStream>;

fn file(more: &str) -> String {
    let long: Vec<String> = (0..200).map(|nth| format!("'long TXT \"{nth:0>200}\"'")).collect();
    format!(
        "dot = '127.0.0.1:0'\ntls = 'self-signed'\n{more}\n[zone.'shop.test']\n\
         records = ['@ SOA ns1 admin 7 3600 600 86400 300', '@ NS ns1', 'ns1 A 192.0.2.53', 'www A 192.0.2.1', {}]\n",
        long.join(", ")
    )
}

fn at(world: &World) -> SocketAddr {
    world.dns().addresses()[0].at
}

fn config(world: &World, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(world.dir.path().join("data/tls/ca.pem")).unwrap();
    roots.add(authority).unwrap();
    let builder = ClientConfig::builder_with_provider(tls::provider().clone());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

fn connected(world: &World, config: &Arc<ClientConfig>) -> Stream {
    let stream = TcpStream::connect(at(world)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(config.clone(), name).unwrap(), stream)
}

fn hear(stream: &mut Stream) -> Answer {
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).unwrap();
    Answer(message)
}

/// With EDNS and an empty padding option.
fn padded(name: &str) -> Vec<u8> {
    let mut message = query(name, Rtype::A);
    message[11] = 1;
    message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 4, 0, 12, 0, 0]);
    message
}

#[test]
fn queries_within_tls_are_answered_in_order_and_padded() {
    let world = World::new(&file(""));
    let mut stream = connected(&world, &config(&world, &[b"dot"]));
    let queries = [query("www.shop.test", Rtype::A), padded("www.shop.test"), padded("nothing.shop.test")];
    stream.write_all(&queries.map(|message| framed(&message)).concat()).unwrap();
    let answers = [hear(&mut stream), hear(&mut stream), hear(&mut stream)];
    assert_eq!(answers[0].address(), [192, 0, 2, 1]);
    assert_eq!(answers.map(|answer| (answer.rcode(), answer.0.len())), [(0, 47), (0, 468), (3, 468)]);
    assert_eq!(stream.conn.alpn_protocol(), Some(&b"dot"[..]));
    assert_eq!(world.metric(r#"nines_dns_queries_total{transport="tls",type="A"}"#), 3.0);
    assert_eq!(world.metric(r#"nines_dns_queries_total{transport="tcp",type="A"}"#), 0.0);
    // Three answers, each with its length.
    world.until(r#"nines_dns_bytes_total{direction="sent",transport="tls"}"#, 989.0);
}

#[test]
fn answers_that_fill_the_socket_arrive_whole() {
    let world = World::new(&file(""));
    let mut stream = connected(&world, &config(&world, &[]));
    // Some 40 KB each: more than any buffer on the way takes.
    for _ in 0..200 {
        stream.write_all(&framed(&query("long.shop.test", Rtype::TXT))).unwrap();
    }
    for _ in 0..200 {
        let answer = hear(&mut stream);
        assert_eq!((answer.answers(), answer.is_truncated()), (200, false));
    }
}

#[test]
fn queries_that_come_with_the_end_of_the_handshake_or_all_at_once_are_answered() {
    let world = World::new(&file(""));
    let config = config(&world, &[b"dot"]);
    for count in [1, 3000] {
        let mut stream = connected(&world, &config);
        let queries = framed(&query("www.shop.test", Rtype::A)).repeat(count);
        // Kept until it may be sent, and then sent with what ends the handshake.
        let (first, rest) = queries.split_at(queries.len().min(30_000));
        stream.conn.writer().write_all(first).unwrap();
        while stream.conn.is_handshaking() || stream.conn.wants_write() {
            stream.conn.complete_io(&mut stream.sock).unwrap();
        }
        stream.write_all(rest).unwrap();
        for _ in 0..count {
            assert_eq!(hear(&mut stream).address(), [192, 0, 2, 1]);
        }
    }
}

#[test]
fn a_query_may_come_in_pieces_and_a_session_again() {
    let world = World::new(&file(""));
    let config = config(&world, &[b"dot"]);
    for is_resumed in [false, true] {
        let mut stream = connected(&world, &config);
        for octet in framed(&query("www.shop.test", Rtype::A)) {
            stream.write_all(&[octet]).unwrap();
            stream.flush().unwrap();
        }
        assert_eq!(hear(&mut stream).address(), [192, 0, 2, 1]);
        let kind = stream.conn.handshake_kind().unwrap();
        assert_eq!(kind == rustls::HandshakeKind::Resumed, is_resumed);
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0, "and it hears the end");
    }
    world.until(r#"nines_dns_connections_ended_total{reason="client"}"#, 2.0);
}

#[test]
fn who_speaks_no_tls_or_another_protocol_is_sent_away() {
    let world = World::new(&file("timeout = { idle = '300ms' }"));
    let mut plain = TcpStream::connect(at(&world)).unwrap();
    plain.write_all(&framed(&query("www.shop.test", Rtype::A))).unwrap();
    let _ = plain.read_to_end(&mut Vec::new());
    let silent = TcpStream::connect(at(&world)).unwrap();
    world.until(r#"nines_dns_connections_ended_total{reason="handshake"}"#, 2.0);
    drop(silent);
    let mut web = connected(&world, &config(&world, &[b"h2"]));
    assert!(web.write_all(b"x").and_then(|()| web.read(&mut [0])).is_err());
    world.until(r#"nines_dns_connections_ended_total{reason="handshake"}"#, 3.0);
    // One that is silent after its handshake hears the end.
    let mut idle = connected(&world, &config(&world, &[b"dot"]));
    assert_eq!(idle.read(&mut [0]).unwrap(), 0);
    world.until(r#"nines_dns_connections_ended_total{reason="idle"}"#, 1.0);
    assert!(world.drain(Duration::from_secs(5)));
}

#[test]
fn who_says_nothing_has_no_more_time_than_who_is_idle_while_places_are_few() {
    let world = World::new(&file("limit = { connections = 2 }\ntimeout = { idle = '20s' }\ncores = 1"));
    let began = Instant::now();
    let silent = [0, 1].map(|_| TcpStream::connect(at(&world)).unwrap());
    world.until("nines_dns_connections", 2.0);
    let mut late = connected(&world, &config(&world, &[b"dot"]));
    late.write_all(&framed(&query("www.shop.test", Rtype::A))).unwrap();
    hear(&mut late);
    assert!(began.elapsed() < Duration::from_secs(15), "it waited for the whole time");
    drop(silent);
}

#[test]
fn connections_under_tls_count_with_the_others() {
    let world = World::new(&file("limit = { connections_per_client = 2 }"));
    let config = config(&world, &[b"dot"]);
    let mut kept: Vec<_> = (0..2).map(|_| connected(&world, &config)).collect();
    for stream in &mut kept {
        stream.write_all(&framed(&query("www.shop.test", Rtype::A))).unwrap();
        hear(stream);
    }
    let mut third = connected(&world, &config);
    assert!(third.write_all(b"x").and_then(|()| third.read(&mut [0])).is_err());
    assert_eq!(world.metric("nines_dns_connections_refused_total"), 1.0);
}
