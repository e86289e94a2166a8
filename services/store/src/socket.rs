//! Lets connections to MySQL send at once what there is to send, and end when nobody is there any more.
//!
//! sqlx 0.9.0 leaves Nagle's algorithm on: the end of a long statement waits until what was sent before it is
//! acknowledged, which a server may delay by 40 ms. It is mended upstream and in no release yet. Nor does it notice that
//! a server is gone which did not say so: a statement waits for it as long as the system lets it, a quarter of an hour or
//! for ever. The driver does not hand out its socket, so it is found among those of the process.
#![allow(unsafe_code, reason = "a socket of the driver's is borrowed by its number")]

use std::{
    fs,
    os::fd::{BorrowedFd, RawFd},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};

/// How long what was sent may stay unacknowledged, and how long a connection is silent before it is asked for a sign.
const GONE_AFTER: Duration = Duration::from_secs(10);

/// Sets the options of each connection of this process to a port. Linux only; elsewhere nothing is done.
pub(crate) fn set(port: u16) {
    let alive = TcpKeepalive::new().with_time(GONE_AFTER).with_interval(GONE_AFTER / 2);
    each_socket(port, |socket| {
        // One that has just been closed needs them no longer.
        let _ = socket.set_tcp_nodelay(true);
        let _ = socket.set_tcp_keepalive(&alive);
        #[cfg(target_os = "linux")]
        let _ = socket.set_tcp_user_timeout(Some(GONE_AFTER));
    });
}

fn each_socket(port: u16, mut act: impl FnMut(&SockRef<'_>)) {
    let Ok(files) = fs::read_dir("/proc/self/fd") else { return };
    for file in files.flatten() {
        let is_socket =
            fs::read_link(file.path()).is_ok_and(|link| link.to_string_lossy().starts_with("socket:"));
        let Some(number) = file.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()) else {
            continue;
        };
        if is_socket {
            // SAFETY: it was open a moment ago. Should it have been closed since, the calls fail; should the number be
            // another socket's by now, that one is asked for its peer first, and the option does it no harm.
            let socket = unsafe { BorrowedFd::borrow_raw(number) };
            let socket = SockRef::from(&socket);
            let peer = socket.peer_addr().ok().and_then(|peer| peer.as_socket());
            if peer.is_some_and(|peer| peer.port() == port) {
                act(&socket);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use fluxo_core::settings::DatabaseSettings;
    use sea_orm::ConnectionTrait;

    use super::*;
    use crate::Store;

    #[tokio::test]
    async fn connections_to_mysql_do_not_wait_before_they_send() {
        let database = fluxo_testkit::database().await;
        let store = Store::open_pool(&DatabaseSettings::of_url(database.url.as_str()), 1).await.unwrap();
        store.pool.execute_unprepared("SELECT 1").await.unwrap();
        let server = database.url.split('@').nth(1).unwrap();
        let port = server.split(['/', '?']).next().unwrap().rsplit(':').next().unwrap().parse().unwrap();
        let mut options = Vec::new();
        each_socket(port, |socket| options.push(socket.tcp_nodelay().unwrap()));
        assert!(!options.is_empty());
        // Other connections of this process, such as those that tests prepare their databases with, may be without it.
        assert!(options.contains(&true));
        store.close().await;
    }
}
