//! Times as zone files write them: seconds, or `1w2d3h4m5s`.

/// RFC 2181 §8: a TTL is a number of 31 bits.
pub(crate) const TTL_MAX: u32 = (1 << 31) - 1;

/// The seconds that `text` means, if it means any.
#[inline]
pub(super) fn seconds(text: &[u8]) -> Option<u32> {
    if !text.first()?.is_ascii_digit() {
        return None;
    }
    let (mut total, mut number, mut is_open) = (0u32, 0u32, false);
    for &byte in text {
        if byte.is_ascii_digit() {
            number = number.checked_mul(10)?.checked_add(u32::from(byte - b'0'))?;
            is_open = true;
            continue;
        }
        let unit = match byte.to_ascii_lowercase() {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86400,
            b'w' => 604_800,
            _ => return None,
        };
        if !is_open {
            return None;
        }
        total = total.checked_add(number.checked_mul(unit)?)?;
        (number, is_open) = (0, false);
    }
    total.checked_add(number)
}
