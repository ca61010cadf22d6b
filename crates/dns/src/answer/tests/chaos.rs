//! Class CH: RFC 4892.

use super::world::{question, send, zones};
use crate::{Class, Facts, Rtype, Transport};

#[test]
fn what_the_server_is_it_tells_only_if_told_to() {
    let told =
        Facts { version: Some("nines"), identity: Some("eu-1"), ..Facts::of_transport(Transport::Udp) };
    let silent = Facts::of_transport(Transport::Udp);
    let none = zones([]);
    for (name, text) in [
        ("version.bind", "nines"),
        ("VERSION.server", "nines"),
        ("id.server", "eu-1"),
        ("hostname.bind", "eu-1"),
    ] {
        let message = question(name, Rtype::TXT, Class::CH);
        let (response, _) = send(&none, &message, &told);
        assert_eq!(response.answer, [format!("{name} 0 TXT \"{text}\"")], "{name}");
        assert_eq!(response.status(), "NOERROR aa");
        assert_eq!(send(&none, &message, &silent).0.status(), "REFUSED", "{name}");
    }
}

#[test]
fn nothing_else_is_in_that_class() {
    let told = Facts { version: Some("nines"), ..Facts::of_transport(Transport::Udp) };
    for (name, rtype) in
        [("version.bind", Rtype::A), ("authors.bind", Rtype::TXT), ("example.org", Rtype::TXT)]
    {
        let (response, _) = send(&zones([]), &question(name, rtype, Class::CH), &told);
        assert_eq!(response.status(), "REFUSED", "{name}");
    }
}

#[test]
fn a_long_text_is_cut_to_one_string() {
    let long = "x".repeat(300);
    let told = Facts { version: Some(&long), ..Facts::of_transport(Transport::Tcp) };
    let (response, _) = send(&zones([]), &question("version.bind", Rtype::TXT, Class::CH), &told);
    assert_eq!(response.answer, [format!("version.bind 0 TXT \"{}\"", "x".repeat(255))]);
}
