//! Which of some numbered things an address belongs to: all addresses, cut into ranges.
//!
//! It answers in one binary search, and also says how much of the address decided: so many bits that everybody who shares them is in
//! the same range. Networks may lie within each other, as in a routing table; the innermost counts.

use std::net::IpAddr;

/// No network: what addresses are that nobody named.
pub(crate) const NOWHERE: u16 = u16::MAX;

/// The range that an address is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Region {
    /// What it is, or [`NOWHERE`].
    pub(crate) value: u16,
    /// How many bits of the address put it there.
    pub(crate) bits: u8,
}

/// All addresses of both families.
#[derive(Debug, Default)]
pub(crate) struct Regions {
    v4: Side<u32>,
    v6: Side<u128>,
}

/// Networks by first and last address, and what they are.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    v4: Vec<(u32, u32, u16)>,
    v6: Vec<(u128, u128, u16)>,
}

/// Bits of an address by which a search begins: a table for them stays in a cache.
const BLOCK_BITS: u32 = 16;

/// Ranges from which on there is such a table.
const RANGES_OF_A_BLOCK: usize = 64;

/// The addresses of one family: where each range begins, and what it is. Neighbours differ.
#[derive(Debug)]
struct Side<A> {
    ranges: Box<[(A, u16)]>,
    /// For each block of addresses that begin with the same bits: the range that its first address is in.
    blocks: Box<[u32]>,
}

/// Addresses as numbers.
trait Address: Copy + Ord {
    const FIRST: Self;
    const LAST: Self;

    fn next(self) -> Self;
    fn previous(self) -> Self;
    /// The first bits, as a number.
    fn block(self) -> usize;
    /// The first address that begins with these bits.
    fn of_block(block: usize) -> Self;
    /// How many bits both begin with.
    fn bits_shared_with(self, other: Self) -> u8;
}

macro_rules! address {
    ($number:ty) => {
        impl Address for $number {
            const FIRST: Self = 0;
            const LAST: Self = Self::MAX;

            #[inline]
            fn next(self) -> Self {
                self + 1
            }

            #[inline]
            fn previous(self) -> Self {
                self - 1
            }

            #[inline]
            fn block(self) -> usize {
                (self >> (Self::BITS - BLOCK_BITS)) as usize
            }

            fn of_block(block: usize) -> Self {
                (block as Self) << (Self::BITS - BLOCK_BITS)
            }

            #[inline]
            fn bits_shared_with(self, other: Self) -> u8 {
                (self ^ other).leading_zeros() as u8
            }
        }
    };
}

address!(u32);
address!(u128);

impl Networks {
    /// Adds the network of this prefix, whose other bits do not matter.
    pub(crate) fn add(&mut self, address: IpAddr, prefix: u8, value: u16) {
        match address {
            IpAddr::V4(v4) => {
                let hosts = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
                self.v4.push((v4.to_bits() & !hosts, v4.to_bits() | hosts, value));
            }
            IpAddr::V6(v6) => {
                let hosts = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
                self.v6.push((v6.to_bits() & !hosts, v6.to_bits() | hosts, value));
            }
        }
    }
}

impl Regions {
    /// The ranges of these networks; where none is, those of `below`.
    pub(crate) fn new(networks: Networks, below: &Self) -> Self {
        Self { v4: Side::new(networks.v4, &below.v4), v6: Side::new(networks.v6, &below.v6) }
    }

    #[inline]
    pub(crate) fn of(&self, address: IpAddr) -> Region {
        match address {
            IpAddr::V4(v4) => self.v4.of(v4.to_bits()),
            IpAddr::V6(v6) => self.v6.of(v6.to_bits()),
        }
    }

    /// Ranges of both families.
    pub(crate) fn len(&self) -> usize {
        self.v4.ranges.len() + self.v6.ranges.len()
    }
}

impl<A: Address> Default for Side<A> {
    fn default() -> Self {
        Self { ranges: [(A::FIRST, NOWHERE)].into(), blocks: Box::default() }
    }
}

