//! `[dns.services]`: the zone that running services have their names in.

use crate::config::ZoneConfig;
use crate::dnssec::Sign;
use crate::protocol::Name;
use notation::{Duration, Faults, Named};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Names of the services that run here: `shop.service.nines.internal` has the addresses of those instances of `shop` that are
/// healthy, and their ports by SRV.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "DnsServices")]
pub struct ServicesConfig {
    /// The zone that they are in; it is made of them alone, and is none of `[dns.zone]`.
    pub domain: notation::Name,
    /// How long answers may be kept. 0s, the default, asks for each use: an instance that goes is in no answer any more.
    #[serde(default)]
    pub ttl: Duration,
    /// Whether the zone is signed here (DNSSEC), as one of `[dns.zone]`.
    #[serde(default, skip_serializing_if = "Sign::is_off")]
    pub sign: Sign,
}

impl ServicesConfig {
    /// What is served before any service is known.
    pub(crate) fn zone(&self) -> (notation::Name, ZoneConfig) {
        let records = super::apex_records(0).map(notation::Name::new).to_vec();
        let sign = self.sign.clone();
        (self.domain.clone(), ZoneConfig { records, ttl: self.ttl, sign, ..ZoneConfig::default() })
    }
}

/// What types cannot say of `[dns.services]`.
pub(crate) fn check(config: &ServicesConfig, zones: &Named<ZoneConfig>, faults: &mut Faults) {
    let span = config.domain.span();
    let domain = match config.domain.parse::<Name>() {
        Ok(domain) => domain,
        Err(error) => {
            let message = format!("dns: services.domain {:?} is no name: {error}", config.domain.as_str());
            return faults.add(span, message);
        }
    };
    // A name of a service adds to it.
    if domain.labels() == 0 || domain.wire_len() > DOMAIN_BYTES_MAX {
        let message = "dns: services.domain is the root, or leaves no room for names below it";
        return faults.add(span, message);
    }
    if zones.keys().filter_map(|name| name.parse::<Name>().ok()).any(|apex| apex == domain) {
        let message = format!("dns: services.domain is a zone of this file already: {domain}");
        faults.add_with_help(
            span.clone(),
            message,
            format!("a name below it will do: \"internal.{domain}\""),
        );
    }
    for fault in config.sign.config().iter().flat_map(crate::dnssec::SignConfig::faults) {
        faults.add(span.clone(), format!("dns: services.sign: {fault}"));
    }
    if config.ttl.get().subsec_nanos() != 0 || config.ttl.get().as_secs() > 86_400 {
        faults.add(span, format!("dns: services.ttl is {}, of whole seconds up to 1d", config.ttl));
    }
}

/// RFC 1035 §2.3.4, less an instance, a service and `service`.
const DOMAIN_BYTES_MAX: usize = 255 - 64 - 64 - 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn faults_of(text: &str) -> Vec<String> {
        let mut faults = Faults::default();
        let zones = [(notation::Name::new("A.test"), ZoneConfig::default())].into();
        check(&toml::from_str(text).unwrap(), &zones, &mut faults);
        faults.into_vec().into_iter().map(|fault| fault.message).collect()
    }

    #[test]
    fn a_domain_is_a_name_of_its_own() {
        assert_eq!(faults_of("domain = 'internal.a.test'\nttl = '5s'"), [""; 0]);
        assert_eq!(
            faults_of("domain = 'a.test.'"),
            ["dns: services.domain is a zone of this file already: a.test"]
        );
        assert_eq!(
            faults_of("domain = 'b.test'\nsign = { validity = '1s' }"),
            ["dns: services.sign: validity is 1s, of 1m to 366d"]
        );
        assert_eq!(faults_of("domain = 'a..test'").len(), 1);
        assert_eq!(faults_of("domain = '.'").len(), 1);
        assert_eq!(
            faults_of("domain = 'b.test'\nttl = '1500ms'"),
            ["dns: services.ttl is 1s500ms, of whole seconds up to 1d"]
        );
    }
}
