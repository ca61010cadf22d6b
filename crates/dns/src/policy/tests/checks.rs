//! What is told about routes and places that cannot be right.

use super::world::File;

fn faults(text: &str) -> Vec<String> {
    toml::from_str::<File>(text).unwrap_or_else(|error| panic!("{error}")).faults()
}

/// What is said of `www` in `shop.test`.
fn route(text: &str) -> Vec<String> {
    let found = faults(&format!("[place.eu]\n[zone.'shop.test'.route.www]\n{text}"));
    found
        .into_iter()
        .map(|fault| {
            fault
                .strip_prefix("zone shop.test: route www")
                .unwrap_or(&fault)
                .trim_start_matches(": ")
                .to_owned()
        })
        .collect()
}

#[test]
fn a_route_has_answers_that_can_be_reached() {
    assert_eq!(route("answers = [{ pool = 'shop' }]"), [""; 0]);
    assert_eq!(route(""), ["has no answers; add `answers = [{ pool = \"NAME\" }]`, or `alias = \"NAME\"`"]);
    assert_eq!(route("answers = [{}]"), ["answer 1 has neither a pool nor addresses"]);
    assert_eq!(
        route("answers = [{ addresses = ['0.0.0.0', '::1', '::1'] }]"),
        ["answer 1: nobody can be reached at 0.0.0.0", "answer 1 has ::1 twice"]
    );
    assert_eq!(
        route("answers = [{ pool = 'a' }, { pool = 'b' }, { pool = 'a' }]"),
        ["answer 3 is the same as answer 1"]
    );
    let many: Vec<String> = (0..65).map(|nth| format!("{{ pool = 'p{nth}' }}")).collect();
    assert_eq!(route(&format!("answers = [{}]", many.join(", "))), ["has 65 answers (max 64)"]);
    let many: Vec<String> = (0..17).map(|nth| format!("'192.0.2.{nth}'")).collect();
    assert_eq!(
        route(&format!("answers = [{{ addresses = [{}] }}]", many.join(", "))),
        ["answer 1 has 17 addresses (max 16)"]
    );
}

#[test]
fn a_ttl_is_of_whole_seconds_up_to_a_day() {
    for (ttl, is_good) in [("1s", true), ("1d", true), ("0s", false), ("1500ms", false), ("25h", false)] {
        let found = route(&format!("ttl = '{ttl}'\nanswers = [{{ pool = 'a' }}]"));
        assert_eq!(found.is_empty(), is_good, "{ttl}: {found:?}");
    }
}

#[test]
fn a_chain_makes_sense_and_no_key_does_nothing() {
    let of = |text: &str| route(&format!("{text}\nanswers = [{{ pool = 'a' }}]"));
    assert_eq!(of("choose = ['healthy', 'weighted']"), [""; 0]);
    assert_eq!(of("choose = []"), ["choose is empty; the default is `choose = [\"healthy\"]`"]);
    assert_eq!(of("choose = ['healthy', 'healthy']"), ["choose has `healthy` twice"]);
    assert_eq!(
        of("choose = ['failover', 'healthy']"),
        ["`healthy` comes after `failover`, which has chosen already"]
    );
    assert_eq!(
        of("choose = ['failover']\nwhen_down = 'servfail'\nvalues = 2\nsticky = true"),
        [
            "`when_down` does nothing without `healthy` in choose",
            "`values` does nothing without `multivalue` in choose",
            "`sticky` does nothing without `weighted` in choose"
        ]
    );
    assert_eq!(of("choose = ['multivalue']\nvalues = 0"), ["values is zero: nothing would ever be answered"]);
    assert_eq!(
        route("answers = [{ pool = 'a', weight = 1, at = 'eu' }]"),
        [
            "`weight` does nothing without `weighted` in choose",
            "`at` does nothing without `nearest` in choose"
        ]
    );
}

#[test]
fn places_of_answers_are_known() {
    assert_eq!(
        route("choose = ['nearest']\nanswers = [{ pool = 'a', at = 'ue' }, { pool = 'b' }]"),
        ["unknown place `ue`; did you mean `eu`?", "answer 2 needs `at`, since `nearest` is in choose"]
    );
}

