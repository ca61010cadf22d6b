//! Answers as they would be if cost did not matter: RFC 1034 §4.3.2 over an ordered map, word for word.

use domain::base::iana::Rtype;
use std::collections::{BTreeMap, BTreeSet};

/// The labels of a name, the rightmost first.
pub(crate) type Labels = Vec<String>;

/// A zone whose names are below `test`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Store {
    names: BTreeMap<Labels, BTreeMap<Rtype, BTreeSet<String>>>,
}

/// What is expected, each section sorted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    pub(crate) status: String,
    pub(crate) answer: Vec<String>,
    pub(crate) authority: Vec<String>,
    pub(crate) additional: Vec<String>,
}

pub(crate) const APEX: &str = "test";
const SOA: &str = "ns.test. admin.test. 1 2 3 4 300";
/// As in `resolution`.
const ALIASES_MAX: usize = 16;

pub(crate) fn labels(name: &str) -> Labels {
    name.trim_end_matches('.').split('.').rev().map(str::to_owned).collect()
}

pub(crate) fn text(labels: &[String]) -> String {
    labels.iter().rev().cloned().collect::<Vec<_>>().join(".")
}

impl Store {
    /// A zone of these records, of which those are left out that could not stand in one.
    pub(crate) fn new(records: &[(Labels, Rtype, String)]) -> Self {
        let mut store = Self::default();
        let apex = labels(APEX);
        store.put(&apex, Rtype::SOA, SOA);
        store.put(&apex, Rtype::NS, "ns.elsewhere.");
        for (name, rtype, data) in records {
            let own = store.names.get(name);
            let has = |rtype: Rtype| own.is_some_and(|own| own.contains_key(&rtype));
            let is_apex = *name == apex;
            let stands = match *rtype {
                Rtype::CNAME => own.is_none_or(BTreeMap::is_empty),
                Rtype::DNAME => !has(Rtype::DNAME) && !has(Rtype::CNAME) && (is_apex || !has(Rtype::NS)),
                Rtype::NS => !has(Rtype::CNAME) && (is_apex || !has(Rtype::DNAME)),
                _ => !has(Rtype::CNAME),
            };
            if stands {
                store.put(name, *rtype, data);
            }
        }
        store.without_what_is_below_dnames()
    }

    fn put(&mut self, name: &Labels, rtype: Rtype, data: &str) {
        self.names.entry(name.clone()).or_default().entry(rtype).or_default().insert(data.to_owned());
    }

    /// A cut that goes may uncover what was below it.
    fn without_what_is_below_dnames(mut self) -> Self {
        loop {
            let all = self.clone();
            self.names.retain(|name, _| {
                let is_dname = |above: &[String]| {
                    all.cut_of(above).is_none() && all.rrset(above, Rtype::DNAME).is_some()
                };
                !(1..name.len()).any(|labels| is_dname(&name[..labels]))
                    || all.cut_of(name).is_some_and(|cut| cut.len() < name.len())
            });
            if self.names.len() == all.names.len() {
                return self;
            }
        }
    }

