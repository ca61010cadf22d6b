//! What is behind the URLs (RFC 8555 §7).

use super::jose::{self, Signed, Signer};
use super::{Account, Answer, Order, Problem, Script, State, look};
use crate::authority::Wanted;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) fn directory(base: &str) -> Value {
    json!({
        "newNonce": format!("{base}/new-nonce"),
        "newAccount": format!("{base}/new-account"),
        "newOrder": format!("{base}/new-order"),
        "meta": { "termsOfService": format!("{base}/terms") },
    })
}

pub(super) async fn post(state: &Arc<State>, path: &str, body: &[u8]) -> Result<Answer, Problem> {
    let Signed { by, payload } = jose::verify(&mut state.inner(), &state.base, path, body)?;
    let account = match by {
        Signer::Key { public_key, thumbprint, jwk } if path == "/new-account" => {
            return new_account(
                state,
                &payload,
                Account { contact: contact(&payload), public_key, thumbprint, is_lost: false },
                &jwk,
            );
        }
        Signer::Key { .. } => return Err(Problem::new(400, "malformed", "a key where an account belongs")),
        Signer::Account(account) => account,
    };
    let (kind, number) = path.trim_start_matches('/').split_once('/').unwrap_or((&path[1..], ""));
    let number: usize = number.parse().unwrap_or(usize::MAX);
    match kind {
        "new-order" => return new_order(state, account, &payload),
        "account" if number == account => {
            state.inner().accounts[account].contact = contact(&payload);
            return Ok(Answer::json(200, &json!({ "status": "valid" })));
        }
        _ => {}
    }
    let is_theirs = state.inner().orders.get(number).is_some_and(|order| order.account == account);
    if !is_theirs {
        return Err(Problem::new(404, "malformed", "no such thing of yours"));
    }
    match kind {
        "order" => Ok(Answer::json(200, &order(state, number))),
        "authz" => Ok(Answer::json(200, &authorization(state, number))),
        "challenge-http-01" | "challenge-tls-alpn-01" => {
            challenge(state, number, kind.trim_start_matches("challenge-")).await
        }
        "finalize" => finalize(state, number, &payload),
        "cert" => {
            let chain = state.inner().orders[number].chain.clone();
            let body = chain.ok_or_else(|| Problem::new(404, "malformed", "not issued"))?.into();
            Ok(Answer { status: 200, location: None, body })
        }
        _ => Err(Problem::new(404, "malformed", "no such resource")),
    }
}

