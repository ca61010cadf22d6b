//! What clients get at names that have routes.

use super::world::{File, World, data, load};
use crate::policy::{Places, Pools};
use crate::{Kind, Name};
use std::path::Path;
use std::sync::Arc;

const GEO: &str = "
    place.eu = { networks = ['192.0.2.0/24', '2001:db8:e::/48'], near = ['us'] }
    place.us = { networks = ['198.51.100.0/22'] }
    place.asia = { networks = ['203.0.113.0/24'], near = ['us'] }
    latency = [{ from = 'us', to = 'asia', rtt = '120ms' }, { from = 'us', to = 'eu', rtt = '90ms' }]
    [zone.'shop.test'.route.www]
    choose = ['healthy', 'nearest', 'weighted']
    answers = [{ pool = 'eu', at = 'eu', addresses = ['192.0.2.10', '2001:db8::10'] },
               { pool = 'us', at = 'us', addresses = ['198.51.100.10'] }]";

#[test]
fn a_route_answers_with_the_addresses_of_whom_it_chose() {
    let world = World::new(GEO);
    let response = world.ask("www.shop.test A", "192.0.2.77");
    assert_eq!(response.status(), "NOERROR aa");
    assert_eq!(response.answer, ["www.shop.test 20 A 192.0.2.10"]);
    assert_eq!(world.ask("WWW.shop.test AAAA", "192.0.2.77").answer, ["WWW.shop.test 20 AAAA 2001:db8::10"]);
    assert_eq!(world.addresses("www.shop.test A", "198.51.100.1"), ["198.51.100.10"]);
    assert_eq!(world.addresses("www.shop.test A", "2001:db8:e::1"), ["192.0.2.10"]);
    // From there, the other is nearer.
    assert_eq!(world.addresses("www.shop.test A", "203.0.113.1"), ["198.51.100.10"]);
}

#[test]
fn a_place_that_is_down_gives_its_clients_to_the_next() {
    let world = World::new(GEO);
    world.set_available("eu", 0);
    assert_eq!(world.addresses("www.shop.test A", "192.0.2.77"), ["198.51.100.10"]);
    world.set_available("eu", 1);
    assert_eq!(world.addresses("www.shop.test A", "192.0.2.77"), ["192.0.2.10"]);
}

/// RFC 2308 §5, but no longer than the choice itself is kept: another one may have what this one has not.
#[test]
fn that_a_choice_has_no_address_of_a_family_is_not_kept_for_long() {
    let world = World::new(GEO);
    let response = world.ask("www.shop.test AAAA", "198.51.100.1");
    assert_eq!((response.status().as_str(), response.answer.len()), ("NOERROR aa", 0));
    assert!(response.authority[0].starts_with("shop.test 20 SOA"), "{:?}", response.authority);
    let world = World::new("zone.'shop.test'.route.www.answers = [{ addresses = ['192.0.2.1'] }]");
    let response = world.ask("www.shop.test AAAA", "198.51.100.1");
    assert!(response.authority[0].starts_with("shop.test 300 SOA"), "{:?}", response.authority);
}

#[test]
fn everything_down_is_served_or_fails() {
    let file = "zone.'shop.test'.records = 'alias CNAME www'
                [zone.'shop.test'.route.www]
                choose = ['healthy', 'failover']
                when_down = 'WHEN'
                answers = [{ pool = 'a', addresses = ['192.0.2.1'] }, { pool = 'b', addresses = ['192.0.2.2'] }]";
    let served = World::new(&file.replace("WHEN", "serve-all"));
    let failed = World::new(&file.replace("WHEN", "servfail"));
    for world in [&served, &failed] {
        assert_eq!(world.addresses("www.shop.test A", "192.0.2.77"), ["192.0.2.1"]);
        world.set_available("a", 0);
        assert_eq!(world.addresses("www.shop.test A", "192.0.2.77"), ["192.0.2.2"]);
        world.set_available("b", 0);
    }
    assert_eq!(served.addresses("www.shop.test A", "192.0.2.77"), ["192.0.2.1"]);
    let (response, outcome) = failed.ask_by("www.shop.test A", "192.0.2.77", 0);
    assert_eq!((response.status().as_str(), outcome.kind), ("SERVFAIL", Kind::Error));
    assert_eq!((response.answer.len(), response.authority.len()), (0, 0));
    assert_eq!(failed.ask("alias.shop.test A", "192.0.2.77").status(), "SERVFAIL");
}

