//! What types cannot say of routes and places.

use super::candidates::CANDIDATES_MAX;
use super::config::{AnswerConfig, PlaceConfig, Places, RouteConfig, RoutesConfig, StepName};
use super::route::name_in;
use crate::protocol::Name;
use admission::Network;
use notation::{Faults, Named};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// A shorter TTL makes every query come here; a longer one would hide for a day that something is down.
const TTL_SECONDS: std::ops::RangeInclusive<u64> = 1..=86_400;
/// Addresses of a candidate: in eight of them all fit into a datagram.
const ADDRESSES_MAX: usize = 16;
/// Places have numbers, and compare each with each.
const PLACES_MAX: usize = 1024;
const CONTINENTS: [&str; 7] = ["AF", "AN", "AS", "EU", "NA", "OC", "SA"];

/// What routes and places may name.
#[derive(Debug, Clone, Copy)]
pub struct Known<'c> {
    /// The apexes of all zones.
    pub zones: &'c [Name],
    /// `[dns.place.NAME]`.
    pub places: &'c Named<PlaceConfig>,
}

/// Checks the routes of a zone. That their pools exist is the file's affair ([`RouteConfig::pools`]).
pub fn check_routes(zone: &notation::Name, routes: &RoutesConfig, known: Known<'_>, faults: &mut Faults) {
    let Ok(apex) = zone.parse::<Name>() else { return };
    let mut names: BTreeMap<Vec<u8>, &str> = BTreeMap::new();
    for (name, route) in routes {
        let whose = format!("zone {zone}: route {name}");
        match name_in(name, &apex) {
            Ok(found) if !found.is_within(&apex) => {
                let message = format!("{whose} is not in the zone");
                faults.add_with_help(
                    name.span(),
                    message,
                    "names are relative to the zone; its apex is `\"@\"`",
                );
            }
            Ok(found) => {
                if let Some(before) = names.insert(found.as_wire().to_vec(), name) {
                    faults.add(name.span(), format!("{whose} is the same as route {before}"));
                }
                check_route(
                    &Checked { whose: &whose, span: name.span(), apex: &apex, known },
                    &found,
                    route,
                    faults,
                );
            }
            Err(error) => faults.add(name.span(), format!("{whose}: {error}")),
        }
    }
}

/// The route that is checked, and what it is held against.
struct Checked<'c> {
    whose: &'c str,
    span: Option<Range<usize>>,
    apex: &'c Name,
    known: Known<'c>,
}

impl Checked<'_> {
    fn fault(&self, faults: &mut Faults, what: &str) {
        faults.add(self.span.clone(), format!("{}: {what}", self.whose));
    }

    fn fault_with_help(&self, faults: &mut Faults, what: &str, help: &str) {
        faults.add_with_help(self.span.clone(), format!("{}: {what}", self.whose), help);
    }
}

fn check_route(checked: &Checked<'_>, name: &Name, route: &RouteConfig, faults: &mut Faults) {
    let ttl = route.ttl.get();
    if ttl.subsec_nanos() != 0 || !TTL_SECONDS.contains(&ttl.as_secs()) {
        checked.fault(faults, &format!("ttl is {}, of whole seconds from 1s to 1d", route.ttl));
    }
    if let Some(alias) = &route.alias {
        check_alias(checked, name, route, alias, faults);
        return;
    }
    if route.answers.is_empty() {
        checked.fault_with_help(
            faults,
            "has no answers",
            "add `answers = [{ pool = \"NAME\" }]`, or `alias = \"NAME\"`",
        );
    }
    if route.answers.len() > CANDIDATES_MAX {
        checked.fault(faults, &format!("has {} answers (max {CANDIDATES_MAX})", route.answers.len()));
    }
    check_chain(checked, route, faults);
    for (nth, answer) in route.answers.iter().enumerate() {
        check_answer(checked, route, nth, answer, faults);
    }
}

