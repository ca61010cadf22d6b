//! What is wrong with a limit of responses.

use crate::config::DnsLimits;
use admission::Network;
use notation::{Faults, Name};

/// Beyond that hardly anybody gets through (BIND has the same bound).
const SLIP_MAX: u8 = 10;

/// What types cannot say of the limit of responses.
pub(crate) fn check(limits: &DnsLimits, faults: &mut Faults) {
    for name in &limits.exempt {
        if let Err(error) = name.parse::<Network>() {
            faults.add(name.span(), format!("dns: limit.exempt: {error}"));
        }
    }
    if limits.slip > SLIP_MAX {
        faults.add(None, format!("dns: limit.slip is {}, of 0 to {SLIP_MAX}", limits.slip));
    }
    if limits.responses_per_client.is_none() && !limits.exempt.is_empty() {
        let help = "add `responses_per_client = \"20/s\"` to [dns.limit]";
        faults.add_with_help(None, "dns: limit.exempt exempts from a limit that is not there", help);
    }
}

/// Those that were written well.
pub(super) fn networks(names: &[Name]) -> impl Iterator<Item = Network> {
    names.iter().filter_map(|name| name.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::told;

    fn faults_of(text: &str) -> Vec<String> {
        told(text, check)
    }

    #[test]
    fn what_could_not_work_is_said() {
        assert_eq!(faults_of("responses_per_client = '20/s'\nslip = 10\nexempt = ['10.0.0.0/8']"), [""; 0]);
        assert_eq!(
            faults_of("exempt = ['10.0.0.0/8']\nslip = 11"),
            ["dns: limit.slip is 11, of 0 to 10", "dns: limit.exempt exempts from a limit that is not there"]
        );
        let said = faults_of("responses_per_client = '20/s'\nexempt = ['10.0.0.1/8']");
        assert_eq!(said, ["dns: limit.exempt: \"10.0.0.1/8\" has bits set behind its prefix"]);
    }
}
