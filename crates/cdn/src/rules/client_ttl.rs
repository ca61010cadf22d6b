//! What clients are told of time, apart from what the cache goes by.

use super::directive::Directive;
use super::lines::{Lines, members};

/// Writes the lines of a response of this age as clients get them that are to use it for `ttl` seconds from now on: in place of its own
/// times `Cache-Control` has `max-age`, counted with the age, since that is how everybody reads it (RFC 9111 §4.2.3). Its other
/// directives stay. `false`, and nothing is written: the response wants to be asked for each time, or kept by nobody.
pub fn write_client_ttl(lines: &[u8], age: u32, ttl: u32, out: &mut Vec<u8>) -> bool {
    let controls = || Lines::of(lines).filter(|(name, _)| name.eq_ignore_ascii_case(b"cache-control"));
    let directives = || controls().flat_map(|(_, value)| members(value));
    let forbids = |directive: Directive<'_>| {
        directive.is("no-store") || (directive.is("no-cache") && directive.argument.is_none())
    };
    if controls().flat_map(|(_, value)| Directive::all(value)).any(forbids) {
        return false;
    }
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        if !name.eq_ignore_ascii_case(b"cache-control") && !name.eq_ignore_ascii_case(b"expires") {
            out.extend_from_slice(line);
        }
    }
    out.extend_from_slice(b"Cache-Control: ");
    for member in directives() {
        let is_time = Directive::all(member).any(|one| one.is("max-age") || one.is("s-maxage"));
        if !is_time {
            out.extend_from_slice(member);
            out.extend_from_slice(b", ");
        }
    }
    out.extend_from_slice(format!("max-age={}\r\n", age.saturating_add(ttl)).as_bytes());
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &str, age: u32, ttl: u32) -> Option<String> {
        let mut out = Vec::new();
        let is_told = write_client_ttl(lines.replace('\n', "\r\n").as_bytes(), age, ttl, &mut out);
        is_told.then(|| String::from_utf8(out).unwrap().replace("\r\n", "\n"))
    }

    #[test]
    fn clients_use_it_for_as_long_from_when_they_get_it() {
        let lines = "ETag: \"a\"\nCache-Control: public, s-maxage=600\nExpires: x\ncache-control: max-age=5, immutable\nB: c\n";
        let expected = "ETag: \"a\"\nB: c\nCache-Control: public, immutable, max-age=360\n";
        assert_eq!(told(lines, 60, 300).as_deref(), Some(expected));
        assert_eq!(told("A: b\n", 7, 0).as_deref(), Some("A: b\nCache-Control: max-age=7\n"));
        assert_eq!(told("", u32::MAX, 1).as_deref(), Some("Cache-Control: max-age=4294967295\n"));
    }

    #[test]
    fn what_is_asked_for_each_time_or_kept_by_nobody_stays_so() {
        for control in ["no-cache", "max-age=5, No-Store", "private, no-store"] {
            assert_eq!(told(&format!("Cache-Control: {control}\n"), 0, 300), None, "{control}");
        }
        let quoted = told("Cache-Control: no-cache=\"set-cookie, b\", private\n", 0, 300);
        assert_eq!(
            quoted.as_deref(),
            Some("Cache-Control: no-cache=\"set-cookie, b\", private, max-age=300\n")
        );
    }
}
