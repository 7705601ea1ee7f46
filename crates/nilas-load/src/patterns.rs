//! The ways to send: one after the other, as fast as answers come, at a fixed rate, and all at once.

use std::num::NonZeroU64;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::connection::Connection;
use crate::latencies::Latencies;
use crate::load::{Load, LoadError};

/// A target that has not been sent everything so long after the planned end does not keep up.
const LATE_MAX: Duration = Duration::from_secs(10);

/// What came of many things begun at one moment.
#[derive(Debug)]
pub struct Burst {
    /// Until the last had ended.
    pub wall: Duration,
    pub latencies: Latencies,
}

/// One request over a connection that is open already: what a client waits for who talks to the server anyway.
pub fn cold_start(load: &Load) -> Result<Duration, LoadError> {
    let mut connection = Connection::open(load.address)?;
    let began = Instant::now();
    connection.call(load)?;
    Ok(began.elapsed())
}

/// One request of each at the same moment, over connections that are open already.
pub fn cold_burst(loads: &[Load]) -> Result<Burst, LoadError> {
    let tasks = loads.iter().map(|load| {
        let mut connection = Connection::open(load.address)?;
        Ok(move || connection.call(load))
    });
    at_once(tasks.collect::<Result<_, _>>()?)
}

/// Runs everything on a thread of its own, all from the same moment, from which everything counts: a thread that got no
/// CPU time before is no faster for that. The first failure, where there is one.
pub fn at_once<E: Send>(tasks: Vec<impl FnOnce() -> Result<(), E> + Send>) -> Result<Burst, E> {
    let barrier = Barrier::new(tasks.len());
    let ends = on_threads(tasks.into_iter().map(|task| {
        let barrier = &barrier;
        move || {
            barrier.wait();
            let began = Instant::now();
            task()?;
            Ok((began, Instant::now()))
        }
    }))?;
    let Some(began) = ends.iter().map(|(began, _)| *began).min() else {
        return Ok(Burst { wall: Duration::ZERO, latencies: Latencies::default() });
    };
    let times = ends.into_iter().map(|(_, ended)| ended - began);
    Ok(Burst { wall: times.clone().max().unwrap_or_default(), latencies: times.collect() })
}

/// One connection, one request after the other, until there are enough or the time is up; before that a tenth of them
/// unmeasured.
pub fn answer_times(load: &Load, requests: usize, time: Duration) -> Result<Latencies, LoadError> {
    let mut connection = Connection::open(load.address)?;
    let began = Instant::now();
    for _ in 0..requests / 10 {
        if began.elapsed() < time / 10 {
            connection.call(load)?;
        }
    }
    let mut latencies = Latencies::default();
    let start = Instant::now();
    for _ in 0..requests {
        let began = Instant::now();
        connection.call(load)?;
        latencies.push(began.elapsed());
        if start.elapsed() > time {
            break;
        }
    }
    Ok(latencies)
}

/// Answers per second that `connections` closed loops get over `duration`.
pub fn throughput(load: &Load, connections: usize, duration: Duration) -> Result<f64, LoadError> {
    let began = Instant::now();
    let answers = on_threads((0..connections).map(|_| {
        || {
            let mut connection = Connection::open(load.address)?;
            let mut answers = 0_u32;
            while began.elapsed() < duration {
                connection.call(load)?;
                answers += 1;
            }
            Ok(answers)
        }
    }))?;
    let answers: f64 = answers.into_iter().map(f64::from).sum();
    Ok(answers / began.elapsed().as_secs_f64())
}

/// Open loop: requests are due at a fixed rate whatever has been answered, and each latency counts from when its request
/// was due, so that one that had to wait for a free connection because others were slow is as slow as it was for its
/// sender. A closed loop would have sent it later and called it fast.
pub fn at_fixed_rate(
    load: &Load,
    connections: usize,
    rate_per_s: f64,
    duration: Duration,
) -> Result<Latencies, LoadError> {
    paced(load, connections, rate_per_s, duration, LATE_MAX)
}

