//! The canonical order of names: RFC 4034 §6.1.

use std::cmp::Ordering;

/// Labels of the longest name.
const LABELS_MAX: usize = 128;

/// Orders two names below the same apex, without what they share and without the root: lower-cased wire form. What is empty is
/// the apex.
pub(crate) fn compare(one: &[u8], other: &[u8]) -> Ordering {
    let ((one_starts, one_labels), (other_starts, other_labels)) = (starts(one), starts(other));
    for back in 1..=one_labels.min(other_labels) {
        let order =
            label(one, one_starts[one_labels - back]).cmp(label(other, other_starts[other_labels - back]));
        if order.is_ne() {
            return order;
        }
    }
    one_labels.cmp(&other_labels)
}

fn label(name: &[u8], start: u8) -> &[u8] {
    let start = usize::from(start);
    &name[start + 1..start + 1 + usize::from(name[start])]
}

/// Where each label begins, and how many there are.
fn starts(name: &[u8]) -> ([u8; LABELS_MAX], usize) {
    let mut starts = [0; LABELS_MAX];
    let (mut at, mut labels) = (0, 0);
    while at < name.len() {
        starts[labels] = at as u8;
        labels += 1;
        at += 1 + usize::from(name[at]);
    }
    (starts, labels)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Name;

    /// The example of RFC 4034 §6.1.
    #[test]
    fn names_are_in_the_order_of_the_rfc() {
        let ordered = [
            "example",
            "a.example",
            "yljkjljk.a.example",
            "z.a.example",
            "zabc.a.example",
            "z.example",
            "\\001.z.example",
            "*.z.example",
            "\\200.z.example",
        ];
        let wires = ordered.map(|name| {
            let name: Name = name.parse().expect("a name");
            name.as_wire()[..name.wire_len() - 9].to_vec()
        });
        for (nth, one) in wires.iter().enumerate() {
            for (other_nth, other) in wires.iter().enumerate() {
                assert_eq!(
                    compare(one, other),
                    nth.cmp(&other_nth),
                    "{} {}",
                    ordered[nth],
                    ordered[other_nth]
                );
            }
        }
    }
}
