//! `/openapi.json`: the routes as an OpenAPI 3.1 document, made from the list that the router is made from.

use crate::problem::ProblemBody;
use crate::routes::{Answer, Parameter, Place, Route, Takes};
use axum::http::StatusCode;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// The document. `is_secured` says whether this node demands a token.
pub(crate) fn document(routes: &[Route], is_secured: bool) -> Value {
    let mut schemas = schemas();
    let mut paths = Map::new();
    for route in routes {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method] = operation(route, &mut schemas, is_secured);
    }
    let problem = schemas.subschema_for::<ProblemBody>();
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "nines admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Health, metrics, live figures and control of a running node.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "responses": { "Problem": {
                "description": "What is wrong (RFC 9457)",
                "content": { "application/problem+json": { "schema": problem } },
            } },
        },
    });
    if is_secured {
        document["components"]["securitySchemes"] =
            json!({ "token": { "type": "http", "scheme": "bearer" } });
    }
    document
}

/// OpenAPI 3.1 takes JSON Schema 2020-12 as it is (§4.8.24); only the place of shared schemas is its own.
fn schemas() -> SchemaGenerator {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    settings.for_serialize().into_generator()
}

fn operation(route: &Route, schemas: &mut SchemaGenerator, is_secured: bool) -> Value {
    let mut responses = Map::new();
    responses.insert("200".into(), answer(&route.answer, schemas));
    for (status, says) in route.problems {
        responses.insert(status.as_u16().to_string(), problem(*status, says, schemas));
    }
    responses.insert("default".into(), json!({ "$ref": "#/components/responses/Problem" }));
    let mut operation =
        json!({ "operationId": route.name, "summary": route.summary, "responses": responses });
    if !route.parameters.is_empty() {
        operation["parameters"] = route.parameters.iter().map(parameter).collect();
    }
    if let Some(body) = &route.body {
        let content = match body {
            Takes::Json(schema) => json!({ "application/json": { "schema": schema(schemas) } }),
            Takes::Bytes => json!({ "application/octet-stream": {} }),
        };
        operation["requestBody"] = json!({ "required": true, "content": content });
    }
    if is_secured && !route.is_open {
        operation["security"] = json!([{ "token": [] }]);
    }
    operation
}

fn answer(answer: &Answer, schemas: &mut SchemaGenerator) -> Value {
    let (says, media, schema) = match answer {
        Answer::Json(says, schema) => (says, "application/json", schema(schemas).to_value()),
        Answer::Document(says) => (says, "application/json", json!({ "type": "object" })),
        Answer::Text(says, media) => (says, *media, json!({ "type": "string" })),
    };
    json!({ "description": says, "content": { media: { "schema": schema } } })
}

fn problem(status: StatusCode, says: &str, schemas: &mut SchemaGenerator) -> Value {
    assert!(!status.is_success(), "a problem of a route has a status that is no success");
    let schema = schemas.subschema_for::<ProblemBody>();
    json!({ "description": says, "content": { "application/problem+json": { "schema": schema } } })
}

fn parameter(parameter: &Parameter) -> Value {
    let schema = match parameter.place {
        Place::QueryList => json!({ "type": "array", "items": { "type": "string" } }),
        Place::Path | Place::Query | Place::QueryRequired => json!({ "type": "string" }),
    };
    json!({
        "name": parameter.name,
        "in": if parameter.place == Place::Path { "path" } else { "query" },
        "required": matches!(parameter.place, Place::Path | Place::QueryRequired),
        "description": parameter.says,
        "schema": schema,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::ROUTES;

    #[test]
    fn every_route_is_in_the_document_once() {
        let document = document(&ROUTES, false);
        let operations =
            document["paths"].as_object().unwrap().values().map(|path| path.as_object().unwrap().len());
        assert_eq!(operations.sum::<usize>(), ROUTES.len());
        for route in &ROUTES {
            assert_eq!(document["paths"][route.path][route.method]["operationId"], route.name);
        }
    }
}
