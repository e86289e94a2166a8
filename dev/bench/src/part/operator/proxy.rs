//! A proxy between the operator and the API server, which can be away in the ways in which an API server is.

use std::net::SocketAddr;

use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

/// How it treats connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Bytes pass.
    Pass,
    /// All connections are closed, and new ones at once.
    Refuse,
    /// Connections stay open and nothing passes. They are never heard of again, whatever the mode is later.
    Silent,
}

#[derive(Clone, Copy, Debug)]
struct State {
    mode: Mode,
    /// Connections of an earlier epoch share the fate that the mode had for them when it ended.
    epoch: u64,
}

/// The proxy. It ends with this value.
pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    state: watch::Sender<State>,
    _task: JoinSet<()>,
}

impl Proxy {
    pub(super) async fn start(to: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (state, seen) = watch::channel(State { mode: Mode::Pass, epoch: 0 });
        let mut task = JoinSet::new();
        task.spawn(accept(listener, to, seen));
        Ok(Self { address, state, _task: task })
    }

    /// From now on, all connections are treated so.
    pub(super) fn be(&self, mode: Mode) {
        self.state
            .send_modify(|state| *state = State { mode, epoch: state.epoch + u64::from(mode != Mode::Pass) });
    }

    /// Those that there are fall silent; new ones pass.
    pub(super) fn stall(&self) {
        self.be(Mode::Silent);
        self.be(Mode::Pass);
    }
}

async fn accept(listener: TcpListener, to: SocketAddr, state: watch::Receiver<State>) {
    // Dropped with this task, which closes them.
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let born = *state.borrow();
        match born.mode {
            Mode::Refuse => drop(client),
            Mode::Silent => _ = connections.spawn(hold(client)),
            Mode::Pass => _ = connections.spawn(forward(client, to, state.clone(), born.epoch)),
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn forward(mut client: TcpStream, to: SocketAddr, mut state: watch::Receiver<State>, born: u64) {
    let Ok(mut server) = TcpStream::connect(to).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
        _ = state.wait_for(|state| state.epoch != born) => {}
    }
    // A mode that passed at once was silence: nobody can reach that of a refusal without its end.
    if state.borrow().mode != Mode::Refuse {
        hold((client, server)).await;
    }
}

/// Keeps connections open, and does nothing with them.
async fn hold<T>(_connections: T) {
    std::future::pending::<()>().await;
}
