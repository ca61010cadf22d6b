//! How long an answer is kept and used: TTLs with their clamps (RFC 2308, RFC 9520), the time to ask anew, and what may still be
//! used when nobody answers (RFC 8767).

use super::wire::Reply;
use domain::base::iana::Rtype;
use std::collections::HashMap;

/// What the file says about time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) ttl_min_s: u32,
    pub(crate) ttl_max_s: u32,
    pub(crate) negative_max_s: u32,
    /// Answers are used for so long beyond their time, if no new one can be got.
    pub(crate) stale_s: u32,
    pub(crate) prefetch: bool,
}

/// RFC 8767 §4: what an answer says that is used beyond its time.
pub(crate) const STALE_TTL_S: u32 = 30;
/// RFC 8767 §5: after a failure nobody is asked for so long.
pub(crate) const RETRY_MS: u64 = 30_000;
/// RFC 9520 §3.2: failures are kept for a second at least, and five minutes at most.
pub(crate) const FAILURE_TTL_S: u32 = 5;
/// An answer is asked for anew in the last tenth of its time, if that is worth it.
const PREFETCH_PART: u64 = 10;
const PREFETCH_TTL_MIN_S: u32 = 10;

/// How long ago an answer was got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Age {
    ms: u64,
}

impl Age {
    pub(crate) fn between(stored_ms: u64, now_ms: u64) -> Self {
        Self { ms: now_ms.saturating_sub(stored_ms) }
    }

    /// The TTL to be told of one that was `ttl_s` when it came: what is left of it, and never nothing, so that a client that
    /// was just answered does not ask again at once.
    #[inline]
    pub(crate) fn left(self, ttl_s: u32) -> u32 {
        ttl_s.saturating_sub(u32::try_from(self.ms / 1000).unwrap_or(u32::MAX))
    }
}

/// What may be done with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Fresh,
    /// Fresh, but soon no more.
    Due,
    /// To be used when no other can be got.
    Stale,
    Gone,
}

#[inline]
pub(crate) fn state(age: Age, ttl_s: u32, is_failure: bool, terms: &Terms) -> State {
    let ttl_ms = u64::from(ttl_s) * 1000;
    if age.ms < ttl_ms {
        let is_due = terms.prefetch
            && !is_failure
            && ttl_s >= PREFETCH_TTL_MIN_S
            && (ttl_ms - age.ms) * PREFETCH_PART <= ttl_ms;
        return if is_due { State::Due } else { State::Fresh };
    }
    let is_stale = !is_failure && age.ms - ttl_ms < u64::from(terms.stale_s) * 1000;
    if is_stale { State::Stale } else { State::Gone }
}

/// For how long the signatures of an answer are good yet, if it has some, at `unix_s`, seconds since 1970. One that is over takes nothing
/// from another of the same records (RFC 6781 §4.1.2 has them side by side); of those that are good the first end counts, whichever it
/// was that the records were validated by.
pub(crate) fn signed_for(reply: &Reply, unix_s: u64) -> Option<u32> {
    let signatures = reply.records.iter().filter(|record| record.rtype == Rtype::RRSIG.to_int());
    let mut left_by_set: HashMap<(Vec<u8>, &[u8]), u32> = HashMap::new();
    for record in signatures {
        let (Some(covered), Some(end)) = (record.rdata.get(..2), record.rdata.get(8..12)) else { continue };
        // RFC 4034 §3.1.5: the end, compared as serial numbers are.
        let end = end.first_chunk().copied().map_or(0, u32::from_be_bytes);
        let left = (end.wrapping_sub(unix_s as u32) as i32).max(0) as u32;
        let known = left_by_set.entry((record.owner.to_ascii_lowercase(), covered)).or_default();
        if *known == 0 || (1..*known).contains(&left) {
            *known = left;
        }
    }
    left_by_set.into_values().min()
}

