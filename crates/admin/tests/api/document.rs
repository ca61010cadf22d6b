//! The OpenAPI document is complete and true: whatever it says of a route, the node does.

use crate::world::{Answer, World};
use admin::Limits;
use serde_json::{Value, json};

async fn document(world: &World) -> Value {
    let answer = world.get("/openapi.json").await;
    assert_eq!(answer.status, 200);
    answer.json()
}

/// SHA-256 of `hello`.
const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

/// Every operation: path, method, what is said of it.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, methods)| {
            methods
                .as_object()
                .unwrap()
                .iter()
                .map(move |(method, said)| (path.as_str(), method.as_str(), said))
        })
        .collect()
}

/// Calls an operation in a way that succeeds.
async fn call(world: &World, path: &str, method: &str) -> Answer {
    let release = if method == "delete" { "r1" } else { "r2" };
    let path = path.replace("{pool}", "web").replace("{endpoint}", "127.0.0.1:2");
    let path = path.replace("{store}", "assets").replace("{release}", release).replace("{hash}", HELLO);
    let query = match path.as_str() {
        path if path.contains("/blobs/") => "?size=5",
        "/api/v1/explain" | "/api/v1/explain-cache" => "?url=http://shop.test/",
        "/api/v1/explain-listener" => "?listener=tcp:web",
        "/api/v1/explain-dns" => "?name=www.shop.test",
        _ => "",
    };
    let path = path + query;
    let files = format!(r#"{{"files":{{"a.txt":{{"hash":"{HELLO}","size_bytes":5}}}}}}"#);
    let body = match (method, path.rsplit('/').next().unwrap_or_default()) {
        ("post", "purge") => r#"{"tag":"red"}"#,
        ("post", "exchange") => "",
        ("post", "flush") => r#"{"name":"shop.test","below":true}"#,
        ("post", "ds-seen") => {
            // There has to be a key that waits for it.
            world.post("/api/v1/dns/roll-over", r#"{"zone":"shop.test"}"#).await;
            r#"{"zone":"shop.test","ttl":"0s"}"#
        }
        ("post", "roll-over") => r#"{"zone":"shop.test"}"#,
        ("put", _) => "hello",
        ("post", "releases") => &files,
        ("post", "rollback") => "{}",
        ("post", "missing") => "[]",
        ("post", _) => r#"{"endpoint":"web/127.0.0.1:2"}"#,
        _ => "",
    };
    world.ask(&method.to_uppercase(), &path, &[("content-type", "application/json")], body).await
}

#[tokio::test]
async fn every_operation_of_the_document_answers_as_the_document_says() {
    let file = crate::world::FILE.to_owned()
        + "[edge]\nhttp = [\"127.0.0.1:0\"]\ncores = 1\n[site.default.route]\n\"/\" = { pool = \"web\" }\n\"/a/\" = { push = \"assets\" }\n[push.assets]\n"
        + "[cdn]\nnodes = [\"127.0.0.1:1\"]\n[tcp.web]\nlisten = \"127.0.0.1:0\"\npool = \"web\"\n"
        + "[dns]\nlisten = '127.0.0.1:0'\n[dns.zone.'shop.test']\nsign = { propagation = '0s' }\nttl = '0s'\n"
        + "records = ['@ SOA ns1 a 1 1d 2h 4w 5m', '@ NS ns1', 'ns1 A 192.0.2.1']\n"
        + "[dns.resolver]\nforward = ['127.0.0.1:1']\n";
    let world = World::start_with(&file, None, Limits::default()).await;
    let document = document(&world).await;
    assert_eq!(document["openapi"], "3.1.0");
    // Two releases, so that one may be removed and the other be rolled back to.
    assert_eq!(call(&world, "/api/v1/push/{store}/blobs/{hash}", "put").await.status, 200);
    for _ in 0..2 {
        assert_eq!(call(&world, "/api/v1/push/{store}/releases", "post").await.status, 200);
    }
    for (path, method, said) in operations(&document) {
        let answer = call(&world, path, method).await;
        let told = &said["responses"][answer.status.to_string()];
        assert_eq!(answer.status, 200, "{method} {path}: {answer:?}");
        let (media, content) = told["content"].as_object().unwrap().iter().next().unwrap();
        let given = answer.header("content-type").unwrap().split(';').next().unwrap();
        assert_eq!(given, media, "{method} {path}");
        if media == "application/json" {
            conforms(&answer.json(), &content["schema"], &document, &format!("{method} {path}"));
        }
    }
    world.stop().await;
}

#[tokio::test]
async fn every_reference_in_the_document_leads_somewhere() {
    let world = World::start().await;
    let document = document(&world).await;
    let mut open = vec![&document];
    let mut references = 0;
    while let Some(value) = open.pop() {
        if let Some(reference) = value["$ref"].as_str() {
            references += 1;
            assert!(document.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
        }
        match value {
            Value::Object(members) => open.extend(members.values()),
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    assert!(references > 10);
    world.stop().await;
}

#[tokio::test]
async fn every_parameter_of_a_path_is_described_and_names_are_unique() {
    let world = World::start().await;
    let document = document(&world).await;
    let mut names = Vec::new();
    for (path, method, said) in operations(&document) {
        names.push(said["operationId"].as_str().unwrap());
        assert!(!said["summary"].as_str().unwrap().is_empty());
        let in_path = path.matches('{').count();
        let parameters = said["parameters"].as_array().cloned().unwrap_or_default();
        let described: Vec<&Value> =
            parameters.iter().filter(|parameter| parameter["in"] == "path").collect();
        assert_eq!(described.len(), in_path, "{method} {path}");
        for parameter in described {
            assert!(
                path.contains(&format!("{{{}}}", parameter["name"].as_str().unwrap())),
                "{method} {path}"
            );
        }
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    world.stop().await;
}

#[tokio::test]
async fn the_document_tells_where_the_token_is_demanded_and_it_is() {
    let world = World::start_with(crate::world::FILE, Some("sesame"), Limits::default()).await;
    let answer = world.ask("GET", "/openapi.json", &[("authorization", "Bearer sesame")], "").await;
    let document = answer.json();
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    for (path, method, said) in operations(&document) {
        let answer = call(&world, path, method).await;
        let is_demanded = said["security"] == json!([{ "token": [] }]);
        assert_eq!(answer.status == 401, is_demanded, "{method} {path}");
        if is_demanded {
            answer.problem(401);
            assert!(answer.header("www-authenticate").unwrap().starts_with("bearer"));
        }
    }
    world.stop().await;
}

/// Checks as much of JSON Schema as the document uses for types, members and their presence.
fn conforms(value: &Value, schema: &Value, document: &Value, at: &str) {
    if let Some(reference) = schema["$ref"].as_str() {
        return conforms(value, document.pointer(&reference[1..]).unwrap(), document, at);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        conforms(value, part, document, at);
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let is_of = |name: &&str| match *name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("{at}: unknown type {other}"),
    };
    assert!(types.is_empty() || types.iter().any(is_of), "{at}: {value} is not of {types:?}");
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(value.get(name).is_some(), "{at}: {name} is missing");
    }
    if let (Some(items), schema) = (value.as_array(), &schema["items"]) {
        items.iter().for_each(|item| conforms(item, schema, document, &format!("{at}[]")));
    }
    if let (Some(members), Some(known)) = (value.as_object(), schema["properties"].as_object()) {
        for (name, member) in members {
            let schema = known.get(name).unwrap_or_else(|| panic!("{at}: the document does not know {name}"));
            conforms(member, schema, document, &format!("{at}.{name}"));
        }
    }
}
