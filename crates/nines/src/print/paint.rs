//! Colours, on a terminal only, and none with `NO_COLOR` (no-color.org).

use std::io::IsTerminal;

/// Whether standard output takes colours.
pub(crate) fn stdout_colors() -> bool {
    std::io::stdout().is_terminal() && wanted()
}

/// Whether standard error takes colours.
pub(crate) fn stderr_colors() -> bool {
    std::io::stderr().is_terminal() && wanted()
}

fn wanted() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !set("NO_COLOR") && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Paints words by their meaning.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    colors: bool,
}

impl Paint {
    /// With or without colours.
    pub(crate) fn new(colors: bool) -> Self {
        Self { colors }
    }

    /// A heading or a name that matters.
    pub(crate) fn strong(self, text: impl AsRef<str>) -> String {
        self.wrap("1", text.as_ref())
    }

    /// What may be skipped.
    pub(crate) fn faint(self, text: impl AsRef<str>) -> String {
        self.wrap("2", text.as_ref())
    }

    /// What works.
    pub(crate) fn good(self, text: impl AsRef<str>) -> String {
        self.wrap("32", text.as_ref())
    }

    /// What is under way or needs a look.
    pub(crate) fn uneasy(self, text: impl AsRef<str>) -> String {
        self.wrap("33", text.as_ref())
    }

    /// What is broken.
    pub(crate) fn bad(self, text: impl AsRef<str>) -> String {
        self.wrap("1;31", text.as_ref())
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.colors && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