/// Clamps the TTLs of an answer to a question for `rtype`, and says how long it is kept; `None`: it is not. Signatures that are good
/// for `signed_s` yet are not kept beyond that by `ttl.min`, and not at all beyond it if they were validated (RFC 4035 §5.3.3).
pub(crate) fn clamp(
    reply: &mut Reply,
    rtype: u16,
    terms: &Terms,
    (signed_s, is_secure): (Option<u32>, bool),
) -> Option<u32> {
    let mut answers = reply.records.iter().filter(|record| record.section == 0);
    let has_answers = reply.rcode == 0 && answers.clone().next().is_some();
    let is_positive =
        has_answers && answers.any(|record| record.rtype == rtype || rtype == Rtype::ANY.to_int());
    let most = if is_positive { terms.ttl_max_s } else { terms.ttl_max_s.min(terms.negative_max_s) };
    let signed_s = signed_s.unwrap_or(u32::MAX);
    let most = if is_secure { most.min(signed_s) } else { most };
    let least = terms.ttl_min_s.min(most).min(signed_s);
    let negative = soa_minimum(reply);
    for record in &mut reply.records {
        record.ttl = record.ttl.clamp(least, most);
        // RFC 2308 §5: what is not there is not there for as long as the SOA says.
        if !is_positive
            && record.section == 1
            && let Some(negative) = negative
        {
            record.ttl = record.ttl.min(negative.clamp(least, most));
        }
    }
    let lowest = reply.records.iter().map(|record| record.ttl).min();
    match (is_positive, negative) {
        (true, _) | (false, Some(_)) => lowest,
        // RFC 2308 §5: without an SOA it should not be kept. An alias is what it is.
        (false, None) => lowest.filter(|_| has_answers),
    }
}