#[test]
fn without_a_last_step_all_that_are_up_are_answered() {
    let world = World::new(
        "zone.'shop.test'.route.www.answers = [{ pool = 'a', addresses = ['192.0.2.1', '192.0.2.2'] },
             { pool = 'b', addresses = ['192.0.2.3'] }, { addresses = ['192.0.2.4', '2001:db8::4'] }]",
    );
    let asked = || world.addresses("www.shop.test A", "192.0.2.77");
    assert_eq!(asked(), ["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"]);
    world.set_available("a", 0);
    assert_eq!(asked(), ["192.0.2.3", "192.0.2.4"]);
    let first = |draw| world.ask_by("www.shop.test A", "192.0.2.77", draw).0.answer[0].clone();
    assert_ne!(first(0), first(1), "clients take the first, so it is not always the same");
}

#[test]
fn multivalue_answers_with_a_few() {
    let answers: Vec<String> = (1..=10).map(|host| format!("{{ addresses = ['192.0.2.{host}'] }}")).collect();
    let text = |more: &str| {
        format!(
            "zone.'shop.test'.route.www = {{ choose = ['healthy', 'multivalue'], {more} answers = [{}] }}",
            answers.join(", ")
        )
    };
    for (world, values) in [(World::new(&text("")), 8), (World::new(&text("values = 3,")), 3)] {
        let sets: std::collections::BTreeSet<Vec<String>> =
            (0..64).map(|draw| data(&world.ask_by("www.shop.test A", "192.0.2.77", draw).0)).collect();
        assert!(sets.iter().all(|set| set.len() == values));
        assert!(sets.len() > 5, "{sets:?}");
    }
}

#[test]
fn a_split_by_weight_is_kept_by_subnets_and_held_by_all() {
    let world = World::new(
        "zone.'shop.test'.route.www = { choose = ['healthy', 'weighted'], answers = [
             { pool = 'a', addresses = ['192.0.2.1'], weight = 90 }, { pool = 'b', addresses = ['192.0.2.2'], weight = 10 }] }",
    );
    let asked = |subnet: usize, host: usize| {
        world.addresses("www.shop.test A", &format!("10.{}.{}.{host}", subnet >> 8, subnet & 255))[0].clone()
    };
    let before: Vec<String> = (0..4000).map(|subnet| asked(subnet, 1)).collect();
    let of_b = before.iter().filter(|address| *address == "192.0.2.2").count();
    assert!((300..500).contains(&of_b), "400 expected: {of_b}");
    assert!((0..4000).all(|subnet| asked(subnet, 200) == before[subnet]));
    world.set_available("a", 0);
    assert!((0..100).all(|subnet| asked(subnet, 1) == "192.0.2.2"));
    world.set_available("a", 2);
    assert!((0..4000).all(|subnet| asked(subnet, 1) == before[subnet]), "everybody is back");
}

#[test]
fn a_split_that_is_not_sticky_is_drawn_each_time() {
    let world = World::new(
        "zone.'shop.test'.route.www = { choose = ['weighted'], sticky = false, answers = [
             { addresses = ['192.0.2.1'], weight = 3 }, { addresses = ['192.0.2.2'], weight = 1 }] }",
    );
    let of_second = (0..4000)
        .filter(|draw| data(&world.ask_by("www.shop.test A", "10.0.0.1", *draw).0) == ["192.0.2.2"])
        .count();
    assert!((850..1150).contains(&of_second), "1000 expected: {of_second}");
}

/// The clients of a place under maintenance go to the next place, and not to what is under maintenance.
#[test]
fn weight_0_is_dropped_before_places_are_compared() {
    let world = World::new(&GEO.replace("['192.0.2.10', '2001:db8::10']", "['192.0.2.10'], weight = 0"));
    let asked = || world.addresses("www.shop.test A", "192.0.2.77");
    assert_eq!(asked(), ["198.51.100.10"]);
    world.set_available("us", 0);
    assert_eq!(asked(), ["192.0.2.10"], "better than what is down");
    world.set_available("eu", 0);
    assert_eq!(asked(), ["198.51.100.10"], "all are down: then as if all were up");
}

