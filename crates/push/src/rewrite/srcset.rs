//! `srcset`: a list of references, each with a descriptor (HTML, "parsing a srcset attribute").

use std::ops::Range;

/// The places of the references in a list.
pub(super) fn references(list: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    loop {
        while list.get(at).is_some_and(|byte| byte.is_ascii_whitespace() || *byte == b',') {
            at += 1;
        }
        let start = at;
        while list.get(at).is_some_and(|byte| !byte.is_ascii_whitespace()) {
            at += 1;
        }
        if start == at {
            return found;
        }
        let text = &list[start..at];
        let commas = text.iter().rev().take_while(|byte| **byte == b',').count();
        found.push(start..at - commas);
        // Commas at its end say that it has no descriptor.
        if commas == 0 {
            at = descriptor_end(list, at);
        }
    }
}

/// Behind the comma that ends a descriptor, which within parentheses is none.
fn descriptor_end(list: &[u8], from: usize) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in list.iter().enumerate().skip(from) {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    list.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_candidate_has_one_reference() {
        let found = |list: &'static str| -> Vec<&str> {
            references(list.as_bytes()).into_iter().map(|place| &list[place]).collect()
        };
        assert_eq!(found("a.png 1x, b.png 2x"), ["a.png", "b.png"]);
        assert_eq!(found("a.png, b.png 640w,c.png"), ["a.png", "b.png", "c.png"]);
        assert_eq!(found(" ,a,b.png 1x (x, y) , c.png"), ["a,b.png", "c.png"]);
        assert_eq!(found(""), [""; 0]);
        assert_eq!(found(" , "), [""; 0]);
    }
}
