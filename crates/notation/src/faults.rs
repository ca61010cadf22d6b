//! What is wrong with a file: all of it at once, each with its place.

use std::ops::Range;

/// One thing that is wrong with the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where, in bytes from the start of the file; `None` when it is about the file as a whole.
    pub span: Option<Range<usize>>,
    /// Who, what and which limit; lower case, no full stop.
    pub message: String,
    /// What to do about it, when that is known: "did you mean `shop`?".
    pub help: Option<String>,
}

/// The faults of a file, in the order they were found.
#[derive(Debug, Default)]
pub struct Faults(Vec<Fault>);

impl Faults {
    /// Notes a fault at a place.
    pub fn add(&mut self, span: Option<Range<usize>>, message: impl Into<String>) {
        self.0.push(Fault { span, message: message.into(), help: None });
    }

    /// Notes a fault at a place, with what to do about it.
    pub fn add_with_help(
        &mut self,
        span: Option<Range<usize>>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.0.push(Fault { span, message: message.into(), help: Some(help.into()) });
    }

    /// Notes that `name` names nothing of the `known`, and the nearest of them.
    pub fn unknown<'a>(
        &mut self,
        span: Option<Range<usize>>,
        what: &str,
        name: &str,
        known: impl IntoIterator<Item = &'a str>,
    ) {
        let known: Vec<&str> = known.into_iter().collect();
        let help = match nearest(name, known.iter().copied()) {
            Some(near) => Some(format!("did you mean `{near}`?")),
            None if known.is_empty() => Some(format!("the file has no {what}")),
            None if known.len() <= 12 => Some(format!("known: {}", known.join(", "))),
            None => None,
        };
        self.0.push(Fault { span, message: format!("unknown {what} `{name}`"), help });
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All faults, in the order they were found.
    pub fn into_vec(self) -> Vec<Fault> {
        self.0
    }
}

/// The candidate nearest to `name` by edit distance, if any is near enough to be what was meant.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // What is longer is no slip of the pen, and the comparison costs its length.
    const NAME_CHARS_MAX: usize = 100;
    if name.chars().nth(NAME_CHARS_MAX).is_some() {
        return None;
    }
    let distance_max = (name.chars().count() / 3).max(1) + 1;
    candidates
        .into_iter()
        .map(|candidate| (edits(name, candidate), candidate))
        .filter(|(distance, candidate)| {
            // With nothing in common it is another name, however short both are.
            *distance <= distance_max && *distance < name.chars().count().max(candidate.chars().count())
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Edits from one string to the other, a swap of neighbours being one (optimal string alignment).
fn edits(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut two_above: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for row in 1..=from.len() {
        let mut here = vec![row; to.len() + 1];
        for column in 1..=to.len() {
            let differs = usize::from(from[row - 1] != to[column - 1]);
            let mut cost = (above[column] + 1).min(here[column - 1] + 1).min(above[column - 1] + differs);
            if row > 1 && column > 1 && from[row - 1] == to[column - 2] && from[row - 2] == to[column - 1] {
                cost = cost.min(two_above[column - 2] + 1);
            }
            here[column] = cost;
        }
        two_above = std::mem::replace(&mut above, here);
    }
    above[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_slip_of_the_pen_is_recognised() {
        let known = ["shop", "shop-us", "db", "static"];
        for (slip, meant) in [
            ("shpo", "shop"),
            ("Shop", "shop"),
            ("shops", "shop"),
            ("sho", "shop"),
            ("bd", "db"),
            ("dbs", "db"),
            ("shop_us", "shop-us"),
            ("statics", "static"),
            ("sttaic", "static"),
        ] {
            assert_eq!(nearest(slip, known), Some(meant), "{slip}");
        }
    }

    #[test]
    fn another_word_is_no_slip() {
        for (word, known) in
            [("cache", "shop"), ("x", "y"), ("ab", "cd"), ("", "a"), ("payments", "shop"), ("shop", "")]
        {
            assert_eq!(nearest(word, [known]), None, "{word} {known}");
        }
        assert_eq!(nearest("shop", []), None);
    }

    #[test]
    fn of_two_that_are_as_near_the_first_is_meant() {
        assert_eq!(nearest("shop3", ["shop1", "shop2"]), Some("shop1"));
    }

    #[test]
    fn edits_are_counted_a_swap_as_one() {
        for (from, to, count) in [
            ("", "", 0),
            ("a", "", 1),
            ("", "abc", 3),
            ("shop", "shpo", 1),
            ("kitten", "sitting", 3),
            ("é", "e", 1),
        ] {
            assert_eq!(edits(from, to), count, "{from} {to}");
        }
    }

    #[test]
    fn an_unknown_name_is_reported_with_the_nearest_or_all_that_are_known() {
        let mut faults = Faults::default();
        assert!(faults.is_empty());
        faults.unknown(Some(3..7), "pool", "shpo", ["shop", "db"]);
        faults.unknown(None, "pool", "cache", ["shop", "db"]);
        faults.unknown(None, "pool", "cache", []);
        let many: Vec<String> = (0..13).map(|index| format!("a-long-name-{index}")).collect();
        faults.unknown(None, "pool", "cache", many.iter().map(String::as_str));
        faults.add(None, "edge: nothing listens");
        faults.add_with_help(Some(0..1), "edge: nothing listens", "add `http`");
        let fault = |span, message: &str, help: Option<&str>| Fault {
            span,
            message: message.into(),
            help: help.map(Into::into),
        };
        let expected = vec![
            fault(Some(3..7), "unknown pool `shpo`", Some("did you mean `shop`?")),
            fault(None, "unknown pool `cache`", Some("known: shop, db")),
            fault(None, "unknown pool `cache`", Some("the file has no pool")),
            fault(None, "unknown pool `cache`", None),
            fault(None, "edge: nothing listens", None),
            fault(Some(0..1), "edge: nothing listens", Some("add `http`")),
        ];
        assert!(!faults.is_empty());
        assert_eq!(faults.into_vec(), expected);
    }

    proptest! {
        #[test]
        fn edits_are_a_distance(a in "[abc]{0,6}", b in "[abc]{0,6}") {
            prop_assert_eq!(edits(&a, &b), edits(&b, &a));
            prop_assert_eq!(edits(&a, &b) == 0, a == b);
            prop_assert!(edits(&a, &b) <= a.len().max(b.len()));
            prop_assert!(edits(&a, &b) >= a.len().abs_diff(b.len()));
        }

        #[test]
        fn any_one_slip_in_a_name_is_recognised(name in "[a-z]{3,12}", at: usize, letter in "[a-z]", kind in 0..3) {
            let mut slip: Vec<char> = name.chars().collect();
            let at = at % slip.len();
            match kind {
                0 => slip[at] = letter.chars().next().unwrap_or('a'),
                1 => slip.insert(at, letter.chars().next().unwrap_or('a')),
                _ => { slip.remove(at); }
            }
            let slip: String = slip.into_iter().collect();
            prop_assert_eq!(nearest(&slip, [name.as_str()]), Some(name.as_str()));
        }
    }
}
