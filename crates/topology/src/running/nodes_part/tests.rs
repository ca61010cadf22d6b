use super::super::cdn_part::{CdnPart, PreparedCdn};
use super::*;
use cdn::purge::{Mode, Target};

fn topology(text: &str) -> Topology {
    crate::file::parse(text, Path::new("nines.toml")).unwrap().topology
}

#[tokio::test]
async fn nodes_of_a_reload_that_fails_are_not_told_and_of_one_that_does_not_miss_nothing() {
    let home = tempfile::tempdir().unwrap();
    let without = topology("[cdn]\nmemory = \"8MiB\"\n");
    let with = topology("[cdn]\nmemory = \"8MiB\"\nnodes = [\"127.0.0.1:1\"]\n");
    let registry = Registry::new();
    let mut part = CdnPart::start(&without, home.path(), &registry, None).unwrap();
    let engine = part.of_edge(&without).unwrap().engine;
    drop(part.prepare(&with, home.path(), &registry).unwrap());
    assert!(engine.nodes().is_none(), "another part of the file was refused");
    let prepared = part.prepare(&with, home.path(), &registry).unwrap();
    engine.purge(Target::Everything, Mode::Hard).unwrap();
    part.commit(prepared);
    let nodes = part.nodes().unwrap();
    assert!(engine.nodes().is_some_and(|joined| Arc::ptr_eq(&joined, &nodes)));
    assert_eq!(nodes.seen(Moment::now())[0].pending, 1, "what was purged meanwhile is told");
    // The next ones are the same.
    let prepared = part.prepare(&with, home.path(), &registry).unwrap();
    drop(prepared);
    assert!(engine.nodes().is_some());
    part.close();
    assert!(engine.nodes().is_none());
}

#[tokio::test]
async fn a_cache_of_a_reload_that_fails_speaks_with_no_node() {
    let home = tempfile::tempdir().unwrap();
    let with = topology("[cdn]\nmemory = \"8MiB\"\nnodes = [\"127.0.0.1:1\"]\n");
    let registry = Registry::new();
    let mut part = CdnPart::start(&topology(""), home.path(), &registry, None).unwrap();
    let prepared = part.prepare(&with, home.path(), &registry).unwrap();
    let PreparedCdn::Added(added) = &prepared else { panic!("it is new") };
    assert!(added.nodes().unwrap().seen(Moment::now()).is_empty());
    part.commit(prepared);
    assert_eq!(part.nodes().unwrap().seen(Moment::now()).len(), 1);
}
