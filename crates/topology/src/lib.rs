//! The file: schema, checks, diff; starts, reloads and drains the tiers