impl<A: Address> Side<A> {
    fn new(networks: Vec<(A, A, u16)>, below: &Self) -> Self {
        let top = flattened(networks);
        let mut ranges = Vec::with_capacity(top.len() + below.ranges.len());
        let mut lower = below.ranges.iter().copied().peekable();
        let mut under = NOWHERE;
        for (nth, (first, value)) in top.iter().copied().enumerate() {
            // What lies below at the first address of this range.
            while let Some((_, found)) = lower.next_if(|(at, _)| *at <= first) {
                under = found;
            }
            push(&mut ranges, first, if value == NOWHERE { under } else { value });
            let end = top.get(nth + 1).map(|(next, _)| *next);
            while let Some((at, found)) = lower.next_if(|(at, _)| end.is_none_or(|end| *at < end)) {
                under = found;
                if value == NOWHERE {
                    push(&mut ranges, at, found);
                }
            }
        }
        let mut blocks = Vec::new();
        // Few are found without.
        if ranges.len() > RANGES_OF_A_BLOCK {
            let mut at = 0;
            blocks.extend((0..1 << BLOCK_BITS).map(|block| {
                while ranges.get(at as usize + 1).is_some_and(|(next, _)| *next <= A::of_block(block)) {
                    at += 1;
                }
                at
            }));
        }
        Self { ranges: ranges.into(), blocks: blocks.into() }
    }

    #[inline]
    fn of(&self, address: A) -> Region {
        let (from, to) = match self.blocks.get(address.block()) {
            // The last one may reach into the next block.
            Some(from) => {
                let next = self.blocks.get(address.block() + 1);
                (*from as usize, next.map_or(self.ranges.len(), |next| *next as usize + 1))
            }
            None => (0, self.ranges.len()),
        };
        // The first range begins at the first address, and that of a block no later than the block.
        let at = from + self.ranges[from..to].partition_point(|(first, _)| *first <= address) - 1;
        // The smallest block around the address that holds neither neighbour of the range.
        let below = if at == 0 { 0 } else { 1 + address.bits_shared_with(self.ranges[at].0.previous()) };
        let above = self.ranges.get(at + 1).map_or(0, |(next, _)| 1 + address.bits_shared_with(*next));
        Region { value: self.ranges[at].1, bits: below.max(above) }
    }
}

/// Networks that lie beside or within each other become ranges: the innermost counts, and of the same ones the first.
fn flattened<A: Address>(mut networks: Vec<(A, A, u16)>) -> Vec<(A, u16)> {
    networks.sort_by(|one, other| one.0.cmp(&other.0).then(other.1.cmp(&one.1)));
    networks.dedup_by_key(|(first, last, _)| (*first, *last));
    let mut ranges = vec![(A::FIRST, NOWHERE)];
    // Those that the sweep is within, the innermost last.
    let mut around: Vec<(A, u16)> = Vec::new();
    let close = |around: &mut Vec<(A, u16)>, ranges: &mut Vec<(A, u16)>| {
        let Some((last, _)) = around.pop() else { return };
        if last < A::LAST {
            let outer = around.last().map_or(NOWHERE, |(_, value)| *value);
            push(ranges, last.next(), outer);
        }
    };
    for (first, last, value) in networks {
        while around.last().is_some_and(|(end, _)| *end < first) {
            close(&mut around, &mut ranges);
        }
        push(&mut ranges, first, value);
        around.push((last, value));
    }
    while !around.is_empty() {
        close(&mut around, &mut ranges);
    }
    ranges
}

