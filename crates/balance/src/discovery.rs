//! Names to addresses: each name is resolved again when its answer's time to live is over.

use hickory_resolver::config::LookupIpStrategy;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{ResolverBuilder, TokioResolver};
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::time::{Duration, Instant};

/// An answer is not asked for again within this time, whatever its time to live.
pub(crate) const TTL_MIN: Duration = Duration::from_secs(1);
/// An answer is asked for again after this time, whatever its time to live.
pub(crate) const TTL_MAX: Duration = Duration::from_secs(300);
/// How long one lookup may take, over all name servers and search domains.
const LOOKUP_MAX: Duration = Duration::from_secs(10);

/// A resolver that is still to be told how.
pub(crate) type Builder = ResolverBuilder<TokioRuntimeProvider>;

/// The addresses of a name, best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Never empty.
    pub addresses: Vec<IpAddr>,
    /// How long they hold.
    pub ttl: Duration,
}

/// An answer under way; the error says what went wrong.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = Result<Resolved, String>> + Send + 'a>>;

/// Whoever turns a host's name into addresses.
pub trait Resolve: Send + Sync {
    /// Looks up the addresses of `host`.
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a>;
}

/// The system's own resolver: the hosts file, and the name servers of `/etc/resolv.conf`. Both are read
/// again for each lookup: they change under a long-running process, and lookups are rare.
/// A name's IPv4 addresses are used if it has any, its IPv6 addresses otherwise: an endpoint with both is one.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            // RFC 6761 §6.3: these names are always the loopback address, and nobody needs to be asked.
            if host == "localhost" || host.ends_with(".localhost") {
                return Ok(Resolved { addresses: vec![Ipv4Addr::LOCALHOST.into()], ttl: TTL_MAX });
            }
            let builder = TokioResolver::builder_tokio().map_err(|error| error.to_string())?;
            let lookup = tokio::time::timeout(LOOKUP_MAX, look_up(builder, host)).await;
            lookup.map_err(|_| format!("no answer within {}s", LOOKUP_MAX.as_secs()))?
        })
    }
}

/// A lookup by the hosts file and the builder's name servers.
pub(crate) async fn look_up(mut builder: Builder, host: &str) -> Result<Resolved, String> {
    builder.options_mut().ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
    let resolver = builder.build().map_err(|error| error.to_string())?;
    let found = resolver.lookup_ip(host).await.map_err(|error| match error.is_no_records_found() {
        true => "it has no addresses".to_owned(),
        false => error.to_string(),
    })?;
    let addresses: Vec<IpAddr> = found.iter().collect();
    if addresses.is_empty() {
        return Err("it has no addresses".into());
    }
    Ok(Resolved { addresses, ttl: found.valid_until().saturating_duration_since(Instant::now()) })
}
