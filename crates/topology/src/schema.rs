//! The JSON Schema of the file, made from the types: editors complete by it, and [`crate::parse`] checks
//! keys and types by it, so that what is suggested and what is accepted cannot differ.

use crate::config::Topology;
use schemars::generate::SchemaSettings;
use serde_json::Value;
use std::sync::LazyLock;

/// The `format` of an address with a port, beside those of [`notation::FORMATS`].
pub(crate) const SOCKET_ADDRESS: &str = "socket-address";

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let mut schema =
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Topology>().to_value();
    without_null(&mut schema);
    if let Some(items) = schema.pointer_mut("/$defs/EdgeConfig/properties/http/items") {
        items["format"] = SOCKET_ADDRESS.into();
    }
    if let Some(root) = schema.as_object_mut() {
        root.insert("title".into(), "nines.toml".into());
    }
    schema
});

/// The JSON Schema (draft 2020-12) of the file.
pub fn json_schema() -> Value {
    SCHEMA.clone()
}

pub(crate) fn raw() -> &'static Value {
    &SCHEMA
}

/// TOML has no null: an optional key is absent. So `null` is taken out wherever schemars allows it.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(without_null),
        Value::Object(keys) => {
            keys.values_mut().for_each(without_null);
            if let Some(Value::Array(types)) = keys.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    keys.insert("type".into(), only);
                }
            }
            if keys.get("default").is_some_and(Value::is_null) {
                keys.remove("default");
            }
            let Some(Value::Array(branches)) = keys.get_mut("anyOf") else { return };
            branches.retain(|branch| branch.get("type").is_none_or(|name| name != "null"));
            if let [Value::Object(only)] = branches.as_mut_slice() {
                let only = std::mem::take(only);
                keys.remove("anyOf");
                for (key, value) in only {
                    keys.entry(key).or_insert(value);
                }
            }
        }
        _ => {}
    }
}
