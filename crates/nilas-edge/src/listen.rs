//! Accepts connections and lets them end well.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use nilas_engine::EndpointServer;
use nilas_model::{Origin, limits};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tracing::{debug, warn};

use crate::backend::Backend;
use crate::edge::{Edge, Entrance};

/// Headers of one request. hyper's own number: of more, each request would allocate them.
const HEADERS_MAX: usize = 100;
/// Rest after an error that says that the system has run out of something.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

impl<B: Backend> Edge<B> {
    /// Serves connections of `listener` until `shutdown` says so; then finishes what runs and closes what idles.
    ///
    /// Dropping the future closes every connection at once.
    pub async fn serve(
        &self,
        listener: TcpListener,
        origin: Origin,
        mut shutdown: watch::Receiver<bool>,
    ) {
        let local = listener.local_addr().unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let entrance = Arc::new(self.entrance(origin, local));
        let places = Arc::new(Semaphore::new(match origin {
            Origin::Environment => self.config().environment_connections_max,
            Origin::Loopback | Origin::Network => self.config().connections_max,
        }));
        let mut connections = JoinSet::new();
        loop {
            let (stream, place) = tokio::select! {
                biased;
                () = stopped(&mut shutdown) => break,
                Some(_) = connections.join_next() => continue,
                accepted = accept(&listener, &places) => accepted,
            };
            let (edge, shutdown) = (self.clone(), shutdown.clone());
            let entrance = Arc::clone(&entrance);
            connections.spawn(async move {
                let _shared = edge.shared_place(origin).await;
                edge.serve_connection(stream, entrance, shutdown).await;
                drop(place);
            });
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    async fn serve_connection(
        &self,
        stream: TcpStream,
        entrance: Arc<Entrance>,
        mut shutdown: watch::Receiver<bool>,
    ) {
        let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let source_ip = stream.peer_addr().map_or(unknown, |peer| peer.ip().to_canonical());
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "no TCP_NODELAY");
        }
        let asked = Arc::new(AtomicBool::new(false));
        let (edge, asking) = (self.clone(), Arc::clone(&asked));
        let builder = self.protocols(entrance.origin);
        let service = service_fn(move |request| {
            asking.store(true, Ordering::Relaxed);
            let (edge, entrance) = (edge.clone(), Arc::clone(&entrance));
            async move { Ok::<_, Infallible>(edge.answer(&entrance, source_ip, request).await) }
        });
        let mut connection =
            pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
        // hyper's own limit begins with the first byte of a request; this one with the connection.
        let mut first_request =
            pin!(tokio::time::sleep(Duration::from_millis(self.config().header_read_ms_max)));
        let (mut awaiting_first, mut stopping) = (true, false);
        loop {
            tokio::select! {
                biased;
                done = connection.as_mut() => {
                    if let Err(error) = done {
                        debug!(error, "connection ended");
                    }
                    return;
                }
                () = stopped(&mut shutdown), if !stopping => {
                    stopping = true;
                    connection.as_mut().graceful_shutdown();
                }
                () = first_request.as_mut(), if awaiting_first => {
                    if !asked.load(Ordering::Relaxed) {
                        return;
                    }
                    awaiting_first = false;
                }
            }
        }
    }

    /// HTTP/1.1, or HTTP/2 by prior knowledge, told apart by the first bytes.
    ///
    /// Environments get HTTP/1.1 alone, as SDKs speak it without TLS: one request and one answer a connection bounds
    /// what a function that reads no answers makes us hold.
    fn protocols(&self, origin: Origin) -> auto::Builder<TokioExecutor> {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        if origin == Origin::Environment {
            builder = builder.http1_only();
        }
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_millis(self.config().header_read_ms_max))
            .max_headers(HEADERS_MAX)
            .max_buf_size(limits::HEADER_BYTES_MAX);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits::HTTP2_STREAMS_MAX)
            .max_header_list_size(u32::try_from(limits::HEADER_BYTES_MAX).unwrap_or(u32::MAX))
            .keep_alive_interval(Duration::from_secs(30));
        builder
    }
}

impl<B: Backend> EndpointServer for Edge<B> {
    fn serve(&self, listener: TcpListener) -> JoinHandle<()> {
        let edge = self.clone();
        tokio::spawn(async move {
            // Held, and never told: the task is aborted when the environment ends.
            let (_never, shutdown) = watch::channel(false);
            Self::serve(&edge, listener, Origin::Environment, shutdown).await;
        })
    }
}

/// Waits for a place, then for a connection; what does not fit waits in the kernel's queue.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, OwnedSemaphorePermit) {
    let place = Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) => {
                warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Resolves when the server is told to stop, or when nobody is left to tell it.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    if shutdown.wait_for(|stop| *stop).await.is_err() {
        debug!("nobody is left to say when to stop");
    }
}
