//! The pages under `docs/` are true: their files pass `nines check`, and their tables name every key of the schema, with
//! its default, and no other.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Tables of keys, told by their first heading: the page, the type that the schema describes them by, and what is left
/// to another table.
const TABLES: [Table; 31] = [
    Table {
        head: "`[node]`",
        page: "command-line.md",
        of: "NodeConfig",
        elsewhere: &["admin_token", "secret"],
    },
    Table {
        head: "`[service.NAME]`",
        page: "application-layer.md",
        of: "ServiceConfig",
        elsewhere: &["env", "health"],
    },
    Table { head: "`[pool.NAME]`", page: "load-balancer.md", of: "PoolConfig", elsewhere: &[] },
    Table {
        head: "`[edge]`",
        page: "reverse-proxy.md",
        of: "EdgeConfig",
        elsewhere: &["tls", "acme", "http2", "allow", "deny", "proxy_protocol", "trust_forwarded"],
    },
    Table {
        head: "`[site.HOST]`",
        page: "reverse-proxy.md",
        of: "SiteConfig",
        elsewhere: &["route", "tls", "compress", "allow", "deny", "basic_auth", "signed", "limit"],
    },
    Table { head: "`tls`", page: "tls.md", of: "TlsTable", elsewhere: &[] },
    Table { head: "`[edge.tls]`", page: "tls.md", of: "EdgeTls", elsewhere: &["tickets.secret"] },
    Table { head: "`[edge.acme]`", page: "tls.md", of: "AcmeConfig", elsewhere: &["external_account.key"] },
    Table { head: "`[edge.http2]`", page: "http-versions.md", of: "Http2Config", elsewhere: &[] },
    Table { head: "`compress`", page: "compression.md", of: "CompressOptions", elsewhere: &[] },
    Table {
        head: "`[push.NAME]`",
        page: "cdn.md",
        of: "PushConfig",
        elsewhere: &["token", "s3.access_key", "s3.secret_key"],
    },
    Table { head: "`files`", page: "files.md", of: "FilesConfig", elsewhere: &[] },
    Table { head: "`[cdn]`", page: "cdn.md", of: "CdnConfig", elsewhere: &["purge"] },
    Table { head: "`cache`", page: "cdn.md", of: "CacheConfig", elsewhere: &["stale", "query"] },
    Table { head: "`signed`", page: "cdn.md", of: "SignedConfig", elsewhere: &["keys"] },
    Table { head: "`limit`", page: "clients.md", of: "ClientLimits", elsewhere: &[] },
    Table { head: "`basic_auth`", page: "clients.md", of: "BasicAuthConfig", elsewhere: &[] },
    Table {
        head: "`[tcp.NAME]`",
        page: "layer4.md",
        of: "TcpConfig",
        elsewhere: &["tls", "proxy_protocol", "allow", "deny"],
    },
    Table { head: "`[udp.NAME]`", page: "layer4.md", of: "UdpConfig", elsewhere: &["allow", "deny"] },
    Table {
        head: "`[dns]`",
        page: "dns.md",
        of: "DnsConfig",
        elsewhere: &["latency", "resolver", "key", "tls", "services.sign"],
    },
    Table { head: "`[dns.resolver]`", page: "dns.md", of: "ResolverConfig", elsewhere: &["allow"] },
    Table {
        head: "`[dns.zone.NAME]`",
        page: "dns.md",
        of: "ZoneConfig",
        elsewhere: &["sign", "transfer", "secondary", "update"],
    },
    Table { head: "`sign`", page: "dns.md", of: "DnsSign", elsewhere: &[] },
    Table { head: "`[dns.key.NAME]`", page: "dns.md", of: "DnsKey", elsewhere: &["secret"] },
    Table { head: "`transfer`", page: "dns.md", of: "DnsTransfer", elsewhere: &[] },
    Table { head: "`secondary`", page: "dns.md", of: "DnsSecondary", elsewhere: &[] },
    Table { head: "`update`", page: "dns.md", of: "DnsUpdate", elsewhere: &[] },
    Table { head: "`[dns.zone.NAME.route.NAME]`", page: "dns.md", of: "DnsRoute", elsewhere: &["answers"] },
    Table { head: "`answers`", page: "dns.md", of: "DnsAnswer", elsewhere: &[] },
    Table { head: "`[dns.place.NAME]`", page: "dns.md", of: "DnsPlace", elsewhere: &[] },
    Table { head: "`latency`", page: "dns.md", of: "DnsLatency", elsewhere: &[] },
];
const ROUTES: Table = Table {
    head: "a route",
    page: "reverse-proxy.md",
    of: "RouteConfig",
    elsewhere: &[
        "files",
        "compress",
        "cache",
        "allow",
        "deny",
        "basic_auth",
        "signed",
        "clear_site_data",
        "limit",
    ],
};

