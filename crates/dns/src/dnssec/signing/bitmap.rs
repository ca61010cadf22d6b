//! The types that a name has, as NSEC and NSEC3 list them (RFC 4034 §4.1.2).

/// Appends the list of these types, in any order.
pub(crate) fn write(types: &mut Vec<u16>, data: &mut Vec<u8>) {
    types.sort_unstable();
    types.dedup();
    for window in types.chunk_by(|one, other| one >> 8 == other >> 8) {
        let mut bits = [0u8; 32];
        for rtype in window {
            bits[usize::from(rtype & 0xff) / 8] |= 0x80 >> (rtype % 8);
        }
        let used = bits.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        data.extend_from_slice(&[(window[0] >> 8) as u8, used as u8]);
        data.extend_from_slice(&bits[..used]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4034 §4.3: A MX RRSIG NSEC TYPE1234.
    #[test]
    fn types_are_listed_as_in_the_rfc() {
        let mut data = Vec::new();
        write(&mut vec![1234, 1, 15, 47, 46, 1], &mut data);
        let mut expected = vec![0x00, 0x06, 0x40, 0x01, 0x00, 0x00, 0x00, 0x03, 0x04, 0x1b];
        expected.extend_from_slice(&[0; 26]);
        expected.push(0x20);
        assert_eq!(data, expected);
    }
}
