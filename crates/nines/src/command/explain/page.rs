//! An explanation as a page of text: one line a decision, in the order in which they are made.

use crate::print::Paint;
use std::net::SocketAddr;
use topology::{
    DnsExplanation, DnsRouteExplanation, EndpointExplanation, Explanation, Layer4Explanation, Layer4Question,
    PoolExplanation, Query, RouteSeen,
};

/// The whole page of a request.
pub(super) fn request(query: &Query, explanation: &Explanation, paint: Paint) -> String {
    let mut page = Page::new(&format!("{} {}", query.method, query.url), paint);
    let listeners = explanation.listeners.join(", ");
    page.line("listener", if listeners.is_empty() { "none for such a URL" } else { &listeners });
    page.line("site", &site(explanation));
    page.routes(&explanation.routes);
    let is_refused = explanation.action.starts_with("refuse");
    page.line(
        "action",
        &if is_refused { paint.bad(&explanation.action) } else { explanation.action.clone() },
    );
    if explanation.asks_for_user {
        page.line("user", "a user and a password are asked for first");
    }
    if let Some(sent_as) = &explanation.sent_as {
        page.line("sent as", sent_as);
    }
    if let Some(pool) = &explanation.pool {
        page.pool(pool);
    }
    page.text
}

/// The whole page of a connection or a datagram.
pub(super) fn listener(question: &Layer4Question, explanation: &Layer4Explanation, paint: Paint) -> String {
    let from = question.client.map(|client| format!(" from {client}")).unwrap_or_default();
    let name = question.server_name.as_ref().map(|name| format!(" for {name}")).unwrap_or_default();
    let mut page = Page::new(&format!("{}{from}{name}", question.subject()), paint);
    let addresses: Vec<String> = explanation.listeners.iter().map(SocketAddr::to_string).collect();
    let addresses = addresses.join(", ");
    page.line("listener", if addresses.is_empty() { "none" } else { &addresses });
    let last = explanation.steps.len().saturating_sub(1);
    for (nth, step) in explanation.steps.iter().enumerate() {
        let is_refusal = explanation.pool.is_none() && nth == last;
        page.line(
            if nth == 0 { "decided" } else { "" },
            &if is_refusal { paint.bad(step) } else { step.clone() },
        );
    }
    if let Some(pool) = &explanation.pool {
        page.pool(pool);
    }
    page.text
}

/// The whole page of a question of DNS.
pub(super) fn dns(explanation: &DnsExplanation, paint: Paint) -> String {
    let from = explanation.client.map(|client| format!(" from {client}")).unwrap_or_default();
    let mut page = Page::new(&format!("{} {}{from}", explanation.name, explanation.rtype), paint);
    page.line("zone", explanation.zone.as_deref().unwrap_or("none of the file's"));
    if let Some(route) = &explanation.route {
        page.dns_route(route);
    }
    let is_answered = !explanation.answer.is_empty() || !explanation.authority.is_empty();
    let is_failed = explanation.outcome == "error";
    let outcome = match explanation.outcome.as_str() {
        "error" => explanation.rcode.clone(),
        outcome => format!("{outcome}, {}", explanation.rcode),
    };
    page.line("outcome", &if is_failed { paint.bad(outcome) } else { outcome });
    let records = explanation.answer.iter().chain(&explanation.authority).filter(|_| is_answered);
    for (nth, record) in records.enumerate() {
        let label = match nth {
            0 if explanation.answer.is_empty() => "says",
            0 => "answer",
            _ => "",
        };
        page.line(label, record);
    }
    page.text
}

fn site(explanation: &Explanation) -> String {
    let host = if explanation.host.is_empty() { "no host" } else { &explanation.host };
    match (&explanation.site, explanation.site_found_by.as_deref()) {
        (None, _) => format!("none for {host}, and there is no site `default`"),
        (Some(site), Some("default")) => format!("{site}: no other site is for {host}"),
        (Some(site), Some("wildcard")) => format!("{site} stands for {host}"),
        (Some(site), _) => site.clone(),
    }
}

pub(super) struct Page {
    pub(super) text: String,
    paint: Paint,
}

/// The widest label is "listener".
const LABEL_CHARS: usize = 8;

impl Page {
    pub(super) fn new(subject: &str, paint: Paint) -> Self {
        Self { text: format!("{}\n\n", paint.strong(subject)), paint }
    }

    pub(super) fn line(&mut self, label: &str, what: &str) {
        let label = self.paint.faint(format!("{label:<LABEL_CHARS$}"));
        self.text += &format!("  {label}  {what}\n");
    }