fn contact(payload: &Value) -> Vec<String> {
    let all = payload["contact"].as_array().into_iter().flatten();
    all.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn new_account(state: &State, payload: &Value, account: Account, jwk: &Value) -> Result<Answer, Problem> {
    if payload["termsOfServiceAgreed"] != true {
        return Err(Problem::new(403, "userActionRequired", "the terms are not agreed to"));
    }
    let mut inner = state.inner();
    if let Some(key) = inner.script.external {
        let url = format!("{}/new-account", state.base);
        if !jose::is_bound(&payload["externalAccountBinding"], &url, jwk, key) {
            return Err(Problem::new(403, "externalAccountRequired", "not bound to an account of ours"));
        }
    }
    inner.accounts.push(account);
    let number = inner.accounts.len() - 1;
    let mut answer = Answer::json(201, &json!({ "status": "valid" }));
    answer.location = Some(format!("{}/account/{number}", state.base));
    Ok(answer)
}

fn new_order(state: &State, account: usize, payload: &Value) -> Result<Answer, Problem> {
    let number = {
        let mut inner = state.inner();
        inner.order_attempts += 1;
        if let Some(later) = inner.script.rate_limited {
            let mut problem = Problem::new(429, "rateLimited", "too many orders");
            problem.retry_after = Some(later).filter(|later| !later.is_empty());
            return Err(problem);
        }
        let [identifier] = payload["identifiers"].as_array().map(Vec::as_slice).unwrap_or_default() else {
            return Err(Problem::new(400, "malformed", "one name, please"));
        };
        let name = identifier["value"].as_str().unwrap_or_default().to_owned();
        let token = format!("token_{}-{}", inner.orders.len(), "x".repeat(24));
        inner.orders.push(Order {
            account,
            name,
            token,
            status: "pending",
            shown_by: None,
            challenge_error: None,
            chain: None,
        });
        inner.orders.len() - 1
    };
    let mut answer = Answer::json(201, &order(state, number));
    answer.location = Some(format!("{}/order/{number}", state.base));
    Ok(answer)
}

fn order(state: &State, number: usize) -> Value {
    let base = &state.base;
    let order = &state.inner().orders[number];
    let mut value = json!({
        "status": order.status,
        "identifiers": [{ "type": "dns", "value": order.name }],
        "authorizations": [format!("{base}/authz/{number}")],
        "finalize": format!("{base}/finalize/{number}"),
    });
    if order.chain.is_some() {
        value["certificate"] = format!("{base}/cert/{number}").into();
    }
    value
}

fn authorization(state: &State, number: usize) -> Value {
    let inner = state.inner();
    let order = &inner.orders[number];
    let status = match order.status {
        "pending" | "invalid" => order.status,
        _ => "valid",
    };
    let offered = |kind: &&str| challenge_value(&state.base, order, number, kind);
    let challenges: Vec<Value> = inner.script.offers.iter().map(offered).collect();
    json!({ "status": status, "identifier": { "type": "dns", "value": order.name }, "challenges": challenges })
}

fn challenge_value(base: &str, order: &Order, number: usize, kind: &str) -> Value {
    let mut value = json!({
        "type": kind,
        "url": format!("{base}/challenge-{kind}/{number}"),
        "token": order.token,
        "status": if order.status == "ready" { "valid" } else { "pending" },
    });
    if let Some(error) = &order.challenge_error {
        value["error"] = json!({ "type": "urn:ietf:params:acme:error:unauthorized", "detail": error });
    }
    value
}

async fn challenge(state: &Arc<State>, number: usize, kind: &str) -> Result<Answer, Problem> {
    let (script, name, token, key_authorization) = {
        let inner = state.inner();
        let order = &inner.orders[number];
        if order.status != "pending" {
            return Err(Problem::new(400, "malformed", "the authorization is not pending"));
        }
        let thumbprint = &inner.accounts[order.account].thumbprint;
        let key_authorization = format!("{}.{thumbprint}", order.token);
        (inner.script.clone(), order.name.clone(), order.token.clone(), key_authorization)
    };
    let told = challenge_value(&state.base, &state.inner().orders[number], number, kind);
    if script.never_looks {
        return Ok(Answer::json(200, &told));
    }
    if let Some(mut hold) = script.hold.clone() {
        let _freed = hold.wait_for(|is_free| *is_free).await;
    }
    let since = Instant::now();
    let mut outcome = look_everywhere(&script, kind, &name, &token, &key_authorization).await;
    while outcome.is_err() && since.elapsed() < script.looks_again_for {
        tokio::task::yield_now().await;
        outcome = look_everywhere(&script, kind, &name, &token, &key_authorization).await;
    }
    let mut inner = state.inner();
    let order = &mut inner.orders[number];
    match outcome {
        Ok(()) => (order.status, order.shown_by) = ("ready", Some(kind.to_owned())),
        Err(error) => (order.status, order.challenge_error) = ("invalid", Some(error)),
    }
    Ok(Answer::json(200, &told))
}

async fn look_everywhere(
    script: &Script,
    kind: &str,
    name: &str,
    token: &str,
    key_authorization: &str,
) -> Result<(), String> {
    let mut outcome = Err(format!("{name} leads nowhere"));
    for node in &script.nodes {
        let looked = async {
            match kind {
                "http-01" => look::http(node.http, name, token, key_authorization).await,
                _ => look::tls_alpn(node.tls, name, key_authorization).await,
            }
        };
        let looked = tokio::time::timeout(Duration::from_secs(5), looked).await;
        outcome = looked.unwrap_or_else(|_| Err("no answer in time".into()));
        if outcome.is_err() {
            break;
        }
    }
    outcome
}

fn finalize(state: &State, number: usize, payload: &Value) -> Result<Answer, Problem> {
    {
        let now = state.clock.now();
        let mut inner = state.inner();
        let life = inner.script.life;
        let order = &mut inner.orders[number];
        if order.status != "ready" {
            return Err(Problem::new(403, "orderNotReady", order.status));
        }
        let csr = jose::base64(&payload["csr"]).unwrap_or_default();
        let wanted = Wanted { name: &order.name, not_before: now, not_after: now + life };
        let chain = state.authority.sign_request(&csr, &wanted);
        order.chain = Some(chain.map_err(|error| Problem::new(400, "badCSR", error))?);
        order.status = "valid";
    }
    Ok(Answer::json(200, &order(state, number)))
}