    /// In the format of zone files.
    pub(crate) fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, rrsets) in &self.names {
            for (rtype, data) in rrsets {
                lines.extend(data.iter().map(|data| format!("{}. 60 {rtype} {data}", text(name))));
            }
        }
        lines
    }

    fn exists(&self, name: &[String]) -> bool {
        self.names.keys().any(|known| known.starts_with(name))
    }

    fn rrset(&self, name: &[String], rtype: Rtype) -> Option<&BTreeSet<String>> {
        self.names.get(name)?.get(&rtype)
    }

    /// The uppermost cut at or above a name.
    fn cut_of(&self, name: &[String]) -> Option<Labels> {
        let at = (2..=name.len()).find(|labels| self.rrset(&name[..*labels], Rtype::NS).is_some())?;
        Some(name[..at].to_vec())
    }

    pub(crate) fn answer(&self, asked: &str, rtype: Rtype) -> Expected {
        let mut expected = Expected::default();
        let mut name = labels(asked);
        let mut seen: Vec<Labels> = Vec::new();
        let (rcode, aa) = loop {
            match self.step(&name, rtype, &mut expected) {
                Ok(status) => break status,
                Err(target) => {
                    seen.push(name);
                    name = target;
                }
            }
            if name.first().is_none_or(|top| top != APEX) || seen.contains(&name) || seen.len() > ALIASES_MAX
            {
                break ("NOERROR", true);
            }
        };
        // A referral speaks with authority only for the aliases before it.
        let aa = aa || !expected.answer.is_empty();
        expected.status = format!("{rcode}{}", if aa { " aa" } else { "" });
        for section in [&mut expected.answer, &mut expected.authority, &mut expected.additional] {
            section.sort();
        }
        expected
    }

    /// RCODE and AA, or the name that an alias leads to.
    fn step(
        &self,
        name: &Labels,
        rtype: Rtype,
        expected: &mut Expected,
    ) -> Result<(&'static str, bool), Labels> {
        if let Some(cut) = self.cut_of(name)
            && !(rtype == Rtype::DS && cut == *name)
        {
            let servers = self.rrset(&cut, Rtype::NS).expect("a cut");
            expected.authority.extend(servers.iter().map(|data| record(&cut, Rtype::NS, data)));
            self.addresses(servers.iter().map(String::as_str), true, &mut expected.additional);
            return Ok(("NOERROR", false));
        }
        if self.exists(name) {
            return self.records(name, name, rtype, expected);
        }
        let encloser = (1..name.len()).rev().find(|labels| self.exists(&name[..*labels])).expect("the apex");
        let (encloser, below) = name.split_at(encloser);
        if let Some(dname) = self.rrset(encloser, Rtype::DNAME) {
            let target = dname.first().expect("one");
            expected.answer.push(record(encloser, Rtype::DNAME, target));
            let made: Labels = labels(target).into_iter().chain(below.iter().cloned()).collect();
            expected.answer.push(record(name, Rtype::CNAME, &format!("{}.", text(&made))));
            return if rtype == Rtype::CNAME { Ok(("NOERROR", true)) } else { Err(made) };
        }
        let wildcard: Labels = encloser.iter().cloned().chain(["*".to_owned()]).collect();
        if self.exists(&wildcard) {
            return self.records(&wildcard, name, rtype, expected);
        }
        self.soa(expected);
        Ok(("NXDOMAIN", true))
    }

    fn records(
        &self,
        node: &Labels,
        owner: &Labels,
        rtype: Rtype,
        expected: &mut Expected,
    ) -> Result<(&'static str, bool), Labels> {
        if let Some(found) = self.rrset(node, rtype) {
            expected.answer.extend(found.iter().map(|data| record(owner, rtype, data)));
            let targets = found.iter().filter_map(|data| match rtype {
                Rtype::NS => Some(data.as_str()),
                Rtype::MX => data.split_once(' ').map(|(_, name)| name),
                _ => None,
            });
            self.addresses(targets, rtype == Rtype::NS, &mut expected.additional);
        } else if let Some(alias) = self.rrset(node, Rtype::CNAME) {
            let target = alias.first().expect("one");
            expected.answer.push(record(owner, Rtype::CNAME, target));
            return Err(labels(target));
        } else {
            self.soa(expected);
        }
        Ok(("NOERROR", true))
    }

    fn soa(&self, expected: &mut Expected) {
        // min(60, 300)
        expected.authority.push(record(&labels(APEX), Rtype::SOA, SOA));
    }

    fn addresses<'d>(
        &self,
        targets: impl Iterator<Item = &'d str>,
        with_glue: bool,
        section: &mut Vec<String>,
    ) {
        let names: BTreeSet<Labels> = targets.map(labels).collect();
        for name in names {
            let is_glue = self.cut_of(&name).is_some_and(|cut| cut.len() < name.len());
            if is_glue && !with_glue {
                continue;
            }
            if let Some(found) = self.rrset(&name, Rtype::A) {
                section.extend(found.iter().map(|data| record(&name, Rtype::A, data)));
            }
        }
    }
}

fn record(owner: &[String], rtype: Rtype, data: &str) -> String {
    format!("{} 60 {rtype} {data}", text(owner))
}
