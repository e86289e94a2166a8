//! The server: connections, bounded in number and in what each may take, until it is told to end.

mod stalled;

use std::{io, sync::Arc, time::Duration};

use axum::{Router, body::Body, extract::Request};
use fluxo_core::kit::shutdown::Shutdown;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use tokio::{
    io::Interest,
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tower::ServiceExt;

use self::stalled::Stalled;

/// The largest head of a request, in bytes, and the most headers in it.
const HEAD_MAX: usize = 32 * 1024;
const HEADERS_MAX: usize = 64;
/// The most requests at once on one connection of HTTP/2.
const STREAMS_MAX: u32 = 256;
/// How HTTP/2 begins when there is no TLS to agree on it.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Accepts connections, HTTP/1.1 and HTTP/2 without TLS.
pub(crate) struct Server {
    builder: auto::Builder<TokioExecutor>,
    connections: Arc<Semaphore>,
    idle_timeout: Duration,
}

impl Server {
    /// A server of at most so many connections.
    pub(crate) fn new(connections: u32, idle_timeout: Duration) -> Self {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(idle_timeout)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_MAX);
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(Some(idle_timeout / 2))
            .keep_alive_timeout(idle_timeout / 2)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(u32::try_from(HEAD_MAX).expect("it is small"));
        Self { builder, connections: Arc::new(Semaphore::new(connections as usize)), idle_timeout }
    }

    /// Serves until `shutdown` drains, then until every request that has begun is answered.
    pub(crate) async fn serve(self, listener: TcpListener, router: Router, shutdown: &Shutdown) {
        let graceful = GracefulShutdown::new();
        let mut tasks = JoinSet::new();
        loop {
            // A connection is accepted once there is room for it: until then it waits in the listener's queue.
            let room = async {
                let permit = self.connections.clone().acquire_owned().await.expect("it is never closed");
                (permit, listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                accepted = room => accepted,
                () = shutdown.draining() => break,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    backoff(&error).await;
                    continue;
                }
            };
            while tasks.try_join_next().is_some() {}
            let (builder, idle_timeout) = (self.builder.clone(), self.idle_timeout);
            let (watcher, router, draining) = (graceful.watcher(), router.clone(), shutdown.clone());
            tasks.spawn(async move {
                let _permit = permit;
                let _ = stream.set_nodelay(true);
                tokio::select! {
                    begun = tokio::time::timeout(idle_timeout, begin(&stream)) => {
                        if !matches!(begun, Ok(Ok(()))) {
                            return;
                        }
                    }
                    () = draining.draining() => return,
                }
                let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                    router.clone().oneshot(request.map(Body::new))
                });
                let connection =
                    builder.serve_connection(TokioIo::new(Stalled::new(stream, idle_timeout)), service);
                if let Err(error) = watcher.watch(connection.into_owned()).await {
                    tracing::debug!(error, "a connection ended with an error");
                }
            });
        }
        // The queue of those not yet accepted is closed before anything is waited for: clients go elsewhere.
        drop(listener);
        graceful.shutdown().await;
        while tasks.join_next().await.is_some() {}
    }
}

/// Waits until it is certain which protocol a connection speaks: hyper waits for that without a bound.
async fn begin(stream: &TcpStream) -> io::Result<()> {
    let mut first = [0; PREFACE.len()];
    loop {
        stream.readable().await?;
        let length = stream.peek(&mut first).await?;
        let begun = &first[..length];
        if length == 0 || length == PREFACE.len() || !PREFACE.starts_with(begun) {
            return Ok(());
        }
        // What was seen decides nothing: wait for more of it.
        let _ = stream.try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
    }
}

/// After an error of `accept`: one of the connection is of no importance, one of this process (too many open files)
/// passes when connections end.
async fn backoff(error: &io::Error) {
    use io::ErrorKind as K;
    if !matches!(error.kind(), K::ConnectionAborted | K::ConnectionReset | K::ConnectionRefused) {
        tracing::error!(%error, "cannot accept connections");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
