//! Updates of a zone that is signed here.

use super::decide::{decide, raise_serial};
use super::request::{NXRRSET, REFUSED, Request};
use super::rules::{UpdateRule, UpdateRules};
use crate::dnssec::SignConfig;
use crate::dnssec::signing::SignedZone;
use crate::protocol::Name;
use crate::transfer::{Overlay, soa_number, soa_of};
use crate::zone::{Zone, ZoneBuilder};
use domain::base::iana::{Class, Rtype};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

const DNSKEY_OF_OTHERS: [u8; 68] = {
    let mut data = [9; 68];
    (data[0], data[1], data[2], data[3]) = (1, 0, 3, 13);
    data
};

struct World {
    content: Arc<Zone>,
    signed: SignedZone,
    _folder: tempfile::TempDir,
}

impl World {
    /// A zone that was signed a few times since its content had its serial number, 7.
    fn new() -> Self {
        let mut builder = ZoneBuilder::new("u.test".parse().expect("a name"));
        builder.text("zone", b"$TTL 60\n@ SOA ns a 7 1 1 1 1\n@ NS ns\nns A 192.0.2.53\nwww A 192.0.2.1\n");
        let content = Arc::new(builder.finish().expect("a good zone").zone);
        let folder = tempfile::tempdir().expect("a folder");
        let config = SignConfig::default();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let signed = SignedZone::new(config, folder.path(), Arc::clone(&content), None, now).expect("keys");
        for days in [10, 20, 30] {
            assert!(signed.step(now + Duration::from_secs(days * 86_400)).expect("keys"));
        }
        assert_eq!(signed.zone().figures().serial, 10);
        Self { content, signed, _folder: folder }
    }

    /// The RCODE, or the serial number of the content after this update.
    fn update(&self, (prerequisite, change): (Option<Record<'_>>, Record<'_>)) -> Result<u32, u8> {
        let count = u8::from(prerequisite.is_some());
        let mut message = vec![0, 1, 0x28, 0, 0, 1, 0, count, 0, 1, 0, 0];
        message.extend_from_slice(b"\x01u\x04test\0\0\x06\0\x01");
        for (owner, rtype, class, data) in prerequisite.into_iter().chain([change]) {
            let owner: Name = owner.parse().expect("a name");
            message.extend_from_slice(owner.as_wire());
            message.extend_from_slice(&rtype.to_int().to_be_bytes());
            message.extend_from_slice(&class.to_int().to_be_bytes());
            message.extend_from_slice(&[0; 4]);
            message.extend_from_slice(&(data.len() as u16).to_be_bytes());
            message.extend_from_slice(data);
        }
        let request = Request::parse(&message, self.content.apex())?;
        let mut overlay = Overlay::new(&self.content);
        let rules = UpdateRules(vec![UpdateRule::for_anybody()]);
        let served = self.signed.zone();
        decide(&request, &mut overlay, &rules, IpAddr::from([127, 0, 0, 1]), None, Some(&served))?;
        if overlay.is_changed() {
            raise_serial(&mut overlay, Some(&served));
        }
        Ok(soa_number(&overlay.soa().data, 0).expect("an SOA"))
    }

    fn soa(&self, serial: u32) -> Vec<u8> {
        let mut data = soa_of(&self.content).data.to_vec();
        let at = data.len() - 20;
        data[at..at + 4].copy_from_slice(&serial.to_be_bytes());
        data
    }

    /// The data of a record that is made here.
    fn made(&self, rtype: Rtype) -> Vec<u8> {
        self.signed.zone().apex_node().rrset(rtype).expect("it is made").first_rdata().to_vec()
    }
}

type Record<'d> = (&'d str, Rtype, Class, &'d [u8]);

fn address() -> Record<'static> {
    ("new.u.test", Rtype::A, Class::IN, &[192, 0, 2, 9])
}

#[test]
fn serial_numbers_are_those_that_clients_see() {
    let world = World::new();
    assert_eq!(world.update((None, address())), Ok(11), "above what is served");
    let with_soa = |serial| world.update((None, ("u.test", Rtype::SOA, Class::IN, &world.soa(serial))));
    assert_eq!(with_soa(9), Ok(7), "what is served is newer: it is passed over");
    assert_eq!(with_soa(2026), Ok(2026));
    let if_soa =
        |serial| world.update((Some(("u.test", Rtype::SOA, Class::IN, &world.soa(serial))), address()));
    assert_eq!((if_soa(7), if_soa(10)), (Err(NXRRSET), Ok(11)));
}

#[test]
fn what_is_made_here_is_nobody_elses_to_change() {
    let world = World::new();
    for rtype in [Rtype::DNSKEY, Rtype::CDS, Rtype::CDNSKEY] {
        let own = world.made(rtype);
        assert_eq!(world.update((None, ("u.test", rtype, Class::NONE, &own))), Err(REFUSED), "{rtype}");
        assert_eq!(world.update((None, ("u.test", rtype, Class::IN, &own))), Err(REFUSED), "{rtype}");
        assert_eq!(world.update((None, ("u.test", rtype, Class::ANY, &[]))), Err(REFUSED), "{rtype}");
    }
    for rtype in [Rtype::RRSIG, Rtype::NSEC, Rtype::NSEC3, Rtype::NSEC3PARAM] {
        assert_eq!(world.update((None, ("www.u.test", rtype, Class::ANY, &[]))), Err(REFUSED), "{rtype}");
    }
    // Others may sign the zone too (RFC 8901).
    assert_eq!(world.update((None, ("u.test", Rtype::DNSKEY, Class::IN, &DNSKEY_OF_OTHERS))), Ok(11));
    // All of the apex but what stays: what is made here is none of it.
    assert_eq!(world.update((None, ("u.test", Rtype::ANY, Class::ANY, &[]))), Ok(7));
}
