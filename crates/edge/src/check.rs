//! What the types of the file cannot say: checks that look at more than one value.

use crate::config::{
    EdgeConfig, HeaderEdits, HttpsOnly, RedirectConfig, Respond, Rewrite, RouteConfig, SiteConfig,
    redirect_parts,
};
use crate::error::Error;
use crate::json_field::JsonPath;
use crate::protocol::normalized_path;
use admission::{Signed, SignedConfig};
use notation::{Faults, Name, Named, TextOr};
use std::path::Path;

/// Checks `[edge]` and all sites. Whether the pools that routes name exist, and whether addresses are free of each
/// other, is not checked here: who knows all names and listeners does that.
pub fn check(edge: &EdgeConfig, sites: &Named<SiteConfig>, faults: &mut Faults) {
    check_edge(edge, faults);
    for (name, site) in sites {
        check_site(name, site, faults);
        for header in &site.hide_headers {
            check_header_name(header, faults);
            if is_untouchable(header) {
                let message = format!("header `{header}` frames the message: it cannot be hidden");
                faults.add(header.span(), message);
            }
        }
        for (path, routes) in &site.route {
            check_path(path, faults);
            let routes = routes.as_slice();
            if routes.is_empty() {
                faults.add(path.span(), format!("route {path} is an empty array"));
            }
            for (index, route) in routes.iter().enumerate() {
                check_route(path, route, faults);
                check_route_terms(name, path, route, faults);
                if route.when.is_none() && index + 1 < routes.len() {
                    let message = format!(
                        "route {path}: nothing after its entry {} is reached, which has no `when`",
                        index + 1
                    );
                    faults.add(path.span(), message);
                }
            }
        }
    }
}

fn check_edge(edge: &EdgeConfig, faults: &mut Faults) {
    let head = edge.limit.head.get();
    if !(1 << 10..=1 << 20).contains(&head) {
        faults.add(None, format!("[edge] limit.head is {}: from 1KiB to 1MiB", edge.limit.head));
    }
    tls::check_edge(&edge.tls, faults);
    if let Some(acme) = &edge.acme {
        acme::check(acme, faults);
    }
    admission::check_access(edge.allow.as_deref(), &edge.deny, "[edge]", None, faults);
    admission::check_networks(&edge.proxy_protocol, "[edge] proxy_protocol", None, faults);
    admission::check_trust(&edge.trust_forwarded, "[edge] trust_forwarded", None, faults);
    if edge.limit.connections_per_client == Some(0) {
        faults.add_with_help(None, "[edge] limit.connections_per_client is 0", "`deny` turns clients away");
    }
    let prefix = edge.limit.json_prefix.get();
    if !(1 << 10..=16 << 20).contains(&prefix) {
        faults
            .add(None, format!("[edge] limit.json_prefix is {}: from 1KiB to 16MiB", edge.limit.json_prefix));
    }
    if !is_token(&edge.via) {
        faults.add(
            None,
            format!(
                "[edge] via {:?} is not a pseudonym (RFC 9110 §7.6.3): letters, digits and -._",
                edge.via
            ),
        );
    }
}

