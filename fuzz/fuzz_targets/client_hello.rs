//! Any first flight of a TLS client: it is answered, refused with an alert, or waited for; tickets within it are
//! opened only if we sealed them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rustls::pki_types::UnixTime;
use rustls::server::Acceptor;
use rustls::time_provider::TimeProvider;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tls::{Server, ServerContext, Tickets, TicketsConfig, TlsConfig, TlsTable, Version};

/// A clock that stands, so that the kept corpus means the same on every day.
#[derive(Debug)]
struct Noon;

impl TimeProvider for Noon {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000)))
    }
}

static SERVER: LazyLock<Arc<Server>> = LazyLock::new(|| {
    let data = std::env::temp_dir().join(format!("nines-fuzz-{}", std::process::id()));
    let tickets = Tickets::load(&TicketsConfig::default(), &data, Arc::new(Noon)).expect("random keys");
    let context = ServerContext {
        staples: None,
        listener: "fuzz".into(),
        dir: data.clone(),
        data: data.clone(),
        alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        versions: vec![Version::Tls12, Version::Tls13],
        tickets,
        challenges: None,
        issued: None,
        time: Arc::new(Noon),
        registry: telemetry::Registry::new(),
    };
    let own = TlsConfig(TlsTable { auto: Some(tls::Automatic::SelfSigned), ..TlsTable::default() });
    let sites = [("shop.test", &own), ("*.shop.test", &own)];
    let server = Server::load(context, sites).expect("a folder for certificates");
    std::fs::remove_dir_all(&data).expect("the folder of before");
    server
});

fuzz_target!(|bytes: &[u8]| {
    let mut acceptor = Acceptor::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        if acceptor.read_tls(&mut rest).is_err() {
            return;
        }
        let accepted = match acceptor.accept() {
            Ok(None) => continue,
            Err(_) => return,
            Ok(Some(accepted)) => accepted,
        };
        let hello = accepted.client_hello();
        let asked = hello.server_name().map(str::to_ascii_lowercase);
        let is_ours = asked.as_deref().is_none_or(|name| {
            let name = name.strip_suffix('.').unwrap_or(name);
            name == "shop.test" || name.ends_with(".shop.test")
        });
        match SERVER.choose(&hello) {
            Err(refused) => {
                assert!(!is_ours, "{asked:?} is refused");
                assert_eq!(refused.alert()[..6], [21, 3, 3, 0, 2, 2]);
            }
            Ok(chosen) => {
                assert!(is_ours, "{asked:?} is answered");
                if let Ok(mut connection) = accepted.into_connection(chosen.config) {
                    let _ = connection.read_tls(&mut rest);
                    let _ = connection.process_new_packets();
                    assert!(
                        tls::Peer::of(&connection).is_none(),
                        "a client that we share no key with has finished"
                    );
                }
            }
        }
        return;
    }
});
