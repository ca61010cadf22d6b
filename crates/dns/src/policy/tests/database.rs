//! Writes small databases in MaxMind's format (<https://maxmind.github.io/MaxMind-DB/>).

use std::collections::BTreeMap;
use std::io::Write;
use std::net::IpAddr;
use tempfile::NamedTempFile;

/// What a record is made of.
#[derive(Debug, Clone)]
pub(in crate::policy) enum Value {
    Text(String),
    Double(f64),
    Number(u16),
    Number32(u32),
    Number64(u64),
    Texts(Vec<String>),
    Table(BTreeMap<String, Value>),
}

/// A database to which networks are added, the outer ones before the inner.
pub(in crate::policy) struct Database {
    ipv6: bool,
    /// The search tree: for each node where a 0 and a 1 lead.
    nodes: Vec<[Leads; 2]>,
    data: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum Leads {
    Nowhere,
    Node(usize),
    Data(usize),
}

impl Database {
    pub(in crate::policy) fn new(ipv6: bool) -> Self {
        Self { ipv6, nodes: vec![[Leads::Nowhere; 2]], data: Vec::new() }
    }

    pub(in crate::policy) fn add(&mut self, network: &str, record: &Value) {
        let (address, prefix) = network.split_once('/').expect("a network");
        let prefix: usize = prefix.parse().expect("a prefix");
        let (bits, length) = match address.parse().expect("an address") {
            // In a database of IPv6, IPv4 is at its beginning.
            IpAddr::V4(v4) if self.ipv6 => (u128::from(v4.to_bits()), 96 + prefix),
            IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, prefix),
            IpAddr::V6(v6) => (v6.to_bits(), prefix),
        };
        let leads = Leads::Data(self.data.len());
        value(&mut self.data, record);
        let mut node = 0;
        for depth in 0..length - 1 {
            let bit = bit(bits, depth);
            node = match self.nodes[node][bit] {
                Leads::Node(next) => next,
                before => {
                    // What the outer network has, both halves of it have.
                    self.nodes.push([before; 2]);
                    self.nodes[node][bit] = Leads::Node(self.nodes.len() - 1);
                    self.nodes.len() - 1
                }
            };
        }
        self.nodes[node][bit(bits, length - 1)] = leads;
    }

    pub(in crate::policy) fn write(&self) -> NamedTempFile {
        let count = self.nodes.len();
        let mut bytes = Vec::new();
        for leads in self.nodes.iter().flatten() {
            let number = match leads {
                Leads::Nowhere => count,
                Leads::Node(node) => *node,
                Leads::Data(offset) => count + 16 + offset,
            };
            bytes.extend_from_slice(&u32::try_from(number).expect("a small database").to_be_bytes());
        }
        bytes.extend_from_slice(&[0; 16]);
        bytes.extend_from_slice(&self.data);
        bytes.extend_from_slice(b"\xab\xcd\xefMaxMind.com");
        let text = |text: &str| Value::Text(text.to_owned());
        let metadata = [
            ("binary_format_major_version", Value::Number(2)),
            ("binary_format_minor_version", Value::Number(0)),
            ("build_epoch", Value::Number64(1)),
            ("database_type", text("Test")),
            ("description", Value::Table([("en".to_owned(), text("A test's"))].into())),
            ("ip_version", Value::Number(if self.ipv6 { 6 } else { 4 })),
            ("languages", Value::Texts(vec!["en".to_owned()])),
            ("node_count", Value::Number32(count as u32)),
            ("record_size", Value::Number(32)),
        ];
        let metadata = metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        value(&mut bytes, &Value::Table(metadata));
        let mut file = NamedTempFile::new().expect("a file");
        file.write_all(&bytes).expect("written");
        file
    }
}

fn bit(bits: u128, depth: usize) -> usize {
    (bits >> (127 - depth) & 1) as usize
}

/// A field: type and length, then what it is.
fn value(bytes: &mut Vec<u8>, value_of: &Value) {
    let short =
        |length: usize| u8::try_from(length).ok().filter(|length| *length < 29).expect("a short field");
    match value_of {
        Value::Text(text) => {
            bytes.push(2 << 5 | short(text.len()));
            bytes.extend_from_slice(text.as_bytes());
        }
        Value::Double(double) => {
            bytes.push(3 << 5 | 8);
            bytes.extend_from_slice(&double.to_be_bytes());
        }
        Value::Number(number) => {
            bytes.push(5 << 5 | 2);
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        Value::Number32(number) => {
            bytes.push(6 << 5 | 4);
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        // Types from 8 on are said in an octet of their own.
        Value::Number64(number) => {
            bytes.extend_from_slice(&[8, 9 - 7]);
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        Value::Texts(texts) => {
            bytes.extend_from_slice(&[short(texts.len()), 11 - 7]);
            texts.iter().for_each(|text| value(bytes, &Value::Text(text.clone())));
        }
        Value::Table(table) => {
            bytes.push(7 << 5 | short(table.len()));
            for (key, held) in table {
                value(bytes, &Value::Text(key.clone()));
                value(bytes, held);
            }
        }
    }
}
