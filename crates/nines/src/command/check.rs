//! `nines check`: what is wrong with the file, all of it.

use super::Ended;
use crate::cli::CheckArgs;
use crate::exit::Exit;
use crate::print::{self, Paint};
use serde_json::json;
use topology::{Checked, Rejected};

pub(super) fn run(args: &CheckArgs) -> Ended {
    let loaded = topology::load(&args.file);
    if args.json {
        return Ok(as_json(&loaded));
    }
    let checked = loaded?;
    print::err(&checked.render_warnings(print::stderr_colors()));
    let paint = Paint::new(print::stdout_colors());
    print::out(&format!("{} {}: {}\n", paint.good("ok"), args.file.display(), summary(&checked)));
    Ok(Exit::Done)
}

fn as_json(loaded: &Result<Checked, Rejected>) -> Exit {
    let (ok, problems) = match loaded {
        Ok(checked) => (true, &checked.warnings),
        Err(rejected) => (false, &rejected.problems),
    };
    print::json(&json!({ "ok": ok, "problems": problems }));
    if ok { Exit::Done } else { Exit::FileWrong }
}

/// What the file has of each: "2 sites, 1 pool, 1 service".
fn summary(checked: &Checked) -> String {
    let topology = &checked.topology;
    let of_layer4 =
        topology.tcp.values().map(|tcp| &tcp.listen).chain(topology.udp.values().map(|udp| &udp.listen));
    let listeners = topology.edge.as_ref().map_or(0, |edge| edge.listeners().count())
        + of_layer4.map(|listen| listen.0.len()).sum::<usize>()
        + topology.dns.as_ref().map_or(0, |dns| dns.listen.0.len());
    let parts = [
        ("listener", listeners),
        ("site", topology.site.len()),
        ("zone", topology.dns.as_ref().map_or(0, |dns| dns.zone.len())),
        ("pool", topology.pool.len()),
        ("service", topology.service.len()),
        ("warning", checked.warnings.len()),
    ];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(what, count)| format!("{count} {what}{}", if *count == 1 { "" } else { "s" }))
        .collect();
    if parts.is_empty() { "nothing to run".into() } else { parts.join(", ") }
}
