//! Runs services, keeps them running and says where their instances are.

mod check;
mod config;
mod error;
mod guard;
mod services;
mod status;

pub use check::check;
pub use config::*;
pub use error::Error;
pub use guard::guard_main;
pub use services::{Change, Prepared, Services, ServicesContext};
pub use status::{InstanceState, InstanceStatus, ServiceStatus};
