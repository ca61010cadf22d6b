//! Finding an endpoint by what a person calls it.

use super::{EndpointError, Running};
use balance::{Pool, PoolStatus};
use notation::nearest;
use std::sync::Arc;

pub(super) fn set_draining(
    running: &Running,
    name: &str,
    is_draining: bool,
) -> Result<String, EndpointError> {
    let pools: Vec<Arc<Pool>> = running.live().pools.values().map(|part| Arc::clone(&part.pool)).collect();
    let statuses: Vec<PoolStatus> = pools.iter().map(|pool| pool.status()).collect();
    let (pool, endpoint) = find(&statuses, name)?;
    let unknown = || EndpointError::Unknown { name: name.to_owned(), help: None };
    let found = pools.iter().find(|candidate| candidate.name() == pool).ok_or_else(unknown)?;
    let done = if is_draining { found.drain(&endpoint) } else { found.undrain(&endpoint) };
    // It was there a moment ago: the endpoints of a pool change at any time.
    done.map_err(|_| unknown())?;
    Ok(format!("{pool}/{endpoint}"))
}

/// The pool and the endpoint that a name means: `"shop/shop-1"`, `"shop-1"` when no other pool has one of that
/// name, or an address in the place of the endpoint's name.
fn find(pools: &[PoolStatus], name: &str) -> Result<(String, String), EndpointError> {
    let all: Vec<(&str, &str, String)> = pools
        .iter()
        .flat_map(|pool| pool.endpoints.iter().map(|endpoint| (pool.name.as_str(), endpoint)))
        .map(|(pool, endpoint)| {
            let address = endpoint.address.map(|address| address.to_string()).unwrap_or_default();
            (pool, endpoint.name.as_str(), address)
        })
        .collect();
    let is_meant = |(pool, endpoint, address): &&(&str, &str, String)| {
        let short = name.strip_prefix(pool).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name);
        short == *endpoint || short == address
    };
    let found: Vec<_> = all.iter().filter(is_meant).collect();
    match found.as_slice() {
        [(pool, endpoint, _)] => Ok(((*pool).to_owned(), (*endpoint).to_owned())),
        [] => Err(EndpointError::Unknown { name: name.to_owned(), help: help(&all, name) }),
        several => Err(EndpointError::Ambiguous {
            name: name.to_owned(),
            candidates: several.iter().map(|(pool, endpoint, _)| format!("{pool}/{endpoint}")).collect(),
        }),
    }
}

fn help(all: &[(&str, &str, String)], name: &str) -> Option<String> {
    const LISTED_MAX: usize = 12;
    let full: Vec<String> = all.iter().map(|(pool, endpoint, _)| format!("{pool}/{endpoint}")).collect();
    let short = all.iter().map(|(_, endpoint, _)| *endpoint);
    match nearest(name, full.iter().map(String::as_str).chain(short)) {
        Some(near) => Some(format!("did you mean {near:?}?")),
        None if full.is_empty() => Some("there are no endpoints".into()),
        None if full.len() <= LISTED_MAX => Some(format!("there are {}", full.join(", "))),
        None => None,
    }
}
