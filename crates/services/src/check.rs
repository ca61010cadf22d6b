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
    let ServiceConfig { run, instances, env, health, restart, .. } = config;
    let mut fault = |message: String| faults.add(name.span(), format!("service `{name}`: {message}"));
    if run.first().is_none_or(|program| program.trim().is_empty()) {
        fault("`run` names no program".into());
    }
    if run.iter().any(|argument| argument.contains('\0')) {
        fault("`run` holds a NUL byte, which no argument may".into());
    }
    if *instances > INSTANCES_MAX {
        fault(format!("{instances} instances are above the limit of {INSTANCES_MAX}"));
    }
    if restart.after.get().is_zero() {
        fault("`restart.after` must be above 0: a program that fails at once would spin".into());
    }
    if restart.after > restart.after_max {
        let (after, max) = (restart.after, restart.after_max);
        fault(format!("`restart.after` {after} is longer than `restart.after_max` {max}"));
    }
    for variable in env.keys() {
        if variable.is_empty() || variable.contains(['=', '\0']) {
            fault(format!("env {variable:?} is no name of a variable"));
        } else if OURS.contains(&variable.as_str()) {
            fault(format!("env {variable} is set by nines itself"));
        }
    }
    if let Some(health) = health {
        balance::check_health(health, &format!("service `{name}`"), name, faults);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> Vec<String> {
        let mut faults = Faults::default();
        check(&toml::from_str(text).unwrap(), &Name::new("shop"), &mut faults);
        faults.into_vec().into_iter().map(|fault| fault.message).collect()
    }

    #[test]
    fn a_plain_service_has_no_fault() {
        let text =
            "run = ['./shop', '$PORT']\ninstances = 0\nhealth = { http = '/healthz' }\nenv = { A = 'b' }";
        assert_eq!(faults(text), [""; 0]);
    }

    #[test]
    fn every_fault_is_told_with_the_name_of_the_service() {
        let cases = [
            ("run = []", "`run` names no program"),
            ("run = [' ']", "`run` names no program"),
            ("run = [\"a\", \"b\\u0000\"]", "`run` holds a NUL byte, which no argument may"),
            ("run = ['a']\ninstances = 1001", "1001 instances are above the limit of 1000"),
            ("run = ['a']\nenv = { PORT = '1' }", "env PORT is set by nines itself"),
            ("run = ['a']\nenv = { 'A=B' = '1' }", "env \"A=B\" is no name of a variable"),
            (
                "run = ['a']\nrestart = { after = '1m' }",
                "`restart.after` 1m is longer than `restart.after_max` 30s",
            ),
            (
                "run = ['a']\nrestart = { after = '0s' }",
                "`restart.after` must be above 0: a program that fails at once would spin",
            ),
        ];
        for (text, message) in cases {
            assert_eq!(faults(text), [format!("service `shop`: {message}")], "{text}");
        }
        let both_kinds = faults("run = ['a']\nhealth = { http = '/', tcp = true }");
        assert!(both_kinds.len() == 1 && both_kinds[0].starts_with("service `shop`: "), "{both_kinds:?}");
    }
}