fn paced(
    load: &Load,
    connections: usize,
    rate_per_s: f64,
    duration: Duration,
    late_max: Duration,
) -> Result<Latencies, LoadError> {
    let requests = (rate_per_s * duration.as_secs_f64()).ceil() as u64;
    let next = AtomicU64::new(0);
    let began = Instant::now();
    let latencies = on_threads((0..connections).map(|_| {
        || {
            wake_on_time();
            let mut connection = Connection::open(load.address)?;
            let mut latencies = Latencies::default();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= requests {
                    return Ok(latencies);
                }
                if began.elapsed() > duration + late_max {
                    return Err(LoadError::FellBehind { rate_per_s });
                }
                let due = began + Duration::from_secs_f64(number as f64 / rate_per_s);
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                connection.call(load)?;
                latencies.push(due.elapsed());
            }
        }
    }))?;
    let mut all = Latencies::default();
    latencies.into_iter().for_each(|latencies| all.extend(latencies));
    Ok(all)
}

/// The kernel may wake a sleeping thread 50 µs late to save power, which would count as the target's latency.
fn wake_on_time() {
    // Where it does not let us, figures are that much worse.
    rustix::thread::set_current_timer_slack(NonZeroU64::new(1)).ok();
}

/// Runs everything at the same time; what came of each, in order, or the first failure.
fn on_threads<T: Send, E: Send>(
    tasks: impl Iterator<Item = impl FnOnce() -> Result<T, E> + Send>,
) -> Result<Vec<T>, E> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = tasks.map(|task| scope.spawn(task)).collect();
        let ends = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        // All are waited for, also after a failure.
        ends.collect::<Vec<_>>().into_iter().collect()
    })
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::sync::Arc;

    use super::*;

    fn slow_server(rest: Duration) -> SocketAddr {
        server(move || std::thread::sleep(rest))
    }

    /// Answers everything, each request when `wait` is over.
    fn server(wait: impl Fn() + Clone + Send + 'static) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, wait) = (stream.unwrap(), wait.clone());
                std::thread::spawn(move || {
                    while stream.read(&mut [0; 1024]).is_ok_and(|read| read > 0) {
                        wait();
                        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi").ok();
                    }
                });
            }
        });
        address
    }

    fn load(address: SocketAddr) -> Load {
        Load { address, request: b"GET / HTTP/1.1\r\n\r\n".to_vec(), answer_has: "hi" }
    }

    #[test]
    fn waiting_for_a_slow_target_counts() {
        // 10 requests due every 10 ms at one that takes 20: the last waits for nine others.
        let load = load(slow_server(Duration::from_millis(20)));
        let latencies = at_fixed_rate(&load, 1, 100.0, Duration::from_millis(100)).unwrap();
        assert!(latencies.p99_ms() >= 100.0, "{latencies:?}");
    }

    #[test]
    fn a_target_far_behind_is_an_error() {
        let load = load(slow_server(Duration::from_millis(50)));
        let fell = paced(&load, 1, 1000.0, Duration::from_millis(50), Duration::ZERO);
        assert!(matches!(fell, Err(LoadError::FellBehind { .. })), "{fell:?}");
    }

    #[test]
    fn a_burst_runs_side_by_side() {
        // Nobody is answered before all eight have asked.
        let all = Arc::new(Barrier::new(8));
        let load = load(server(move || {
            all.wait();
        }));
        let burst = cold_burst(&vec![load; 8]).unwrap();
        assert!(burst.latencies.p50_ms() > 0.0, "{burst:?}");
    }

    #[test]
    fn a_wrong_answer_is_no_answer() {
        let load = Load { answer_has: "hello", ..load(slow_server(Duration::ZERO)) };
        assert!(matches!(cold_start(&load), Err(LoadError::Answer { .. })));
        assert!(throughput(&load, 2, Duration::from_millis(10)).is_err());
    }
}
