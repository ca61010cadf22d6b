//! What is said about TLS, HTTP/3, files, clients' terms and JSON fields that cannot be meant.

use super::says;

/// A file with this of `[edge]` and this of a site, which begins at line 7 and answers by itself.
fn edge(edge: &str, site: &str) -> String {
    let [http, more] = ["http = ['127.0.0.1:80']", edge];
    format!(
        "[edge]\n{http}\n{more}\n\n[site.'a.test'.route]\n'/' = {{ respond = {{}} }}\n[site.'a.test']\n{site}\n"
    )
}

const HTTPS: &str = "https = ['127.0.0.1:443']";

#[test]
fn tls_has_a_door_and_a_certificate() {
    says(
        &edge("", "tls = 'self-signed'"),
        &[
            "7:7: site a.test has `tls`, and the edge listens for none (`[edge] https = [\"127.0.0.1:8443\"]`)",
        ],
    );
    says(
        &edge(HTTPS, ""),
        &[
            "1:2: [edge] https has nothing to show: no site has `tls` (`tls = \"self-signed\"` in a site is enough to try it)",
        ],
    );
    says(&edge(HTTPS, "tls = 'self-signed'"), &[]);
    says(
        &edge(HTTPS, "tls = 'selfsigned'"),
        &["8:7: `site.\"a.test\".tls`: unknown value \"selfsigned\" (did you mean \"self-signed\"?)"],
    );
    says(
        &edge(HTTPS, "tls = { cert = 'c.pem', key = 'k.pem', clients = { required = true } }"),
        &["8:40: missing key `ca` in `site.\"a.test\".tls.clients`"],
    );
    says(
        &edge("https = ['127.0.0.1:443']\ntls = { versions = ['1.1'] }", "tls = 'self-signed'"),
        &["4:21: `edge.tls.versions[0]`: unknown value \"1.1\" (did you mean \"1.2\"?)"],
    );
    says(&edge(HTTPS, "tls = { cert = 'c.pem' }"), &["7:7: site a.test: `tls.cert` is without its `key`"]);
    says(
        &edge(HTTPS, "tls = { auto = 'self-signed', cert = 'c.pem', key = 'k.pem' }"),
        &["7:7: site a.test: `tls` takes one of `auto`, `cert` and `certs`"],
    );
    says(
        &edge(HTTPS, "tls = {}"),
        &[
            "7:7: site a.test: `tls` does not say which certificate it shows (give `cert` and `key`, or `tls = \"self-signed\"`)",
        ],
    );
    says(
        &edge("", "https_only = true\nhsts = '365d'"),
        &[
            "7:7: site a.test: https_only sends clients to HTTPS, and the edge does not listen for it (`https_only = { port = 443 }` where something in front does)",
            "7:7: site a.test: hsts is said over HTTPS alone (RFC 6797 §7.2), and the edge does not listen for it",
        ],
    );
    says(
        &edge("https = ['127.0.0.1:443']\ntls = { versions = [] }", "tls = 'self-signed'"),
        &["1:2: [edge.tls] versions is empty (both are `[\"1.2\", \"1.3\"]`)"],
    );
    says(
        &edge("https = ['127.0.0.1:443']\ntls = { tickets = { rotate = '7d' } }", "tls = 'self-signed'"),
        &["1:2: [edge.tls] tickets.rotate is 7d: from 1m to 3d12h, as a ticket lives for two of it"],
    );
}

#[test]
fn http3_stands_beside_https() {
    says(
        &edge("http3 = ['127.0.0.1:443']", ""),
        &[
            "1:2: [edge] http3 needs [edge] https beside it (clients hear of HTTP/3 over HTTPS, and use that where UDP does not pass)",
        ],
    );
    says(&edge("https = ['127.0.0.1:443']\nhttp3 = ['127.0.0.1:443']", "tls = 'self-signed'"), &[]);
}

#[test]
fn certificates_are_ordered_by_who_agreed_for_names_that_can_be() {
    says(
        &edge(HTTPS, "tls = 'acme'"),
        &[
            "7:7: site a.test: tls is \"acme\", and there is no [edge.acme] (`[edge.acme]` with `email = \"…\"` and `agree = true`)",
        ],
    );
    let with = |acme: &str| format!("{HTTPS}\nacme = {{ {acme} }}");
    says(
        &edge(&with(""), "tls = 'acme'"),
        &[
            "1:2: [edge.acme] agree is not true: https://acme-v02.api.letsencrypt.org/directory wants its terms of service agreed to (read https://letsencrypt.org/repository/, then say `agree = true`)",
        ],
    );
    says(&edge(&with("agree = true"), "tls = 'acme'"), &[]);
    says(
        &edge(&with("agree = true"), "tls = 'self-signed'"),
        &["1:2: [edge.acme] has nothing to order: no site has `tls = \"acme\"`"],
    );
    says(
        &edge(&with("agree = true, email = 'me', challenge = 'dns-01'"), "tls = 'acme'"),
        &["4:50: `edge.acme.challenge`: unknown value \"dns-01\" (one of \"tls-alpn-01\", \"http-01\")"],
    );
    let text = "[edge]\nhttps = ['127.0.0.1:443']\nacme = { agree = true }\n[site.'*.a.test']\ntls = 'acme'\n\
                [site.'*.a.test'.route]\n'/' = { respond = {} }\n";
    says(
        text,
        &[
            "4:7: site *.a.test: tls is \"acme\": *.a.test: no certificate for a wildcard without DNS; name the hosts, or give `cert` and `key`",
        ],
    );
}

