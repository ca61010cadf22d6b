//! JSON text into a byte buffer, without allocating.

/// Appends `text` as a JSON string, quotes included. Bytes that are not UTF-8 become U+FFFD, one for each
/// maximal invalid part, as [`String::from_utf8_lossy`] has it.
pub fn write_str(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for chunk in text.utf8_chunks() {
        write_escaped(out, chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    out.push(b'"');
}

/// RFC 8259 §7: quotes, backslashes and what is below U+0020 are escaped. U+007F is so too, for terminals.
fn write_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let mut from = 0;
    for (at, &byte) in text.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' && byte != 0x7f {
            continue;
        }
        out.extend_from_slice(&text[from..at]);
        from = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
    }
    out.extend_from_slice(&text[from..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(text: &[u8]) -> String {
        let mut out = b"before".to_vec();
        write_str(&mut out, text);
        String::from_utf8(out.split_off(6)).unwrap()
    }

    #[test]
    fn what_json_or_a_terminal_would_trip_over_is_escaped() {
        assert_eq!(written(b"a\"b\\c\n\r\t\x00\x1b\x7f/"), r#""a\"b\\c\n\r\t\u0000\u001b\u007f/""#);
        assert_eq!(written("é 🦀".as_bytes()), "\"é 🦀\"");
    }

    #[test]
    fn bytes_that_are_not_utf8_become_the_replacement_character() {
        assert_eq!(written(b"a\xffb\xf0\x9f"), r#""a\ufffdb\ufffd""#);
    }

    proptest! {
        #[test]
        fn a_json_parser_reads_back_what_was_written(text: Vec<u8>) {
            let parsed: String = serde_json::from_str(&written(&text)).unwrap();
            prop_assert_eq!(parsed, String::from_utf8_lossy(&text));
        }

        #[test]
        fn any_text_is_read_back_unchanged(text: String) {
            prop_assert_eq!(serde_json::from_str::<String>(&written(text.as_bytes())).unwrap(), text);
        }
    }
}
