//! `sign` of a zone: whether it is signed here, and how.

use crate::changes::Peer;
use notation::Duration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration as Time;

/// Shorter lives of signatures are for tests: a resolver may keep an answer for as long.
const VALIDITY_MIN: Time = Time::from_secs(60);
/// RFC 4034 §3.1.5: times are compared by serial arithmetic, which ends at 68 years; nobody wants more than one.
const VALIDITY_MAX: Time = Time::from_secs(366 * 86_400);

/// What registries give to DS records, if not less.
const DS_TTL: Duration = Duration::secs(86_400);
const PROPAGATION: Duration = Duration::secs(3600);
/// RFC 2181 §8.
const TTL_MAX: Time = Time::from_secs(i32::MAX as u64);
/// A zone above has thirteen servers, rarely more.
const PARENTS_MAX: usize = 16;

/// Whether a zone is signed here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "`true`, `false` or a table like `{ algorithm = \"ed25519\" }`")]
pub enum Sign {
    /// It is, in the usual way, or it is not.
    Switch(bool),
    /// It is, like this.
    How(SignConfig),
}

/// How a zone is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "DnsSign")]
pub struct SignConfig {
    /// What the keys are.
    pub algorithm: Algorithm,
    /// How it is proven that a name or type is not there.
    pub denial: DenialConfig,
    /// Which keys there are.
    pub keys: KeyLayout,
    /// How long signatures are valid, 1m to 366d.
    pub validity: Duration,
    /// How long before its end a signature is made anew; half of `validity` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Duration>,
    /// How old the key becomes that signs the zone (the zone-signing key, or the one key there is) before another one takes its place;
    /// never when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roll_over: Option<Duration>,
    /// The same for the key-signing key. Only for `keys = "ksk-zsk"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ksk_roll_over: Option<Duration>,
    /// Name servers of the zone above: they are asked whether they have the DS of a new key. Without them the operator says so, by
    /// `nines dns ds-seen`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parent: Vec<Peer>,
    /// How long a DS of the zone above may be remembered, where nobody asks for it.
    pub ds_ttl: Duration,
    /// How long it takes until all servers of the zone have a change of it.
    pub propagation: Duration,
}

/// The algorithms of keys (RFC 8624 §3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "DnsAlgorithm")]
pub enum Algorithm {
    /// ECDSA P-256 with SHA-256, number 13.
    #[default]
    #[serde(rename = "ecdsa-p256")]
    EcdsaP256,
    /// Ed25519, number 15.
    #[serde(rename = "ed25519")]
    Ed25519,
}

/// How absence is proven.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "DnsDenial")]
pub enum DenialConfig {
    /// By the names before and after: smaller, and anybody can list the zone.
    #[default]
    Nsec,
    /// By hashes of names, without salt and hashed once (RFC 9276).
    Nsec3,
}

/// Which keys a zone has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "DnsKeys")]
pub enum KeyLayout {
    /// One that signs everything.
    #[default]
    Csk,
    /// One for the keys, known to the zone above, and one for all else, which can be rolled over without it.
    KskZsk,
}

impl Default for SignConfig {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::default(),
            denial: DenialConfig::default(),
            keys: KeyLayout::default(),
            validity: Duration::secs(14 * 86_400),
            refresh: None,
            roll_over: None,
            ksk_roll_over: None,
            parent: Vec::new(),
            ds_ttl: DS_TTL,
            propagation: PROPAGATION,
        }
    }
}

impl Default for Sign {
    fn default() -> Self {
        Self::Switch(false)
    }
}

impl Sign {
    /// How, if it is.
    pub fn config(&self) -> Option<SignConfig> {
        match self {
            Self::Switch(is_on) => is_on.then(SignConfig::default),
            Self::How(config) => Some(config.clone()),
        }
    }

    pub(crate) fn is_off(&self) -> bool {
        *self == Self::Switch(false)
    }
}

impl SignConfig {
    /// How long before its end a signature is made anew.
    pub(crate) fn refresh(&self) -> Time {
        self.refresh.map_or_else(|| self.validity.get() / 2, Duration::get)
    }

    /// What is wrong with it.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let validity = self.validity.get();
        if !(VALIDITY_MIN..=VALIDITY_MAX).contains(&validity) {
            faults.push(format!("validity is {}, of 1m to 366d", self.validity));
        }
        if let Some(refresh) = self.refresh
            && (refresh.get().is_zero() || refresh.get() * 10 > validity * 9)
        {
            faults.push(format!(
                "refresh is {refresh}: more than nothing, and at most nine tenths of validity"
            ));
        }
        for (name, age) in [("roll_over", self.roll_over), ("ksk_roll_over", self.ksk_roll_over)] {
            if let Some(age) = age.filter(|age| age.get() < validity) {
                faults.push(format!("{name} is {age}, less than validity ({})", self.validity));
            }
        }
        if self.ksk_roll_over.is_some() && self.keys == KeyLayout::Csk {
            let message =
                "ksk_roll_over is for keys = \"ksk-zsk\": the age of the one key there is, is roll_over";
            faults.push(message.to_owned());
        }
        if self.parent.len() > PARENTS_MAX {
            faults.push(format!("parent has {} servers (max {PARENTS_MAX})", self.parent.len()));
        }
        for (name, time) in [("ds_ttl", self.ds_ttl), ("propagation", self.propagation)] {
            if time.get() > TTL_MAX {
                faults.push(format!("{name} is {time}, longer than anything is remembered (68 years)"));
            }
        }
        faults
    }

    /// How old the key becomes that the zone above points to.
    pub(crate) fn entry_roll_over(&self) -> Option<Time> {
        let age = match self.keys {
            KeyLayout::Csk => self.roll_over,
            KeyLayout::KskZsk => self.ksk_roll_over,
        };
        age.map(Duration::get)
    }
}
