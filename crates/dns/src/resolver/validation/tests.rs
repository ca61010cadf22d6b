use super::super::judging::tests::{address, alias, delegation, message, name, soa};
use super::*;
use ResponseCode::{NXDomain, NoError};
use hickory_resolver::proto::dnssec::Proof::{Insecure, Secure};

/// What is said of `www.test`, by somebody who says these things of these names, of any type.
async fn of(said: &[(&str, Message)]) -> Result<Judged, Failure> {
    let ask = async |query: Query| {
        if query.query_type() == RecordType::DS {
            return Ok(delegation(query.name(), "to.test."));
        }
        let of = said.iter().find(|(of, _)| name(of) == *query.name());
        of.map(|(_, message)| message.clone()).ok_or(NetError::Timeout)
    };
    judged(&wire_of(&name("www.test.")), 1, ask).await
}

fn worth(judged: Result<Judged, Failure>) -> Result<(usize, Option<Validated>), Failure> {
    judged.map(|(reply, worth)| (reply.records.len(), worth))
}

#[tokio::test]
async fn a_chain_that_is_cut_off_is_followed_to_its_end() {
    let cut = ("www.test.", message(NoError, &[alias("www.test.", "to.test.", Secure)], &[]));
    let end = ("to.test.", message(NoError, &[address("to.test.", Secure)], &[]));
    assert_eq!(worth(of(&[cut.clone(), end]).await), Ok((2, Some(Validated::Secure))));
    let end = ("to.test.", message(NoError, &[address("to.test.", Insecure)], &[]));
    assert_eq!(worth(of(&[cut, end]).await), Ok((2, Some(Validated::Insecure))));
    let unsigned = ("www.test.", message(NoError, &[alias("www.test.", "to.test.", Insecure)], &[]));
    let end = ("to.test.", message(NoError, &[address("to.test.", Secure)], &[]));
    assert_eq!(of(&[unsigned, end]).await, Err(Failure::Bogus), "its zone is signed");
}

#[tokio::test]
async fn the_end_of_a_chain_is_denied_by_its_own_zone_only() {
    let links = [alias("www.test.", "to.test.", Secure)];
    let forged = ("www.test.", message(NXDomain, &links, &[&[soa("plain.", Insecure)]]));
    let end = ("to.test.", message(NXDomain, &[], &[&[soa("plain.", Insecure)]]));
    assert_eq!(of(&[forged.clone(), end]).await, Err(Failure::Bogus));
    let end = ("to.test.", message(NoError, &[address("to.test.", Secure)], &[]));
    assert_eq!(worth(of(&[forged, end]).await), Ok((2, Some(Validated::Secure))), "it is there");
}

#[tokio::test]
async fn a_denial_by_another_zone_is_none_without_an_alias() {
    let forged = ("www.test.", message(NXDomain, &[], &[&[soa("plain.", Insecure)]]));
    assert_eq!(of(&[forged]).await, Err(Failure::Bogus));
}

#[test]
fn keys_of_other_names_are_nothing_to_the_validator() {
    let query = Query::query(name("shop.test."), RecordType::DNSKEY);
    let answers = [alias("shop.test.", "plain.test.", Insecure), address("plain.test.", Insecure)];
    let mut found = message(NoError, &answers, &[]);
    keep_own_keys(&query, &mut found);
    assert_eq!(found.answers, answers[..1]);
    let mut found = message(NoError, &answers, &[]);
    keep_own_keys(&super::super::judging::tests::query("shop.test."), &mut found);
    assert_eq!(found.answers, answers);
}