struct Table {
    head: &'static str,
    page: &'static str,
    of: &'static str,
    /// Keys that are a row here, and whose own keys are described somewhere else.
    elsewhere: &'static [&'static str],
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn pages() -> BTreeMap<PathBuf, String> {
    let mut pages = BTreeMap::new();
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("docs/ can be listed").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.insert(path.clone(), fs::read_to_string(&path).expect("a page is text"));
            }
        }
    }
    assert!(pages.len() >= 5, "the pages are not where they were: {:?}", pages.keys());
    pages
}

/// The blocks of a page in this language: what follows the language's name, the block's first line, and its text.
fn blocks<'p>(page: &'p str, language: &str) -> Vec<(&'p str, usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(&str, usize, String)> = None;
    for (at, line) in page.lines().enumerate() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => open = Some((info, at + 2, String::new())),
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some((_, _, text)), None) => {
                text.push_str(line);
                text.push('\n');
            }
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    found
        .into_iter()
        .filter_map(|(info, at, text)| {
            let rest = info.strip_prefix(language)?;
            (rest.is_empty() || rest.starts_with(' ')).then_some((rest.trim(), at, text))
        })
        .collect()
}

#[test]
fn every_whole_file_of_a_page_passes_the_check_without_a_warning() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nines.toml");
    // The secrets that the pages keep in files: a check reads them.
    fs::write(folder.path().join("token"), "secret").unwrap();
    for key in ["transfer.key", "dhcp.key", "acme.key", "media.key"] {
        fs::write(folder.path().join(key), "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n").unwrap();
    }
    fs::write(folder.path().join("shared.secret"), "0123456789abcdef".repeat(4)).unwrap();
    let mut checked = 0;
    for (path, page) in pages() {
        for (info, _, text) in blocks(&page, "dns") {
            let name = info.strip_prefix("title=\"").and_then(|rest| rest.strip_suffix('"'));
            fs::write(folder.path().join(name.expect("a zone file has a name")), text).unwrap();
        }
        for (_, line, text) in
            blocks(&page, "toml").into_iter().filter(|(info, ..)| info.starts_with("title="))
        {
            fs::write(&file, &text).unwrap();
            let output = Command::new(env!("CARGO_BIN_EXE_nines")).arg("check").arg(&file).output().unwrap();
            let says = String::from_utf8_lossy(&output.stderr);
            assert!(
                output.status.success() && says.is_empty(),
                "{}:{line} is not a good file:\n{says}",
                path.display()
            );
            checked += 1;
        }
    }
    assert!(checked >= 5, "only {checked} files were found");
}

#[test]
fn every_part_of_a_file_is_toml() {
    for (path, page) in pages() {
        for (_, line, text) in blocks(&page, "toml") {
            let parsed = text.parse::<toml::Table>();
            assert!(parsed.is_ok(), "{}:{line}: {}", path.display(), parsed.unwrap_err());
        }
    }
}

#[test]
fn every_link_leads_to_a_page() {
    for (path, page) in pages() {
        for target in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = target.split('#').next().unwrap_or_default();
            let is_there = file.is_empty() || path.with_file_name("").join(file).exists();
            assert!(is_there || target.starts_with("http"), "{}: {target} is not there", path.display());
        }
    }
}