/// min(TTL, MINIMUM) of the SOA in the authority section.
fn soa_minimum(reply: &Reply) -> Option<u32> {
    let soa = reply.records.iter().find(|one| one.section == 1 && one.rtype == Rtype::SOA.to_int())?;
    let minimum = soa.rdata.last_chunk::<4>()?;
    Some(soa.ttl.min(u32::from_be_bytes(*minimum)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolver::wire::Record;
    use proptest::prelude::*;

    const UNSIGNED: (Option<u32>, bool) = (None, false);

    fn terms() -> Terms {
        Terms { ttl_min_s: 0, ttl_max_s: 86_400, negative_max_s: 3600, stale_s: 100, prefetch: true }
    }

    fn at(age_ms: u64, ttl_s: u32) -> State {
        state(Age::between(5, 5 + age_ms), ttl_s, false, &terms())
    }

    #[test]
    fn an_answer_is_fresh_due_stale_and_gone_in_that_order() {
        assert_eq!(at(0, 100), State::Fresh);
        assert_eq!(at(89_999, 100), State::Fresh);
        assert_eq!(at(90_000, 100), State::Due);
        assert_eq!(at(99_999, 100), State::Due);
        assert_eq!(at(100_000, 100), State::Stale);
        assert_eq!(at(199_999, 100), State::Stale);
        assert_eq!(at(200_000, 100), State::Gone);
        // One of a few seconds is not worth it.
        assert_eq!(at(8999, 9), State::Fresh);
        assert_eq!(at(0, 0), State::Stale);
    }

    #[test]
    fn a_failure_is_neither_asked_for_anew_nor_used_beyond_its_time() {
        let of = |age_ms| state(Age::between(0, age_ms), 60, true, &terms());
        assert_eq!((of(59_999), of(60_000)), (State::Fresh, State::Gone));
    }

    fn reply(rcode: u16, records: &[(u8, Rtype, u32, &[u8])]) -> Reply {
        let record = |(section, rtype, ttl, rdata): &(u8, Rtype, u32, &[u8])| Record {
            section: *section,
            owner: [0].into(),
            rtype: rtype.to_int(),
            ttl: *ttl,
            rdata: (*rdata).into(),
        };
        Reply { rcode, records: records.iter().map(record).collect(), ..Reply::default() }
    }

    #[test]
    fn what_is_there_is_kept_for_its_lowest_ttl_within_the_clamps() {
        let terms = Terms { ttl_min_s: 60, ttl_max_s: 600, ..terms() };
        let mut found = reply(0, &[(0, Rtype::CNAME, 5, &[0]), (0, Rtype::A, 90_000, &[0; 4])]);
        assert_eq!(clamp(&mut found, 1, &terms, UNSIGNED), Some(60));
        assert_eq!([found.records[0].ttl, found.records[1].ttl], [60, 600]);
    }

    #[test]
    fn what_is_not_there_is_kept_for_as_long_as_its_soa_says() {
        let soa = [&[0; 18][..], &[0, 0, 1, 44]].concat();
        let mut nothing = reply(3, &[(1, Rtype::SOA, 3600, &soa)]);
        assert_eq!(clamp(&mut nothing, 1, &terms(), UNSIGNED), Some(300));
        assert_eq!(nothing.records[0].ttl, 300);
        let mut nothing = reply(3, &[(1, Rtype::SOA, 20, &soa)]);
        assert_eq!(clamp(&mut nothing, 1, &terms(), UNSIGNED), Some(20));
        assert_eq!(clamp(&mut nothing, 1, &Terms { negative_max_s: 7, ..terms() }, UNSIGNED), Some(7));
        assert_eq!(clamp(&mut reply(3, &[]), 1, &terms(), UNSIGNED), None, "without an SOA");
        assert_eq!(clamp(&mut reply(0, &[]), 1, &terms(), UNSIGNED), None, "without an SOA");
    }

    #[test]
    fn nothing_is_kept_beyond_the_end_of_its_signature_but_what_its_own_ttl_says_of_what_was_not_validated() {
        let signature = |end: u32| [&[0, 1, 13, 2, 0, 0, 1, 44][..], &end.to_be_bytes(), &[0; 8]].concat();
        let (now, terms) = (0x1_0000_0005u64, Terms { ttl_min_s: 600, ..terms() });
        let kept = |end: u32, is_secure| {
            let mut found = reply(0, &[(0, Rtype::A, 60, &[0; 4]), (0, Rtype::RRSIG, 60, &signature(end))]);
            let signed_s = signed_for(&found, now);
            (signed_s, clamp(&mut found, 1, &terms, (signed_s, is_secure)))
        };
        assert_eq!(kept(5 + 7200, true), (Some(7200), Some(600)));
        assert_eq!(kept(5 + 90, true), (Some(90), Some(90)));
        assert_eq!(kept(5 + 30, true), (Some(30), Some(30)));
        assert_eq!(kept(4, true), (Some(0), Some(0)));
        assert_eq!(
            (kept(5 + 90, false).1, kept(5 + 30, false).1, kept(4, false).1),
            (Some(90), Some(60), Some(60))
        );
        assert_eq!(signed_for(&reply(0, &[(0, Rtype::A, 60, &[0; 4])]), now), None);
        let both = |first: u32, second: u32| {
            let (first, second) = (signature(5 + first), signature(5 + second));
            signed_for(&reply(0, &[(0, Rtype::RRSIG, 60, &first), (0, Rtype::RRSIG, 60, &second)]), now)
        };
        assert_eq!((both(0, 90), both(90, 0)), (Some(90), Some(90)), "one that is over beside a good one");
        assert_eq!((both(60, 90), both(90, 60), both(0, 0)), (Some(60), Some(60), Some(0)));
        let other = [&[0, 28], &signature(5)[2..]].concat();
        let of_others = [(0, Rtype::RRSIG, 60, &signature(95)[..]), (0, Rtype::RRSIG, 60, &other)];
        assert_eq!(signed_for(&reply(0, &of_others), now), Some(0), "of other records");
    }

    proptest! {
        #[test]
        fn nothing_is_used_beyond_its_time_and_the_bound(
            age_ms in 0..1_000_000u64, ttl_s in 0..1000u32, stale_s in 0..1000u32, is_failure: bool, prefetch: bool,
        ) {
            let terms = Terms { stale_s, prefetch, ..terms() };
            let age = Age::between(0, age_ms);
            match state(age, ttl_s, is_failure, &terms) {
                State::Fresh | State::Due => {
                    prop_assert!(age_ms < u64::from(ttl_s) * 1000);
                    prop_assert!(age.left(ttl_s) > 0);
                }
                State::Stale => prop_assert!(age_ms < u64::from(ttl_s + stale_s) * 1000 && !is_failure),
                State::Gone => prop_assert!(is_failure || age_ms >= u64::from(ttl_s + stale_s) * 1000),
            }
        }
    }
}
