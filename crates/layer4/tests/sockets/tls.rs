use crate::world::*;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, RootCertStore, StreamOwned};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

fn client_config(roots: RootCertStore) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(tls::provider().clone());
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// What a client of rustls sends first.
fn hello(server_name: &str) -> Vec<u8> {
    let name = ServerName::try_from(server_name.to_owned()).unwrap();
    let mut client = ClientConnection::new(client_config(RootCertStore::empty()), name).unwrap();
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).unwrap();
    bytes
}

/// Says its name once it has heard something, then that.
fn named(name: &'static str) -> SocketAddr {
    endpoint(move |mut stream| {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            stream.write_all(name.as_bytes()).unwrap();
            stream.write_all(&buffer[..count]).unwrap();
        }
    })
}

#[tokio::test]
async fn the_server_name_leads_to_its_pool_and_tls_goes_through() {
    let text = |default: &str| {
        format!(
            "[tcp.db]\nlisten = '127.0.0.1:0'\n{default}\nsni = {{ 'a.test' = 'a', '*.b.test' = 'b' }}\n\
             [pool.a]\nservers = ['{}']\n[pool.b]\nservers = ['{}']\n[pool.c]\nservers = ['{}']",
            named("A"),
            named("B"),
            named("C")
        )
    };
    let mut world = World::new(&text("pool = 'c'"));
    for (name, expected) in [("a.test", "A"), ("x.b.test", "B"), ("other.test", "C")] {
        let bytes = hello(name);
        let mut client = world.connect("db");
        // However it is cut.
        for part in bytes.chunks(100) {
            client.write_all(part).unwrap();
        }
        assert_eq!(read(&mut client, 1), expected, "{name}");
        let mut heard = vec![0; 16];
        client.read_exact(&mut heard).unwrap();
        assert_eq!(heard, bytes[..16], "from the first byte on");
    }
    let mut plain = world.connect("db");
    plain.write_all(b"SELECT 1").unwrap();
    assert_eq!(read(&mut plain, 9), "CSELECT 1");

    world.reload(&text(""));
    let mut unknown = world.connect("db");
    unknown.write_all(&hello("other.test")).unwrap();
    let mut alert = Vec::new();
    unknown.read_to_end(&mut alert).unwrap();
    assert_eq!(alert, [21, 3, 3, 0, 2, 2, 112], "unrecognized_name");
    let mut plain = world.connect("db");
    plain.write_all(b"SELECT 1").unwrap();
    assert!(matches!(plain.read(&mut [0]), Ok(0) | Err(_)));
    world.until("nines_tcp_refused_total{listener=\"db\",reason=\"server_name\"}", |count| count == 2.0);
}

/// A client of TLS that believes the authority of this node.
fn secured(world: &World, listener: &str, name: &str) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    let pem = world.dir.path().join("data/tls/ca.pem");
    roots.add(CertificateDer::from_pem_file(pem).unwrap()).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connection = ClientConnection::new(client_config(roots), name).unwrap();
    StreamOwned::new(connection, world.connect(listener))
}

#[tokio::test]
async fn tls_ends_here_where_the_file_says_so() {
    let world = World::new(&format!(
        "[tcp.db]\nlisten = '127.0.0.1:0'\npool = 'a'\nsni = {{ 'b.test' = 'b' }}\ntls = 'self-signed'\n\
         [pool.a]\nservers = ['{}']\n[pool.b]\nservers = ['{}']",
        named("A"),
        named("B")
    ));
    let mut client = secured(&world, "db", "localhost");
    let long = "x".repeat(100_000);
    client.write_all(long.as_bytes()).unwrap();
    client.flush().unwrap();
    let mut heard = 0;
    while heard < long.len() {
        let mut buffer = [0; 4096];
        let count = client.read(&mut buffer).unwrap();
        heard += buffer[..count].iter().filter(|byte| **byte == b'x').count();
    }
    client.conn.send_close_notify();
    client.flush().unwrap();
    assert_eq!(client.read(&mut [0; 16]).unwrap(), 0, "the end comes back by close_notify");

    let mut broken = world.connect("db");
    broken.write_all(b"SELECT 1").unwrap();
    let mut rest = Vec::new();
    let _ = broken.read_to_end(&mut rest);
    world.until("nines_tcp_refused_total{listener=\"db\",reason=\"tls\"}", |count| count == 1.0);
}

#[tokio::test]
async fn the_versions_of_the_edge_hold_here_too() {
    let version_with = |edge: &str| {
        let file = "[tcp.db]\nlisten = '127.0.0.1:0'\npool = 'a'\ntls = 'self-signed'\n[pool.a]\nservers = ";
        let world = World::new(&format!("{file}['{}']\n{edge}", named("A")));
        let mut client = secured(&world, "db", "localhost");
        client.write_all(b"x").unwrap();
        client.read_exact(&mut [0; 2]).unwrap();
        client.conn.protocol_version().unwrap()
    };
    assert_eq!(version_with(""), ProtocolVersion::TLSv1_3);
    assert_eq!(version_with("[edge.tls]\nversions = ['1.2']"), ProtocolVersion::TLSv1_2);
}

#[tokio::test]
async fn endpoints_behind_tls_are_verified() {
    // The front connects to the back by TLS; both are listeners of the same layer 4.
    let dir = tempfile::tempdir().unwrap();
    let back = World::in_dir(
        &format!(
            "[tcp.back]\nlisten = '127.0.0.1:0'\npool = 'a'\ntls = 'self-signed'\n[pool.a]\nservers = ['{}']",
            named("A")
        ),
        dir,
    );
    let ca = back.dir.path().join("data/tls/ca.pem");
    let file = |tls: &str| {
        format!(
            "[tcp.front]\nlisten = '127.0.0.1:0'\npool = 'b'\n[pool.b]\nservers = ['{}']\ntls = {tls}",
            back.address("back")
        )
    };
    let front = World::new(&file(&format!("{{ ca = '{}', server_name = 'localhost' }}", ca.display())));
    let mut client = front.connect("front");
    client.write_all(b"SELECT 1").unwrap();
    assert_eq!(read(&mut client, 9), "ASELECT 1");

    let other = rcgen::generate_simple_self_signed(["other.test".to_owned()]).unwrap();
    write(back.dir.path(), "other.pem", &other.cert.pem());
    let other = back.dir.path().join("other.pem");
    let front = World::new(&file(&format!("{{ ca = '{}', server_name = 'localhost' }}", other.display())));
    assert!(is_reset(&mut front.connect("front")), "it is not whom we believe");
}
