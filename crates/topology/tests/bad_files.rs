//! What is said about files that are wrong: the place, the message and the help, for every fault at once.

use std::path::Path;

#[path = "bad_files/dns.rs"]
mod dns;
#[path = "bad_files/edge.rs"]
mod edge;
#[path = "bad_files/layer4.rs"]
mod layer4;

/// Checks a file and returns `line:column: message (help)` for each of its errors.
fn errors(text: &str) -> Vec<String> {
    let rejected = match topology::parse(text, Path::new("f")) {
        Ok(_) => return Vec::new(),
        Err(rejected) => rejected,
    };
    let errors = rejected.problems.iter().filter(|problem| problem.level == topology::Level::Error);
    errors.map(|problem| problem.one_line().replacen(": error: ", ": ", 1).replacen("f:", "", 1)).collect()
}

#[track_caller]
fn says(text: &str, expected: &[&str]) {
    assert_eq!(errors(text), expected, "about\n{text}");
}

#[test]
fn an_unknown_key_is_shown_with_the_nearest_known_one() {
    says("[nod]\nat = 'eu'\n", &["1:2: unknown key `nod` (did you mean `node`?)"]);
    says(
        "[pool.shop]\nservers = ['a:1']\nblance = 'random'\n",
        &["3:1: unknown key `blance` in `pool.shop` (did you mean `balance`?)"],
    );
    says(
        "[pool.shop]\nservers = [{ address = 'a:1', wieght = 2 }]\n",
        &["2:31: unknown key `wieght` in `pool.shop.servers[0]` (did you mean `weight`?)"],
    );
    says(
        "[node]\nxyz = 1\n",
        &["2:1: unknown key `xyz` in `node` (known: admin, admin_token, at, data, secret)"],
    );
}

#[test]
fn a_wrong_type_is_shown_with_the_right_one_and_how_it_is_written() {
    says(
        "[pool.a]\nservers = 'a:1'\n",
        &["2:11: `pool.a.servers`: expected an array, found a string (an array is written [\"…\"])"],
    );
    says(
        "[pool.a]\nservers = ['a:1']\nlimit = { wait = 2 }\n",
        &[
            "3:18: `pool.a.limit.wait`: expected a duration, found an integer (in seconds it is written \"2s\")",
        ],
    );
    says(
        "[pool.a]\nservers = ['a:1']\npanic = 20\n",
        &["3:9: `pool.a.panic`: expected a percentage, found an integer (in percent it is written \"20%\")"],
    );
    says(
        "[service.a]\nrun = ['x']\ninstances = '3'\n",
        &[
            "3:13: `service.a.instances`: expected an integer, found a string (as an integer it is written 3, without quotes)",
        ],
    );
    says("pool = 3\n", &["1:8: `pool`: expected a table, found an integer"]);
    says(
        "[pool.a]\nservers = [1.5]\n",
        &["2:12: `pool.a.servers[0]`: expected a string or a table, found a float"],
    );
    says("[node]\nat = 2020-01-01\n", &["2:6: `node.at`: expected a string, found a date"]);
}