    /// Several lines under one label; none where there is nothing to say.
    pub(super) fn lines(&mut self, label: &str, all: &[String]) {
        for (nth, what) in all.iter().enumerate() {
            self.line(if nth == 0 { label } else { "" }, what);
        }
    }

    fn routes(&mut self, routes: &[RouteSeen]) {
        for (nth, route) in routes.iter().enumerate() {
            let label = if nth == 0 { "route" } else { "" };
            match &route.passed_over {
                None => self.line(label, &self.paint.good(&route.path)),
                Some(why) => self.line(label, &self.paint.faint(format!("{}  not taken: {why}", route.path))),
            }
        }
        if routes.is_empty() {
            self.line("route", "none has this path");
        }
    }

    /// The candidates of a route, and what each step of its chain leaves of them.
    fn dns_route(&mut self, route: &DnsRouteExplanation) {
        for (nth, alias) in route.aliases.iter().enumerate() {
            self.line(if nth == 0 { "alias of" } else { "" }, alias);
        }
        if let Some(place) = &route.place {
            self.line("client", &format!("at {place}"));
        }
        self.line("route", &route.candidates.join(", "));
        for step in &route.steps {
            let left = match step.left.is_empty() {
                true => self.paint.bad("none"),
                false => self.paint.good(step.left.join(", ")),
            };
            self.line("", &format!("{} → {left}", step.step));
            for dropped in &step.dropped {
                let why = format!("not {}: {}", dropped.candidate, dropped.why);
                self.line("", &format!("  {}", self.paint.faint(why)));
            }
            if let Some(note) = &step.note {
                self.line("", &format!("  {}", self.paint.faint(note)));
            }
        }
        let subnet = match route.client_bits {
            0 => "the same for all clients".to_owned(),
            bits => format!("for this client's /{bits}"),
        };
        let chance = if route.certain { "" } else { "; chance decides, each time anew" };
        self.line("kept", &format!("{} s, {subnet}{chance}", route.ttl_seconds));
    }

    fn pool(&mut self, pool: &PoolExplanation) {
        let picked = match (&pool.picked, pool.certain) {
            (None, _) => self.paint.bad(format!("none: {}", pool.rule)),
            (Some(name), true) => format!("{}: {}", self.paint.good(name), pool.rule),
            (Some(name), false) => format!("{} this time: {}", self.paint.good(name), pool.rule),
        };
        self.line("endpoint", &picked);
        if let [only] = pool.endpoints.as_slice()
            && only.picked
        {
            return;
        }
        let width = pool.endpoints.iter().map(|endpoint| name(endpoint).chars().count()).max().unwrap_or(0);
        for endpoint in &pool.endpoints {
            let mark = if endpoint.picked { "→" } else { " " };
            // The rule has been said already.
            let reason = if endpoint.reason == pool.rule { "" } else { &endpoint.reason };
            self.line("", format!("{mark} {:<width$}  {reason}", name(endpoint)).trim_end());
        }
    }
}

