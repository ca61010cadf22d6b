//! The JSON Schema that stands at the root of the repository is the one that the types make.

use serde_json::Value;
use std::path::Path;

#[test]
fn the_schema_that_is_checked_in_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../nines.schema.json");
    let mut current = serde_json::to_string_pretty(&topology::json_schema()).unwrap();
    current.push('\n');
    if std::env::var_os("NINES_BLESS").is_some() {
        std::fs::write(&path, &current).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == current,
        "nines.schema.json differs from the types of the file; `NINES_BLESS=1 cargo test -p topology --test schema` makes it anew"
    );
}

#[test]
fn every_key_is_described_and_every_table_is_closed() {
    fn walk(schema: &Value, path: &str) {
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            assert_eq!(schema["additionalProperties"], false, "{path} takes unknown keys");
            for (key, property) in properties {
                // A variant of an enum is described itself, its only key is its name.
                let is_variant = properties.len() == 1;
                assert!(
                    is_variant || property.get("description").is_some(),
                    "{path}.{key} has no description"
                );
            }
        }
        match schema {
            Value::Object(keys) => keys.iter().for_each(|(key, value)| walk(value, &format!("{path}/{key}"))),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(nth, value)| walk(value, &format!("{path}/{nth}")));
            }
            _ => {}
        }
    }
    let schema = topology::json_schema();
    // Values of `default` are files in small, not schemas.
    let mut without_defaults = schema.clone();
    drop_defaults(&mut without_defaults);
    walk(&without_defaults, "#");
    assert!(schema.pointer("/properties/pool/additionalProperties").is_some());
}

fn drop_defaults(schema: &mut Value) {
    match schema {
        Value::Object(keys) => {
            keys.remove("default");
            keys.values_mut().for_each(drop_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_defaults),
        _ => {}
    }
}

#[test]
fn addresses_have_a_format_and_nothing_is_ever_null() {
    let schema = topology::json_schema();
    assert_eq!(
        schema.pointer("/$defs/EdgeConfig/properties/http/items/format"),
        Some(&"socket-address".into())
    );
    assert_eq!(schema.pointer("/$defs/NodeConfig/properties/admin/format"), Some(&"socket-address".into()));
    let text = schema.to_string();
    assert!(!text.contains("\"null\"") && !text.contains(":null"), "TOML has no null");
}
