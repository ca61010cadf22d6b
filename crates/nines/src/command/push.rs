//! `nines push`: a folder becomes a release of a store, and releases are listed, switched and removed.

mod patience;
mod progress;
mod upload;

use super::Ended;
use crate::cli::{Cli, NodeArgs, PushArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::node::{Node, NodeError};
use crate::print::{self, Paint, Table, counted, memory, since};
use clap::CommandFactory;
use clap::error::ErrorKind;
use push::folder::{Plan, Wishes};
use push::{Difference, Manifest, ReleaseSeen};
use serde_json::{Value, json};
use std::time::SystemTime;

/// Where a store's token stands.
const TOKEN_VARIABLE: &str = "NINES_PUSH_TOKEN";

/// Paths that are named of each kind of change; a release may have very many.
const NAMED_MAX: usize = 20;

pub(super) fn run(args: &PushArgs) -> Ended {
    let Some(store) = &args.store else { return steer(args) };
    let wishes = Wishes {
        release: args.release.clone(),
        rewrite_at: args.rewrite.then(|| args.at.clone()),
        expire: args.expire.clone(),
    };
    let folder = push::folder::read(&args.dir)?;
    let plan = Plan::new(folder, &wishes, SystemTime::now())?;
    let node = node(args)?;
    let at = format!("/api/v1/push/{}", segment(store));
    let current = current(&node, &at)?;
    let difference = Difference::between(current.as_ref(), &plan.draft);
    print::out(&changes(&difference, args.dry_run));
    if args.dry_run {
        print::out(&renamed(&plan));
        return Ok(Exit::Done);
    }
    if let Some(current) = current.as_ref().filter(|current| difference.is_empty() && is_alike(current, args))
    {
        print::out(&format!("nothing to push: release {} is the same\n", current.release));
        return Ok(Exit::Done);
    }
    let seen = upload::push(&node, &at, &plan, args.parallel.into())?;
    print::out(&format!("release {} is served: {}\n", seen.release, sizes(&seen)));
    Ok(Exit::Done)
}

/// Lists, switches or removes releases.
fn steer(args: &PushArgs) -> Ended {
    // The one name that was given stands in the first place.
    let Some(store) = args.dir.to_str() else { wrong_usage("the name of a store is text") };
    let (node, at) = (node(args)?, format!("/api/v1/push/{}", segment(store)));
    if args.list {
        let releases: Vec<ReleaseSeen> = node.get(&format!("{at}/releases"))?;
        print::out(&list(&releases, SystemTime::now()));
    } else if let Some(release) = &args.delete {
        let gone: ReleaseSeen = node.delete(&format!("{at}/releases/{release}"))?;
        print::out(&format!("release {} is removed\n", gone.release));
    } else {
        let target = match &args.release {
            Some(release) => json!({ "release": release }),
            None => json!({}),
        };
        let seen: ReleaseSeen = node.post(&format!("{at}/rollback"), &target)?;
        print::out(&format!("release {} is served: {}\n", seen.release, sizes(&seen)));
    }
    Ok(Exit::Done)
}

fn wrong_usage(message: &str) -> ! {
    let mut cli = Cli::command();
    cli.build();
    let command = cli.find_subcommand_mut("push").expect("this is the command `push`");
    command.error(ErrorKind::ValueValidation, message).exit()
}

/// The node, with the token that is meant for pushing.
fn node(args: &PushArgs) -> Result<Node, Failure> {
    let variable = args.token_env.as_deref().unwrap_or(TOKEN_VARIABLE);
    let token = std::env::var(variable).ok().filter(|token| !token.is_empty());
    if token.is_none() && args.token_env.is_some() {
        return Err(Failure::Failed(format!("environment variable {variable} is not set")));
    }
    let node = Node::find(&NodeArgs { file: args.file.clone(), admin: args.to.clone() })?;
    Ok(node.with_token(token, variable))
}

/// What is served now, if anything is.
fn current(node: &Node, at: &str) -> Result<Option<Manifest>, Failure> {
    match node.get::<Manifest>(&format!("{at}/current")) {
        Ok(manifest) => Ok(Some(manifest)),
        // Either there is no such store, which its list says too, or nothing is in it.
        Err(NodeError::Refused { status: 404, .. }) => {
            node.get::<Value>(&format!("{at}/releases"))?;
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a release of the same files is what is wanted.
fn is_alike(current: &Manifest, args: &PushArgs) -> bool {
    let is_named = args.release.as_ref().is_none_or(|name| *name == current.release);
    let has_end = current.expires_unix_ms.is_some()
        || current.files.values().any(|entry| entry.expires_unix_ms.is_some());
    is_named && args.expire.is_empty() && !has_end
}

/// A name as one segment of a path; what a store cannot be called is then no store that the node knows.
fn segment(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '_' };
    name.chars().map(plain).collect()
}

/// "3 files added, 1 changed, 0 removed, 20 the same", and which.
fn changes(difference: &Difference, with_names: bool) -> String {
    let Difference { added, changed, removed, unchanged } = difference;
    let mut text = format!(
        "{} added, {} changed, {} removed, {unchanged} the same\n",
        counted(added.len(), "file"),
        changed.len(),
        removed.len()
    );
    let kinds = [("+", added), ("~", changed), ("-", removed)];
    for (sign, paths) in kinds.into_iter().filter(|_| with_names) {
        for path in paths.iter().take(NAMED_MAX) {
            text.push_str(&format!("  {sign} {path}\n"));
        }
        if let Some(more @ 1..) = paths.len().checked_sub(NAMED_MAX) {
            text.push_str(&format!("  {sign} and {more} more\n"));
        }
    }
    text
}

/// Which names are referred to by which others.
fn renamed(plan: &Plan) -> String {
    let lines = plan.map.iter().map(|(path, name)| format!("  {path} -> {name}\n"));
    let text: String = lines.collect();
    if text.is_empty() { text } else { format!("references that are rewritten:\n{text}") }
}

fn sizes(seen: &ReleaseSeen) -> String {
    let bytes = usize::try_from(seen.size_bytes).unwrap_or(usize::MAX);
    format!("{}, {}", counted(seen.files, "file"), memory(bytes))
}

fn list(releases: &[ReleaseSeen], now: SystemTime) -> String {
    if releases.is_empty() {
        return "nothing was pushed yet\n".into();
    }
    let paint = Paint::new(print::stdout_colors());
    let mut table = Table::new(["release", "made", "files", "size", "ends", ""]);
    for seen in releases {
        let ends = seen.expires_unix_ms.map(|end| until(end, now)).unwrap_or_default();
        let bytes = usize::try_from(seen.size_bytes).unwrap_or(usize::MAX);
        table.row([
            seen.release.to_string(),
            ago(seen.created_unix_ms, now),
            seen.files.to_string(),
            memory(bytes),
            ends,
            if seen.is_current { paint.good("served") } else { String::new() },
        ]);
    }
    table.render(paint)
}

fn ago(unix_ms: u64, now: SystemTime) -> String {
    match since(unix_ms, now).as_str() {
        "now" => "now".into(),
        since => format!("{since} ago"),
    }
}

fn until(end_unix_ms: u64, now: SystemTime) -> String {
    let now_ms = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis();
    match u128::from(end_unix_ms).checked_sub(now_ms) {
        Some(left @ 1..) => {
            format!(
                "in {}",
                print::span(std::time::Duration::from_millis(u64::try_from(left).unwrap_or(u64::MAX)))
            )
        }
        _ => "ended".into(),
    }
}
