use super::says;
use std::path::Path;
use topology::Level;

#[test]
fn an_address_of_dns_is_its_own_over_tcp_and_udp() {
    let zone = "[dns.zone.'a.test']\nfile = 'a'\n";
    let with = |more: &str| format!("[dns]\nlisten = '127.0.0.1:53'\n{zone}{more}");
    says(&with(""), &[]);
    says(
        &with("[pool.a]\nservers = ['10.0.0.1:1']\n[tcp.a]\nlisten = '127.0.0.1:53'\npool = 'a'\n"),
        &["2:10: dns cannot listen on 127.0.0.1:53: a listener of TCP does"],
    );
    says(
        &with("[pool.a]\nservers = ['10.0.0.1:1']\n[udp.a]\nlisten = '127.0.0.1:53'\npool = 'a'\n"),
        &["2:10: dns cannot listen on 127.0.0.1:53: a listener of UDP does"],
    );
}

#[test]
fn what_dns_lacks_is_said_at_its_name() {
    says(
        "[dns.zone.'a..test']\n[dns]\n",
        &[
            "1:11: \"a..test\" cannot be a zone: the name has an empty label",
            "1:11: zone a..test has no records (add `file = \"a..test.zone\"`, or `records = [\"@ SOA …\", …]`)",
            "2:2: dns listens nowhere (add `listen = \"127.0.0.1:5353\"`)",
        ],
    );
    says(
        "[dns]\nlisten = '127.0.0.1:53'\n[dns.zone.'a.test']\nfiel = 'a'\n",
        &["4:1: unknown key `fiel` in `dns.zone.\"a.test\"` (did you mean `file`?)"],
    );
}

#[test]
fn a_route_names_pools_and_places_of_the_file() {
    let zone = "[dns]\nlisten = '127.0.0.1:53'\n[pool.shop]\nservers = ['10.0.0.1:1']\n[dns.place.eu]\n[dns.zone.'a.test']\nfile = 'a'\n";
    let with = |route: &str| format!("{zone}[dns.zone.'a.test'.route.www]\n{route}\n");
    says(&with("answers = [{ pool = 'shop' }]"), &[]);
    says(
        &with("choose = ['nearest']\nanswers = [{ pool = 'shop', at = 'eu' }, { pool = 'shpo', at = 'ue' }]"),
        &[
            "10:51: unknown pool `shpo` (did you mean `shop`?)",
            "10:64: unknown place `ue` (did you mean `eu`?)",
        ],
    );
    says(
        &with("answers = [{ pool = 'shop', weight = 3 }]"),
        &["8:26: zone a.test: route www: `weight` does nothing without `weighted` in choose"],
    );
}

#[test]
fn faults_of_records_are_shown_in_the_file_and_those_of_a_zone_file_in_that() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nines.toml");
    let text = "[dns]\nlisten = '127.0.0.1:53'\n[dns.zone.'a.test']\nrecords = [\n  '@ SOA ns admin 1 1 1 1 1',\n  \
        '@ NS ns.elsewhere.test.',\n  'www A 192.0.2.300',\n]\n[dns.zone.'b.test']\nfile = 'b.zone'\n";
    std::fs::write(&path, text).unwrap();
    std::fs::write(dir.path().join("b.zone"), "$TTL 1h\n@ SOA ns admin 1 1 1 1 1\n@ NS ns\n@ MX mail\n")
        .unwrap();
    let rejected = topology::load(&path).unwrap_err();
    let zone = dir.path().join("b.zone");
    let said: Vec<String> = rejected.problems.iter().map(topology::Problem::one_line).collect();
    assert!(said[0].starts_with(&format!("{}:7:3: error: zone a.test: ", path.display())), "{said:?}");
    assert!(said[1].starts_with(&format!("{}:4:", zone.display())), "{said:?}");
    assert!(rejected.render(false).contains("'www A 192.0.2.300'"), "the record is shown");
    assert!(rejected.render(false).contains("b.zone:4"));

    // What looks like a mistake keeps nobody from running it.
    let text = text.replace(".300", ".30");
    std::fs::write(&path, text).unwrap();
    let zone = "$TTL 1h\n@ SOA ns admin 1 1 1 1 1\n@ NS ns.elsewhere.test.\nsub NS ns.elsewhere.test.\nwww.sub TXT x\n";
    std::fs::write(dir.path().join("b.zone"), zone).unwrap();
    let checked = topology::load(&path).unwrap();
    assert_eq!(checked.warnings.len(), 1, "{:?}", checked.warnings);
    assert_eq!((checked.warnings[0].level, checked.warnings[0].line), (Level::Warning, Some(5)));
}

#[test]
fn nothing_is_read_where_only_a_text_is_checked() {
    let text = "[dns]\nlisten = '127.0.0.1:53'\n[dns.zone.'a.test']\nfile = 'nowhere'\n";
    assert!(topology::parse(text, Path::new("f")).is_ok());
}
