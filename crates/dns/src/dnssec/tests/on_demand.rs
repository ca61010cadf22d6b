//! Routes of a signed zone whose answers are not known beforehand: they are signed when they are given, and what is not there at the moment
//! is denied as long as it is not.

use super::routes::zone_with;
use super::world::{DAY, NOW, Reply, Validator, ask_with, plan, signed};
use crate::answer::tests::world::zones;
use crate::dnssec::signing::check;
use crate::dnssec::signing::config::{DenialConfig, SignConfig};
use crate::dnssec::signing::key::Key;
use crate::protocol::Name;
use crate::zone::Zone;
use crate::{Facts, Follower, PoolHealth, Pools, Query, Transport, Which, ZoneBuilder, Zones, answer};
use domain::base::iana::Rtype;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock};

/// A pool whose endpoints are these, all of which may be chosen.
#[derive(Clone, Default)]
struct Endpoints(Arc<(Mutex<Vec<IpAddr>>, OnceLock<Follower>)>);

impl Endpoints {
    fn set(&self, addresses: &[&str]) {
        self.become_these(addresses.iter().map(|address| address.parse().unwrap()).collect());
    }

    fn become_these(&self, addresses: Vec<IpAddr>) {
        self.0.1.get().expect("it is bound").tell(addresses.len());
        *self.0.0.lock().unwrap() = addresses;
    }
}

impl PoolHealth for Endpoints {
    fn follow(&self, follower: Follower) {
        follower.tell(0);
        assert!(self.0.1.set(follower).is_ok(), "it is bound once");
    }

    fn addresses(&self, _: Which, look: &mut dyn FnMut(&[IpAddr])) {
        look(&self.0.0.lock().unwrap());
    }

    fn causes(&self) -> String {
        String::new()
    }
}

const ROUTES: &str = "
www.answers = [{ pool = 'a' }]
'*.w'.answers = [{ pool = 'a' }, { pool = 'b', addresses = ['192.0.2.77'] }]
mixed = { choose = ['failover'], answers = [{ pool = 'a', addresses = ['192.0.2.1'] }] }
either = { choose = ['healthy', 'failover'], answers = [{ pool = 'a', addresses = ['192.0.2.1'] }, { addresses = ['2001:db8::2'] }] }
down = { when_down = 'servfail', answers = [{ pool = 'a' }] }
'@'.alias = 'www.elsewhere.test.'
far.alias = 'route.elsewhere.test.'
only4.alias = 'only4.elsewhere.test.'
long.alias = 'long.elsewhere.test.'
chain.alias = 'led'
lost.alias = 'nothing.elsewhere.test.'";

struct World {
    zones: Zones,
    keys: Vec<Arc<Key>>,
    apex: Name,
    a: Endpoints,
    b: Endpoints,
}

impl World {
    fn new(denial: DenialConfig, routes: &str) -> Self {
        let (a, b, pools) = (Endpoints::default(), Endpoints::default(), Pools::default());
        let health = |of: &Endpoints| Arc::new(of.clone()) as Arc<dyn PoolHealth>;
        pools.bind([("a", health(&a)), ("b", health(&b))]);
        a.set(&["10.0.0.1", "10.0.0.2", "2001:db8::1"]);
        let source = zone_with(routes, "led CNAME www.elsewhere.test.\nplain A 192.0.2.9", &pools);
        check(&source, &SignConfig::default(), false).unwrap();
        let plan = plan(denial);
        let zone = signed(&source, None, &plan).zone;
        Self {
            zones: zones([Arc::new(zone), Arc::new(elsewhere(&pools))]),
            keys: plan.published,
            apex: source.apex().clone(),
            a,
            b,
        }
    }

    fn name(&self, name: &str) -> Name {
        if name == "@" { self.apex.clone() } else { format!("{name}.example.org").parse().unwrap() }
    }

    fn ask_at(&self, name: &str, rtype: Rtype, draw: u64, now: u32) -> Reply {
        let facts = Facts { draw, now, ..Facts::of_transport(Transport::Tcp) };
        ask_with(&self.zones, &self.name(name), rtype, &facts)
    }

