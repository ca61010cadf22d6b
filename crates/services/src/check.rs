//! What is wrong with a `[service.NAME]` that its types alone do not show.

use crate::ServiceConfig;
use notation::{Faults, Name};

/// Variables that nines sets itself for every instance.
const OURS: [&str; 2] = ["PORT", "INSTANCE"];

/// Instances that one service may have.
const INSTANCES_MAX: u32 = 1000;

/// Reports what is wrong with a service. Whether its program exists is found out when it is started: a file
/// may be checked on another machine than the one that runs it.
pub fn check(config: &ServiceConfig, name: &Name, faults: &mut Faults) {
    let mut fault = |message: String| faults.add(name.span(), format!("service {name}: {message}"));
    if config.run.first().is_none_or(|program| program.trim().is_empty()) {
        fault("`run` names no program".into());
    }
    if config.run.iter().any(|argument| argument.contains('\0')) {
        fault("`run` holds a NUL byte, which no argument may".into());
    }
    if config.instances > INSTANCES_MAX {
        fault(format!("{} instances, above the limit of {INSTANCES_MAX}", config.instances));
    }
    if config.restart.after > config.restart.after_max {
        fault(format!(
            "`restart.after` {} is longer than `restart.after_max` {}",
            config.restart.after, config.restart.after_max
        ));
    }
    for variable in config.env.keys() {
        if variable.is_empty() || variable.contains(['=', '\0']) {
            fault(format!("env {variable:?} is no name of a variable"));
        } else if OURS.contains(&variable.as_str()) {
            fault(format!("env {variable} is set by nines itself"));
        }
    }
}
