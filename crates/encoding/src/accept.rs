//! `Accept-Encoding`: what a client takes (RFC 9110 §12.5.3).

use crate::Coding;

/// What a client gets of what was on offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The representation in this coding.
    Encode(Coding),
    /// The representation as it is.
    Identity,
}

/// A weight of the field, in thousandths: `q=0.5` is 500.
type Weight = u16;

const WEIGHT_MAX: Weight = 1000;

/// What the field says, before anything is on offer. Nothing of it is allocated.
#[derive(Debug, Clone, Copy, Default)]
struct Accepted {
    codings: [Option<Weight>; Coding::ALL.len()],
    identity: Option<Weight>,
    /// `*`: every coding that is not named.
    any: Option<Weight>,
}

/// The coding that a client likes best of those `offered`, which stand in our order of preference; ties go to
/// the first.
///
/// `values` are those of all `Accept-Encoding` lines. Without the field a client is taken to know no coding:
/// RFC 9110 would allow any, and no server dares. `identity` wins where the client names it with a greater
/// weight than every coding on offer; it is also the answer when nothing on offer is taken, even to
/// `identity;q=0`: a response is of more use than 406.
///
/// A member that is not written as RFC 9110 wants it is ignored, and so is what is not offered. Of a coding that
/// is named more than once the last weight counts.
pub fn negotiate<'a>(values: impl IntoIterator<Item = &'a [u8]>, offered: &[Coding]) -> Choice {
    let mut accepted = Accepted::default();
    for value in values {
        for member in value.split(|byte| *byte == b',') {
            accepted.note(member);
        }
    }
    accepted.choose(offered)
}

impl Accepted {
    fn note(&mut self, member: &[u8]) {
        let Some((name, weight)) = weighted(member) else { return };
        if let Some(coding) = Coding::from_token(name) {
            self.codings[coding.index()] = Some(weight);
        } else if name.eq_ignore_ascii_case(b"identity") {
            self.identity = Some(weight);
        } else if name == b"*" {
            self.any = Some(weight);
        }
    }

    fn choose(&self, offered: &[Coding]) -> Choice {
        let mut best = (0, Choice::Identity);
        for coding in offered {
            let weight = self.codings[coding.index()].or(self.any).unwrap_or(0);
            if weight > best.0 {
                best = (weight, Choice::Encode(*coding));
            }
        }
        if self.identity.is_some_and(|weight| weight > best.0) { Choice::Identity } else { best.1 }
    }
}

/// A member's name and weight; `None` if it is malformed, or empty.
fn weighted(member: &[u8]) -> Option<(&[u8], Weight)> {
    let member = trim(member);
    let Some(semicolon) = member.iter().position(|byte| *byte == b';') else {
        return (!member.is_empty()).then_some((member, WEIGHT_MAX));
    };
    let [b'q' | b'Q', b'=', weight @ ..] = trim(&member[semicolon + 1..]) else { return None };
    Some((trim(&member[..semicolon]), qvalue(weight)?))
}

/// RFC 9110 §12.4.2: `0` or `1`, then up to three decimals; those of 1 are zeros.
fn qvalue(text: &[u8]) -> Option<Weight> {
    let (whole, decimals) = match text {
        [whole @ (b'0' | b'1')] => (*whole, &[][..]),
        [whole @ (b'0' | b'1'), b'.', decimals @ ..] if decimals.len() <= 3 => (*whole, decimals),
        _ => return None,
    };
    let mut weight = Weight::from(whole - b'0');
    for place in 0..3 {
        let digit = decimals.get(place).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        weight = weight * 10 + Weight::from(digit - b'0');
    }
    (weight <= WEIGHT_MAX).then_some(weight)
}

