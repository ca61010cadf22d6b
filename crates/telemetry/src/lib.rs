//! One event in code becomes metrics, spans and logs