#[test]
fn a_pool_without_addresses_answers_with_those_of_its_endpoints() {
    let world = World::new("zone.'shop.test'.route.www.answers = [{ pool = 'a' }]");
    let asked = |rtype: &str| world.addresses(&format!("www.shop.test {rtype}"), "192.0.2.77");
    assert_eq!(asked("A"), ["10.0.0.1", "10.0.0.2"]);
    assert_eq!(world.ask("www.shop.test A", "192.0.2.77").answer[0], "www.shop.test 20 A 10.0.0.1");
    world.set_available("a", 1);
    assert_eq!(asked("A"), ["10.0.0.1"]);
    assert!(asked("AAAA").is_empty());
    world.set_addresses("a", &["192.0.2.1", "2001:db8::1", "2001:db8::2"]);
    assert_eq!(asked("AAAA"), ["2001:db8::1", "2001:db8::2"]);
    world.set_available("a", 0);
    assert_eq!(asked("A"), ["192.0.2.1"], "all are down: all are answered");
    world.set_available("a", 1);
    assert!(asked("AAAA").is_empty(), "those that are up have none");
    world.loses_all("a");
    assert_eq!(asked("A"), ["192.0.2.1"], "also while the route does not know yet");
    assert_eq!(asked("AAAA"), ["2001:db8::1", "2001:db8::2"]);
    let many: Vec<String> = (0..20).map(|host| format!("192.0.2.{host}")).collect();
    world.set_addresses("a", &many.iter().map(String::as_str).collect::<Vec<_>>());
    let sets: std::collections::BTreeSet<Vec<String>> =
        (0..40u64).map(|draw| data(&world.ask_by("www.shop.test A", "192.0.2.77", draw << 32).0)).collect();
    assert!(sets.iter().all(|set| set.len() == 8));
    assert_eq!(sets.len(), 20);
}

/// RFC 7871 §7.2.1.
#[test]
fn an_answer_says_for_which_clients_it_holds() {
    let world = World::new(&format!(
        "{GEO}
         [zone.'shop.test'.route.split]
         choose = ['healthy', 'nearest', 'weighted']
         answers = [{{ pool = 'a', at = 'us', addresses = ['192.0.2.1'] }}, {{ pool = 'b', at = 'us', addresses = ['192.0.2.2'] }}]
         [zone.'shop.test'.route.first]
         choose = ['failover']
         answers = [{{ addresses = ['192.0.2.1'] }}, {{ addresses = ['192.0.2.2'] }}]"
    ));
    // `nearest`: everybody in 198.51.100.0/22, and everybody who is far from all networks that have a name.
    assert_eq!(world.ask_for("www.shop.test A", "198.51.100.0/24").1, 22);
    let (response, scope) = world.ask_for("www.shop.test A", "10.0.0.0/24");
    assert_eq!((data(&response).len(), scope), (1, 24), "nobody knows where, so that the split decides");
    // More than was told: the resolver may tell more (RFC 7871 §7.2.1).
    assert_eq!(world.ask_for("www.shop.test A", "192.0.0.0/16").1, 24);
    assert_eq!(world.ask_for("www.shop.test A", "2001:db8:e::/56").1, 48);
    // All at one place: only the split looks.
    assert_eq!(world.ask_for("split.shop.test A", "198.51.100.0/24").1, 24);
    assert_eq!(world.ask_for("split.shop.test A", "2001:db8::/56").1, 56);
    world.set_available("a", 0);
    assert_eq!(world.ask_for("split.shop.test A", "198.51.100.0/24").1, 0, "one is left, whoever asks");
    assert_eq!(world.ask_for("first.shop.test A", "198.51.100.0/24").1, 0);
    assert_eq!(world.ask_for("shop.test SOA", "198.51.100.0/24").1, 0);
    assert_eq!(world.ask_for("nothing.shop.test A", "198.51.100.0/24").1, 0);
    // A client that does not want to be told apart (RFC 7871 §7.1.2).
    assert_eq!(world.ask_for("www.shop.test A", "0.0.0.0/0").1, 0);
}