/// Steps in an order that makes sense, and no key that does nothing.
fn check_chain(checked: &Checked<'_>, route: &RouteConfig, faults: &mut Faults) {
    if route.choose.is_empty() {
        checked.fault_with_help(faults, "choose is empty", "the default is `choose = [\"healthy\"]`");
    }
    for (nth, step) in route.choose.iter().enumerate() {
        let step_name = step.as_str();
        if route.choose[..nth].contains(step) {
            checked.fault(faults, &format!("choose has `{step_name}` twice"));
        } else if let Some(last) = route.choose[..nth].iter().find(|before| before.is_last()) {
            let message = format!("`{step_name}` comes after `{}`, which has chosen already", last.as_str());
            checked.fault(faults, &message);
        }
    }
    let useless = [
        ("when_down", route.when_down.is_some(), StepName::Healthy),
        ("values", route.values.is_some(), StepName::Multivalue),
        ("sticky", route.sticky.is_some(), StepName::Weighted),
        ("weight", route.answers.iter().any(|answer| answer.weight.is_some()), StepName::Weighted),
        ("at", route.answers.iter().any(|answer| answer.at.is_some()), StepName::Nearest),
    ];
    for (key, is_set, step) in useless {
        if is_set && !route.has(step) {
            let message = format!("`{key}` does nothing without `{}` in choose", step.as_str());
            checked.fault(faults, &message);
        }
    }
    if route.values == Some(0) {
        checked.fault(faults, "values is zero: nothing would ever be answered");
    }
}

fn check_answer(
    checked: &Checked<'_>,
    route: &RouteConfig,
    nth: usize,
    answer: &AnswerConfig,
    faults: &mut Faults,
) {
    let whose = format!("answer {}", nth + 1);
    if answer.pool.is_none() && answer.addresses.is_empty() {
        checked.fault(faults, &format!("{whose} has neither a pool nor addresses"));
    }
    if answer.addresses.len() > ADDRESSES_MAX {
        let count = answer.addresses.len();
        checked.fault(faults, &format!("{whose} has {count} addresses (max {ADDRESSES_MAX})"));
    }
    for (at, address) in answer.addresses.iter().enumerate() {
        if address.is_unspecified() || address.is_multicast() {
            checked.fault(faults, &format!("{whose}: nobody can be reached at {address}"));
        }
        if answer.addresses[..at].contains(address) {
            checked.fault(faults, &format!("{whose} has {address} twice"));
        }
    }
    let is_same = |other: &&AnswerConfig| {
        (&other.pool, &other.at, &other.addresses) == (&answer.pool, &answer.at, &answer.addresses)
    };
    if let Some(before) = route.answers[..nth].iter().position(|other| is_same(&other)) {
        checked.fault(faults, &format!("{whose} is the same as answer {}", before + 1));
    }
    match &answer.at {
        Some(place) if !checked.known.places.contains_key(place) => {
            unknown_place(faults, place, checked.known.places);
        }
        None if route.has(StepName::Nearest) => {
            checked.fault(faults, &format!("{whose} needs `at`, since `nearest` is in choose"));
        }
        _ => {}
    }
}

fn check_alias(
    checked: &Checked<'_>,
    name: &Name,
    route: &RouteConfig,
    alias: &notation::Name,
    faults: &mut Faults,
) {
    let plain = RouteConfig { alias: None, ttl: route.ttl, ..RouteConfig::default() };
    let is_plain = RouteConfig { alias: None, ..route.clone() } == plain;
    if !is_plain || route.ttl != RouteConfig::default().ttl {
        let message = "has an alias and other keys: with an alias, everything is as it is there";
        checked.fault(faults, message);
    }
    let whose = format!("{}: alias {alias}", checked.whose);
    match name_in(alias, checked.apex) {
        Err(error) => faults.add(alias.span(), format!("{whose}: {error}")),
        Ok(target) if target == *name => faults.add(alias.span(), format!("{whose} leads to itself")),
        Ok(target) if checked.known.zones.iter().all(|zone| !target.is_within(zone)) => {
            let help = "only names of this file's zones can be put in the place of another: for others, a resolver would have to be \
                        asked. Below the apex, a CNAME in the zone does it";
            faults.add_with_help(alias.span(), format!("{whose} is in no zone of this file"), help);
        }
        // `www.shop.test` without the dot is `www.shop.test.shop.test`.
        Ok(_) if !alias.ends_with('.') => {
            if let Ok(absolute) = alias.parse::<Name>()
                && absolute.is_within(checked.apex)
            {
                let help = format!("with a dot at its end it is absolute: \"{alias}.\"");
                faults.add_with_help(alias.span(), format!("{whose} is relative to the zone"), help);
            }
        }
        Ok(_) => {}
    }
}

