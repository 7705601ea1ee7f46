//! What came of what was done.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Longer than any answer may take: what waits for memory, and then its function's timeout, and a busy machine.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(25);

/// How many of each kind there were.
#[derive(Debug, Default)]
pub(super) struct Answers {
    counts: BTreeMap<String, usize>,
    slowest: Duration,
}

// === impl Answers ===

impl Answers {
    pub(super) fn count(&mut self, what: &str, status: u16, body: &[u8], took: Duration) {
        let kind = match status {
            500.. => String::from_utf8_lossy(body).chars().take(120).collect(),
            _ => String::new(),
        };
        self.tally(format!("{what} {status} {kind}"));
        self.slowest = self.slowest.max(took);
    }

    /// What is no answer.
    pub(super) fn tally(&mut self, what: String) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (kind, count) in &other.counts {
            *self.counts.entry(kind.clone()).or_default() += count;
        }
        self.slowest = self.slowest.max(other.slowest);
    }

    /// Nothing may take for ever, and a server that does its work has no errors of its own but for those of
    /// environments that were killed while they started.
    pub(super) fn faults(&self) -> Vec<String> {
        let invoked: usize =
            self.counts.iter().filter(|(kind, _)| kind.starts_with("invoke")).map(|(_, n)| n).sum();
        let failed: usize =
            self.counts.iter().filter(|(kind, _)| kind.contains(" 50")).map(|(_, n)| n).sum();
        let mut faults = Vec::new();
        if failed * 100 > invoked {
            faults.push(format!("{failed} answers were the server's own errors"));
        }
        if self.slowest > ANSWER_WITHIN {
            faults.push(format!("an answer took {:.0} s", self.slowest.as_secs_f64()));
        }
        faults
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, count) in &self.counts {
            writeln!(f, "{count:>8}  {kind}")?;
        }
        write!(f, "slowest answer {:.1} s", self.slowest.as_secs_f64())
    }
}
