//! What QUIC is given: the same certificates, without clients' ones.

use super::world::World;
use rustls::pki_types::ServerName;
use rustls::quic::{ClientConnection, Connection, ServerConnection, Version};
use std::sync::Arc;

/// Shakes hands as QUIC does: messages without records. Says whether the client resumed.
fn meet(
    server: &Arc<rustls::ServerConfig>,
    client: &Arc<rustls::ClientConfig>,
    name: &str,
) -> Result<bool, rustls::Error> {
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client: Connection =
        ClientConnection::new(client.clone(), Version::V1, name, b"parameters".to_vec()).unwrap().into();
    let mut server: Connection =
        ServerConnection::new(server.clone(), Version::V1, b"parameters".to_vec()).unwrap().into();
    loop {
        let up = carry(&mut client, &mut server)?;
        let down = carry(&mut server, &mut client)?;
        if up + down == 0 {
            return Ok(client.handshake_kind() == Some(rustls::HandshakeKind::Resumed));
        }
    }
}

/// Carries what one side has to say, each level of keys by itself, as QUIC's packets would; says how much.
fn carry(from: &mut Connection, to: &mut Connection) -> Result<usize, rustls::Error> {
    let mut bytes = 0;
    loop {
        let mut message = Vec::new();
        let keys_change = from.write_hs(&mut message).is_some();
        to.read_hs(&message)?;
        bytes += message.len();
        if !keys_change && message.is_empty() {
            return Ok(bytes);
        }
    }
}

#[test]
fn certificates_are_found_by_name_and_sessions_resumed() {
    let world = World::new();
    let server = world.server_of(&["shop.test", "*.shop.test"]).quic(&[b"h3"]).unwrap();
    assert_eq!(server.max_early_data_size, 0);
    let mut client = world.client_of(&[&rustls::version::TLS13], None);
    client.alpn_protocols = vec![b"h3".to_vec()];
    let client = Arc::new(client);
    assert_eq!(meet(&server, &client, "shop.test"), Ok(false));
    assert_eq!(meet(&server, &client, "shop.test"), Ok(true));
    assert_eq!(meet(&server, &client, "www.shop.test"), Ok(false));
    assert!(meet(&server, &client, "other.test").is_err());
}

#[test]
fn a_site_that_asks_for_certificates_is_not_reached() {
    let world = World::new();
    world.certificate("shop", &["shop.test", "open.test"]);
    let server = world.server(&[
        ("shop.test", "{ cert = \"shop.pem\", key = \"shop.key\", clients = { ca = \"ca.pem\" } }"),
        ("open.test", "{ cert = \"shop.pem\", key = \"shop.key\" }"),
    ]);
    let quic = server.quic(&[b"h3"]).unwrap();
    let mut client = world.client_of(&[&rustls::version::TLS13], None);
    client.alpn_protocols = vec![b"h3".to_vec()];
    let client = Arc::new(client);
    assert_eq!(meet(&quic, &client, "open.test"), Ok(false));
    assert!(meet(&quic, &client, "shop.test").is_err());
}
