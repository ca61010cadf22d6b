//! TLS: certificates by name, tickets, client certificates, and clients that verify.
