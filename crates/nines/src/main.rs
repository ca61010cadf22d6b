//! One binary from a DNS name to a database row.
fn main() {}
