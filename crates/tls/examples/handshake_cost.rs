//! What a handshake costs a server, without a network: `cargo run --release -p tls --example handshake_cost`.
//!
//! Client and server take turns on one thread, and only the server's turns are timed.

#![allow(clippy::print_stdout, reason = "it prints a table")]

use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::server::Acceptor;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tls::{Automatic, Server, ServerContext, Tickets, TicketsConfig, TlsConfig, TlsTable, Version};

const ROUNDS: u32 = 2000;

fn main() -> Result<(), Box<dyn Error>> {
    let data = std::env::temp_dir().join(format!("nines-handshake-cost-{}", std::process::id()));
    let server = server(&data)?;
    let mut roots = RootCertStore::empty();
    roots.add(rustls::pki_types::CertificateDer::from_pem_file(data.join("tls/ca.pem"))?)?;
    std::fs::remove_dir_all(&data)?;
    println!("the server's part of a handshake, ECDSA P-256, in microseconds");
    for (name, version) in [("TLS 1.3", &rustls::version::TLS13), ("TLS 1.2", &rustls::version::TLS12)] {
        let full = cost(&server, || client(&roots, version), false)?;
        let known = client(&roots, version)?;
        handshake(&server, &known)?;
        let resumed = cost(&server, || Ok(Arc::clone(&known)), true)?;
        println!("{name}  new {:>6.1}  resumed {:>6.1}", micros(full), micros(resumed));
    }
    Ok(())
}

fn micros(cost: Duration) -> f64 {
    cost.as_secs_f64() * 1e6
}

fn server(data: &std::path::Path) -> Result<Arc<Server>, Box<dyn Error>> {
    let tickets = Tickets::load(&TicketsConfig::default(), data, tls::system_time())?;
    let context = ServerContext {
        listener: "cost".into(),
        dir: data.to_owned(),
        data: data.to_owned(),
        alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        versions: vec![Version::Tls12, Version::Tls13],
        tickets,
        challenges: None,
        issued: None,
        staples: None,
        time: tls::system_time(),
        registry: telemetry::Registry::new(),
    };
    let own = TlsConfig(TlsTable { auto: Some(Automatic::SelfSigned), ..TlsTable::default() });
    Ok(Server::load(context, [("shop.test", &own)])?)
}

fn client(
    roots: &RootCertStore,
    version: &'static SupportedProtocolVersion,
) -> Result<Arc<ClientConfig>, Box<dyn Error>> {
    let builder = ClientConfig::builder_with_provider(Arc::clone(tls::provider()));
    let builder = builder.with_protocol_versions(&[version])?.with_root_certificates(roots.clone());
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

fn cost(
    server: &Server,
    client: impl Fn() -> Result<Arc<ClientConfig>, Box<dyn Error>>,
    resumes: bool,
) -> Result<Duration, Box<dyn Error>> {
    let mut spent = Duration::ZERO;
    for _ in 0..ROUNDS {
        let (cost, is_resumed) = handshake(server, &client()?)?;
        assert_eq!(is_resumed, resumes, "what is measured is what is said");
        spent += cost;
    }
    Ok(spent / ROUNDS)
}

/// A whole handshake, with its tickets; what the server spent on it, and whether it resumed a session.
fn handshake(server: &Server, config: &Arc<ClientConfig>) -> Result<(Duration, bool), Box<dyn Error>> {
    let mut client = ClientConnection::new(Arc::clone(config), ServerName::try_from("shop.test")?)?;
    let (mut up, mut down) = (Vec::new(), Vec::new());
    client.write_tls(&mut up)?;
    let mut begun = Instant::now();
    let mut acceptor = Acceptor::default();
    acceptor.read_tls(&mut up.as_slice())?;
    let accepted = acceptor.accept().map_err(|(error, _)| error)?.ok_or("the hello is not whole")?;
    let chosen = server.choose(&accepted.client_hello())?;
    let mut served = accepted.into_connection(chosen.config).map_err(|(error, _)| error)?;
    let mut spent = Duration::ZERO;
    loop {
        while served.wants_write() {
            served.write_tls(&mut down)?;
        }
        spent += begun.elapsed();
        let mut rest = down.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest)?;
            client.process_new_packets()?;
        }
        down.clear();
        up.clear();
        while client.wants_write() {
            client.write_tls(&mut up)?;
        }
        if up.is_empty() {
            let is_resumed = tls::Peer::of(&served).ok_or("the handshake has not ended")?.is_resumed;
            return Ok((spent, is_resumed));
        }
        begun = Instant::now();
        served.read_tls(&mut up.as_slice())?;
        served.process_new_packets()?;
    }
}
