//! HTTP requests: from connections that never wait, or at a rate, whatever becomes of earlier ones.
//!
//! It speaks just as much HTTP as it needs, because it shares the machine with what it measures.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

/// A keep-alive connection.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// The requests of one connection, which it sends in turn.
pub(crate) type Requests = Arc<[Vec<u8>]>;

/// What was seen of a load.
pub(crate) struct Seen {
    /// Requests that were answered as wanted.
    pub(crate) answered: u64,
    /// Requests that were not.
    pub(crate) failed: u64,
    /// How long it took.
    pub(crate) time: Duration,
    /// In microseconds.
    latency: Histogram<u64>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4096) })
    }

    /// Sends a request and reads its answer; the status.
    pub(crate) async fn call(&mut self, request: &[u8]) -> io::Result<u16> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some((status, length)) = answer(&self.buffer)
                && self.buffer.len() >= length
            {
                return Ok(status);
            }
        }
    }
}

/// The status of an answer and its length, once its head is there.
fn answer(bytes: &[u8]) -> Option<(u16, usize)> {
    let head = bytes.windows(4).position(|end| end == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(bytes.get(..head)?).ok()?;
    let status = text.split(' ').nth(1)?.parse().ok()?;
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse().ok()).flatten()
    });
    Some((status, head + length.unwrap_or(0)))
}

impl Seen {
    fn new() -> Self {
        let latency = Histogram::new_with_bounds(1, 120_000_000, 3).expect("these are bounds");
        Self { answered: 0, failed: 0, time: Duration::ZERO, latency }
    }

    fn note(&mut self, is_wanted: bool, latency: Duration) {
        if is_wanted {
            self.answered += 1;
            self.latency.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        } else {
            self.failed += 1;
        }
    }

    fn add(&mut self, other: &Self) {
        self.answered += other.answered;
        self.failed += other.failed;
        self.latency.add(&other.latency).expect("all have the same bounds");
    }

    /// Answers a second.
    pub(crate) fn rate(&self) -> f64 {
        self.answered as f64 / self.time.as_secs_f64()
    }

    /// The latency that so many percent do not exceed, in milliseconds.
    pub(crate) fn percentile(&self, percent: f64) -> f64 {
        self.latency.value_at_percentile(percent) as f64 / 1_000.0
    }
}

/// Sends from each connection the next request as soon as the one before is answered.
pub(crate) async fn closed(
    address: SocketAddr,
    requests: &[Requests],
    wanted: u16,
    time: Duration,
) -> anyhow::Result<Seen> {
    let opened = open_all(address, requests.len()).await?;
    let begun = Instant::now();
    let mut connections = JoinSet::new();
    for (requests, mut connection) in requests.iter().cloned().zip(opened) {
        connections.spawn(async move {
            let mut seen = Seen::new();
            for request in requests.iter().cycle() {
                let sent = Instant::now();
                if sent - begun >= time {
                    break;
                }
                let status = connection.call(request).await?;
                seen.note(status == wanted, sent.elapsed());
            }
            anyhow::Ok(seen)
        });
    }
    all(connections, begun).await
}

/// Sends requests at a rate from many connections. The latency of a request counts from when it should have been sent,
/// not from when an earlier answer let it be sent: so a service that stands still is seen to.
pub(crate) async fn open(
    address: SocketAddr,
    requests: &[Requests],
    wanted: u16,
    rate: u64,
    time: Duration,
) -> anyhow::Result<Seen> {
    let opened = open_all(address, requests.len()).await?;
    let begun = Instant::now();
    let count = rate * time.as_secs();
    let mut connections = JoinSet::new();
    let step = requests.len();
    for ((first, requests), mut connection) in (0..count).zip(requests.iter().cloned()).zip(opened) {
        let turns = (first..count).step_by(step);
        connections.spawn(async move {
            let mut seen = Seen::new();
            for (turn, request) in turns.zip(requests.iter().cycle()) {
                let mut due = begun + Duration::from_nanos(turn * 1_000_000_000 / rate);
                if Instant::now() < due {
                    tokio::time::sleep_until(due.into()).await;
                    // A timer that is late by its own making is not the service's delay.
                    due = Instant::now();
                }
                let status = connection.call(request).await?;
                seen.note(status == wanted, due.elapsed());
            }
            anyhow::Ok(seen)
        });
    }
    all(connections, begun).await
}

/// Opens connections before the clock starts: what is measured is a service, not its clients' first moment.
async fn open_all(address: SocketAddr, count: usize) -> io::Result<Vec<Connection>> {
    let mut opened = Vec::with_capacity(count);
    for _ in 0..count {
        opened.push(Connection::open(address).await?);
    }
    Ok(opened)
}

async fn all(mut connections: JoinSet<anyhow::Result<Seen>>, begun: Instant) -> anyhow::Result<Seen> {
    let mut all = Seen::new();
    while let Some(one) = connections.join_next().await {
        all.add(&one??);
    }
    all.time = begun.elapsed();
    Ok(all)
}