#[test]
fn a_value_out_of_its_words_range_or_format_is_shown() {
    says(
        "[pool.a]\nservers = ['a:1']\nbalance = 'roundrobin'\n",
        &["3:11: `pool.a.balance`: unknown value \"roundrobin\" (did you mean \"round-robin\"?)"],
    );
    says(
        "[pool.a]\nservers = ['a:1']\nsticky = 'client-adress'\n",
        &["3:10: `pool.a.sticky`: unknown value \"client-adress\" (did you mean \"client-address\"?)"],
    );
    says(
        "[pool.a]\nservers = ['a:1']\nlimit = { inflight = 0, queue = 5_000_000_000 }\n",
        &[
            "3:22: `pool.a.limit.inflight`: 0 is out of range, expected at least 1",
            "3:33: `pool.a.limit.queue`: 5000000000 is out of range, expected at most 4294967295",
        ],
    );
    says(
        "[pool.a]\nservers = ['a:1']\neject.for = '2sec'\n",
        &["3:13: `pool.a.eject.for`: \"2sec\" is not a duration (for example \"2s\" or \"250ms\")"],
    );
    says(
        "[edge]\nhttp = [':80', 'localhost:81', '127.0.0.1']\n[site.default.route]\n'/' = { respond = {} }\n",
        &[
            "2:9: `edge.http[0]`: \":80\" is not an IP address with a port (\"127.0.0.1:80\" for this machine alone, \"[::]:80\" and \"0.0.0.0:80\" for all)",
            "2:16: `edge.http[1]`: \"localhost:81\" is not an IP address with a port (\"127.0.0.1:81\" or \"[::1]:81\")",
            "2:32: `edge.http[2]`: \"127.0.0.1\" is not an IP address with a port (the port is missing, for example \"127.0.0.1:8080\")",
        ],
    );
    says("[service.a]\nrun = []\n", &["2:7: `service.a.run`: expected at least 1 item, found 0"]);
}

#[test]
fn what_is_missing_is_shown_at_the_name_it_is_missing_from() {
    says("[service.shop]\ninstances = 3\n", &["1:10: missing key `run` in `service.shop`"]);
    says(
        "[pool.a]\nservers = ['a:1', { weight = 2 }]\n",
        &["2:19: missing key `address` in `pool.a.servers[1]`"],
    );
}

#[test]
fn one_of_several_forms_is_asked_for_by_its_names() {
    says(
        "[service.x]\nrun = ['a']\nenv = { A = { evn = 'x' }, B = { env = 'a', file = 'b' }, C = {}, D = 3 }\n",
        &[
            "3:15: unknown key `evn` in `service.x.env.A` (did you mean `env`?)",
            "3:28: `service.x.env.B`: expected only one of `env` and `file`",
            "3:59: missing `env` or `file` in `service.x.env.C`",
            "3:71: `service.x.env.D`: expected a string or a table, found an integer (as a string it is written \"3\")",
        ],
    );
}

#[test]
fn a_dangling_name_is_shown_with_the_nearest_one_even_beside_other_faults() {
    says(
        "[service.shop]\nrun = ['x']\n[pool.web]\nservice = 'shpo'\nblance = 'random'\n",
        &[
            "4:11: unknown service `shpo` (did you mean `shop`?)",
            "5:1: unknown key `blance` in `pool.web` (did you mean `balance`?)",
        ],
    );
    says(
        "[pool.shop]\nservers = ['a:1']\n[edge]\nhttp = ['127.0.0.1:80']\n[site.default.route]\n'/' = { pool = 'shpo' }\n\
         '/a' = [{ when = { method = ['GET'] }, pool = 'sohp' }, { pool = 'zzzzzz' }]\n",
        &[
            "6:16: unknown pool `shpo` (did you mean `shop`?)",
            "7:47: unknown pool `sohp` (did you mean `shop`?)",
            "7:66: unknown pool `zzzzzz` (known: shop)",
        ],
    );
    says("[pool.a]\nservice = 'shop'\n", &["2:11: unknown service `shop` (the file has no service)"]);
}

#[test]
fn a_name_with_a_fault_of_its_own_is_still_known() {
    says(
        "[pool.shop]\nservers = 3\n[edge]\nhttp = ['127.0.0.1:80']\n[site.default.route]\n'/' = { pool = 'shop' }\n",
        &["2:11: `pool.shop.servers`: expected an array, found an integer"],
    );
}

#[test]
fn a_faulty_route_does_not_hide_the_faults_of_its_neighbours() {
    says(
        "[edge]\nhttp = ['127.0.0.1:80']\n[site.default.route]\n'/' = { pol = 'x' }\n'/a' = {}\n",
        &[
            "4:9: unknown key `pol` in `site.default.route.\"/\"` (did you mean `pool`?)",
            "5:1: route /a does nothing (exactly one of `pool`, `redirect`, `respond`, `files`, `push` and `dns`)",
        ],
    );
}

