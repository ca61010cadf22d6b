//! Certificates from an ACME server: ordered, kept, renewed.
