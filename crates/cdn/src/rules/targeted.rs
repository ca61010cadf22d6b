//! Fields that speak to caches like this one: `CDN-Cache-Control` (RFC 9213) and `Surrogate-Control` (W3C Edge Architecture).

use super::directive::{Directive, ResponseControl, delta_seconds};
use super::lines::{members, quoted_len, trim};
use super::structured::{Bare, Dictionary};

/// What this cache is called: the target of directives that are for it alone, and its name in `Cache-Status`.
pub const NAME: &str = "nines";

/// The line that a fetch carries, so that origins know that `Surrogate-Control` is understood.
pub const CAPABILITY_LINE: &[u8] = b"Surrogate-Capability: nines=\"Surrogate/1.0\"\r\n";

/// Reads all lines of `CDN-Cache-Control` as one dictionary (RFC 9213 §2.1). `None`: it is malformed, or empty, and ignored as a whole.
pub(crate) fn cdn_cache_control<'a>(lines: &[&'a [u8]]) -> Option<ResponseControl<'a>> {
    let mut control = ResponseControl::default();
    let mut is_empty = true;
    for line in lines {
        for entry in Dictionary::of(line) {
            let (key, value) = entry.ok()?;
            is_empty = false;
            note_member(&mut control, key, value);
        }
    }
    (!is_empty).then_some(control)
}

/// Of a key that stands twice the last counts (RFC 9651 §3.2). A value of another type than its directive has says nothing good.
fn note_member<'a>(control: &mut ResponseControl<'a>, key: &'a [u8], value: Bare<'a>) {
    let is_on = value != Bare::Boolean(false);
    let seconds =
        || Some(if let Bare::Integer(digits) = value { delta_seconds(digits).unwrap_or(0) } else { 0 });
    match key {
        b"max-age" => control.max_age = seconds(),
        b"s-maxage" => control.s_maxage = seconds(),
        b"stale-while-revalidate" => control.stale_while_revalidate = seconds(),
        b"stale-if-error" => control.stale_if_error = seconds(),
        b"no-store" => control.no_store = is_on,
        b"public" => control.public = is_on,
        b"must-revalidate" => control.must_revalidate = is_on,
        b"proxy-revalidate" => control.proxy_revalidate = is_on,
        b"must-understand" => control.must_understand = is_on,
        b"no-cache" | b"private" => match value {
            Bare::String(fields) if members(fields).next().is_some() => control.unstored.push(fields),
            _ if key == b"private" => control.private = is_on,
            _ => control.no_cache = is_on,
        },
        _ => {}
    }
}

/// Reads all lines of `Surrogate-Control`. `None`: nothing in them is for this cache and known to it.
///
/// `max-age=60` and `no-store` are for every surrogate, `max-age=60;nines` for this one alone, and more than what is for all.
/// `max-age=60+30` allows to serve stale for 30 seconds more. `no-store-remote` counts as `no-store`: this cache may be the remote one.
pub(crate) fn surrogate_control<'a>(lines: &[&'a [u8]]) -> Option<ResponseControl<'a>> {
    let (mut general, mut own) = (Surrogate::default(), Surrogate::default());
    for member in lines.iter().flat_map(|line| members(line)) {
        match target(member) {
            (directive, None) => general.note(directive),
            (directive, Some(name)) if name == NAME.as_bytes() => own.note(directive),
            _ => {}
        }
    }
    let chosen = if own.is_known { own } else { general };
    chosen.is_known.then_some(chosen.control)
}

#[derive(Default)]
struct Surrogate<'a> {
    control: ResponseControl<'a>,
    is_known: bool,
}

impl<'a> Surrogate<'a> {
    fn note(&mut self, member: &'a [u8]) {
        for directive in Directive::all(member) {
            if directive.is("no-store") || directive.is("no-store-remote") {
                self.control.no_store = true;
            } else if directive.is("max-age") {
                self.note_age(directive.argument.unwrap_or_default());
            } else {
                continue;
            }
            self.is_known = true;
        }
    }