#[test]
fn an_address_is_listened_on_once() {
    says(
        "[edge]\nhttp = ['127.0.0.1:9900', '127.0.0.1:80']\n[site.default.route]\n'/' = { respond = {} }\n",
        &["2:9: the edge cannot listen on 127.0.0.1:9900: the admin API does"],
    );
    says(
        "[node]\nadmin = '127.0.0.1:80'\n[edge]\nhttp = ['127.0.0.1:80', '127.0.0.1:0', '127.0.0.1:0']\n",
        &["2:9: the admin API cannot listen on 127.0.0.1:80: the edge does"],
    );
}

#[test]
fn an_admin_api_that_is_open_to_the_network_needs_a_token() {
    says(
        "[node]\nadmin = '0.0.0.0:9900'\n",
        &[
            "2:9: the admin API on 0.0.0.0:9900 is open to the network and has no token (set `admin_token = { env = \"NINES_ADMIN_TOKEN\" }`, or listen on 127.0.0.1)",
        ],
    );
    says("[node]\nadmin = '0.0.0.0:9900'\nadmin_token = { env = 'X' }\n", &[]);
    says("[node]\nadmin = '[::1]:9900'\n", &[]);
}

#[test]
fn nodes_of_a_cache_that_are_reached_over_a_network_need_a_token() {
    let route = "[edge]\nhttp = ['127.0.0.1:1']\n[pool.a]\nservers = ['127.0.0.1:2']\n\
                 [site.default.route]\n'/' = { pool = 'a', cache = 'cdn' }\n";
    let cdn = "[cdn]\nnodes = ['127.0.0.1:9900', '10.0.0.2:9900']\n";
    let message = "2:9: cdn: the node 10.0.0.2:9900 is reached over a network, and there is no token (set \
                   `[node] admin_token = { env = \"NINES_ADMIN_TOKEN\" }`, the same at all nodes)";
    says(&format!("{cdn}{route}"), &[message]);
    says(&format!("{cdn}{route}[node]\nadmin_token = {{ env = 'X' }}\n"), &[]);
    says(&format!("{}{route}", cdn.replace("10.0.0.2", "127.0.0.2")), &[]);
}

#[test]
fn names_and_hosts_have_a_form() {
    says(
        "[pool.My_Shop]\nservers = ['a:1']\n",
        &[
            "1:7: \"My_Shop\" cannot be the name of a pool (names are 1 to 63 lower-case letters, digits and hyphens)",
        ],
    );
    says(
        "[edge]\nhttp = ['127.0.0.1:80']\n[site.'Shop.test:80'.route]\n'/' = { respond = {} }\n",
        &["3:7: \"Shop.test:80\" is not a host (hosts are written in lower case: \"shop.test:80\")"],
    );
}

#[test]
fn what_is_planned_but_not_built_says_so() {
    says(
        "[cache.main]\nlisten = 'x'\n[sql.main]\n[queue.jobs]\n",
        &[
            "1:2: `[cache]` is not built yet (this nines serves `service`, `pool`, `edge`, `site`, `push`, `cdn`, `tcp`, `udp` and `dns`)",
            "3:2: `[sql]` is not built yet (this nines serves `service`, `pool`, `edge`, `site`, `push`, `cdn`, `tcp`, `udp` and `dns`)",
            "4:2: `[queue]` is not built yet (this nines serves `service`, `pool`, `edge`, `site`, `push`, `cdn`, `tcp`, `udp` and `dns`)",
        ],
    );
    let text = "[edge]\nhttp = ['127.0.0.1:80']\n[site.x.route]\n'/' = { grpc = 'shop' }\n\
                [service.s]\nrun = ['x']\nscale = 'auto'\nrollout = { parallel = 1 }\nlimit = { memory = '1GiB' }\n";
    let errors = errors(text);
    let at: Vec<&str> =
        errors.iter().filter_map(|error| error.split_once(" is not built yet")).map(|(at, _)| at).collect();
    assert_eq!(
        at,
        [
            "4:9: `site.x.route.\"/\".grpc`",
            "7:1: `service.s.scale`",
            "8:1: `service.s.rollout`",
            "9:1: `service.s.limit`",
        ]
    );
    assert_eq!(errors.len(), at.len(), "nothing else is wrong: {errors:?}");
}