#[test]
fn networks_are_whole() {
    says(
        &edge("deny = ['10.0.0.1/8', '10.0.0.0/33']", "allow = ['lists/allow.txt']\ndeny = ['::1/129']"),
        &[
            "3:9: [edge]: deny: \"10.0.0.1/8\" has bits set behind its prefix (the network is \"10.0.0.0/8\")",
            "3:23: [edge]: deny: \"10.0.0.0/33\": a prefix of IPv4 has at most 32 bits",
            "8:10: site a.test: allow: \"lists/allow.txt\" is not a network, for example \"10.0.0.0/8\" or \"2001:db8::1\" (a list file is written { file = \"lists/allow.txt\" })",
            "9:9: site a.test: deny: \"::1/129\": a prefix of IPv6 has at most 128 bits",
        ],
    );
    says(
        &edge("proxy_protocol = ['10.0.0']\ntrust_forwarded = ['10.0.0.1/8']", "allow = []"),
        &[
            "3:19: [edge] proxy_protocol: \"10.0.0\" is not a network, for example \"10.0.0.0/8\" or \"2001:db8::1\"",
            "4:20: [edge] trust_forwarded: \"10.0.0.1/8\" has bits set behind its prefix (the network is \"10.0.0.0/8\")",
            "8:7: site a.test: allow is empty, so that nobody may come (without `allow`, everybody may who is not denied)",
        ],
    );
    says(
        &edge("trust_forwarded = 'yes'", "deny = [{ path = 'deny.txt' }]"),
        &[
            "3:19: `edge.trust_forwarded`: expected a boolean or an array, found a string (an array is written [\"…\"])",
            "8:9: missing key `file` in `site.\"a.test\".deny[0]`",
            "8:11: unknown key `path` in `site.\"a.test\".deny[0]` (known: file)",
        ],
    );
}

#[test]
fn what_a_client_may_have_is_something() {
    says(
        &edge("limit = { connections_per_client = 0 }", "limit = { bandwidth = '0', burst = 5 }"),
        &[
            "3:36: `edge.limit.connections_per_client`: 0 is out of range, expected at least 1",
            "7:7: site a.test: limit.bandwidth is 0 (without it, bandwidth is not limited)",
            "7:7: site a.test: limit.burst without limit.requests_per_client (such as \"50/s\")",
        ],
    );
    says(
        &edge("", "limit = { requests_per_client = '50', by = 'address' }"),
        &[
            "8:33: `site.\"a.test\".limit.requests_per_client`: \"50\" is not a rate (for example \"50/s\" or \"10/m\")",
            "8:44: `site.\"a.test\".limit.by`: unknown value \"address\" (one of \"client-address\")",
        ],
    );
    says(
        &edge("http2 = { streams = 0, resets = 100 }", "basic_auth = { realm = 'shop' }"),
        &[
            "3:21: `edge.http2.streams`: 0 is out of range, expected at least 1",
            "3:33: `edge.http2.resets`: expected a rate, found an integer (per second it is written \"100/s\")",
            "8:1: missing key `file` in `site.\"a.test\".basic_auth`",
        ],
    );
}

#[test]
fn responses_are_compressed_by_what_there_is() {
    says(
        &edge("", "compress = { codings = ['deflate'], level = { br = 11 } }"),
        &[
            "8:25: `site.\"a.test\".compress.codings[0]`: unknown value \"deflate\" (one of \"zstd\", \"br\", \"gzip\")",
            "8:52: `site.\"a.test\".compress.level.br`: 11 is out of range, expected at most 6",
        ],
    );
    says(
        &edge("", "compress = { types = ['text'], min = 1024 }"),
        &[
            "8:38: `site.\"a.test\".compress.min`: expected a size, found an integer (in bytes it is written \"1024B\")",
        ],
    );
}

