//! Content codings: which one a client takes, and the bytes in it.
