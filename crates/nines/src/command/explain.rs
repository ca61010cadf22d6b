//! `nines explain`: where a request, a connection, a datagram or a question of DNS goes, and why.

mod cache_page;
mod page;

use super::Ended;
use crate::cli::{Cli, ExplainArgs, NodeArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::node::{FILE_DEFAULT, Node, NodeError};
use crate::print::{self, Paint};
use clap::CommandFactory;
use clap::error::ErrorKind;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;
use topology::{
    CacheExplanation, Checked, DnsExplanation, DnsQuestion, Explanation, Layer4Explanation, Layer4Question,
    Query,
};

/// What is asked about.
#[derive(Debug, PartialEq)]
enum Asked {
    /// A request of HTTP.
    Request(Query),
    /// What the cache has for a request.
    Cache(Query),
    /// A connection of TCP or a datagram of UDP.
    Listener(Layer4Question),
    /// A question of DNS.
    Dns(Box<DnsQuestion>),
}

/// The word before a name of DNS.
const DNS: &str = "dns";

pub(super) fn run(args: ExplainArgs) -> Ended {
    let (node, json) = (args.node.clone(), args.json);
    match asked(args).unwrap_or_else(|wrong| wrong_usage(&wrong)) {
        Asked::Request(query) => {
            let by_the_file = |checked: &Checked| topology::explain_file(checked, &query);
            let explanation: Explanation = answer(&node, &path("explain", &query), by_the_file)?;
            show(&explanation, json, |paint| page::request(&query, &explanation, paint));
        }
        Asked::Cache(query) => {
            // What is kept is known to the running node alone.
            let explanation: CacheExplanation = Node::find(&node)?.get(&path("explain-cache", &query))?;
            show(&explanation, json, |paint| cache_page::page(&query, &explanation, paint));
        }
        Asked::Listener(question) => {
            let by_the_file = |checked: &Checked| topology::explain_layer4_file(checked, &question);
            let explanation: Layer4Explanation = answer(&node, &listener_path(&question), by_the_file)?;
            show(&explanation, json, |paint| page::listener(&question, &explanation, paint));
        }
        Asked::Dns(question) => {
            let by_the_file = |checked: &Checked| topology::explain_dns_file(checked, &question);
            let explanation: DnsExplanation = answer(&node, &dns_path(&question), by_the_file)?;
            show(&explanation, json, |paint| page::dns(&explanation, paint));
        }
    }
    Ok(Exit::Done)
}

/// What the arguments ask; an option that does not belong to it is wrong usage.
fn asked(args: ExplainArgs) -> Result<Asked, String> {
    let of_requests = [
        ("--method", args.method.is_some()),
        ("--header", !args.headers.is_empty()),
        ("--data", args.data.is_some()),
        ("--cache", args.cache),
    ];
    let of_request = of_requests.iter().find(|(_, is_given)| *is_given).map(|(option, _)| *option);
    if args.what == DNS {
        if let Some(option) = of_request.or(args.sni.is_some().then_some("--sni")) {
            return Err(format!("{option} is not for names of DNS"));
        }
        let name = args.name.ok_or("the name is missing: nines explain dns NAME")?;
        let question = DnsQuestion::new(&name, args.rtype.as_deref(), args.client);
        return question.map(Box::new).map(Asked::Dns).map_err(|error| error.to_string());
    }
    if let Some(name) = args.name {
        return Err(format!("{name:?} is one word too many: only `dns` is followed by a name"));
    }
    if args.rtype.is_some() {
        return Err("--type is for names of DNS: nines explain dns NAME --type MX".into());
    }
    if let Some(about) = Layer4Question::about(&args.what) {
        if let Some(option) = of_request {
            return Err(format!("{option} is for URLs: nothing below HTTP has it"));
        }
        if about.udp && args.sni.is_some() {
            return Err("--sni is for tcp:NAME: a datagram is not looked into".into());
        }
        return Ok(Asked::Listener(Layer4Question { client: args.client, server_name: args.sni, ..about }));
    }
    if args.sni.is_some() {
        return Err("--sni is for tcp:NAME: the server name of a request is its URL's host".into());
    }
    let ask = if args.cache { Asked::Cache } else { Asked::Request };
    Ok(ask(Query {
        url: whole(args.what),
        method: args.method.unwrap_or_else(|| "GET".into()),
        headers: args.headers,
        body: args.data,
        client: args.client,
    }))
}

/// Ends the process as clap does.
fn wrong_usage(message: &str) -> ! {
    let mut cli = Cli::command();
    cli.build();
    let explain = cli.find_subcommand_mut("explain").expect("this is the command `explain`");
    explain.error(ErrorKind::ArgumentConflict, message).exit()
}

/// What the node says, or the file where no node runs.
fn answer<T: DeserializeOwned, E: ToString>(
    args: &NodeArgs,
    path: &str,
    by_the_file: impl FnOnce(&Checked) -> Result<T, E>,
) -> Result<T, Failure> {
    let node = Node::find(args)?;
    match node.get(path) {
        // Another address than the file's is a node that was meant: the file is no answer then.
        Err(NodeError::Unreachable { .. }) if args.admin.is_none() => {
            let file = args.file.as_deref().unwrap_or(Path::new(FILE_DEFAULT));
            print::err(&format!("no nines answers at {}; this is what {} says\n", node.at(), file.display()));
            by_the_file(&topology::load(file)?).map_err(|error| Failure::Failed(error.to_string()))
        }
        answer => Ok(answer?),
    }
}

fn show<T: Serialize>(explanation: &T, json: bool, page: impl FnOnce(Paint) -> String) {
    if json {
        print::json(explanation);
    } else {
        print::out(&page(Paint::new(print::stdout_colors())));
    }
}

/// A path alone is asked of this machine: of the site `default`, or of the one that a Host header names.
fn whole(url: String) -> String {
    if url.starts_with('/') { format!("http://localhost{url}") } else { url }
}

/// The question as a path of the admin API.
fn path(route: &str, query: &Query) -> String {
    let mut path = format!("/api/v1/{route}?url={}&method={}", escaped(&query.url), escaped(&query.method));
    for (name, value) in &query.headers {
        path += &format!("&header={}", escaped(&format!("{name}: {value}")));
    }
    if let Some(body) = &query.body {
        path += &format!("&body={}", escaped(body));
    }
    if let Some(client) = query.client {
        path += &format!("&client={}", escaped(&client.to_string()));
    }
    path
}

/// The same of a question about a listener.
fn listener_path(question: &Layer4Question) -> String {
    let mut path = format!("/api/v1/explain-listener?listener={}", escaped(&question.subject()));
    if let Some(client) = question.client {
        path += &format!("&client={}", escaped(&client.to_string()));
    }
    if let Some(name) = &question.server_name {
        path += &format!("&server_name={}", escaped(name));
    }
    path
}

/// The same of a question of DNS.
fn dns_path(question: &DnsQuestion) -> String {
    let mut path = format!(
        "/api/v1/explain-dns?name={}&type={}",
        escaped(&question.name.to_string()),
        escaped(&question.rtype.to_string())
    );
    if let Some(client) = question.client {
        path += &format!("&client={}", escaped(&client.to_string()));
    }
    path
}

/// Percent-encoded for a query: all but RFC 3986's unreserved characters.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Command;
    use clap::Parser;

    fn typed(line: &str) -> Result<Asked, String> {
        match Cli::try_parse_from(format!("nines explain {line}").split(' ')).unwrap().command {
            Command::Explain(args) => asked(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_question_survives_its_way_to_the_node() {
        let query = Query {
            url: "http://shop.test/a b?x=1&y=é".into(),
            method: "GET".into(),
            headers: vec![("Cookie".into(), "a=b+c".into())],
            body: Some("{}".into()),
            client: Some("2001:db8::1".parse().unwrap()),
        };
        let expected = "/api/v1/explain?url=http%3A%2F%2Fshop.test%2Fa%20b%3Fx%3D1%26y%3D%C3%A9&method=GET\
            &header=Cookie%3A%20a%3Db%2Bc&body=%7B%7D&client=2001%3Adb8%3A%3A1";
        assert_eq!(path("explain", &query), expected);
    }

    #[test]
    fn a_listener_is_told_from_a_url() {
        let Ok(Asked::Listener(question)) = typed("tcp:db --client 10.0.0.1:5000 --sni a.test") else {
            panic!("this is a listener")
        };
        let expected = "/api/v1/explain-listener?listener=tcp%3Adb&client=10.0.0.1&server_name=a.test";
        assert_eq!(listener_path(&question), expected);
        assert!(matches!(typed("udp:dns"), Ok(Asked::Listener(question)) if question.udp));
        for url in ["http://tcp:80/", "/tcp:db", "shop.test/cart"] {
            assert!(matches!(typed(url), Ok(Asked::Request(query)) if query.method == "GET"), "{url}");
        }
    }

    #[test]
    fn a_name_of_dns_follows_its_word() {
        let Ok(Asked::Dns(question)) = typed("dns www.shop.test --from 203.0.113.7 -t mx") else {
            panic!("this is a question of DNS")
        };
        let expected = "/api/v1/explain-dns?name=www.shop.test&type=MX&client=203.0.113.7";
        assert_eq!(dns_path(&question), expected);
        assert!(matches!(typed("dns:80"), Ok(Asked::Request(_))));
    }

    #[test]
    fn options_that_say_nothing_are_refused() {
        for (line, option) in [
            ("tcp:db -X GET", "--method"),
            ("tcp:db -H a:b", "--header"),
            ("udp:dns -d {}", "--data"),
            ("tcp:db --cache", "--cache"),
            ("dns a.test --cache", "--cache"),
            ("udp:dns --sni a.test", "--sni"),
            ("dns a.test -X GET", "--method"),
            ("dns a.test --sni a.test", "--sni"),
            ("http://a.test/ --type MX", "--type"),
            ("http://a.test/ b.test", "\"b.test\""),
            ("dns", "the name is missing"),
            ("dns a..test", "\"a..test\""),
            ("dns a.test --type ADDRESS", "\"ADDRESS\""),
            ("http://a.test/ --sni a.test", "--sni"),
            ("--cache http://a.test/ --sni a.test", "--sni"),
        ] {
            assert!(typed(line).unwrap_err().starts_with(option), "{line}");
        }
    }
}