#[test]
fn tls_of_a_pool_is_true_or_a_table() {
    let with = |tls: &str| {
        format!("[site.default.route]\n'/' = {{ pool = 'a' }}\n[pool.a]\nservers = ['a:1']\ntls = {tls}\n")
    };
    says(&with("true"), &[]);
    says(&with("{ server_name = 'app.test' }"), &[]);
    says(&with("'yes'"), &["5:7: `pool.a.tls`: expected a boolean or a table, found a string"]);
    says(&with("{ verfy = false }"), &["5:9: unknown key `verfy` in `pool.a.tls` (did you mean `verify`?)"]);
    says(&with("{ cert = 'c.pem' }"), &["3:7: pool `a`: `tls.cert` and `tls.key` go together"]);
    says(&with("false"), &["5:7: `tls = false` is written by leaving `tls` out"]);
}

#[test]
fn broken_syntax_is_shown_line_by_line_with_the_faults_above_it() {
    says(
        "[edg]\nhttp = ]\n[pool.x]\nservers = 'x\nbalance = \n",
        &[
            "1:2: unknown key `edg` (did you mean `edge`?)",
            "2:8: missing array opening, expected `[`",
            "4:13: invalid literal string, expected `'`",
            "5:11: string values must be quoted, expected literal string",
        ],
    );
    says("[pool.a]\nservers = ['a:1']\n[pool.a]\n", &["3:7: duplicate key"]);
}

#[test]
fn columns_count_characters_and_not_a_byte_order_mark() {
    says("\u{feff}[edg]\n", &["1:2: unknown key `edg` (did you mean `edge`?)"]);
    says("node = { at = 'äöü', adm = 1 }\n", &["1:22: unknown key `adm` in `node` (did you mean `admin`?)"]);
}

#[test]
fn a_file_that_is_not_there_or_not_text_is_a_problem_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let absent = topology::load(&dir.path().join("nines.toml")).unwrap_err();
    assert!(absent.render(false).contains("cannot be read: No such file"), "{}", absent.render(false));
    std::fs::write(dir.path().join("bytes"), [b'a', 0xff]).unwrap();
    let bytes = topology::load(&dir.path().join("bytes")).unwrap_err();
    assert!(bytes.to_string().ends_with("is not UTF-8 text (byte 1)"), "{bytes}");
}

#[test]
fn an_unreadable_secret_is_named_and_never_shown() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nines.toml");
    std::fs::write(dir.path().join("empty"), "\n").unwrap();
    std::fs::write(dir.path().join("token"), "hush\n").unwrap();
    let text = "[node]\nadmin_token = { env = 'NINES_TEST_ABSENT' }\n[service.s]\nrun = ['x']\n\
                env = { A = { file = 'token' }, B = { file = 'empty' }, C = { file = 'absent' } }\n";
    std::fs::write(&path, text).unwrap();
    let rejected = topology::load(&path).unwrap_err();
    let places: Vec<_> = rejected.problems.iter().map(|problem| (problem.line, problem.column)).collect();
    assert_eq!(places, [(Some(2), Some(15)), (Some(5), Some(37)), (Some(5), Some(61))]);
    let said = rejected.to_string();
    assert!(said.contains("environment variable NINES_TEST_ABSENT is not set"), "{said}");
    assert!(said.contains("empty is empty") && said.contains("absent: No such file"), "{said}");
    assert!(!said.contains("hush"));
}

