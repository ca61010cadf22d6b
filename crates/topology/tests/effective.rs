//! The effective file is a file, and says the same as the one it was made from.

use std::path::Path;

fn parse(text: &str) -> topology::Topology {
    topology::parse(text, Path::new("f")).unwrap_or_else(|rejected| panic!("{rejected}\n{text}")).topology
}

#[test]
fn the_effective_file_loads_to_an_equal_topology() {
    for text in
        ["", "[edge]\nhttp = []\n", include_str!("files/good.toml"), include_str!("../../../nines.toml")]
    {
        let topology = parse(text);
        let effective = topology::effective(&topology);
        assert_eq!(parse(&effective), topology);
        assert_eq!(topology::effective(&parse(&effective)), effective, "and is its own effective file");
    }
}

#[test]
fn defaults_are_written_out_and_secrets_stay_references() {
    let effective =
        topology::effective(&parse("[node]\nadmin_token = { env = 'PATH' }\n[pool.a]\nservers = ['a:1']\n"));
    assert!(effective.contains("admin = \"127.0.0.1:9900\""), "{effective}");
    assert!(effective.contains("balance = \"power-of-two\""), "{effective}");
    assert!(effective.contains("env = \"PATH\""), "{effective}");
}
