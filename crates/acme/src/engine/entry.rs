//! What is known of one name, and when it is ordered next.

use super::reading::ReadName;
use crate::certificate::Certificate;
use crate::clock::{from_unix_seconds, unix_ms};
use crate::ocsp::{Stapler, Watch};
use crate::policy::{credible, is_replaced_when_revoked, spread_renewal};
use crate::store::{Mark, Record};
use crate::{CertificateState, CertificateStatus, Error};
use rand::rngs::StdRng;
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use std::time::SystemTime;
use telemetry::Gauge;

/// What is known of a name.
pub(super) struct Entry {
    pub(super) certificate: Option<Certificate>,
    /// It is from the server before a reload: it is shown until there is one of this server.
    pub(super) is_foreign: bool,
    pub(super) staple: Staple,
    /// With jitter, chosen once a certificate.
    pub(super) renew_at: Option<SystemTime>,
    pub(super) record: Record,
    pub(super) mark: Option<Mark>,
    /// The store could not be read: whether there is a certificate is not known.
    pub(super) is_unknown: bool,
    pub(super) unusable: Option<String>,
    pub(super) is_ordering: bool,
    pub(super) expiry: Gauge,
}

/// The OCSP response of the certificate.
pub(super) enum Staple {
    /// Nobody has been told of the certificate.
    Unasked,
    /// There is nobody to ask.
    Absent,
    Watched(Watch),
}

impl Staple {
    /// The response to staple, if there is one, for a chain that is told of once.
    pub(super) fn of(
        &mut self,
        name: &str,
        chain: &[CertificateDer<'_>],
        stapler: Option<&Stapler>,
    ) -> Option<Arc<Vec<u8>>> {
        if let Self::Unasked = self {
            *self = stapler.and_then(|it| it.watch(name, chain)).map_or(Self::Absent, Self::Watched);
        }
        match self {
            Self::Watched(watch) => watch.response(),
            Self::Unasked | Self::Absent => None,
        }
    }

    fn is_revoked(&self) -> bool {
        matches!(self, Self::Watched(watch) if watch.is_revoked())
    }
}

impl Entry {
    pub(super) fn new(expiry: Gauge) -> Self {
        Self {
            certificate: None,
            is_foreign: false,
            staple: Staple::Unasked,
            renew_at: None,
            record: Record::default(),
            mark: None,
            is_unknown: false,
            unusable: None,
            is_ordering: false,
            expiry,
        }
    }

    /// Another server is asked from now on.
    pub(super) fn estrange(&mut self) {
        self.is_foreign = self.certificate.is_some();
        (self.renew_at, self.mark, self.record) = (None, None, Record::default());
    }

    pub(super) fn note(&mut self, read: Result<ReadName, Error>, rng: &mut StdRng) {
        (self.is_unknown, self.unusable) = (false, None);
        let ReadName { mark, certificate, record } = match read {
            Ok(read) => read,
            Err(error) => {
                (self.is_unknown, self.unusable, self.mark) = (true, Some(error.to_string()), None);
                return;
            }
        };
        match certificate {
            Ok(Some(certificate)) => self.take(certificate, rng),
            Ok(None) if self.is_foreign => {}
            Ok(None) => (self.certificate, self.renew_at) = (None, None),
            // What we have is better than what the store has now, until it is whole again.
            Err(error) => self.unusable = Some(error.to_string()),
        }
        (self.record, self.mark) = (record, Some(mark));
    }

    pub(super) fn take(&mut self, certificate: Certificate, rng: &mut StdRng) {
        let is_same = |ours: &Certificate| ours.certified.cert == certificate.certified.cert;
        if !self.is_foreign && self.certificate.as_ref().is_some_and(is_same) {
            return;
        }
        self.renew_at = Some(spread_renewal(certificate.not_before, certificate.not_after, rng));
        self.certificate = Some(certificate);
        (self.is_foreign, self.staple) = (false, Staple::Unasked);
    }

    /// When the next order is due; `None` while there is nothing to decide.
    pub(super) fn next(&self, now: SystemTime) -> Option<SystemTime> {
        if self.is_ordering || self.is_unknown {
            return None;
        }
        let allowed = self.record.next_try_unix_s.and_then(|at| credible(from_unix_seconds(at), now));
        match (self.renewal(now), allowed) {
            (Some(renewal), Some(allowed)) => Some(renewal.max(allowed)),
            (Some(at), None) | (None, Some(at)) => Some(at),
            (None, None) => Some(now),
        }
    }

    fn renewal(&self, now: SystemTime) -> Option<SystemTime> {
        let is_revoked = self.staple.is_revoked();
        let is_replaced = |it: &Certificate| is_revoked && is_replaced_when_revoked(it.not_before, now);
        self.renew_at.filter(|_| !self.certificate.as_ref().is_some_and(is_replaced))
    }

    /// As people see it; before `not_before` nothing is ordered for any name.
    pub(super) fn status(
        &self,
        name: &str,
        not_before: Option<SystemTime>,
        now: SystemTime,
    ) -> CertificateStatus {
        let state = match &self.certificate {
            None => CertificateState::Missing,
            Some(certificate) if certificate.not_after <= now => CertificateState::Expired,
            Some(_) => CertificateState::Valid,
        };
        let next = self.next(now).map(|at| not_before.map_or(at, |not_before| at.max(not_before)));
        let next = next.filter(|at| *at > now);
        let last_error = self.unusable.clone().or_else(|| self.record.last_error.clone());
        CertificateStatus {
            name: name.to_owned(),
            state,
            ordering: self.is_ordering,
            valid_from_unix_ms: self.certificate.as_ref().map(|it| unix_ms(it.not_before)),
            valid_until_unix_ms: self.certificate.as_ref().map(|it| unix_ms(it.not_after)),
            next_try_unix_ms: next.map(unix_ms),
            failures: self.record.failures,
            last_error,
        }
    }
}
