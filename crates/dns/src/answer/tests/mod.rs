//! What is answered, rule by rule. A test names a zone, asks, and reads the response as `domain` reads it.

mod basics;
mod world;
