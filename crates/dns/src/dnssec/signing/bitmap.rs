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

/// Takes a type below 256 out of the list that begins at `at` and goes to the end. `None`: it is not in it.
pub(crate) fn remove(data: &mut Vec<u8>, at: usize, rtype: u16) -> Option<()> {
    let (window, used) = (*data.get(at)?, usize::from(*data.get(at + 1)?));
    let (byte, bit) = (usize::from(rtype) / 8, 0x80 >> (rtype % 8));
    if window != 0 || rtype > 255 || byte >= used || data.get(at + 2 + byte)? & bit == 0 {
        return None;
    }
    data[at + 2 + byte] &= !bit;
    let bits = data.get(at + 2..at + 2 + used)?;
    let left = bits.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    data.drain(at + 2 + left..at + 2 + used);
    data[at + 1] = left as u8;
    if left == 0 {
        data.drain(at..at + 2);
    }
    Some(())
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

    #[test]
    fn a_type_that_is_taken_out_leaves_what_the_others_make() {
        for (types, without) in [
            (vec![1, 28, 46, 47, 1234], 28),
            (vec![1, 28, 46], 1),
            (vec![1, 28], 28),
            (vec![28], 28),
            (vec![1, 1234], 1),
        ] {
            let (mut all, mut expected) = (b"name".to_vec(), b"name".to_vec());
            write(&mut types.clone(), &mut all);
            write(&mut types.into_iter().filter(|rtype| *rtype != without).collect(), &mut expected);
            remove(&mut all, 4, without).unwrap();
            assert_eq!(all, expected);
            assert_eq!(remove(&mut all, 4, without), None);
        }
        assert_eq!(remove(&mut vec![0], 0, 1), None);
        assert_eq!(remove(&mut vec![0, 9, 0x40], 0, 1), None);
        assert_eq!(remove(&mut vec![1, 1, 0x40], 0, 1), None);
    }
}
