//! Where answers come from: resolvers that are asked, or servers from the root on; and what signatures say of them.

use super::Kept;
use super::asker::Asker;
use super::config::ResolverConfig;
use super::events::Validated;
use super::files::Files;
use super::freshness::Terms;
use super::key::Asked;
use super::recursion::Recursion;
use super::upstream::{Failure, Manner, Upstream, ask};
use super::validation::Validating;
use super::wire::Reply;
use std::sync::Arc;

/// Where answers come from.
pub(super) enum Source {
    Upstreams(Arc<[Arc<Upstream>]>),
    /// Their answers are validated here.
    Validated(Box<(Validating<Asker>, Asker)>, Arc<[Arc<Upstream>]>),
    Root(Box<Recursion>),
}

/// An answer, and what its signatures say, if they were looked at.
pub(super) type Judged = (Reply, Option<Validated>);

impl Source {
    pub(super) fn new(
        config: &ResolverConfig,
        files: &Files,
        upstreams: Vec<Arc<Upstream>>,
        manner: Manner,
        (kept, terms): (&Arc<Kept>, &Terms),
    ) -> Self {
        if upstreams.is_empty() {
            return Self::Root(Box::new(Recursion::new(config, files)));
        }
        let upstreams: Arc<[Arc<Upstream>]> = upstreams.into();
        if config.validates() {
            let asker = Asker::new(Arc::clone(&upstreams), manner, Arc::clone(kept), terms);
            let validating = Validating::new(asker.clone(), files.anchors());
            return Self::Validated(Box::new((validating, asker)), upstreams);
        }
        Self::Upstreams(upstreams)
    }

    /// Those who are asked, if they are known beforehand.
    pub(super) fn upstreams(&self) -> &[Arc<Upstream>] {
        match self {
            Self::Upstreams(upstreams) | Self::Validated(_, upstreams) => upstreams,
            Self::Root(_) => &[],
        }
    }

    /// Asks for an answer.
    pub(super) async fn ask(&self, name: &[u8], asked: Asked, manner: Manner) -> Result<Judged, Failure> {
        match self {
            // RFC 4035 §3.2.2: whoever checks by itself gets what there is.
            Self::Validated(validating, _) if !asked.checking_disabled => {
                let (validating, asker) = &**validating;
                let judged = Box::pin(validating.ask(name, asked));
                let judged =
                    tokio::time::timeout(manner.timeout, judged).await.unwrap_or(Err(Failure::Silence));
                if judged.as_ref().is_err_and(|failure| *failure == Failure::Bogus) {
                    asker.forget(name);
                }
                judged
            }
            Self::Upstreams(upstreams) | Self::Validated(_, upstreams) => {
                ask(upstreams, (name, asked), manner).await.map(|reply| (reply, None))
            }
            Self::Root(recursion) => {
                let judged = Box::pin(recursion.ask(name, asked));
                tokio::time::timeout(manner.timeout, judged).await.unwrap_or(Err(Failure::Silence))
            }
        }
    }
}