#[test]
fn a_resolver_that_names_its_client_is_answered_for_the_client() {
    let world = World::new(GEO);
    assert_eq!(data(&world.ask_for("www.shop.test A", "192.0.2.0/24").0), ["192.0.2.10"]);
    assert_eq!(data(&world.ask_for("www.shop.test A", "198.51.100.0/24").0), ["198.51.100.10"]);
}

#[test]
fn the_name_of_a_route_is_there_with_what_else_the_zone_has() {
    let world = World::new(
        "zone.'shop.test'.records = '''
             deep TXT beside
             www A 192.0.2.99
             www TXT other
             a CNAME b
             b CNAME www'''
         zone.'shop.test'.route.www.answers = [{ addresses = ['192.0.2.1'] }]
         zone.'shop.test'.route.'x.y'.answers = [{ addresses = ['192.0.2.2'] }]
         zone.'shop.test'.route.'*.w'.answers = [{ addresses = ['192.0.2.3'] }]
         zone.'shop.test'.route.'@'.answers = [{ addresses = ['192.0.2.4'] }]",
    );
    let ask = |asked: &str| world.ask(asked, "192.0.2.77");
    assert_eq!(ask("www.shop.test A").answer, ["www.shop.test 20 A 192.0.2.1"], "the zone's own is not used");
    assert_eq!(world.warnings, ["test:5: the addresses of www.shop.test are not used: it has a route"]);
    assert_eq!(ask("www.shop.test TXT").answer, ["www.shop.test 3600 TXT \"other\""]);
    assert_eq!(ask("www.shop.test ANY").answer, ["www.shop.test 3600 TXT \"other\""]);
    assert_eq!(ask("x.y.shop.test ANY").answer, ["x.y.shop.test 20 A 192.0.2.2"]);
    assert_eq!(
        (ask("x.y.shop.test MX").status(), ask("x.y.shop.test MX").authority.len()),
        ("NOERROR aa".into(), 1)
    );
    assert_eq!(ask("y.shop.test A").status(), "NOERROR aa", "an empty non-terminal");
    assert_eq!(ask("z.y.shop.test A").status(), "NXDOMAIN aa");
    assert_eq!(ask("any.w.shop.test A").answer, ["any.w.shop.test 20 A 192.0.2.3"]);
    assert_eq!(ask("shop.test A").answer, ["shop.test 20 A 192.0.2.4"]);
    assert_eq!(ask("shop.test NS").answer, ["shop.test 3600 NS ns.elsewhere.test."]);
    assert_eq!(
        ask("a.shop.test A").answer,
        [
            "a.shop.test 3600 CNAME b.shop.test.",
            "b.shop.test 3600 CNAME www.shop.test.",
            "www.shop.test 20 A 192.0.2.1"
        ]
    );
}

#[test]
fn an_apex_has_the_addresses_of_another_name() {
    let world = World::new(
        "zone.'shop.test'.records = '''
             plain A 192.0.2.7
             plain A 192.0.2.8
             to-plain CNAME plain
             old DNAME new
             www.new A 192.0.2.9
             sub NS ns.sub
             ns.sub A 192.0.2.53'''
         zone.'shop.test'.route.www.answers = [{ pool = 'a', addresses = ['192.0.2.1', '2001:db8::1'] }]
         zone.'shop.test'.route.'@'.alias = 'www'
         zone.'shop.test'.route.chain.alias = 'to-plain'
         zone.'shop.test'.route.twice.alias = '@'
         zone.'shop.test'.route.moved.alias = 'www.old'
         zone.'shop.test'.route.circle.alias = 'circle2'
         zone.'shop.test'.route.circle2.alias = 'circle'
         zone.'shop.test'.route.missing.alias = 'not-there'
         zone.'shop.test'.route.away.alias = 'www.sub'
         zone.'other.test'.route.'@'.alias = 'www.shop.test.'",
    );
    let ask = |asked: &str| world.ask(asked, "192.0.2.77");
    assert_eq!(ask("shop.test A").answer, ["shop.test 20 A 192.0.2.1"]);
    assert_eq!(ask("shop.test AAAA").answer, ["shop.test 20 AAAA 2001:db8::1"]);
    assert_eq!(ask("shop.test MX").answer.len(), 0);
    let answer = ask("chain.shop.test A").answer;
    assert_eq!(answer, ["chain.shop.test 3600 A 192.0.2.7", "chain.shop.test 3600 A 192.0.2.8"]);
    assert_eq!(ask("twice.shop.test A").answer, ["twice.shop.test 20 A 192.0.2.1"]);
    assert_eq!(ask("moved.shop.test A").answer, ["moved.shop.test 3600 A 192.0.2.9"]);
    assert_eq!(ask("other.test A").answer, ["other.test 20 A 192.0.2.1"], "across zones");
    for nothing in ["circle", "missing"] {
        let response = ask(&format!("{nothing}.shop.test A"));
        assert_eq!(
            (response.status().as_str(), response.answer.len(), response.authority.len()),
            ("NOERROR aa", 0, 1)
        );
    }
    assert_eq!(ask("away.shop.test A").status(), "SERVFAIL");
}

#[test]
fn a_route_stands_where_the_zone_speaks_for_the_name() {
    let faults = |records: &str, route: &str| {
        let text = format!(
            "zone.'shop.test'.records = '''{records}'''\nzone.'shop.test'.route.'{route}'.answers = [{{ addresses = ['192.0.2.1'] }}]"
        );
        let file: File = toml::from_str(&text).expect("a file");
        let (name, zone) = file.zone.iter().next().expect("a zone");
        load(name, zone, &Arc::new(Places::default()), &Pools::default()).expect_err("a fault").to_string()
    };
    let told = |message: &str| format!("zone shop.test: 1 error\n{message}");
    assert_eq!(
        faults("sub NS ns", "www.sub"),
        told("test: the route www.sub.shop.test is at or below a delegation: nobody would ask for it here")
    );
    assert_eq!(
        faults("sub NS ns", "sub"),
        told("test: the route sub.shop.test is at or below a delegation: nobody would ask for it here")
    );
    assert_eq!(
        faults("old DNAME new", "www.old"),
        told("test: the route www.old.shop.test is below a DNAME, which stands for all names there")
    );
    assert_eq!(
        faults("www CNAME other", "www"),
        told("test:4: www.shop.test has a CNAME and a route: an alias stands alone")
    );
    let mut builder = crate::ZoneBuilder::new("shop.test".parse::<Name>().expect("a name"));
    builder.lines("test", ["@ 1 SOA ns a 1 1 1 1 1", "@ 1 NS ns.elsewhere.test."]);
    let route = || {
        let config = toml::from_str("answers = [{ addresses = ['192.0.2.1'] }]").expect("a route");
        let apex = "shop.test".parse().expect("a name");
        crate::Route::new(&config, &apex, &Arc::new(Places::default()), &Pools::default()).expect("a route")
    };
    builder.route("www", route());
    builder.route("WWW.shop.test.", route());
    builder.route("www.other.test.", route());
    let told = builder.finish().expect_err("two faults").to_string();
    assert!(told.contains("route WWW.shop.test.: there are two"), "{told}");
    assert!(told.contains("route www.other.test.: it is not in shop.test"), "{told}");
}

#[test]
fn places_of_a_database_decide_as_well() {
    use super::database::{Database, Value};
    let country = |code: &str| {
        let code = [("iso_code".to_owned(), Value::Text(code.to_owned()))].into();
        Value::Table([("country".to_owned(), Value::Table(code))].into())
    };
    let mut database = Database::new(true);
    database.add("203.0.112.0/20", &country("DE"));
    let file = database.write();
    assert!(Path::new(file.path()).is_absolute());
    let world = World::new(&format!(
        "geo = '{}'
         place.eu = {{ countries = ['DE'] }}
         place.us = {{ countries = ['US'] }}
         zone.'shop.test'.route.www = {{ choose = ['nearest', 'failover'], answers = [
             {{ at = 'us', addresses = ['198.51.100.10'] }}, {{ at = 'eu', addresses = ['192.0.2.10'] }}] }}",
        file.path().display()
    ));
    let (response, scope) = world.ask_for("www.shop.test A", "203.0.113.0/24");
    assert_eq!((data(&response), scope), (vec!["192.0.2.10".to_owned()], 20));
    let (response, _) = world.ask_for("www.shop.test A", "10.0.0.0/24");
    assert_eq!(data(&response), ["198.51.100.10"], "not known: the first of the file");
}