/// Checks what `[edge]` and the sites need of each other: doors and certificates. Only for a file of which no part was
/// left out for a fault of its own, as that part may be the one that is needed.
pub fn check_doors(edge: &EdgeConfig, sites: &Named<SiteConfig>, faults: &mut Faults) {
    let with_tls = sites.iter().find(|(_, site)| site.tls.is_some());
    let help = "`[edge] https = [\"127.0.0.1:8443\"]`";
    match with_tls {
        None if !edge.https.is_empty() => {
            faults.add_with_help(
                None,
                "[edge] https has nothing to show: no site has `tls`",
                "`tls = \"self-signed\"` in a site is enough to try it",
            );
        }
        Some((name, _)) if edge.https.is_empty() => {
            faults.add_with_help(
                name.span(),
                format!("site {name} has `tls`, and the edge listens for none"),
                help,
            );
        }
        _ => {}
    }
    if !edge.http3.is_empty() && !crate::http3::IS_HERE {
        faults.add(None, "[edge] http3: this nines was built without HTTP/3");
    } else if !edge.http3.is_empty() && edge.https.is_empty() {
        let help = "clients hear of HTTP/3 over HTTPS, and use that where UDP does not pass";
        faults.add_with_help(None, "[edge] http3 needs [edge] https beside it", help);
    }
    for (name, _) in sites.iter().filter(|(_, site)| site.wants_acme()) {
        if edge.acme.is_none() {
            let help = "`[edge.acme]` with `email = \"…\"` and `agree = true`";
            faults.add_with_help(
                name.span(),
                format!("site {name}: tls is \"acme\", and there is no [edge.acme]"),
                help,
            );
        }
        if let Err(bad) = acme::check_name(name) {
            faults.add(name.span(), format!("site {name}: tls is \"acme\": {bad}"));
        }
    }
    if edge.acme.is_some() && !sites.values().any(SiteConfig::wants_acme) {
        faults.add(None, "[edge.acme] has nothing to order: no site has `tls = \"acme\"`");
    }
    for (name, site) in sites {
        if site.https_only == HttpsOnly::Switch(true) && edge.https.is_empty() {
            faults.add_with_help(
                name.span(),
                format!(
                    "site {name}: https_only sends clients to HTTPS, and the edge does not listen for it"
                ),
                "`https_only = { port = 443 }` where something in front does",
            );
        }
        let clears = |route: &RouteConfig| !route.clear_site_data.is_empty();
        let clearing = site.route.iter().filter(|(_, routes)| routes.as_slice().iter().any(clears));
        let may_be_secure = site.tls.is_some() || !edge.trust_forwarded.is_nobody();
        for (path, _) in clearing.filter(|_| !may_be_secure) {
            let message = format!(
                "site {name} route {path}: browsers heed clear_site_data over HTTPS alone, and the site has no `tls`"
            );
            let help = "where a proxy in front ends TLS, name it in `[edge] trust_forwarded`";
            faults.add_with_help(path.span(), message, help);
        }
        if site.hsts.is_some() && edge.https.is_empty() {
            faults.add(
                name.span(),
                format!("site {name}: hsts is said over HTTPS alone (RFC 6797 §7.2), and the edge does not listen for it"),
            );
        }
    }
}

fn check_site(name: &Name, site: &SiteConfig, faults: &mut Faults) {
    let whose = format!("site {name}");
    let span = name.span();
    if let Some(tls) = &site.tls {
        tls::check_server(tls, &whose, name, faults);
    }
    if let Some(compress) = &site.compress {
        encoding::check(compress, &whose, span.as_ref(), faults);
    }
    let span = span.as_ref();
    admission::check_access(site.allow.as_deref(), &site.deny, &whose, span, faults);
    admission::check_limits(&site.limit, &whose, span, faults);
    if let Some(auth) = &site.basic_auth {
        admission::check_basic_auth(auth, &whose, span, faults);
    }
    if let Some(signed) = &site.signed {
        admission::check_signed(signed, &whose, span, faults);
    }
}

fn check_route_terms(site: &Name, path: &Name, route: &RouteConfig, faults: &mut Faults) {
    let whose = format!("site {site} route {path}");
    let span = path.span();
    if let Some(compress) = &route.compress {
        encoding::check(compress, &whose, span.as_ref(), faults);
    }
    let span = span.as_ref();
    admission::check_access(route.allow.as_deref(), &route.deny, &whose, span, faults);
    if let Some(limit) = &route.limit {
        admission::check_limits(limit, &whose, span, faults);
    }
    if let Some(auth) = &route.basic_auth {
        admission::check_basic_auth(auth, &whose, span, faults);
    }
    if let Some(signed) = &route.signed {
        admission::check_signed(signed, &whose, span, faults);
    }
    check_site_data(&whose, path, route, faults);
    for field in route.when.iter().flat_map(|when| when.json.keys()) {
        if let Err(bad) = JsonPath::parse(field) {
            faults.add_with_help(
                field.span().or(path.span()),
                format!("{whose}: {:?} is no path of a JSON field: {bad}", field.as_str()),
                "names with dots between them: \"order.kind\", \"items.0.sku\"",
            );
        }
    }
}