    /// The addresses of a positive answer, which is proven to be right.
    fn addresses(&self, name: &str, rtype: Rtype, draw: u64, now: u32) -> BTreeSet<Vec<u8>> {
        let reply = self.ask_at(name, rtype, draw, now);
        let validator = Validator { apex: &self.apex, keys: &self.keys, now };
        let rrsets = validator.rrsets(&reply.answer);
        let is_one = rrsets.len() == 1 && rrsets[0].1 == rtype && rrsets[0].2.is_some();
        assert!(is_one && reply.rcode == 0, "{name} {rtype}: {reply:?}");
        let rrsig = reply.answer.iter().find(|record| record.rtype == Rtype::RRSIG).unwrap();
        let original = u32::from_be_bytes(rrsig.data[4..8].try_into().unwrap());
        assert!(reply.answer.iter().all(|record| record.ttl == original));
        if name.ends_with(".w") {
            assert!(validator.proof(&reply).is_expanded(&self.name(name), 3));
        }
        let records = reply.answer.into_iter().filter(|record| record.rtype == rtype);
        records.map(|record| record.data).collect()
    }

    /// A proof that there is none, and how long it may be remembered.
    fn is_denied(&self, name: &str, rtype: Rtype) -> u32 {
        let reply = self.ask_at(name, rtype, 0, NOW);
        assert!(reply.rcode == 0 && reply.answer.is_empty(), "{name} {rtype}: {reply:?}");
        let validator = Validator { apex: &self.apex, keys: &self.keys, now: NOW };
        let (proof, name) = (validator.proof(&reply), self.name(name));
        let is_proven = proof.is_no_data(&name, rtype) || proof.is_no_data_by_wildcard(&name, rtype);
        assert!(is_proven, "{name} {rtype}: {reply:?}");
        reply.authority.iter().map(|record| record.ttl).min().unwrap()
    }
}

/// A zone that is not signed, and changes without the other one.
fn elsewhere(pools: &Pools) -> Zone {
    let mut builder = ZoneBuilder::new("elsewhere.test".parse().unwrap());
    builder.text("zone", b"$TTL 90\n@ SOA ns admin 7 3600 600 86400 300\n@ NS ns.example.org.\nwww A 192.0.2.50\nwww A 192.0.2.51\nlong 604800 A 192.0.2.61\nlong 604800 A 192.0.2.62\n");
    let place = notation::Named::new();
    let config_of_places = crate::PlacesConfig { place: &place, latency: &[], geo: None };
    let places = Arc::new(crate::Places::load(config_of_places, std::path::Path::new(".")).unwrap());
    let apex: Name = "elsewhere.test".parse().unwrap();
    for (at, answer) in [("route", "pool = 'a'"), ("only4", "addresses = ['192.0.2.60']")] {
        let config: crate::RouteConfig = toml::from_str(&format!("answers = [{{ {answer} }}]")).unwrap();
        builder.route(at, crate::Route::new(&config, &apex, &places, pools).unwrap());
    }
    builder.finish().unwrap().zone
}

const DENIALS: [DenialConfig; 2] = [DenialConfig::Nsec, DenialConfig::Nsec3];

#[test]
fn endpoints_of_a_pool_are_signed_as_they_come_and_go() {
    for denial in DENIALS {
        let world = World::new(denial, ROUTES);
        for name in ["www", "x.w", "x.y.w", "far"] {
            world.a.set(&["10.0.0.1", "10.0.0.2", "2001:db8::1"]);
            assert_eq!(world.addresses(name, Rtype::A, 5, NOW).len(), 2, "{name}");
            assert_eq!(world.addresses(name, Rtype::AAAA, 5, NOW).len(), 1, "{name}");
            world.a.set(&["10.0.0.2"]);
            assert_eq!(world.addresses(name, Rtype::A, 5, NOW), [vec![10, 0, 0, 2]].into(), "{name}");
            assert_eq!(world.is_denied(name, Rtype::AAAA), 20, "{name}: no longer than an answer");
            world.is_denied(name, Rtype::MX);
            world.a.set(&["2001:db8::1"]);
            world.is_denied(name, Rtype::A);
            world.addresses(name, Rtype::AAAA, 5, NOW);
        }
        world.a.set(&[]);
        world.b.set(&["10.9.9.9"]);
        assert_eq!(world.addresses("x.w", Rtype::A, 5, NOW), [vec![192, 0, 2, 77]].into());
        assert_eq!(world.ask_at("down", Rtype::A, 0, NOW).rcode, 2);
    }
}

#[test]
fn a_family_that_just_some_candidates_have_is_denied_while_others_are_chosen() {
    for denial in DENIALS {
        let world = World::new(denial, ROUTES);
        world.addresses("either", Rtype::A, 0, NOW);
        world.is_denied("either", Rtype::AAAA);
        world.a.set(&[]);
        world.addresses("either", Rtype::AAAA, 0, NOW);
        world.is_denied("either", Rtype::A);
        world.is_denied("mixed", Rtype::AAAA);
    }
}