/// Without the spaces and tabs around it (OWS, RFC 9110 §5.6.3).
pub(crate) fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use Choice::{Encode, Identity};
    use Coding::{Br, Gzip, Zstd};
    use proptest::prelude::*;

    fn chosen(value: &str) -> Choice {
        negotiate([value.as_bytes()], &Coding::ALL)
    }

    #[test]
    fn without_the_field_nothing_is_encoded() {
        assert_eq!(negotiate([], &Coding::ALL), Identity);
        assert_eq!(chosen(""), Identity);
        assert_eq!(chosen(" ,\t, "), Identity);
    }

    #[test]
    fn ties_go_to_the_order_on_offer() {
        assert_eq!(chosen("gzip, deflate, br, zstd"), Encode(Zstd));
        assert_eq!(chosen("gzip, deflate, br"), Encode(Br));
        assert_eq!(negotiate([b"gzip, br, zstd".as_slice()], &[Gzip, Br]), Encode(Gzip));
        assert_eq!(negotiate([b"gzip, br, zstd".as_slice()], &[]), Identity);
    }

    #[test]
    fn the_greatest_weight_wins() {
        assert_eq!(chosen("zstd;q=0.5, br;q=0.501, gzip;q=0.5"), Encode(Br));
        assert_eq!(chosen("zstd;q=0.001,gzip;q=0.002"), Encode(Gzip));
        assert_eq!(chosen("br ; q=0.9 , gzip\t;\tQ=1.000"), Encode(Gzip));
    }

    #[test]
    fn what_weighs_nothing_is_not_taken() {
        assert_eq!(chosen("gzip;q=0"), Identity);
        assert_eq!(chosen("gzip;q=0.000, zstd;q=0., br;q=0.0"), Identity);
        assert_eq!(chosen("gzip;q=0, *"), Encode(Zstd));
        assert_eq!(chosen("zstd;q=0, *"), Encode(Br));
        assert_eq!(chosen("gzip, *;q=0"), Encode(Gzip));
    }

    #[test]
    fn a_star_stands_for_what_is_not_named() {
        assert_eq!(chosen("*"), Encode(Zstd));
        assert_eq!(chosen("br;q=0.5, *;q=0.4"), Encode(Br));
        assert_eq!(chosen("br;q=0.5, *;q=0.6"), Encode(Zstd));
    }

    #[test]
    fn identity_wins_only_where_it_is_preferred() {
        assert_eq!(chosen("identity"), Identity);
        assert_eq!(chosen("identity, gzip"), Encode(Gzip));
        assert_eq!(chosen("identity, gzip;q=0.9"), Identity);
        assert_eq!(chosen("identity;q=0.5, gzip;q=0.9"), Encode(Gzip));
        assert_eq!(chosen("identity;q=0, *;q=0"), Identity);
        assert_eq!(chosen("*;q=0.1"), Encode(Zstd), "a star is no word for identity");
    }

    #[test]
    fn names_have_no_case_and_x_gzip_is_gzip() {
        assert_eq!(chosen("GZip"), Encode(Gzip));
        assert_eq!(chosen("x-gzip"), Encode(Gzip));
        assert_eq!(chosen("X-GZIP;q=0.5, br;q=0.4"), Encode(Gzip));
        for other in ["deflate", "compress", "gzipped", "gzi", "x-br", "dcb, dcz", "gzip br"] {
            assert_eq!(chosen(other), Identity, "{other}");
        }
    }

    #[test]
    fn all_lines_are_one_list() {
        let lines = [b"gzip;q=0.5".as_slice(), b"", b"br;q=0.7, deflate"];
        assert_eq!(negotiate(lines, &Coding::ALL), Encode(Br));
    }

    #[test]
    fn a_malformed_member_is_ignored_and_the_others_count() {
        for bad in [
            "br;q=1.001",
            "br;q=2",
            "br;q=0.1234",
            "br;q=",
            "br;q=.5",
            "br;q=-1",
            "br;q=1e0",
            "br;q=0.5x",
            "br;q",
            "br;",
            "br;v=1",
            "br;v=1;q=1",
            "br;q=1;v=1",
            "br;q =1",
            "br;q= 1",
            ";q=1",
            "\"br\"",
            "br;q=\"1\"",
            "b\u{0}r",
        ] {
            assert_eq!(chosen(bad), Identity, "{bad}");
            assert_eq!(chosen(&format!("{bad}, gzip;q=0.1")), Encode(Gzip), "{bad}");
        }
    }

    #[test]
    fn of_two_weights_the_last_counts() {
        assert_eq!(chosen("gzip, gzip;q=0"), Identity);
        assert_eq!(chosen("gzip;q=0, x-gzip"), Encode(Gzip));
    }

    fn member() -> impl Strategy<Value = (Option<Coding>, Weight)> {
        (prop_oneof![Just(Some(Zstd)), Just(Some(Br)), Just(Some(Gzip)), Just(None)], 0..=WEIGHT_MAX)
    }

    fn written((coding, weight): (Option<Coding>, Weight)) -> String {
        let name = coding.map_or("identity", Coding::token);
        format!("{name};q={}.{:03}", weight / 1000, weight % 1000)
    }

    proptest! {
        #[test]
        fn the_choice_has_the_greatest_weight_of_all(members in prop::collection::vec(member(), 0..6)) {
            let mut last = std::collections::HashMap::new();
            last.extend(members.iter().copied());
            let weight = |coding| last.get(&Some(coding)).copied().unwrap_or(0);
            let text: Vec<String> = members.into_iter().map(written).collect();
            let best = Coding::ALL.into_iter().map(weight).max().unwrap_or(0);
            match chosen(&text.join(",")) {
                Encode(coding) => {
                    prop_assert_eq!(weight(coding), best);
                    prop_assert!(best > 0 && last.get(&None).is_none_or(|identity| *identity <= best));
                    prop_assert_eq!(Coding::ALL.into_iter().find(|one| weight(*one) == best), Some(coding));
                }
                Identity => prop_assert!(best == 0 || last.get(&None).is_some_and(|identity| *identity > best)),
            }
        }

        #[test]
        fn it_is_the_same_on_one_line_or_several(text in "[gzipbrstd*q=;,0-9. ]{0,60}") {
            let lines: Vec<&[u8]> = text.as_bytes().split(|byte| *byte == b',').collect();
            prop_assert_eq!(chosen(&text), negotiate(lines, &Coding::ALL));
        }

        #[test]
        fn a_coding_that_is_chosen_was_offered_and_named(value in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Encode(coding) = negotiate([value.as_slice()], &[Gzip]) {
                prop_assert_eq!(coding, Gzip);
                let text = value.to_ascii_lowercase();
                prop_assert!(text.contains(&b'*') || text.windows(4).any(|name| name == b"gzip"));
            }
        }
    }
}
