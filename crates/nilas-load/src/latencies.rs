//! Quantiles.

use std::time::Duration;

/// How long each of many answers took.
#[derive(Debug, Default, Clone)]
pub struct Latencies(Vec<Duration>);

impl Latencies {
    pub fn push(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    /// Those of another round.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    pub fn p50_ms(&self) -> f64 {
        self.quantile_ms(0.50)
    }

    pub fn p99_ms(&self) -> f64 {
        self.quantile_ms(0.99)
    }

    /// Not a number where nothing was measured.
    fn quantile_ms(&self, quantile: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort();
        let rank = (quantile * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).map_or(f64::NAN, |d| d.as_secs_f64() * 1e3)
    }
}

impl FromIterator<Duration> for Latencies {
    fn from_iter<I: IntoIterator<Item = Duration>>(latencies: I) -> Self {
        Self(latencies.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_latencies_that_were_measured() {
        let of = |count: u64| (1..=count).map(Duration::from_millis).collect::<Latencies>();
        for (count, p50, p99) in
            [(1, 1.0, 1.0), (2, 1.0, 2.0), (100, 50.0, 99.0), (300, 150.0, 297.0)]
        {
            assert_eq!((of(count).p50_ms(), of(count).p99_ms()), (p50, p99), "{count}");
        }
        assert!(of(0).p50_ms().is_nan());
    }
}
