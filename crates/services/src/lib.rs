//! Runs services, keeps them running and says where their instances are.
//!
//! ```text
//! file ─► Program ─► Service ─► Instance ─► Process ─► its output, in the log
//!         (what)     (how many)  (again and  (one run)
//!                        │        again)        │
//!                        └──── Board ◄──────────┘
//!                                │
//!                                ▼
//!                       balance::Instance, in pools
//! ```
//!
//! [`Services::start`] resolves every program and reads every secret first, so that a mistake shows before
//! anything runs. Then each service has a task that brings what runs to what the file wants, and each instance
//! has one that starts its process, waits for its end and starts it again after a growing pause. All of them
//! report to the service's board, and from it follows what pools see: an instance is listed exactly while its
//! process lives, and ready once it accepts connections.
//!
//! Invariants:
//! - Every process is in a group of its own, and the group ends with nines: on a stop by SIGTERM and SIGKILL, on
//!   a kill -9 of nines by the [guard](guard_main).
//! - An instance leaves its pools before it is signalled.
//! - A replacement takes the place of an instance that works only once it accepts connections itself.
//! - Every task has an owner that awaits it: processes by instances, instances by services, services by
//!   [`Services::stop`].
//!
//! There is no listener, protocol or engine here: a service brings its own. What a health check is and who may
//! be chosen is [`balance`]'s business.

mod board;
mod check;
mod config;
mod error;
mod events;
mod group;
mod guard;
mod instance;
mod output;
mod ports;
mod process;
mod program;
mod restart;
mod service;
mod services;
mod status;
mod substitute;

pub use check::check;
pub use config::*;
pub use error::Error;
pub use guard::guard_main;
pub use services::{Change, Prepared, Services, ServicesContext};
pub use status::{InstanceState, InstanceStatus, ServiceStatus};
