//! Session tickets (RFC 8446 §4.6.1, RFC 5077) under keys that every node with the same secret derives by itself.
//!
//! Time is cut into epochs of `rotate`. The keys of an epoch come from the secret and the epoch's number, by
//! HKDF (RFC 5869); a ticket is made with the current epoch's, and those of the epochs before and after are
//! accepted: before for tickets that are still good, after for nodes whose clock is ahead. Nothing is stored.
//! Without a secret each epoch has a random one, which is forgotten after the next.
//!
//! Invariant: a ticket holds the client's certificate as it was verified, so terms for clients that differ must
//! not share keys. Keys are derived for a *label*, which names the terms.

use crate::config::TicketsConfig;
use crate::error::Error;
use crate::provider::seconds;
use arc_swap::ArcSwapOption;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{self, HKDF_SHA256, Prk, Salt};
use notation::Secret;
use rustls::server::ProducesTickets;
use rustls::time_provider::TimeProvider;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The shortest secret that cannot be guessed: as long as the keys.
const SECRET_BYTES_MIN: usize = 32;
/// Most of a ticket is the client's certificate chain. A longer session is not resumed.
const TICKET_BYTES_MAX: usize = 16 << 10;
/// A key's public name, by which a ticket says what it was made with.
const NAME_BYTES: usize = 16;
const TAG_BYTES: usize = 16;

/// The secrets that keys of tickets come from, for all servers of a process.
pub struct Tickets {
    config: TicketsConfig,
    source: Source,
    rotate_secs: u64,
    time: Arc<dyn TimeProvider>,
}

enum Source {
    /// What the nodes share.
    Shared(Prk),
    /// Random ones: the newest epoch's and the one before.
    Own(Mutex<[Option<(u64, Prk)>; 2]>),
}

impl Tickets {
    /// Reads the secret, if there is one; its file is relative to `dir`.
    pub fn load(config: &TicketsConfig, dir: &Path, time: Arc<dyn TimeProvider>) -> Result<Arc<Self>, Error> {
        let source = match &config.secret {
            None => Source::Own(Mutex::default()),
            Some(secret) => {
                let revealed = match secret {
                    Secret::File(path) => Secret::File(dir.join(path)).reveal()?,
                    Secret::Env(_) => secret.reveal()?,
                };
                if revealed.len() < SECRET_BYTES_MIN {
                    return Err(Error::WeakSecret { bytes: revealed.len(), min_bytes: SECRET_BYTES_MIN });
                }
                Source::Shared(extract(revealed.as_bytes()))
            }
        };
        let rotate_secs = config.rotate.get().as_secs().max(1);
        Ok(Arc::new(Self { config: config.clone(), source, rotate_secs, time }))
    }

    /// The tickets of another configuration. Random keys stay as they are when nothing has changed, so that a
    /// reload ends no session; a shared secret is read again.
    pub fn reload(self: &Arc<Self>, config: &TicketsConfig, dir: &Path) -> Result<Arc<Self>, Error> {
        if self.config == *config && config.secret.is_none() {
            return Ok(Arc::clone(self));
        }
        Self::load(config, dir, Arc::clone(&self.time))
    }

    /// What makes and reads tickets under a label. Tickets of one label are nothing under another.
    pub(crate) fn under(self: &Arc<Self>, label: &[u8]) -> Arc<dyn ProducesTickets> {
        Arc::new(Ticketer { tickets: Arc::clone(self), label: label.into(), keys: ArcSwapOption::empty() })
    }

    fn epoch(&self) -> u64 {
        seconds(&*self.time) / self.rotate_secs
    }

