//! Who may come, how often, and who that really is.