#[test]
fn an_alias_stands_alone_and_within_the_zones_of_the_file() {
    assert_eq!(route("alias = 'other'"), [""; 0]);
    assert_eq!(route("alias = '@'"), [""; 0]);
    assert_eq!(
        route("alias = 'other'\nttl = '5s'"),
        ["has an alias and other keys: with an alias, everything is as it is there"]
    );
    assert_eq!(route("alias = 'www'"), ["alias www leads to itself"]);
    assert_eq!(route("alias = 'a..b'"), ["alias a..b: the name has an empty label"]);
    assert_eq!(
        route("alias = 'other.shop.test'"),
        [
            "alias other.shop.test is relative to the zone; with a dot at its end it is absolute: \"other.shop.test.\""
        ]
    );
    let found = route("alias = 'www.elsewhere.test.'");
    assert!(
        found[0].starts_with(
            "alias www.elsewhere.test. is in no zone of this file; only names of this file's zones"
        ),
        "{found:?}"
    );
}

#[test]
fn a_route_has_a_name_in_its_zone_that_no_other_has() {
    let of = |name: &str| faults(&format!("zone.'shop.test'.route.'{name}'.answers = [{{ pool = 'a' }}]"));
    for good in ["@", "*", "www", "*.a.b", "www.shop.test."] {
        assert_eq!(of(good), [""; 0], "{good}");
    }
    assert_eq!(
        of("www.other.test."),
        [
            "zone shop.test: route www.other.test. is not in the zone; names are relative to the zone; its apex is `\"@\"`"
        ]
    );
    assert_eq!(of("a..b"), ["zone shop.test: route a..b: the name has an empty label"]);
    assert_eq!(
        faults("zone.'shop.test'.route = { WWW = { alias = '@' }, www = { alias = '@' } }"),
        ["zone shop.test: route www is the same as route WWW"]
    );
}

#[test]
fn places_are_on_earth_and_told_apart() {
    assert_eq!(
        faults("place.a = { coordinates = [120.0, 13.0] }"),
        [
            "place a: [120, 13] is nowhere on earth; degrees north (-90 to 90), then degrees east (-180 to 180)"
        ]
    );
    assert_eq!(faults("place.a = { coordinates = [nan, 13.0] }").len(), 1);
    assert_eq!(
        faults("place.a = { near = ['a', 'b', 'b', 'c'] }\nplace.b = {}"),
        [
            "place a: it is itself the nearest place without being told",
            "place a: near has b twice",
            "unknown place `c`; known: a, b"
        ]
    );
    assert_eq!(
        faults(
            "place.a = { networks = ['10.0.0.0/8', '10.1.0.0/8', 'x'] }\nplace.b = { networks = ['10.0.0.0/8'] }"
        ),
        [
            "place a: networks: \"10.1.0.0/8\" has bits set behind its prefix; the network is \"10.0.0.0/8\"",
            "place a: networks: \"x\" is not a network, for example \"10.0.0.0/8\" or \"2001:db8::1\"",
            "place b: 10.0.0.0/8 is at a already"
        ]
    );
    assert_eq!(
        faults(
            "geo = 'x'\nplace.a = { countries = ['de', 'AT'], continents = ['XX'] }\nplace.b = { countries = ['AT'] }"
        ),
        [
            "place a: \"de\" is no country, such as \"DE\"",
            "place a: \"XX\" is no continent; one of AF, AN, AS, EU, NA, OC, SA",
            "place b: country AT is at a already"
        ]
    );
    assert_eq!(
        faults("place.a = { countries = ['AT'] }"),
        ["place a: nobody knows countries and continents of clients; add `geo = \"FILE.mmdb\"` to [dns]"]
    );
    assert_eq!(faults("geo = ''"), ["dns: geo is a file without a name"]);
}

#[test]
fn latencies_are_between_places() {
    assert_eq!(
        faults(
            "place.a = {}\nplace.b = {}\nlatency = [{ from = 'a', to = 'b', rtt = '1ms' }, { from = 'b', to = 'a', rtt = '2ms' },
             { from = 'a', to = 'b', rtt = '3ms' }, { from = 'b', to = 'b', rtt = '1ms' }]"
        ),
        ["dns: latency from a to b is said twice", "dns: latency from b to itself"]
    );
}