fn check_site_data(whose: &str, path: &Name, route: &RouteConfig, faults: &mut Faults) {
    let data = &route.clear_site_data;
    if let Some((_, again)) = data.iter().enumerate().find(|(at, one)| data[..*at].contains(one)) {
        faults.add(path.span(), format!("{whose}: clear_site_data names {:?} twice", again.name()));
    }
    let mut edited = route.response_headers.set.keys().chain(&route.response_headers.remove);
    if !data.is_empty() && edited.any(|name| name.eq_ignore_ascii_case("clear-site-data")) {
        faults.add(path.span(), format!("{whose}: clear_site_data and response_headers say the same header"));
    }
}

/// Whether the keys for signatures can be read and used. `dir` is the folder of the file.
///
/// # Errors
/// What is wrong with the first that cannot.
pub fn check_keys(signed: &SignedConfig, dir: &Path) -> Result<(), Error> {
    Ok(Signed::load(signed, dir).map(drop)?)
}

fn check_path(path: &Name, faults: &mut Faults) {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'*');
    if !path.starts_with('/') {
        faults.add_with_help(
            path.span(),
            format!("route {path:?} is not a path", path = path.as_str()),
            "a path starts with `/`",
        );
    } else if !path.bytes().all(is_plain) {
        let help = "write a path as it stands in a URL, percent-encoded; one that ends in `/` stands for all below it";
        faults.add_with_help(
            path.span(),
            format!("route {path:?} holds a character that no path has", path = path.as_str()),
            help,
        );
    } else if normalized_path(path.as_bytes()) != path.as_bytes() {
        let looked_up = normalized_path(path.as_bytes()).escape_ascii().to_string();
        let message =
            format!("route {path} is reached by no request: such a path is looked up as {looked_up}");
        faults.add(path.span(), message);
    }
}

