//! A way to a server that a test can cut: bytes pass, are refused, or stay away without a word.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpSocket, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1_024;

/// Connections to its address end at a server, as long as the test lets them. It ends with this value.
#[derive(Debug)]
pub struct Link {
    address: SocketAddr,
    state: watch::Sender<State>,
    _tasks: JoinSet<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    way: Way,
    /// Connections of an earlier age carry nothing any more.
    age: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Passes,
    Silent,
    Refuses,
}

impl Link {
    /// A link to a server, as `host:port`, that lets everything pass.
    ///
    /// # Panics
    /// When no port of this machine is free, or outside of a runtime.
    pub fn to(server: &str) -> Self {
        let listener = listening(bound(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
        let address = listener.local_addr().expect("it is bound");
        let (state, changes) = watch::channel(State { way: Way::Passes, age: 0 });
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, address, server.to_owned(), changes));
        Self { address, state, _tasks: tasks }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Everything passes, also what waited while it was silent.
    pub fn passes(&self) {
        self.becomes(Way::Passes);
    }

    /// Connections are made, and nothing comes through them, nor through those that there are.
    pub fn falls_silent(&self) {
        self.becomes(Way::Silent);
    }

    /// Connections are cut, and no new one is made.
    pub fn refuses(&self) {
        self.becomes(Way::Refuses);
    }

    /// Nothing ever comes through the connections that there are. New ones are as they were.
    pub fn forgets_connections(&self) {
        self.state.send_modify(|state| state.age += 1);
    }

    fn becomes(&self, way: Way) {
        self.state.send_modify(|state| state.way = way);
    }
}

/// An address that is taken, and at which nobody listens yet.
fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("the system has sockets");
    socket.set_reuseaddr(true).expect("it is a socket");
    socket.bind(address).expect("the port is this link's");
    socket
}

fn listening(socket: TcpSocket) -> TcpListener {
    socket.listen(BACKLOG).expect("it is bound")
}

async fn serve(
    mut listener: TcpListener,
    address: SocketAddr,
    server: String,
    mut changes: watch::Receiver<State>,
) {
    loop {
        let mut connections = JoinSet::new();
        let accepting = accept(&listener, &server, &mut connections, changes.clone());
        tokio::select! {
            () = accepting => return,
            () = async { _ = changes.wait_for(|state| state.way == Way::Refuses).await } => {}
        }
        drop(listener);
        connections.shutdown().await;
        let socket = bound(address);
        if changes.wait_for(|state| state.way != Way::Refuses).await.is_err() {
            return;
        }
        listener = listening(socket);
    }
}

async fn accept(
    listener: &TcpListener,
    server: &str,
    connections: &mut JoinSet<()>,
    changes: watch::Receiver<State>,
) {
    while let Ok((client, _)) = listener.accept().await {
        connections.spawn(carry(client, server.to_owned(), changes.clone()));
    }
}

async fn carry(client: TcpStream, server: String, changes: watch::Receiver<State>) {
    let born = changes.borrow().age;
    let Ok(server) = TcpStream::connect(server).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::join!(
        one_way(from_client, to_server, born, changes.clone()),
        one_way(from_server, to_client, born, changes),
    );
}

async fn one_way(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    born: u32,
    mut changes: watch::Receiver<State>,
) {
    let mut buffer = vec![0; 16 * 1_024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let passes = changes.wait_for(|state| state.way == Way::Passes && state.age == born).await.is_ok();
        if !passes || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Answers with what it is sent.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = client.split();
                    tokio::io::copy(&mut from, &mut to).await
                });
            }
        });
        address
    }

    async fn says(connection: &mut TcpStream, byte: u8) -> std::io::Result<u8> {
        connection.write_u8(byte).await?;
        connection.read_u8().await
    }

    /// Whether nothing comes, as far as a moment tells.
    async fn is_silent(connection: &mut TcpStream) -> bool {
        tokio::time::timeout(Duration::from_millis(50), connection.read_u8()).await.is_err()
    }

    #[tokio::test]
    async fn what_waited_in_silence_comes_when_it_is_over() {
        let link = Link::to(&echo().await.to_string());
        let mut connection = TcpStream::connect(link.address()).await.unwrap();
        assert_eq!(says(&mut connection, 1).await.unwrap(), 1);
        link.falls_silent();
        connection.write_u8(2).await.unwrap();
        assert!(is_silent(&mut connection).await);
        link.passes();
        assert_eq!(connection.read_u8().await.unwrap(), 2);
    }

    #[tokio::test]
    async fn connections_are_refused_until_they_pass_again() {
        let link = Link::to(&echo().await.to_string());
        let mut connection = TcpStream::connect(link.address()).await.unwrap();
        assert_eq!(says(&mut connection, 1).await.unwrap(), 1);
        link.refuses();
        assert!(says(&mut connection, 2).await.is_err());
        let refused = TcpStream::connect(link.address()).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
        link.passes();
        crate::eventually("it passes again", Duration::from_secs(10), async || {
            let mut connection = TcpStream::connect(link.address()).await.ok()?;
            says(&mut connection, 3).await.ok()
        })
        .await;
    }

    #[tokio::test]
    async fn a_forgotten_connection_is_silent_and_a_new_one_is_not() {
        let link = Link::to(&echo().await.to_string());
        let mut forgotten = TcpStream::connect(link.address()).await.unwrap();
        assert_eq!(says(&mut forgotten, 1).await.unwrap(), 1);
        link.forgets_connections();
        forgotten.write_u8(2).await.unwrap();
        let mut new = TcpStream::connect(link.address()).await.unwrap();
        assert_eq!(says(&mut new, 3).await.unwrap(), 3);
        assert!(is_silent(&mut forgotten).await);
    }
}