    fn note_age(&mut self, argument: &'a [u8]) {
        if self.control.max_age.is_some() {
            return;
        }
        let (age, more) = match argument.iter().position(|byte| *byte == b'+') {
            Some(plus) => (&argument[..plus], delta_seconds(&argument[plus + 1..])),
            None => (argument, None),
        };
        self.control.max_age = Some(delta_seconds(age).unwrap_or(0));
        self.control.stale_while_revalidate = more;
    }
}

/// A directive, and the one surrogate it is for, if it is for one.
fn target(member: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut at = 0;
    while at < member.len() {
        match member[at] {
            b';' => return (trim(&member[..at]), Some(trim(&member[at + 1..]))),
            b'"' => at += quoted_len(&member[at..]).unwrap_or(1),
            _ => at += 1,
        }
    }
    (member, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::directive::SECONDS_MAX;

    fn surrogate(text: &str) -> Option<ResponseControl<'_>> {
        surrogate_control(&[text.as_bytes()])
    }

    #[test]
    fn surrogates_are_told_ages_and_what_not_to_store() {
        for (text, expected) in [
            ("max-age=3600", Some(3600)),
            ("MaX-aGe=3600", Some(3600)),
            ("foobar, max-age=3600", Some(3600)),
            ("content=\"ESI/1.0;x, max-age=5\", max-age=3600", Some(3600)),
            ("max-age=2147483648", Some(SECONDS_MAX)),
            ("max-age=99999999999", Some(SECONDS_MAX)),
            ("max-age=0", Some(0)),
            ("max-age = 100", Some(0)),
            ("max-age=3600;nines", Some(3600)),
            ("max-age=5, max-age=3600;nines", Some(3600)),
            ("no-store, max-age=3600;nines", Some(3600)),
        ] {
            assert_eq!(surrogate(text).and_then(|control| control.max_age), expected, "{text}");
        }
        assert!(surrogate("no-store").is_some_and(|control| control.no_store));
        assert!(surrogate("no-store-remote").is_some_and(|control| control.no_store));
        assert_eq!(surrogate("max-age=60+30").and_then(|control| control.stale_while_revalidate), Some(30));
    }

    #[test]
    fn what_is_for_another_surrogate_or_unknown_says_nothing() {
        for text in ["", "foo", "max-age=3600;not-for-you", "no-store;abc", "content=\"ESI/1.0\""] {
            assert_eq!(surrogate(text), None, "{text}");
        }
    }

    #[test]
    fn a_targeted_field_is_a_dictionary_or_nothing() {
        let read = |lines: &[&'static str]| {
            let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
            cdn_cache_control(&lines)
        };
        let control = read(&["max-age=60, no-cache;x=1", "stale-if-error=5"]).unwrap();
        assert!(control.no_cache);
        assert_eq!((control.max_age, control.stale_if_error), (Some(60), Some(5)));
        assert_eq!(read(&["max-age=60, max-age=7"]).unwrap().max_age, Some(7), "the last counts");
        assert!(!read(&["no-store, no-store=?0, max-age=7"]).unwrap().no_store);
        for (text, expected) in [
            ("max-age=\"60\"", 0),
            ("max-age=6.5", 0),
            ("max-age=-5", 0),
            ("max-age", 0),
            ("max-age=999999999999999", SECONDS_MAX),
        ] {
            assert_eq!(read(&[text]).unwrap().max_age, Some(expected), "{text}");
        }
        for bad in [
            "",
            "max-age=60 no-store",
            "Max-Age=60",
            "max-age=60,",
            "max-age=60, =1",
            "max-age=&",
            "max-age=\"6",
        ] {
            assert_eq!(read(&[bad]), None, "{bad}");
        }
        assert_eq!(read(&["max-age=60", "&"]), None, "one bad line spoils all");
    }
}
