//! `nines explain URL`: where a request goes, and why.

mod page;

use super::Ended;
use crate::cli::ExplainArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::node::{FILE_DEFAULT, Node, NodeError};
use crate::print::{self, Paint};
use std::path::Path;
use topology::{Explanation, Query};

pub(super) fn run(args: ExplainArgs) -> Ended {
    let node = Node::find(&args.node)?;
    let query = Query {
        url: whole(args.url),
        method: args.method,
        headers: args.headers,
        body: args.data,
        client: args.client,
    };
    let explanation = match node.get::<Explanation>(&path(&query)) {
        // Another address than the file's is a node that was meant: the file is no answer then.
        Err(NodeError::Unreachable { .. }) if args.node.admin.is_none() => {
            let file = args.node.file.as_deref().unwrap_or(Path::new(FILE_DEFAULT));
            print::err(&format!("no nines answers at {}; this is what {} says\n", node.at(), file.display()));
            by_the_file(file, &query)?
        }
        answer => answer?,
    };
    if args.json {
        print::json(&explanation);
    } else {
        print::out(&page::page(&query, &explanation, Paint::new(print::stdout_colors())));
    }
    Ok(Exit::Done)
}

/// A path alone is asked of this machine: of the site `default`, or of the one that a Host header names.
fn whole(url: String) -> String {
    if url.starts_with('/') { format!("http://localhost{url}") } else { url }
}

fn by_the_file(file: &Path, query: &Query) -> Result<Explanation, Failure> {
    let checked = topology::load(file)?;
    topology::explain_file(&checked, query).map_err(|error| Failure::Failed(error.to_string()))
}

/// The question as a path of the admin API.
fn path(query: &Query) -> String {
    let mut path = format!("/api/v1/explain?url={}&method={}", escaped(&query.url), escaped(&query.method));
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
        assert_eq!(path(&query), expected);
    }
}
