//! A client's end of one HTTP/1.1 connection.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::load::{Load, LoadError};

const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Silence after which an answer is no longer waited for.
const READ_MAX: Duration = Duration::from_secs(30);
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
const LINE_BYTES_MAX: u64 = 64 * 1024;
const HEADERS_MAX: usize = 200;

/// An open connection that can answer one request at a time.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    reader: BufReader<TcpStream>,
    line: String,
    body: Vec<u8>,
}

/// How the end of an answer's body is told.
#[derive(Clone, Copy)]
enum Framing {
    Length(usize),
    Chunked,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Result<Self, LoadError> {
        let open = || -> io::Result<TcpStream> {
            let stream = TcpStream::connect_timeout(&address, CONNECT_MAX)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(READ_MAX))?;
            stream.set_write_timeout(Some(READ_MAX))?;
            Ok(stream)
        };
        let stream = open().map_err(|source| LoadError::Connect { address, source })?;
        let reader = BufReader::with_capacity(64 * 1024, stream);
        Ok(Self { address, reader, line: String::new(), body: Vec::new() })
    }

    /// Sends the load's request and reads the whole answer, which must be the right one.
    pub fn call(&mut self, load: &Load) -> Result<(), LoadError> {
        let body = self.send(&load.request)?;
        let wanted = load.answer_has.as_bytes();
        if wanted.is_empty() || body.windows(wanted.len()).any(|window| window == wanted) {
            return Ok(());
        }
        Err(LoadError::Answer { body: String::from_utf8_lossy(body).into_owned() })
    }

    /// Sends any request; the body of its answer, which must come with a status of 2xx.
    pub fn send(&mut self, request: &[u8]) -> Result<&[u8], LoadError> {
        let status = self.ask(request)?;
        if status.starts_with('2') {
            return Ok(&self.body);
        }
        Err(LoadError::Status { status, body: String::from_utf8_lossy(&self.body).into_owned() })
    }

    /// Sends any request; status and body of its answer, whatever they are.
    pub fn exchange(&mut self, request: &[u8]) -> Result<(u16, &[u8]), LoadError> {
        let status = self.ask(request)?;
        let code = status.split(' ').next().and_then(|code| code.parse().ok());
        Ok((code.ok_or_else(|| no_http(&status))?, &self.body))
    }

    /// Gives the status with its reason, and leaves the body in `self.body`.
    fn ask(&mut self, request: &[u8]) -> Result<String, LoadError> {
        let address = self.address;
        let broke = |source| LoadError::Exchange { address, source };
        self.reader.get_mut().write_all(request).map_err(broke)?;
        let line = self.line()?;
        let status = match line.split_once(' ') {
            Some((version, rest)) if version.starts_with("HTTP/1.") => rest.to_owned(),
            _ => return Err(LoadError::NoHttp { line: line.to_owned() }),
        };
        match self.headers()? {
            Framing::Length(length) => {
                self.body.resize(length, 0);
                self.reader.read_exact(&mut self.body).map_err(broke)?;
            }
            Framing::Chunked => self.chunks()?,
        }
        Ok(status)
    }

    fn headers(&mut self) -> Result<Framing, LoadError> {
        let mut framing = Framing::Length(0);
        for _ in 0..HEADERS_MAX {
            let line = self.line()?;
            let Some((name, value)) = line.split_once(':') else {
                return if line.is_empty() { Ok(framing) } else { Err(no_http(line)) };
            };
            if name.eq_ignore_ascii_case("content-length") {
                framing = Framing::Length(length(value.trim().parse().ok(), line)?);
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                framing = Framing::Chunked;
            }
        }
        Err(LoadError::NoHttp { line: format!("more than {HEADERS_MAX} headers") })
    }

    fn chunks(&mut self) -> Result<(), LoadError> {
        self.body.clear();
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default();
            let size = length(usize::from_str_radix(size, 16).ok(), line)?;
            let before = self.body.len();
            length(Some(before + size), "too many chunks")?;
            self.body.resize(before + size, 0);
            let read = self.reader.read_exact(&mut self.body[before..]);
            read.map_err(|source| LoadError::Exchange { address: self.address, source })?;
            self.line()?;
            if size == 0 {
                return Ok(());
            }
        }
    }

    fn line(&mut self) -> Result<&str, LoadError> {
        self.line.clear();
        let read = (&mut self.reader).take(LINE_BYTES_MAX).read_line(&mut self.line);
        match read {
            Ok(0) => Err(LoadError::Closed { address: self.address }),
            Ok(_) => Ok(self.line.trim_end()),
            Err(source) => Err(LoadError::Exchange { address: self.address, source }),
        }
    }
}

fn length(length: Option<usize>, line: &str) -> Result<usize, LoadError> {
    length.filter(|length| *length <= ANSWER_BYTES_MAX).ok_or_else(|| no_http(line))
}

fn no_http(line: &str) -> LoadError {
    LoadError::NoHttp { line: line.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// What a client makes of an answer.
    fn answer(answer: &'static str) -> Result<String, String> {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let mut connection = Connection::open(address).unwrap();
        let body = connection.send(b"").map(|body| String::from_utf8_lossy(body).into_owned());
        server.join().unwrap();
        body.map_err(|error| error.to_string().replace(&address.to_string(), "it"))
    }

    #[test]
    fn answers_end_where_they_say() {
        let check = |text, expected: Result<&str, &str>| {
            let found = answer(text);
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{text}");
        };
        check("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", Ok("hi"));
        check("HTTP/1.1 204 No Content\r\n\r\n", Ok(""));
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1;x=y\r\ni\r\n0\r\n\r\n";
        check(chunked, Ok("hi"));
        check("HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nno", Err("status 500 No: no"));
        check("SSH-2.0\r\n", Err("the answer is no HTTP: SSH-2.0"));
        let endless = "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n";
        check(endless, Err("the answer is no HTTP: content-length: 99999999999"));
        check("HTTP/1.1 200 OK\r\n", Err("it closed the connection"));
    }
}
