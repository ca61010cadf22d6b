//! What the finished nines will read and this one does not yet. A name of the plan gets an answer of its
//! own instead of "unknown key": whoever writes it is right, only early.

/// A path in the file, `*` standing for any name, and what to do until it is there.
const LATER: [(&[&str], &str); 14] = [
    (&["cache"], TIERS),
    (&["sql"], TIERS),
    (&["queue"], TIERS),
    (&["documents"], TIERS),
    (&["columns"], TIERS),
    (&["graph"], TIERS),
    (&["gateway"], TIERS),
    (&["dashboard"], TIERS),
    (&["simulator"], TIERS),
    (&["registry"], TIERS),
    (&["site", "*", "route", "*", "grpc"], ROUTES),
    (&["service", "*", "rollout"], "a changed service is replaced instance by instance; remove the key"),
    (&["service", "*", "scale"], "`instances` sets how many run"),
    (&["service", "*", "limit"], "instances share the node's memory and processors; remove the key"),
];

const TIERS: &str =
    "this nines serves `service`, `pool`, `edge`, `site`, `push`, `cdn`, `tcp`, `udp` and `dns`";
const ROUTES: &str = "a route may have `pool`, `redirect`, `respond`, `files`, `push` or `dns`";

/// What to do about a key that is planned but not built; `None` for a key that is not planned.
pub(super) fn planned(path: &[&str]) -> Option<&'static str> {
    let fits = |pattern: &[&str]| {
        pattern.len() == path.len()
            && pattern.iter().zip(path).all(|(want, name)| *want == "*" || want == name)
    };
    LATER.iter().find(|(pattern, _)| fits(pattern)).map(|(_, help)| *help)
}
