//! No text makes the reading panic, and what it says about a text lies within it.

use proptest::prelude::*;
use std::path::Path;

const FILES: [&str; 2] = [include_str!("files/good.toml"), include_str!("files/bad.toml")];

/// Pieces that mean something to TOML or to the file.
const PIECES: [&str; 24] = [
    "[",
    "]",
    "{",
    "}",
    "=",
    ".",
    ",",
    "\"",
    "'",
    "\"\"\"",
    "\n",
    "#",
    "0x",
    "-1",
    "1e9",
    "nan",
    "\u{feff}",
    "ä",
    "\\u0000",
    "[[pool]]",
    "[site.\"*\"]",
    "99999999999999999999",
    "2020-01-01",
    "true",
];

#[derive(Debug, Clone)]
enum Edit {
    Cut(usize, usize),
    Insert(usize, &'static str),
    Copy(usize, usize, usize),
    Byte(usize, char),
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (any::<usize>(), 0..40usize).prop_map(|(at, length)| Edit::Cut(at, length)),
        (any::<usize>(), prop::sample::select(&PIECES[..])).prop_map(|(at, piece)| Edit::Insert(at, piece)),
        (any::<usize>(), 0..60usize, any::<usize>())
            .prop_map(|(from, length, to)| Edit::Copy(from, length, to)),
        (any::<usize>(), any::<char>()).prop_map(|(at, char)| Edit::Byte(at, char)),
    ]
}

fn apply(text: &mut Vec<char>, edit: &Edit) {
    let at = |place: usize| place % (text.len() + 1);
    match *edit {
        Edit::Cut(place, length) => {
            let from = at(place);
            let to = (from + length).min(text.len());
            text.drain(from..to);
        }
        Edit::Insert(place, piece) => {
            let from = at(place);
            text.splice(from..from, piece.chars());
        }
        Edit::Copy(from, length, to) => {
            let from = at(from);
            let piece: Vec<char> = text[from..(from + length).min(text.len())].to_vec();
            let to = at(to);
            text.splice(to..to, piece);
        }
        Edit::Byte(place, char) => {
            let from = at(place);
            text.splice(from..(from + 1).min(text.len()), [char]);
        }
    }
}

/// Whatever the text: an answer, with every problem drawn, and an effective file that means the same.
fn check(text: &str) -> Result<(), TestCaseError> {
    match topology::parse(text, Path::new("f")) {
        Ok(checked) => {
            checked.render_warnings(false);
            let effective = topology::effective(&checked.topology);
            let again = topology::parse(&effective, Path::new("f"))
                .map_err(|error| TestCaseError::fail(format!("{error}\n{effective}")))?;
            prop_assert_eq!(again.topology, checked.topology);
        }
        Err(rejected) => {
            prop_assert!(rejected.errors() > 0);
            prop_assert!(!rejected.render(false).is_empty());
            let lines = text.lines().count() + 1;
            for problem in &rejected.problems {
                prop_assert!(problem.line.unwrap_or(1) <= lines, "{}", problem.one_line());
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_mutated_file_is_answered(file in 0..FILES.len(), edits in prop::collection::vec(edit(), 1..8)) {
        let mut text: Vec<char> = FILES[file].chars().collect();
        edits.iter().for_each(|edit| apply(&mut text, edit));
        check(&text.into_iter().collect::<String>())?;
    }

    #[test]
    fn any_text_is_answered(text in "\\PC{0,200}") {
        check(&text)?;
    }
}

#[test]
fn deep_and_large_files_are_answered() {
    let deep = format!("a{}=1", ".a".repeat(5000));
    check(&deep).unwrap();
    check(&format!("a={}", "[".repeat(5000))).unwrap();
    check(&format!("a={}1", "{a=".repeat(5000))).unwrap();
    check(&format!("pool.{}={{}}", "x".repeat(100_000))).unwrap();
    let large = " ".repeat(5 << 20);
    let rejected = topology::parse(&large, Path::new("f")).unwrap_err();
    assert!(rejected.to_string().contains("more than the 4194304 that are read"));
}
