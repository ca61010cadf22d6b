//! From the results of checks to healthy or not: `fall` failures in a row down, `rise` passes in a row up.

use crate::config::HealthConfig;

/// What the checks have said so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nothing asks for checks: taken as healthy.
    Assumed,
    /// The first check has not ended.
    Unknown,
    Healthy,
    Unhealthy,
}

/// The health of one endpoint by its checks.
#[derive(Debug)]
pub(crate) struct Health {
    verdict: Verdict,
    /// Results in a row that speak against the verdict.
    against: u32,
    /// Whether it was ever healthy by a check.
    proven: bool,
    /// What led to the verdict.
    cause: String,
}

/// What one check found: what it saw, either way ("GET /healthz answered 500").
pub(crate) type Found = Result<String, String>;

impl Health {
    /// A new endpoint's health: unknown where checks will tell, assumed otherwise.
    pub(crate) fn new(is_checked: bool) -> Self {
        let (verdict, cause) = if is_checked {
            (Verdict::Unknown, "its first check is under way")
        } else {
            (Verdict::Assumed, "no checks")
        };
        Self { verdict, against: 0, proven: false, cause: cause.into() }
    }

    /// The health of a process that takes the place of a healthy one without a gap. Its service saw that it
    /// accepts connections, and there may be nobody else: it serves until its first check says otherwise.
    pub(crate) fn taking_over() -> Self {
        let cause = "took the place of a healthy one, its first check is under way";
        Self { verdict: Verdict::Assumed, against: 0, proven: false, cause: cause.into() }
    }

    pub(crate) fn is_healthy(&self) -> bool {
        matches!(self.verdict, Verdict::Assumed | Verdict::Healthy)
    }

    pub(crate) fn is_unknown(&self) -> bool {
        self.verdict == Verdict::Unknown
    }

    /// Whether it has ever been found healthy. Until then it is starting, and worth a closer look.
    pub(crate) fn is_proven(&self) -> bool {
        self.proven
    }

    pub(crate) fn cause(&self) -> &str {
        &self.cause
    }

    /// Checks have been added to the pool, or taken away. An endpoint that serves goes on serving until its
    /// first check says otherwise.
    pub(crate) fn set_checked(&mut self, is_checked: bool) {
        if !is_checked && self.verdict != Verdict::Assumed {
            *self = Self::new(false);
        }
    }

    /// Takes in one result; `true` when the verdict changes. The first result decides alone, and so does the
    /// first pass of an endpoint that has never passed: `rise` is for those that fell.
    pub(crate) fn judge(&mut self, found: Found, config: &HealthConfig) -> bool {
        let passed = found.is_ok();
        let saw = found.unwrap_or_else(|saw| saw);
        let needed = match (self.verdict, passed) {
            (Verdict::Unknown | Verdict::Assumed, _) => 1,
            (Verdict::Healthy, true) | (Verdict::Unhealthy, false) => {
                self.against = 0;
                self.cause = saw;
                return false;
            }
            (Verdict::Healthy, false) => config.fall,
            (Verdict::Unhealthy, true) if !self.proven => 1,
            (Verdict::Unhealthy, true) => config.rise,
        };
        self.against += 1;
        if self.against < needed {
            return false;
        }
        self.cause = if needed == 1 { saw } else { format!("{saw}, for {needed} checks in a row") };
        let before = self.verdict;
        self.verdict = if passed { Verdict::Healthy } else { Verdict::Unhealthy };
        self.against = 0;
        self.proven |= passed;
        before != self.verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(health: &mut Health, results: &str) -> String {
        let config = HealthConfig { fall: 2, rise: 3, ..HealthConfig::default() };
        let show = |passed: bool| if passed { Ok("ok".to_owned()) } else { Err("refused".to_owned()) };
        let states = results.chars().map(|result| {
            health.judge(show(result == '+'), &config);
            if health.is_healthy() { '+' } else { '-' }
        });
        states.collect()
    }

    #[test]
    fn the_first_check_decides_alone() {
        assert_eq!(judged(&mut Health::new(true), "+"), "+");
        assert_eq!(judged(&mut Health::new(true), "-"), "-");
        assert!(Health::new(true).is_unknown());
    }

    #[test]
    fn it_falls_and_rises_after_so_many_in_a_row() {
        let mut health = Health::new(true);
        assert_eq!(judged(&mut health, "+-+--++-+++"), "++++-----".to_owned() + "-+");
        assert_eq!(health.cause(), "ok, for 3 checks in a row");
    }

    #[test]
    fn one_that_never_was_healthy_needs_one_pass() {
        assert_eq!(judged(&mut Health::new(true), "---+"), "---+");
    }

    #[test]
    fn an_endpoint_that_served_before_checks_came_serves_until_the_first_result() {
        let mut health = Health::new(false);
        health.set_checked(true);
        assert!(health.is_healthy());
        assert_eq!(judged(&mut health, "-"), "-");
    }
}