fn check_route(path: &Name, route: &RouteConfig, faults: &mut Faults) {
    let actions = [
        route.pool.is_some(),
        route.redirect.is_some(),
        route.respond.is_some(),
        route.files.is_some(),
        route.push.is_some(),
        route.dns,
    ];
    let help = "exactly one of `pool`, `redirect`, `respond`, `files`, `push` and `dns`";
    match actions.iter().filter(|action| **action).count() {
        1 => {}
        0 => faults.add_with_help(path.span(), format!("route {path} does nothing"), help),
        _ => faults.add_with_help(path.span(), format!("route {path} does more than one thing"), help),
    }
    if route.pool.is_none() {
        if route.rewrite.is_some() {
            faults.add(path.span(), format!("route {path}: `rewrite` is for routes to a pool"));
        }
        if !route.request_headers.is_empty() {
            faults.add(path.span(), format!("route {path}: `request_headers` is for routes to a pool"));
        }
    }
    if let Some(cache) = &route.cache {
        check_cache(path, route, cache, faults);
    }
    if let Some(folder) = &route.files {
        files::check(folder, path, faults);
    }
    if let Some(redirect) = &route.redirect {
        check_redirect(path, redirect, faults);
    }
    if let Some(respond) = &route.respond {
        check_respond(path, respond, faults);
    }
    if let Some(Rewrite::Prefix(to) | Rewrite::Path(to)) = &route.rewrite
        && !(to.starts_with('/')
            && to.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#')))
    {
        faults.add(to.span().or(path.span()), format!("rewrite to {to:?} is not a path", to = to.as_str()));
    }
    check_edits(path, &route.request_headers, faults);
    check_edits(path, &route.response_headers, faults);
    if let Some(when) = &route.when {
        for method in &when.method {
            if !is_token(method) {
                faults.add(method.span(), format!("{:?} is not a method", method.as_str()));
            } else if method.chars().any(|letter| letter.is_ascii_lowercase()) {
                let help = format!("did you mean `{}`?", method.to_ascii_uppercase());
                faults.add_with_help(
                    method.span(),
                    format!("method `{method}` is not written in capitals"),
                    help,
                );
            }
        }
        for header in when.header.keys() {
            check_header_name(header, faults);
        }
    }
}

fn check_cache(path: &Name, route: &RouteConfig, cache: &cdn::Cache, faults: &mut Faults) {
    if route.pool.is_none() {
        faults.add(path.span(), format!("route {path}: `cache` is for routes to a pool"));
    }
    let depends = route
        .when
        .as_ref()
        .is_some_and(|when| !(when.header.is_empty() && when.cookie.is_empty() && when.json.is_empty()));
    if depends {
        // Another route of the same URL would find what this one has kept.
        faults.add_with_help(
            path.span(),
            format!("route {path}: `cache` where `when` asks for a header, a cookie or a field of the body"),
            "what is kept is found by the URL: take `cache` away, or let `when` ask for the method and the query alone",
        );
    }
    if let TextOr::Long(config) = cache
        && config.query.is_some()
        && route.when.as_ref().is_some_and(|when| !when.query.is_empty())
    {
        let message = format!("route {path}: `when` asks for the query, and `cache` leaves some of it out");
        faults.add(path.span(), message);
    }
}

fn check_redirect(path: &Name, redirect: &TextOr<RedirectConfig>, faults: &mut Faults) {
    let (to, status) = redirect_parts(redirect);
    let span = to.span().or(path.span());
    let is_target = ["/", "http://", "https://", "{path}"].iter().any(|start| to.starts_with(start));
    if !is_target || !to.bytes().all(|byte| byte.is_ascii_graphic()) {
        let help = "a target is a path or a URL: \"/new\", \"https://{host}{path}{query}\"";
        faults.add_with_help(span.clone(), format!("redirect to {:?} is not a target", to.as_str()), help);
    }
    if !matches!(status, 301 | 302 | 303 | 307 | 308) {
        faults.add(span, format!("redirect status {status} is none of 301, 302, 303, 307, 308"));
    }
}

fn check_respond(path: &Name, respond: &Respond, faults: &mut Faults) {
    if !(200..=599).contains(&respond.status) {
        faults
            .add(path.span(), format!("route {path}: status {} is not between 200 and 599", respond.status));
    }
    if matches!(respond.status, 204 | 205 | 304) && !respond.body.is_empty() {
        faults.add(path.span(), format!("route {path}: a {} has no body (RFC 9110 §6.4.1)", respond.status));
    }
    if !is_value(&respond.content_type) {
        faults.add(
            respond.content_type.span().or(path.span()),
            format!("route {path}: malformed content_type"),
        );
    }
}

/// Headers that frame a message or belong to the hop: nines writes them, and a file cannot.
const UNTOUCHABLE: [&str; 8] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn is_untouchable(name: &str) -> bool {
    UNTOUCHABLE.iter().any(|untouchable| name.eq_ignore_ascii_case(untouchable))
}

fn check_edits(path: &Name, edits: &HeaderEdits, faults: &mut Faults) {
    for name in edits.set.keys().chain(&edits.remove) {
        check_header_name(name, faults);
        if is_untouchable(name) {
            faults
                .add(name.span(), format!("header `{name}` frames the message: it cannot be set or removed"));
        }
    }
    for name in &edits.remove {
        if name.eq_ignore_ascii_case("host") {
            faults.add(name.span(), "header `host` can be set but not removed (RFC 9112 §3.2)");
        }
    }
    for (name, value) in &edits.set {
        if !is_value(value) {
            faults.add(
                name.span(),
                format!(
                    "route {path}: the value of header `{name}` has a control character or blanks around it"
                ),
            );
        }
    }
}

fn check_header_name(name: &Name, faults: &mut Faults) {
    if !is_token(name) {
        faults.add(name.span(), format!("{:?} is not a header name", name.as_str()));
    }
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// RFC 9110 §5.5.
fn is_value(text: &str) -> bool {
    text.trim() == text && text.bytes().all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
}
