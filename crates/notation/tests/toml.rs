//! The notation inside a file: places, short forms, and what is refused where.

use notation::{Duration, Name, Named, OneOrMany, Percent, Rate, Secret, Size, TextOr};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    server: Vec<TextOr<Server>>,
    #[serde(default)]
    route: Named<OneOrMany<Route>>,
    #[serde(default)]
    env: BTreeMap<String, TextOr<Secret>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    values: Option<Values>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Server {
    address: Name,
    #[serde(default)]
    weight: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    pool: Name,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Values {
    wait: Duration,
    body: Size,
    rate: Rate,
    share: Percent,
}

fn parse(text: &str) -> Result<File, toml::de::Error> {
    toml::from_str(text)
}

/// What stands in the file where the name says that it stands.
fn text_at<'a>(file: &'a str, name: &Name) -> &'a str {
    &file[name.span().expect("a name from a file knows its place")]
}

/// The message, and what it points at.
fn fault(text: &str) -> (String, &str) {
    let error = parse(text).expect_err("the file is wrong");
    (error.message().to_owned(), error.span().map_or("", |span| &text[span]))
}

#[test]
fn every_name_knows_its_place_in_short_and_long_forms() {
    let text = r#"
server = ["10.0.0.1:80", { address = "10.0.0.2:80", weight = 2 }]

[route]
"/" = { pool = "shop" }
"/img/" = [{ pool = 'images' }, { pool = "shop" }]
api.pool = "api"

[[route."/many/"]]
pool = "é"
"#;
    let file = parse(text).unwrap();
    let [TextOr::Text(short), TextOr::Long(long)] = &file.server[..] else { panic!("{:?}", file.server) };
    assert_eq!((short.as_str(), text_at(text, short)), ("10.0.0.1:80", "\"10.0.0.1:80\""));
    assert_eq!((long.address.as_str(), text_at(text, &long.address)), ("10.0.0.2:80", "\"10.0.0.2:80\""));
    assert_eq!(long.weight, 2);

    let places: Vec<(&str, &str, Vec<&str>)> = file
        .route
        .iter()
        .map(|(path, routes)| {
            let pools = routes.as_slice().iter().map(|route| text_at(text, &route.pool)).collect();
            (path.as_str(), text_at(text, path), pools)
        })
        .collect();
    let expected = [
        ("/", "\"/\"", vec!["\"shop\""]),
        ("/img/", "\"/img/\"", vec!["'images'", "\"shop\""]),
        ("/many/", "\"/many/\"", vec!["\"é\""]),
        ("api", "api", vec!["\"api\""]),
    ];
    assert_eq!(places, expected);
    assert!(file.route.contains_key("/img/"), "names are found by their text");
}

#[test]
fn a_name_outside_of_a_file_has_no_place_and_is_equal_all_the_same() {
    let file = parse("route.a = { pool = \"shop\" }").unwrap();
    let (path, routes) = file.route.first_key_value().unwrap();
    assert_eq!(path, &Name::new("a"));
    assert_eq!(routes, &OneOrMany::One(Route { pool: Name::new("shop") }));
    assert_eq!(Name::new("a").span(), None);
    assert_eq!(Name::new("a").to_string(), "a");
}

#[test]
fn values_are_checked_where_they_stand() {
    let good = "[values]\nwait = \"2s\"\nbody = \"64MiB\"\nrate = \"50/s\"\nshare = \"20%\"\n";
    let values = parse(good).unwrap().values.unwrap();
    assert_eq!(values.wait.get(), std::time::Duration::from_secs(2));
    assert_eq!(values.body.get(), 64 << 20);
    assert_eq!((values.rate.per_second(), values.share.ratio()), (50.0, 0.2));

    for (from, to, message) in [
        ("2s", "2 sec", "\"2 sec\" is not a duration, for example \"2s\" or \"250ms\""),
        ("64MiB", "64M", "\"64M\" is not a size, for example \"64MiB\" or \"16KiB\""),
        ("50/s", "50", "\"50\" is not a rate, for example \"50/s\" or \"10/m\""),
        ("20%", "120%", "\"120%\" is not a percentage, for example \"20%\""),
    ] {
        let bad = good.replace(from, to);
        assert_eq!(fault(&bad), (message.to_owned(), format!("\"{to}\"").as_str()));
    }
    let (message, at) = fault("[values]\nwait = 2\n");
    assert_eq!((message.as_str(), at), ("invalid type: integer `2`, expected a string", "2"));
}

#[test]
fn a_wrong_key_in_a_long_form_is_pointed_at() {
    let (message, at) = fault("server = [\"a:1\", { address = \"b:1\", wieght = 2 }]");
    assert!(message.starts_with("unknown field `wieght`"), "{message}");
    assert_eq!(at, "wieght");
    let (message, at) = fault("[route]\n\"/\" = [{ pool = \"a\" }, { pol = \"b\" }]\n");
    assert!(message.starts_with("unknown field `pol`"), "{message}");
    assert_eq!(at, "pol");
    let (message, at) = fault("server = [\"a:1\", { weight = 2 }]");
    assert_eq!((message.as_str(), at), ("missing field `address`", "{ weight = 2 }"));
}

#[test]
fn a_value_that_is_neither_form_is_pointed_at() {
    let (message, at) = fault("server = [7]");
    assert_eq!((message.as_str(), at), ("invalid type: integer `7`, expected a string or a table", "7"));
    let (message, at) = fault("route.a = \"shop\"");
    let expected = "invalid type: string \"shop\", expected a table or an array of tables";
    assert_eq!((message.as_str(), at), (expected, "\"shop\""));
    let (message, at) = fault("route.a = []");
    assert_eq!((message.as_str(), at), ("invalid length 0, expected an array of at least one table", "[]"));
}

#[test]
fn a_secret_comes_from_one_place() {
    let file =
        parse("[env]\nA = \"plain\"\nB = { env = \"TOKEN\" }\nC = { file = \"/run/token\" }\n").unwrap();
    assert_eq!(file.env["A"], TextOr::Text(Name::new("plain")));
    assert_eq!(file.env["B"], TextOr::Long(Secret::Env("TOKEN".into())));
    assert_eq!(file.env["C"], TextOr::Long(Secret::File("/run/token".into())));

    let (message, _) = fault("env.A = { env = \"TOKEN\", file = \"/run/token\" }");
    assert_eq!(message, "unexpected key `file`, one of them is enough");
    let (message, at) = fault("env.A = { vault = \"x\" }");
    assert!(message.starts_with("unknown variant `vault`"), "{message}");
    assert_eq!(at, "vault");
    assert!(parse("env.A = {}").is_err());
}

#[test]
fn what_is_read_is_written_as_a_file_that_reads_the_same() {
    let text = r#"
server = ["10.0.0.1:80", { address = "10.0.0.2:80", weight = 2 }]
route."/" = { pool = "shop" }
route."/img/" = [{ pool = "images" }, { pool = "shop" }]
env.A = { env = "TOKEN" }
env.B = "plain"
values = { wait = "90s", body = "65536", rate = "10/m", share = "12.50%" }
"#;
    let file = parse(text).unwrap();
    let written = toml::to_string(&file).unwrap();
    assert_eq!(parse(&written).unwrap(), file);
    for shortest in ["\"1m30s\"", "\"64KiB\"", "\"10/m\"", "\"12.5%\"", "\"10.0.0.1:80\""] {
        assert!(written.contains(shortest), "{shortest} in {written}");
    }
}
