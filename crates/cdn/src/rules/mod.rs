//! What RFC 9111 says: pure decisions. Times are given, nothing is kept.
//!
//! The facts of a request ([`Asked`]) and of a response ([`Came`]) are taken from their lines in one pass. [`may_store`] says whether a
//! response is kept, and as what ([`Stored`]); [`matches()`] and [`chosen`], whether it answers another request; [`serve`], whether it does so
//! now; [`select`], with which of its bytes. [`write_conditions`], [`confirmed`] and [`freshened`] are for asking the origin anew,
//! [`plan()`], [`combined`] and [`joined`] for what is stored in part, [`invalidated`] for what changes something. [`CacheStatus`] tells of it all.

mod asked;
mod cache_status;
mod came;
mod client_ttl;
mod condition;
mod date;
mod directive;
mod freshness;
mod invalidation;
mod kept;
mod lines;
mod partial;
mod plan;
mod policy;
mod refreshing;
mod serving;
mod status;
mod stored;
mod storing;
mod structured;
mod tags;
mod targeted;
mod telling;
#[cfg(test)]
mod tests;
mod validation;
mod vary;

pub use asked::{Asked, Bypass, Method, is_withheld};
pub use cache_status::{CacheStatus, Forwarded, write_age};
pub use came::{Came, DateField, Source};
pub use client_ttl::write_client_ttl;
pub use condition::write_not_modified;
pub use directive::{RequestControl, ResponseControl, SECONDS_MAX};
pub use invalidation::{SameOrigin, invalidated, resolved};
pub use kept::{is_for_caches, is_of_content, tells_outcome};
pub use lines::Lines;
pub use partial::{ContentRange, Selected, combined, joined, select};
pub(crate) use partial::{is_other_version, replaces};
pub use plan::{Ask, BLOCK_BYTES, Fits, Hole, Span, plan};
pub use policy::{Policy, SetCookie};
pub use refreshing::refresh_due;
pub use serving::{Serve, Why, confirm, is_failure, serve, stands_in_until};
pub use stored::{Stored, VaryField};
pub use storing::{NotStored, Times, may_store, passing};
pub use tags::{TAG_BYTES_MAX, TAGS_MAX};
pub use targeted::{CAPABILITY_LINE, NAME};
pub use telling::lifetime_by;
pub use validation::{
    AskedAbout, HeadSays, TAGS_ASKED_MAX, confirmed, freshened, head_says, merged_lines, write_conditions,
};
pub use vary::{RequestLines, VARY_MAX, accept_encoding, chosen, is_written_here, matches, variant};