#[test]
fn a_sound_secret_is_found_beside_the_file_wherever_nines_was_started() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nines.toml");
    std::fs::write(dir.path().join("token"), "hush\n").unwrap();
    std::fs::write(&path, "[node]\nadmin_token = { file = 'token' }\n").unwrap();
    let checked = topology::load(&path).unwrap();
    assert!(!format!("{checked:?}").contains("hush"));
    assert!(!topology::effective(&checked.topology).contains("hush"));
}

#[test]
fn what_works_but_is_hardly_meant_is_a_warning() {
    let warnings = |text: &str| -> Vec<String> {
        let checked = topology::parse(text, Path::new("f")).unwrap();
        checked.warnings.iter().map(topology::Problem::one_line).collect()
    };
    assert_eq!(
        warnings("[pool.a]\nservers = ['a:1']\n"),
        ["f:1:7: warning: pool a is not used (a route sends requests to it: `\"/\" = { pool = \"a\" }`)"]
    );
    assert_eq!(
        warnings("[site.x.route]\n'/' = { respond = {} }\n"),
        [
            "f:1:7: warning: site x is never served, the file has no `[edge]` (add `[edge]` with `http = [\"127.0.0.1:8080\"]`)"
        ]
    );
    assert_eq!(warnings(""), ["f: warning: the file names no tier: only the admin API is served"]);
}

#[test]
fn all_that_is_wrong_with_a_file_is_drawn_at_once() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/files");
    let text = std::fs::read_to_string(dir.join("bad.toml")).unwrap();
    let rejected = topology::parse(&text, Path::new("nines.toml")).unwrap_err();
    let drawn = rejected.render(false);
    if std::env::var_os("NINES_BLESS").is_some() {
        std::fs::write(dir.join("bad.txt"), &drawn).unwrap();
    }
    assert_eq!(drawn, std::fs::read_to_string(dir.join("bad.txt")).unwrap_or_default());
    assert!(rejected.render(true).contains('\u{1b}'), "colour is there when asked for");
}

#[test]
fn problems_are_data_too() {
    let rejected = topology::parse("[nod]\n", Path::new("dir/f.toml")).unwrap_err();
    assert_eq!(
        serde_json::to_value(&rejected).unwrap(),
        serde_json::json!([{
            "level": "error", "file": "dir/f.toml", "line": 1, "column": 2,
            "message": "unknown key `nod`", "help": "did you mean `node`?"
        }])
    );
}

#[test]
fn a_route_with_a_cache_needs_a_pool_and_a_cache() {
    let file = |cdn: &str, route: &str| {
        format!(
            "[edge]\nhttp = ['127.0.0.1:80']\n[pool.shop]\nservers = ['127.0.0.1:81']\n{cdn}[site.x.route]\n'/' = {route}\n"
        )
    };
    says(
        &file("", "{ pool = 'shop', cache = 'cdn' }"),
        &[
            "6:1: route / keeps responses, and the file has no `[cdn]` (add `[cdn]` with `memory = \"256MiB\"`)",
        ],
    );
    says(
        &file("[cdn]\n", "{ pool = 'shop', cache = 'cnd' }"),
        &["7:32: unknown cache `cnd` (did you mean `cdn`?)"],
    );
    says(
        &file("[cdn]\n[pool.unused]\nservers = ['127.0.0.1:82']\n", "{ respond = {}, cache = 'cdn' }"),
        &["9:1: route /: `cache` is for routes to a pool"],
    );
    says(
        &file("[cdn]\n", "{ pool = 'shop', cache = 'cdn', when = { cookie = { a = '1' } } }"),
        &[
            "7:1: route /: `cache` where `when` asks for a header, a cookie or a field of the body (what is kept is found by the URL: take `cache` away, or let `when` ask for the method and the query alone)",
        ],
    );
}