/// A range begins: one that is no longer than nothing gives way, and one that goes on as before is none.
fn push<A: Address>(ranges: &mut Vec<(A, u16)>, first: A, value: u16) {
    if ranges.last().is_some_and(|(at, _)| *at == first) {
        ranges.pop();
    }
    if ranges.last().is_none_or(|(_, before)| *before != value) {
        ranges.push((first, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    fn regions(networks: &[(&str, u8, u16)], below: &Regions) -> Regions {
        let mut all = Networks::default();
        for (address, prefix, value) in networks {
            all.add(address.parse().expect("an address"), *prefix, *value);
        }
        Regions::new(all, below)
    }

    fn of(regions: &Regions, address: &str) -> (u16, u8) {
        let Region { value, bits } = regions.of(address.parse().expect("an address"));
        (value, bits)
    }

    #[test]
    fn the_innermost_network_counts() {
        let regions = regions(
            &[("10.0.0.0", 8, 1), ("10.1.0.0", 16, 2), ("10.1.2.0", 24, 1), ("2001:db8::", 32, 3)],
            &Regions::default(),
        );
        assert_eq!(of(&regions, "10.200.0.0"), (1, 9));
        assert_eq!(of(&regions, "10.1.0.0"), (2, 23));
        assert_eq!(of(&regions, "10.1.2.0"), (1, 24));
        assert_eq!(of(&regions, "11.0.0.0"), (NOWHERE, 8));
        assert_eq!(of(&regions, "203.0.113.0"), (NOWHERE, 1));
        assert_eq!(of(&regions, "2001:db8::1"), (3, 32));
        assert_eq!(of(&regions, "8000::"), (NOWHERE, 1));
    }

    #[test]
    fn with_no_network_nothing_of_an_address_matters() {
        assert_eq!(of(&Regions::default(), "192.0.2.1"), (NOWHERE, 0));
        assert_eq!(of(&Regions::default(), "2001:db8::1"), (NOWHERE, 0));
        let all = regions(&[("0.0.0.0", 0, 4)], &Regions::default());
        assert_eq!((of(&all, "255.255.255.255"), all.len()), ((4, 0), 2));
    }

    #[test]
    fn a_network_covers_what_lies_below_it() {
        let below =
            regions(&[("10.1.0.0", 16, 1), ("10.0.0.0", 7, 2), ("12.0.0.0", 8, 2)], &Regions::default());
        let regions = regions(&[("10.0.0.0", 8, 5)], &below);
        assert_eq!(of(&regions, "10.1.0.0").0, 5);
        assert_eq!(of(&regions, "11.0.0.0").0, 2);
        assert_eq!(of(&regions, "12.0.0.0"), (2, 8));
        assert_eq!(of(&regions, "13.0.0.0").0, NOWHERE);
    }

    #[test]
    fn many_ranges_are_found_as_few_are() {
        let networks: Vec<(u32, u8, u16)> = (0..600u32)
            .map(|nth| (nth.wrapping_mul(0x9e37_79b9), 8 + (nth % 20) as u8, (nth % 5) as u16))
            .collect();
        let mut all = Networks::default();
        for (address, prefix, value) in &networks {
            all.add(IpAddr::V4(Ipv4Addr::from_bits(*address)), *prefix, *value);
            all.add(IpAddr::V6((u128::from(*address) << 96).into()), *prefix, *value);
        }
        let regions = Regions::new(all, &Regions::default());
        assert!(regions.v4.ranges.len() > RANGES_OF_A_BLOCK && !regions.v4.blocks.is_empty());
        let edges =
            networks.iter().flat_map(|(address, ..)| [*address, address.wrapping_sub(1), address | 0xffff]);
        for address in
            edges.chain([0, u32::MAX]).chain((0..5000).map(|nth: u32| nth.wrapping_mul(0x0123_4567)))
        {
            let v4 = regions.of(IpAddr::V4(Ipv4Addr::from_bits(address)));
            assert_eq!(v4.value, slowly(&networks, &[], address), "{address:#x}");
            assert_eq!(regions.of(IpAddr::V6((u128::from(address) << 96).into())), v4);
        }
    }

    /// The same by looking at each network.
    fn slowly(networks: &[(u32, u8, u16)], below: &[(u32, u8, u16)], address: u32) -> u16 {
        let innermost = |networks: &[(u32, u8, u16)]| {
            let holds = |(first, prefix, _): &&(u32, u8, u16)| {
                (first ^ address).checked_shr(32 - u32::from(*prefix)).unwrap_or(0) == 0
            };
            // Of equals the first.
            networks.iter().filter(holds).rev().max_by_key(|(_, prefix, _)| *prefix).map(|(.., value)| *value)
        };
        innermost(networks).or_else(|| innermost(below)).unwrap_or(NOWHERE)
    }

    fn networks() -> impl Strategy<Value = Vec<(u32, u8, u16)>> {
        // Few bits at the top, so that they often lie within each other.
        prop::collection::vec(((0u32..64).prop_map(|bits| bits << 26), 0u8..9, 0u16..4), 0..12)
    }

    proptest! {
        #[test]
        fn ranges_say_what_networks_do(upper in networks(), lower in networks(), address in any::<u32>()) {
            let built = |networks: &[(u32, u8, u16)], below: &Regions| {
                let mut all = Networks::default();
                for (address, prefix, value) in networks {
                    all.add(IpAddr::V4(Ipv4Addr::from_bits(*address)), *prefix, *value);
                }
                Regions::new(all, below)
            };
            let regions = built(&upper, &built(&lower, &Regions::default()));
            let found = regions.of(IpAddr::V4(Ipv4Addr::from_bits(address)));
            prop_assert_eq!(found.value, slowly(&upper, &lower, address));
            // Everybody who shares those bits is in the same region, and of those who share one less somebody is not.
            let block = |bits: u8| {
                let hosts = u32::MAX.checked_shr(bits.into()).unwrap_or(0);
                // Networks have eight bits at most, so that none is stepped over.
                (0..=256u32).map(move |nth| (address & !hosts) + (u64::from(hosts) * u64::from(nth) / 256) as u32)
            };
            prop_assert!(block(found.bits).all(|other| slowly(&upper, &lower, other) == found.value));
            if found.bits > 0 {
                prop_assert!(block(found.bits - 1).any(|other| slowly(&upper, &lower, other) != found.value));
            }
        }
    }
}
