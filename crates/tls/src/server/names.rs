//! Sites by name.

use super::site::Site;
use std::collections::HashMap;
use std::sync::Arc;

/// All sites of a server.
pub(super) struct Names {
    all: Vec<Arc<Site>>,
    exact: HashMap<Box<str>, Arc<Site>>,
    /// By what follows the star: `*.shop.test` is `.shop.test`.
    wildcard: HashMap<Box<str>, Arc<Site>>,
    default: Option<Arc<Site>>,
    /// For clients that name nobody.
    nameless: Option<Arc<Site>>,
    /// Whether any of them asks its clients for certificates, which a refresh does not change.
    any_asks: bool,
}

impl Names {
    pub(super) fn of(sites: Vec<Site>) -> Self {
        let all: Vec<Arc<Site>> = sites.into_iter().map(Arc::new).collect();
        let (mut exact, mut wildcard, mut default) = (HashMap::new(), HashMap::new(), None);
        for site in &all {
            let name = site.name.to_ascii_lowercase();
            match name.as_str() {
                "default" => default = Some(Arc::clone(site)),
                host => match host.strip_prefix('*') {
                    Some(suffix) => drop(wildcard.insert(suffix.into(), Arc::clone(site))),
                    None => drop(exact.insert(host.into(), Arc::clone(site))),
                },
            }
        }
        // One that has its certificate for sure, and asks nothing of clients, is the best stand-in.
        let stand_in =
            all.iter().min_by_key(|site| (site.is_issued(), site.live().terms.ask_for_certificates()));
        let nameless = default.as_ref().or(stand_in).map(Arc::clone);
        let any_asks = all.iter().any(|site| site.live().terms.ask_for_certificates());
        Self { all, exact, wildcard, default, nameless, any_asks }
    }

    /// The site for a name in lower case.
    pub(super) fn find(&self, name: Option<&str>) -> Option<&Arc<Site>> {
        let Some(name) = name else { return self.nameless.as_ref() };
        let name = name.strip_suffix('.').unwrap_or(name);
        let by_wildcard = || {
            // A wildcard stands for at least one label.
            let dots = name.match_indices('.').filter(|(dot, _)| *dot > 0);
            dots.filter_map(|(dot, _)| self.wildcard.get(&name[dot..])).next()
        };
        self.exact.get(name).or_else(by_wildcard).or(self.default.as_ref())
    }

    pub(super) fn any_asks_for_certificates(&self) -> bool {
        self.any_asks
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Site>> {
        self.all.iter()
    }
}