#[test]
fn a_route_does_one_thing_with_what_exists() {
    let route =
        |route: &str| format!("[edge]\nhttp = ['127.0.0.1:80']\n[site.default.route]\n'/' = {route}\n");
    says(
        &route("{ files = 'a', respond = {} }"),
        &[
            "4:1: route / does more than one thing (exactly one of `pool`, `redirect`, `respond`, `files`, `push` and `dns`)",
        ],
    );
    says(
        &route("{ files = { index = ['a/b'] } }"),
        &["4:9: missing key `dir` in `site.default.route.\"/\".files`"],
    );
    says(
        &route("{ files = { dir = 'a', fallback = '../x', listng = true } }"),
        &["4:49: unknown key `listng` in `site.default.route.\"/\".files` (did you mean `listing`?)"],
    );
    says(
        &route("{ files = { dir = 'a', fallback = '../x' } }"),
        &[
            "4:41: route /: `fallback` \"../x\" is no file that is served (it is written from the folder on: \"/index.html\")",
        ],
    );
    says(
        &route("[{ when = { json = { 'order..kind' = 'x' } }, respond = {} }, { respond = {} }]"),
        &[
            "4:28: site default route /: \"order..kind\" is no path of a JSON field: a name in it is empty (names with dots between them: \"order.kind\", \"items.0.sku\")",
        ],
    );
}

#[test]
fn a_store_is_named_by_a_route_and_can_hold_what_is_pushed() {
    let file = |store: &str, push: &str| {
        format!(
            "[edge]\nhttp = ['127.0.0.1:80']\n[site.default.route]\n'/' = {{ push = '{push}' }}\n[push.assets]\n{store}\n"
        )
    };
    says(&file("", "assets"), &[]);
    says(&file("keep = 1", "asset"), &["4:16: unknown push `asset` (did you mean `assets`?)"]);
    says(&file("keep = 0", "assets"), &["6:8: `push.assets.keep`: 0 is out of range, expected at least 1"]);
    says(&file("grace = '1s'", "assets"), &["5:7: push assets: `grace` is 1s: at least 1m"]);
    says(
        &file("file_max = '1GiB'\ntotal_max = '1MiB'", "assets"),
        &["5:7: push assets: `file_max` is 1GiB, above `total_max`, 1MiB"],
    );
    let keys = "access_key = { env = 'A' }, secret_key = { env = 'B' }";
    says(
        &file(&format!("s3 = {{ bucket = 'a/b', endpoint = 'host', prefix = '/x', {keys} }}"), "assets"),
        &[
            "6:17: push assets: `s3.bucket` \"a/b\" is no bucket's name",
            "6:35: push assets: `s3.endpoint` \"host\" is no `https://HOST` or `http://HOST`",
            "6:52: push assets: `s3.prefix` \"/x\" is not like \"nines/assets\"",
        ],
    );
}

#[test]
fn signatures_have_keys_that_can_be_read() {
    says(&edge("", "signed = { keys = { k1 = { env = 'PATH' } } }"), &[]);
    says(
        &edge("", "signed = { keys = {} }"),
        &["7:7: site a.test: `signed` has no key (`keys = { k1 = { env = \"MEDIA_KEY\" } }`)"],
    );
    says(
        &edge(
            "",
            "[site.'a.test'.route.'/v/']\nrespond = {}\nsigned = { keys = { 'k 1' = { env = 'PATH' } }, cookie = 'a;' }",
        ),
        &[
            "10:21: site a.test route /v/: `signed` \"k 1\" is no name of a key: up to 32 letters, digits, `.`, `_` and `-`",
            "10:58: site a.test route /v/: `signed.cookie` \"a;\" is no name of a cookie",
        ],
    );
}

#[test]
fn what_browsers_are_to_forget_is_known_and_said_where_they_heed_it() {
    let clearing = |what: &str| format!("[site.'a.test'.route.'/out']\nrespond = {{}}\n{what}");
    let over_http = "8:22: site a.test route /out: browsers heed clear_site_data over HTTPS alone, and the site has no `tls` (where a proxy in front ends TLS, name it in `[edge] trust_forwarded`)";
    says(&edge("", &clearing("clear_site_data = ['cache']")), &[over_http]);
    says(&edge("trust_forwarded = ['10.0.0.0/8']", &clearing("clear_site_data = ['cache']")), &[]);
    let https = |what: &str| edge(HTTPS, &format!("tls = 'self-signed'\n{}", clearing(what)));
    says(&https("clear_site_data = ['cache', 'cookies', 'storage']"), &[]);
    says(
        &https("clear_site_data = ['cookie']"),
        &[
            "11:20: `site.\"a.test\".route.\"/out\".clear_site_data[0]`: unknown value \"cookie\" (did you mean \"cookies\"?)",
        ],
    );
    says(
        &https("clear_site_data = ['*', '*']\nresponse_headers = { remove = ['Clear-Site-Data'] }"),
        &[
            "9:22: site a.test route /out: clear_site_data names \"*\" twice",
            "9:22: site a.test route /out: clear_site_data and response_headers say the same header",
        ],
    );
}
