//! SipHash-2-4 (Aumasson and Bernstein, 2012): a hash that is the same on every node and in every release,
//! which the standard library's is not, and that cannot be steered without its key.

/// The hash of `bytes` under `key`.
pub fn siphash(key: &[u8; 16], bytes: &[u8]) -> u64 {
    let (k0, k1) = (word(&key[..8]), word(&key[8..]));
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let chunks = bytes.chunks_exact(8);
    // The last word holds what is left over, and the length's lowest byte on top.
    let last = word(chunks.remainder()) | (bytes.len() as u64) << 56;
    for m in chunks.map(word).chain([last]) {
        v[3] ^= m;
        round(&mut v);
        round(&mut v);
        v[0] ^= m;
    }
    v[2] ^= 0xff;
    for _ in 0..4 {
        round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

/// The hash of a request's key, for [`Wish::hash`](crate::Wish::hash): the same on every node and in every run.
pub fn hash_key(bytes: &[u8]) -> u64 {
    siphash(b"nines: hash key ", bytes)
}

/// Spreads a number over all 64 bits (the finisher of SplitMix64).
pub(crate) fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vectors_hold() {
        let key: [u8; 16] = std::array::from_fn(|i| i as u8);
        let message: Vec<u8> = (0..64).collect();
        // Appendix A of the paper, and the first of the reference implementation's table.
        assert_eq!(siphash(&key, &message[..15]), 0xa129_ca61_49be_45e5);
        assert_eq!(siphash(&key, &message[..0]), 0x726f_db47_dd0e_0e31);
        assert_eq!(siphash(&key, &message[..1]), 0x74f8_39c5_93dc_67fd);
        assert_eq!(siphash(&key, &message[..2]), 0x0d6c_8009_d9a9_4f5a);
    }

    #[test]
    #[allow(deprecated)]
    fn it_agrees_with_the_standard_library_at_every_length() {
        use std::hash::{Hasher, SipHasher};
        let key: [u8; 16] = std::array::from_fn(|i| (i * 7) as u8);
        let message: Vec<u8> = (0..100).map(|i| (i * 31) as u8).collect();
        for length in 0..message.len() {
            let mut theirs = SipHasher::new_with_keys(word(&key[..8]), word(&key[8..]));
            theirs.write(&message[..length]);
            assert_eq!(siphash(&key, &message[..length]), theirs.finish(), "at length {length}");
        }
    }

    #[test]
    fn a_key_hashes_to_the_same_in_every_release() {
        // Another value here moves every client of every pool that hashes.
        assert_eq!(hash_key(b"alice"), 0x981b_eb31_388f_e985);
    }
}
