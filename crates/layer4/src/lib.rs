//! TCP and UDP through a pool.