#[test]
fn the_tables_name_every_key_with_its_default_and_no_other() {
    let schema: Value =
        serde_json::from_str(&fs::read_to_string(root().join("nines.schema.json")).unwrap()).unwrap();
    let mut wrong = Vec::new();
    for table in TABLES.iter().chain([&ROUTES]) {
        let page = fs::read_to_string(root().join("docs").join(table.page)).unwrap();
        let rows = rows(&page, table.head);
        let mut keys = BTreeMap::new();
        collect(&schema, &schema["$defs"][table.of], None, "", table.elsewhere, &mut keys);
        for (key, wanted) in &keys {
            match (rows.get(key.as_str()), wanted) {
                (None, Wanted::Leaf(_)) => wrong.push(format!("{}: no row for {key}", table.head)),
                (Some(default), Wanted::Leaf(Some(value))) if *default != format!("`{}`", in_toml(value)) => {
                    wrong.push(format!(
                        "{} {key}: the default is {}, not {default}",
                        table.head,
                        in_toml(value)
                    ));
                }
                // What is false unless it is set has no default in the schema.
                (Some(default), Wanted::Leaf(None)) if default.starts_with('`') && *default != "`false`" => {
                    wrong.push(format!("{} {key}: there is no default, and {default} is shown", table.head));
                }
                _ => {}
            }
        }
        let unknown = rows.keys().filter(|key| !keys.contains_key(**key));
        wrong.extend(unknown.map(|key| format!("{}: there is no key {key}", table.head)));
    }
    assert!(wrong.is_empty(), "docs/ and nines.schema.json differ:\n{}", wrong.join("\n"));
}

/// The keys of the table with this heading, with what stands in its second column.
fn rows<'p>(page: &'p str, head: &str) -> BTreeMap<&'p str, &'p str> {
    let start = format!("| {head} | default |");
    let lines = page.lines().skip_while(|line| !line.starts_with(&start)).skip(2);
    let rows: BTreeMap<_, _> = lines
        .take_while(|line| line.starts_with('|'))
        .map(|line| {
            let mut cells = line.split('|').skip(1).map(str::trim);
            let key = cells.next().unwrap_or_default().trim_matches('`');
            (key, cells.next().unwrap_or_default())
        })
        .collect();
    assert!(!rows.is_empty(), "no table begins with {start:?}");
    rows
}

/// What the page must say about a key.
#[derive(Debug, Clone, PartialEq)]
enum Wanted {
    /// It has a row, with this default if there is one.
    Leaf(Option<Value>),
    /// It has keys of its own, and may have a row.
    Branch,
}

/// Collects the keys of a schema with their whole names, `limit.inflight`. `default` is what the table above says.
fn collect(
    root: &Value,
    schema: &Value,
    default: Option<&Value>,
    path: &str,
    elsewhere: &[&str],
    keys: &mut BTreeMap<String, Wanted>,
) {
    let schema = resolved(root, schema);
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let name = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        let default = property.get("default").or_else(|| default.and_then(|default| default.get(key)));
        let before = keys.len();
        let wanted = if elsewhere.contains(&name.as_str()) {
            Wanted::Leaf(None)
        } else {
            collect(root, property, default, &name, elsewhere, keys);
            if keys.len() == before { Wanted::Leaf(default.cloned()) } else { Wanted::Branch }
        };
        keys.insert(name, wanted);
    }
    for several in ["anyOf", "oneOf"] {
        for one in schema[several].as_array().into_iter().flatten() {
            collect(root, one, default, path, elsewhere, keys);
        }
    }
    // What an array holds has the array's name; names that a user chooses are not keys.
    if let Some(items) = schema.get("items") {
        collect(root, items, None, path, elsewhere, keys);
    }
}

fn resolved<'s>(root: &'s Value, schema: &'s Value) -> &'s Value {
    match schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
        Some(pointer) => root.pointer(pointer).expect("a reference of the schema leads somewhere"),
        None => schema,
    }
}

/// A value as it would stand in the file.
fn in_toml(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(in_toml).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}
