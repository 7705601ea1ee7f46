//! The server's socket.

use std::net::{SocketAddr, TcpListener};

use crate::config::LISTEN;
use crate::failure::Failure;

#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {listen}")]
struct ListenError {
    listen: SocketAddr,
    source: std::io::Error,
}

/// Binds the server's socket, or says why not.
pub(crate) fn listen(listen: SocketAddr) -> Result<TcpListener, Failure> {
    let listener = TcpListener::bind(listen).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    listener.map_err(|source| {
        let hint = match source.kind() {
            std::io::ErrorKind::AddrInUse => {
                "another server listens there: name another port with --listen"
            }
            std::io::ErrorKind::PermissionDenied => {
                "ports below 1024 are root's: name another with --listen"
            }
            _ => "the address must be one of this machine's",
        };
        Failure::new(ListenError { listen, source }).hint(format!("{hint} (key `{}`)", LISTEN.name))
    })
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn a_port_in_use_is_a_clear_error() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let mut out = Vec::new();
        listen(address).unwrap_err().show(&mut out, false).unwrap();
        let text = String::from_utf8(out).unwrap().replace(&address.port().to_string(), "PORT");
        expect![[r#"
            error: cannot listen on 127.0.0.1:PORT
              caused by: Address already in use (os error 98)
            hint: another server listens there: name another port with --listen (key `listen`)
        "#]]
        .assert_eq(&text);
    }
}
