//! From the root on: hickory's recursor walks the delegations, with minimised names (RFC 9156), and validates.
//!
//! It has caches of its own, of name servers and what they say, by number of entries; what clients get is kept by ours.

use super::config::ResolverConfig;
use super::files::Files;
use super::key::Asked;
use super::source::Judged;
use super::upstream::Failure;
use super::validation::{Validating, followed, keep_own_keys, negative};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, DnsResponseStream};
use hickory_resolver::proto::op::{DnsRequest, DnsResponse, Message, Query, ResponseCode};
use hickory_resolver::recursor::{DnssecPolicy, Recursor, RecursorError, RecursorOptions};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Instant;

/// A walker of the tree, and one who validates what it says.
pub(super) struct Recursion {
    validating: Option<Validating<Walker>>,
    walker: Walker,
}

/// hickory's recursor, as its validator sees it.
#[derive(Clone)]
struct Walker(Arc<Recursor<TokioRuntimeProvider>>);

impl Walker {
    async fn look_up(&self, query: Query) -> Result<Message, NetError> {
        let mut message = plain(self.0.resolve(query.clone(), Instant::now(), true).await)?;
        keep_own_keys(&query, &mut message);
        Ok(message)
    }
}

impl DnsHandle for Walker {
    type Response = DnsResponseStream;
    type Runtime = TokioRuntimeProvider;

    fn send(&self, request: DnsRequest) -> DnsResponseStream {
        let walker = self.clone();
        let walked = async move {
            let query = request.queries.first().cloned().ok_or_else(|| NetError::from("no question"))?;
            let mut message = walker.look_up(query.clone()).await?.into_response();
            message.queries = vec![query];
            Ok(DnsResponse::from_message(message)?)
        };
        Box::pin(walked).into()
    }
}

/// Zones whose servers are known, and answers of them.
const ZONES_MAX: usize = 4096;
const ANSWERS_MAX: u64 = 8192;

/// The root's servers (named.root of 2024-05-28, which is how they are called and found since).
pub(super) const ROOTS: [(Ipv4Addr, Ipv6Addr); 13] = [
    (Ipv4Addr::new(198, 41, 0, 4), Ipv6Addr::new(0x2001, 0x503, 0xba3e, 0, 0, 0, 0x2, 0x30)),
    (Ipv4Addr::new(170, 247, 170, 2), Ipv6Addr::new(0x2801, 0x1b8, 0x10, 0, 0, 0, 0, 0xb)),
    (Ipv4Addr::new(192, 33, 4, 12), Ipv6Addr::new(0x2001, 0x500, 0x2, 0, 0, 0, 0, 0xc)),
    (Ipv4Addr::new(199, 7, 91, 13), Ipv6Addr::new(0x2001, 0x500, 0x2d, 0, 0, 0, 0, 0xd)),
    (Ipv4Addr::new(192, 203, 230, 10), Ipv6Addr::new(0x2001, 0x500, 0xa8, 0, 0, 0, 0, 0xe)),
    (Ipv4Addr::new(192, 5, 5, 241), Ipv6Addr::new(0x2001, 0x500, 0x2f, 0, 0, 0, 0, 0xf)),
    (Ipv4Addr::new(192, 112, 36, 4), Ipv6Addr::new(0x2001, 0x500, 0x12, 0, 0, 0, 0, 0xd0d)),
    (Ipv4Addr::new(198, 97, 190, 53), Ipv6Addr::new(0x2001, 0x500, 0x1, 0, 0, 0, 0, 0x53)),
    (Ipv4Addr::new(192, 36, 148, 17), Ipv6Addr::new(0x2001, 0x7fe, 0, 0, 0, 0, 0, 0x53)),
    (Ipv4Addr::new(192, 58, 128, 30), Ipv6Addr::new(0x2001, 0x503, 0xc27, 0, 0, 0, 0x2, 0x30)),
    (Ipv4Addr::new(193, 0, 14, 129), Ipv6Addr::new(0x2001, 0x7fd, 0, 0, 0, 0, 0, 0x1)),
    (Ipv4Addr::new(199, 7, 83, 42), Ipv6Addr::new(0x2001, 0x500, 0x9f, 0, 0, 0, 0, 0x42)),
    (Ipv4Addr::new(202, 12, 27, 33), Ipv6Addr::new(0x2001, 0xdc3, 0, 0, 0, 0, 0, 0x35)),
];

impl Recursion {
    pub(super) fn new(config: &ResolverConfig, files: &Files) -> Self {
        let roots = files.roots().map_or_else(
            || ROOTS.iter().flat_map(|(v4, v6)| [IpAddr::V4(*v4), IpAddr::V6(*v6)]).collect(),
            <[IpAddr]>::to_vec,
        );
        // It asks for signatures, and does not look at them: that is done here.
        let policy = DnssecPolicy::ValidationDisabled;
        let recursor = Recursor::new(&roots, policy, None, options(config), TokioRuntimeProvider::new())
            .expect("roots that were checked, and no policy that needs more");
        let walker = Walker(Arc::new(recursor));
        let validating = config.validates().then(|| Validating::new(walker.clone(), files.anchors()));
        Self { validating, walker }
    }

    pub(super) async fn ask(&self, name: &[u8], asked: Asked) -> Result<Judged, Failure> {
        // RFC 4035 §3.2.2: whoever checks by itself gets what there is.
        if let Some(validating) = self.validating.as_ref().filter(|_| !asked.checking_disabled) {
            return validating.ask(name, asked).await;
        }
        let reply = followed(name, asked.rtype, async |query| self.walker.look_up(query).await).await?;
        Ok((reply, None))
    }
}

/// One kind of error for what may be said in several ways.
fn plain(result: Result<Message, RecursorError>) -> Result<Message, NetError> {
    match result {
        Ok(message) => Ok(message),
        Err(error) if error.is_no_records_found() || error.is_nx_domain() => match error {
            RecursorError::Negative(data) => {
                let rcode = if RecursorError::Negative(data.clone()).is_nx_domain() {
                    ResponseCode::NXDomain
                } else {
                    ResponseCode::NoError
                };
                let soa = data.soa.map(|soa| soa.into_record_of_rdata());
                Ok(negative(rcode, soa, data.authorities.as_deref()))
            }
            RecursorError::Net(error) => Err(error),
            other => Err(NetError::from(other.to_string())),
        },
        Err(RecursorError::Net(error)) => Err(error),
        Err(error) => {
            tracing::debug!(target: "dns", %error, "resolver: a name could not be looked up");
            Err(NetError::from(error.to_string()))
        }
    }
}

fn options(config: &ResolverConfig) -> RecursorOptions {
    let mut options = RecursorOptions {
        ns_cache_size: ZONES_MAX,
        response_cache_size: ANSWERS_MAX,
        case_randomization: config.random_case,
        ..RecursorOptions::default()
    };
    for network in &config.private_servers {
        let network: Option<admission::Network> = network.as_str().parse().ok();
        let written = network.map(|network| format!("{}/{}", network.first(), network.prefix()));
        if let Some(Ok(network)) = written.map(|network| network.parse()) {
            options.allow_server.push(network);
        }
    }
    options
}
