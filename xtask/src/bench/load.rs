//! A load generator: keep-alive HTTP/1.1 over blocking sockets, one thread a connection, the same for every target.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// One request to repeat, complete with its headers, and where to send it.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) request: Vec<u8>,
}

#[derive(Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn push(&mut self, latency: Duration) {
        self.0.push(latency);
    }

    pub(crate) fn p50_ms(&self) -> f64 {
        self.quantile_ms(0.50)
    }

    pub(crate) fn p99_ms(&self) -> f64 {
        self.quantile_ms(0.99)
    }

    fn quantile_ms(&self, quantile: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort();
        let rank = (quantile * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).map_or(f64::NAN, |d| d.as_secs_f64() * 1e3)
    }
}

/// An open connection that can answer one request at a time.
pub(crate) struct Connection {
    reader: BufReader<TcpStream>,
    line: String,
    body: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).map_err(|e| format!("connect {address}: {e}"))?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).map_err(|e| e.to_string())?;
        Ok(Self {
            reader: BufReader::with_capacity(64 * 1024, stream),
            line: String::new(),
            body: Vec::new(),
        })
    }

    /// Sends and reads the whole answer; its body, which must come with a status of 2xx.
    pub(crate) fn call(&mut self, request: &[u8]) -> Result<&[u8], String> {
        match self.exchange(request)? {
            (200..=299, body) => Ok(body),
            (status, body) => Err(format!("status {status}: {}", String::from_utf8_lossy(body))),
        }
    }

    /// Sends and reads the whole answer, whatever its status.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> Result<(u16, &[u8]), String> {
        self.reader.get_mut().write_all(request).map_err(|e| e.to_string())?;
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|word| word.parse().ok());
        let status = status.ok_or("an answer without a status")?;
        let mut length = 0;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(|_| format!("content-length {value}"))?;
            }
        }
        self.body.resize(length, 0);
        self.reader.read_exact(&mut self.body).map_err(|e| e.to_string())?;
        Ok((status, &self.body))
    }

    fn line(&mut self) -> Result<&str, String> {
        self.line.clear();
        let read = self.reader.read_line(&mut self.line).map_err(|e| e.to_string())?;
        if read == 0 {
            Err("the server closed the connection".to_owned())
        } else {
            Ok(self.line.trim_end())
        }
    }
}

/// One connection, one request after the other; a tenth of them first, unmeasured.
pub(crate) fn sequential(load: &Load, requests: usize) -> Result<Latencies, String> {
    let mut connection = Connection::open(load.address)?;
    for _ in 0..requests / 10 {
        connection.call(&load.request)?;
    }
    let mut latencies = Latencies::default();
    for _ in 0..requests {
        let began = Instant::now();
        connection.call(&load.request)?;
        latencies.push(began.elapsed());
    }
    Ok(latencies)
}

/// Answers per second that `connections` closed loops get over `duration`.
pub(crate) fn throughput(
    load: &Load,
    connections: usize,
    duration: Duration,
) -> Result<f64, String> {
    let began = Instant::now();
    let threads: Vec<_> = (0..connections)
        .map(|_| {
            let load = load.clone();
            std::thread::spawn(move || -> Result<u64, String> {
                let mut connection = Connection::open(load.address)?;
                let mut answers = 0;
                while began.elapsed() < duration {
                    connection.call(&load.request)?;
                    answers += 1;
                }
                Ok(answers)
            })
        })
        .collect();
    let mut answers = 0;
    for thread in threads {
        answers += thread.join().map_err(|_| "a connection's thread panicked".to_owned())??;
    }
    Ok(answers as f64 / began.elapsed().as_secs_f64())
}