/// The endpoint's name, with its address where that says more.
fn name(endpoint: &EndpointExplanation) -> String {
    match endpoint.address.map(|address| address.to_string()) {
        Some(address) if address != endpoint.name => format!("{} ({address})", endpoint.name),
        _ => endpoint.name.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use topology::{DnsDropped, DnsStepExplanation};

    #[test]
    fn each_decision_has_its_line() {
        let endpoint = |name: &str, picked, reason: &str| EndpointExplanation {
            name: name.into(),
            address: Some("127.0.0.1:3000".parse().unwrap()),
            picked,
            reason: reason.into(),
        };
        let explanation = Explanation {
            listeners: vec!["127.0.0.1:8080".into()],
            host: "shop.test".into(),
            site: Some("shop.test".into()),
            site_found_by: Some("exact".into()),
            path: "/cart".into(),
            routes: vec![
                RouteSeen { path: "/cart".into(), passed_over: Some("the method is not POST".into()) },
                RouteSeen { path: "/".into(), passed_over: None },
            ],
            action: "pool shop".into(),
            sent_as: Some("GET /cart".into()),
            asks_for_user: false,
            pool: Some(PoolExplanation {
                pool: "shop".into(),
                picked: Some("shop-2".into()),
                rule: "lowest latency times load of two".into(),
                certain: false,
                endpoints: vec![
                    endpoint("shop-1", false, "draining"),
                    endpoint("shop-2", true, "0.4ms, 1 in flight"),
                ],
            }),
        };
        let query = Query { url: "http://shop.test/cart".into(), method: "GET".into(), ..Query::default() };
        let expected = "\
GET http://shop.test/cart

  listener  127.0.0.1:8080
  site      shop.test
  route     /cart  not taken: the method is not POST
            /
  action    pool shop
  sent as   GET /cart
  endpoint  shop-2 this time: lowest latency times load of two
              shop-1 (127.0.0.1:3000)  draining
            → shop-2 (127.0.0.1:3000)  0.4ms, 1 in flight
";
        assert_eq!(request(&query, &explanation, Paint::new(false)), expected);
    }

    #[test]
    fn a_route_of_dns_is_told_step_by_step() {
        let step = |step: &str, left: &[&str], dropped: &[(&str, &str)]| DnsStepExplanation {
            step: step.into(),
            left: left.iter().map(ToString::to_string).collect(),
            dropped: dropped
                .iter()
                .map(|(candidate, why)| DnsDropped { candidate: (*candidate).into(), why: (*why).into() })
                .collect(),
            note: None,
        };
        let client = "203.0.113.7".parse().unwrap();
        let explanation = DnsExplanation {
            name: "www.shop.test".into(),
            rtype: "A".into(),
            client: Some(client),
            zone: Some("shop.test".into()),
            outcome: "positive".into(),
            rcode: "NOERROR".into(),
            answer: vec!["www.shop.test. 20 IN A 192.0.2.1".into()],
            authority: Vec::new(),
            route: Some(DnsRouteExplanation {
                name: "www.shop.test".into(),
                aliases: Vec::new(),
                zone: "shop.test".into(),
                client,
                place: Some("eu".into()),
                candidates: vec!["shop-eu at eu".into(), "shop-us at us".into()],
                steps: vec![
                    step("healthy", &["shop-eu at eu", "shop-us at us"], &[]),
                    step("nearest", &["shop-eu at eu"], &[("shop-us at us", "another is nearer to eu")]),
                ],
                addresses: vec!["192.0.2.1".parse().unwrap()],
                rcode: "NOERROR".into(),
                ttl_seconds: 20,
                client_bits: 24,
                certain: true,
            }),
        };
        let expected = "\
www.shop.test A from 203.0.113.7

  zone      shop.test
  client    at eu
  route     shop-eu at eu, shop-us at us
            healthy → shop-eu at eu, shop-us at us
            nearest → shop-eu at eu
              not shop-us at us: another is nearer to eu
  kept      20 s, for this client's /24
  outcome   positive, NOERROR
  answer    www.shop.test. 20 IN A 192.0.2.1
";
        assert_eq!(dns(&explanation, Paint::new(false)), expected);
    }

    #[test]
    fn a_connection_is_told_in_steps() {
        let explanation = Layer4Explanation {
            listeners: vec!["127.0.0.1:6432".parse().unwrap()],
            steps: vec!["allowed by 10.0.0.0/8".into(), "server name \"a.test\": `sni` names pool a".into()],
            pool: Some(PoolExplanation {
                pool: "a".into(),
                picked: Some("127.0.0.1:5432".into()),
                rule: "the only one".into(),
                certain: true,
                endpoints: Vec::new(),
            }),
        };
        let about = Layer4Question::about("tcp:db").unwrap();
        let question = Layer4Question {
            client: Some("10.0.0.1".parse().unwrap()),
            server_name: Some("a.test".into()),
            ..about.clone()
        };
        let expected = "\
tcp:db from 10.0.0.1 for a.test

  listener  127.0.0.1:6432
  decided   allowed by 10.0.0.0/8
            server name \"a.test\": `sni` names pool a
  endpoint  127.0.0.1:5432: the only one
";
        assert_eq!(listener(&question, &explanation, Paint::new(false)), expected);
        let refused = Layer4Explanation { listeners: Vec::new(), steps: vec!["no".into()], pool: None };
        let expected = "tcp:db\n\n  listener  none\n  decided   no\n";
        assert_eq!(listener(&about, &refused, Paint::new(false)), expected);
    }

    #[test]
    fn a_request_that_nobody_answers_is_told_so() {
        let explanation = Explanation {
            listeners: vec!["127.0.0.1:8080".into()],
            host: "x.test".into(),
            site: None,
            site_found_by: None,
            path: "/".into(),
            routes: Vec::new(),
            action: "refuse with 421 Misdirected Request".into(),
            sent_as: None,
            asks_for_user: false,
            pool: None,
        };
        let text = request(&Query::default(), &explanation, Paint::new(false));
        assert!(text.contains("none for x.test"), "{text}");
        assert!(text.contains("refuse with 421"), "{text}");
    }
}
