//! Telling what was shown, step by step, while it happens.

use std::{
    fmt::{self, Display},
    time::{Duration, Instant},
};

/// The story of one scenario.
#[derive(Debug)]
pub struct Report {
    start: Instant,
}

/// A time as reports tell it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Took(pub Duration);

impl Report {
    /// Begins a story.
    #[must_use]
    pub fn begin(scenario: &str) -> Self {
        println!("\n{scenario}");
        Self {
            start: Instant::now(),
        }
    }

    /// What stands before anything is done.
    pub fn given(&self, what: &str) {
        self.line("given", what);
    }

    /// What is done.
    pub fn when(&self, what: &str) {
        self.line("when ", what);
    }

    /// What held.
    pub fn then(&self, what: &str) {
        self.line("then ", what);
    }

    /// What was measured, beside what is promised.
    pub fn measured(&self, what: &str, value: impl Display, promise: &str) {
        self.line("     ", &format!("{what}: {value} (promised: {promise})"));
    }

    /// A row of the README's table of faults: what is done, what is promised, what
    /// this run measured. `fault-table` collects the lines.
    pub fn fault(&self, group: &str, fault: &str, promise: &str, measured: impl Display) {
        println!("fault: {group} | {fault} | {promise} | {measured}");
    }

    fn line(&self, kind: &str, what: &str) {
        println!(
            "  {:>6.1} s  {kind}  {what}",
            self.start.elapsed().as_secs_f64()
        );
    }
}

impl Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            short if short < Duration::from_secs(10) => write!(f, "{} ms", short.as_millis()),
            long => write!(f, "{:.1} s", long.as_secs_f64()),
        }
    }
}