    /// The key of an epoch; `None` where there is none, as for the future of random ones.
    fn key(&self, epoch: u64, is_current: bool, label: &[u8]) -> Option<Key> {
        match &self.source {
            Source::Shared(prk) => Some(Key::derive(prk, epoch, label)),
            Source::Own(roots) => {
                let mut roots = roots.lock().unwrap_or_else(PoisonError::into_inner);
                let known = roots.iter().flatten().find(|(of, _)| *of == epoch);
                if let Some((_, prk)) = known {
                    return Some(Key::derive(prk, epoch, label));
                }
                if !is_current {
                    return None;
                }
                let prk = extract(&random::<32>()?);
                let key = Key::derive(&prk, epoch, label);
                // Forgets the one before the last.
                roots.swap(0, 1);
                roots[0] = Some((epoch, prk));
                Some(key)
            }
        }
    }
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").field("rotate_secs", &self.rotate_secs).finish_non_exhaustive()
    }
}

fn extract(secret: &[u8]) -> Prk {
    Salt::new(HKDF_SHA256, b"nines tls tickets").extract(secret)
}

fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(bytes)
}

/// A key of one epoch under one label.
struct Key {
    name: [u8; NAME_BYTES],
    aead: LessSafeKey,
}

impl Key {
    fn derive(prk: &Prk, epoch: u64, label: &[u8]) -> Self {
        let epoch = epoch.to_be_bytes();
        let expanded = |what: &[u8], out: &mut [u8]| {
            let info = [what, &epoch, label];
            let okm = prk.expand(&info, Length(out.len())).expect("HKDF gives 8160 bytes, this asks for 32");
            okm.fill(out).expect("the length asked for is the length filled");
        };
        let (mut name, mut key) = ([0; NAME_BYTES], [0; 32]);
        expanded(b"name", &mut name);
        expanded(b"key ", &mut key);
        let unbound = UnboundKey::new(&AES_256_GCM, &key).expect("AES-256 takes 32 bytes");
        Self { name, aead: LessSafeKey::new(unbound) }
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// The keys that are good in one epoch, its own first.
struct Keys {
    epoch: u64,
    accepted: Vec<Key>,
}

/// Makes and reads the tickets of one label: name, nonce, sealed session.
struct Ticketer {
    tickets: Arc<Tickets>,
    label: Box<[u8]>,
    keys: ArcSwapOption<Keys>,
}

impl Ticketer {
    fn keys(&self) -> Option<Arc<Keys>> {
        let epoch = self.tickets.epoch();
        if let Some(keys) = self.keys.load_full()
            && keys.epoch == epoch
        {
            return Some(keys);
        }
        // Cores that come at once derive the same.
        let current = self.tickets.key(epoch, true, &self.label)?;
        let near = [epoch.checked_sub(1), epoch.checked_add(1)].into_iter().flatten();
        let near = near.filter_map(|epoch| self.tickets.key(epoch, false, &self.label));
        let accepted = std::iter::once(current).chain(near).collect();
        let keys = Arc::new(Keys { epoch, accepted });
        self.keys.store(Some(Arc::clone(&keys)));
        Some(keys)
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(self.tickets.rotate_secs).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        if plain.len() > TICKET_BYTES_MAX {
            return None;
        }
        let keys = self.keys()?;
        let key = keys.accepted.first()?;
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut ticket = Vec::with_capacity(NAME_BYTES + NONCE_LEN + plain.len() + TAG_BYTES);
        ticket.extend_from_slice(&key.name);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(plain);
        let sealed = &mut ticket[NAME_BYTES + NONCE_LEN..];
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = key.aead.seal_in_place_separate_tag(nonce, Aad::from(key.name), sealed).ok()?;
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        if ticket.len() > NAME_BYTES + NONCE_LEN + TICKET_BYTES_MAX + TAG_BYTES {
            return None;
        }
        let (name, rest) = ticket.split_at_checked(NAME_BYTES)?;
        let (nonce, sealed) = rest.split_at_checked(NONCE_LEN)?;
        let keys = self.keys()?;
        let key = keys.accepted.iter().find(|key| key.name == *name)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut opened = sealed.to_vec();
        let length = key.aead.open_in_place(nonce, Aad::from(key.name), &mut opened).ok()?.len();
        opened.truncate(length);
        Some(opened)
    }
}

impl fmt::Debug for Ticketer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticketer").finish_non_exhaustive()
    }
}