/// Checks all places, and what is said between them.
pub fn check_places(config: Places<'_>, faults: &mut Faults) {
    if config.place.len() > PLACES_MAX {
        faults.add(None, format!("dns: {} places (max {PLACES_MAX})", config.place.len()));
    }
    if config.geo.is_some_and(|path| path.as_os_str().is_empty()) {
        faults.add(None, "dns: geo is a file without a name");
    }
    // Whoever says a network, country or continent first, has it.
    let mut owners: BTreeMap<String, &str> = BTreeMap::new();
    for (name, place) in config.place {
        let whose = format!("place {name}");
        check_clients(name, place, config, &mut owners, faults);
        if let Some([north, east]) = place.coordinates
            && !((-90.0..=90.0).contains(&north) && (-180.0..=180.0).contains(&east))
        {
            let message = format!("{whose}: [{north}, {east}] is nowhere on earth");
            let help = "degrees north (-90 to 90), then degrees east (-180 to 180)";
            faults.add_with_help(name.span(), message, help);
        }
        for (nth, near) in place.near.iter().enumerate() {
            if !config.place.contains_key(near) {
                unknown_place(faults, near, config.place);
            } else if near == name {
                faults
                    .add(near.span(), format!("{whose}: it is itself the nearest place without being told"));
            } else if place.near[..nth].contains(near) {
                faults.add(near.span(), format!("{whose}: near has {near} twice"));
            }
        }
    }
    let mut pairs = Vec::new();
    for row in config.latency {
        for place in [&row.from, &row.to] {
            if !config.place.contains_key(place) {
                unknown_place(faults, place, config.place);
            }
        }
        let pair = (row.from.as_str(), row.to.as_str());
        if row.from == row.to {
            faults.add(row.to.span(), format!("dns: latency from {} to itself", row.from));
        }
        if pairs.contains(&pair) {
            faults
                .add(row.from.span(), format!("dns: latency from {} to {} is said twice", row.from, row.to));
        }
        pairs.push(pair);
    }
}

fn check_clients<'c>(
    name: &'c notation::Name,
    place: &'c PlaceConfig,
    config: Places<'c>,
    owners: &mut BTreeMap<String, &'c str>,
    faults: &mut Faults,
) {
    let whose = format!("place {name}");
    let mut own = |text: String, span: Option<Range<usize>>, faults: &mut Faults| {
        if let Some(before) = owners.insert(text.clone(), name) {
            faults.add(span, format!("{whose}: {text} is at {before} already"));
        }
    };
    for network in &place.networks {
        match network.parse::<Network>() {
            Ok(found) => own(found.to_string(), network.span(), faults),
            Err(cause) => {
                let message = format!("{whose}: networks: {cause}");
                match cause.help() {
                    Some(help) => faults.add_with_help(network.span(), message, help),
                    None => faults.add(network.span(), message),
                }
            }
        }
    }
    for country in &place.countries {
        if country.len() != 2 || !country.bytes().all(|letter| letter.is_ascii_uppercase()) {
            faults.add(
                country.span(),
                format!("{whose}: {:?} is no country, such as \"DE\"", country.as_str()),
            );
        }
        own(format!("country {country}"), country.span(), faults);
    }
    for continent in &place.continents {
        if !CONTINENTS.contains(&continent.as_str()) {
            let message = format!("{whose}: {:?} is no continent", continent.as_str());
            faults.add_with_help(continent.span(), message, format!("one of {}", CONTINENTS.join(", ")));
        }
        own(format!("continent {continent}"), continent.span(), faults);
    }
    if config.geo.is_none() && !(place.countries.is_empty() && place.continents.is_empty()) {
        let message = format!("{whose}: nobody knows countries and continents of clients");
        faults.add_with_help(name.span(), message, "add `geo = \"FILE.mmdb\"` to [dns]");
    }
}

fn unknown_place(faults: &mut Faults, place: &notation::Name, places: &Named<PlaceConfig>) {
    faults.unknown(place.span(), "place", place, places.keys().map(notation::Name::as_str));
}

impl RouteConfig {
    /// How long its answers may be kept.
    pub(super) fn ttl_seconds(&self) -> u32 {
        let seconds = self.ttl.get().max(Duration::from_secs(*TTL_SECONDS.start())).as_secs();
        seconds.min(*TTL_SECONDS.end()) as u32
    }
}