#[test]
fn an_alias_into_another_zone_is_signed_as_this_ones() {
    for denial in DENIALS {
        let world = World::new(denial, ROUTES);
        for name in ["@", "chain"] {
            assert_eq!(world.addresses(name, Rtype::A, 0, NOW).len(), 2);
            world.is_denied(name, Rtype::AAAA);
            world.is_denied(name, Rtype::MX);
        }
        // What the other zone's route never has is not listed there, but here.
        world.addresses("only4", Rtype::A, 0, NOW);
        world.is_denied("only4", Rtype::AAAA);
        world.is_denied("lost", Rtype::A);
        world.is_denied("lost", Rtype::AAAA);
    }
}

#[test]
fn what_is_signed_of_another_zone_is_remembered_for_a_day_at_most() {
    let world = World::new(DenialConfig::Nsec, ROUTES);
    assert_eq!(world.addresses("long", Rtype::A, 0, NOW).len(), 2);
    let reply = world.ask_at("long", Rtype::A, 0, NOW);
    assert!(reply.answer.iter().all(|record| record.ttl == 86_400), "{reply:?}");
}

#[test]
fn signatures_are_made_anew_before_they_end() {
    let world = World::new(DenialConfig::Nsec, ROUTES);
    for day in 0..100 {
        world.addresses("www", Rtype::A, u64::from(day), NOW + day * DAY);
    }
}

#[test]
fn chance_does_not_make_more_sets_than_can_be_signed() {
    let answers: Vec<String> = (1..=40).map(|nth| format!("{{ addresses = ['192.0.2.{nth}'] }}")).collect();
    let routes =
        format!("many = {{ choose = ['multivalue'], values = 8, answers = [{}] }}", answers.join(", "));
    let world = World::new(DenialConfig::Nsec, &routes);
    let mut sets = BTreeSet::new();
    for draw in 0..3000u64 {
        let set = world.addresses("many", Rtype::A, draw.wrapping_mul(0x9e37_79b9_7f4a_7c15), NOW);
        assert_eq!(set.len(), 8);
        sets.insert(set);
    }
    assert!((200..=256).contains(&sets.len()), "{}", sets.len());
    let used: BTreeSet<&Vec<u8>> = sets.iter().flatten().collect();
    assert_eq!(used.len(), 40, "each has its turn");
}

#[test]
fn an_answer_that_nobody_signs_any_more_fails_and_is_told() {
    let world = World::new(DenialConfig::Nsec, ROUTES);
    let (mut made, mut refused) = (0, 0);
    for nth in 0..2000u32 {
        world.a.set(&[&IpAddr::from(nth.to_be_bytes()).to_string()]);
        let name = world.name("www");
        let mut message = vec![0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1];
        message.extend_from_slice(name.as_wire());
        message.extend_from_slice(&[0, 1, 0, 1, 0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0]);
        let facts = Facts { now: NOW, ..Facts::of_transport(Transport::Udp) };
        let mut out = Vec::new();
        let outcome = answer(&world.zones, &Query::parse(&message).unwrap(), &facts, &mut out);
        assert_eq!(out[3] & 15, if outcome.signed.is_refused { 2 } else { 0 });
        made += u32::from(outcome.signed.made);
        refused += u32::from(outcome.signed.is_refused);
    }
    assert_eq!((made, refused), (1000, 1000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_a_pool_has_is_proven(
        hashed in any::<bool>(),
        a in proptest::collection::btree_set(any::<IpAddr>(), 0..12),
        b in proptest::collection::btree_set(any::<IpAddr>(), 0..12),
        draw in any::<u64>(),
    ) {
        let world = World::new(DENIALS[usize::from(hashed)], ROUTES);
        world.a.become_these(a.iter().copied().collect());
        world.b.become_these(b.iter().copied().collect());
        for (name, pool) in [("www", &a), ("far", &a)] {
            for (rtype, is_v4) in [(Rtype::A, true), (Rtype::AAAA, false)] {
                let count = pool.iter().filter(|address| address.is_ipv4() == is_v4).count();
                if count == 0 {
                    world.is_denied(name, rtype);
                } else {
                    prop_assert_eq!(world.addresses(name, rtype, draw, NOW).len(), count.min(8));
                }
            }
        }
    }
}
