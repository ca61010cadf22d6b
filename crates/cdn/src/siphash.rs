//! SipHash with 128 bits (Aumasson, Bernstein: "SipHash: a fast short-input PRF"): a hash that nobody can foresee who does not know its
//! key. Our own, since that of the standard library has 64 bits and may change.

/// A key, ready to hash.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SipHash([u64; 4]);

impl SipHash {
    pub(crate) fn new([k0, k1]: [u64; 2]) -> Self {
        Self([
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ])
    }

    /// With `EACH` rounds for eight bytes and `LAST` to finish. The first eight bytes of the reference's output are the low half.
    pub(crate) fn hash<const EACH: usize, const LAST: usize>(&self, bytes: &[u8]) -> u128 {
        let mut state = self.0;
        let mut words = bytes.chunks_exact(8);
        for word in &mut words {
            let mut eight = [0; 8];
            eight.copy_from_slice(word);
            absorb::<EACH>(&mut state, u64::from_le_bytes(eight));
        }
        let mut last = [0; 8];
        last[..words.remainder().len()].copy_from_slice(words.remainder());
        // The length modulo 256 is all that the hash takes of it.
        last[7] = bytes.len() as u8;
        absorb::<EACH>(&mut state, u64::from_le_bytes(last));
        state[2] ^= 0xee;
        let low = finished::<LAST>(&mut state);
        state[1] ^= 0xdd;
        let high = finished::<LAST>(&mut state);
        u128::from(high) << 64 | u128::from(low)
    }
}

fn absorb<const ROUNDS: usize>(state: &mut [u64; 4], word: u64) {
    state[3] ^= word;
    for _ in 0..ROUNDS {
        round(state);
    }
    state[0] ^= word;
}

fn finished<const ROUNDS: usize>(state: &mut [u64; 4]) -> u64 {
    for _ in 0..ROUNDS {
        round(state);
    }
    state[0] ^ state[1] ^ state[2] ^ state[3]
}

fn round([v0, v1, v2, v3]: &mut [u64; 4]) {
    *v0 = v0.wrapping_add(*v1);
    *v1 = v1.rotate_left(13) ^ *v0;
    *v0 = v0.rotate_left(32);
    *v2 = v2.wrapping_add(*v3);
    *v3 = v3.rotate_left(16) ^ *v2;
    *v0 = v0.wrapping_add(*v3);
    *v3 = v3.rotate_left(21) ^ *v0;
    *v2 = v2.wrapping_add(*v1);
    *v1 = v1.rotate_left(17) ^ *v2;
    *v2 = v2.rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_reference() {
        // The first vectors of SipHash-2-4-128: the key is 00 to 0f, the input empty, then 00.
        let hash = SipHash::new([0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]);
        let of = |bytes: &[u8]| hash.hash::<2, 4>(bytes).to_le_bytes();
        assert_eq!(of(&[]), 0xa381_7f04_ba25_a8e6_6df6_7214_c755_0293_u128.to_be_bytes());
        assert_eq!(of(&[0]), 0xda87_c1d8_6b99_af44_3476_5911_9b22_fc45_u128.to_be_bytes());
    }

    #[test]
    fn each_byte_and_the_length_count() {
        let hash = SipHash::new([1, 2]);
        let of = |bytes: &[u8]| hash.hash::<1, 3>(bytes);
        let mut seen: Vec<u128> = (0..40).map(|len| of(&vec![0; len])).collect();
        for at in 0..40 {
            let mut bytes = vec![0; 40];
            bytes[at] = 1;
            seen.push(of(&bytes));
        }
        let count = seen.len();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), count);
    }
}
