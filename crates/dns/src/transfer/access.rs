//! Who may.

use crate::protocol::Name;
use admission::Network;
use std::net::IpAddr;

/// Who may do something with a zone: certain networks, whoever has a key, or those of the networks that have it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access {
    pub(crate) networks: Vec<Network>,
    pub(crate) key: Option<Name>,
}

impl Access {
    /// `key` is that of a signature which was found to be good.
    pub(crate) fn allows(&self, client: IpAddr, key: Option<&Name>) -> bool {
        let client = client.to_canonical();
        let has_key = self.key.as_ref().is_none_or(|own| key == Some(own));
        let is_near = self.networks.is_empty()
            || self.networks.iter().any(|network| (network.first()..=network.last()).contains(&client));
        // Closed to all but those who are named.
        let is_open = self.networks.is_empty() && self.key.is_none();
        has_key && is_near && !is_open
    }
}
