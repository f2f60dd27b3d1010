//! Listening for connections: accept, ask the table for a place, hand over. A connection that gets none is closed at once.

use super::{Shared, connection};
use crate::shell::log::Seldom;
use crate::sip::{Hop, Transport};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;

/// Connections that the kernel holds until we take them.
const BACKLOG: i32 = 512;

/// Begins to listen. Returns the address, with the port chosen where 0 was asked for.
pub(super) fn listen(shared: &Arc<Shared>, transport: Transport, at: SocketAddr) -> io::Result<SocketAddr> {
    let socket = Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if at.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from_std(socket.into())?;
    let local = listener.local_addr()?;
    tokio::spawn(accept(shared.clone(), transport, listener));
    Ok(local)
}

async fn accept(shared: Arc<Shared>, transport: Transport, listener: TcpListener) {
    let mut stop = shared.stop.clone();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((_, peer)) if !shared.access.admits(peer.ip()) => {}
                Ok((stream, peer)) => {
                    let src = Hop { transport, addr: peer };
                    if let Some((seat, queue)) = shared.table.admit(src) {
                        connection::serve(shared.clone(), seat, queue, src, stream);
                    }
                }
                Err(e) => {
                    // Out of descriptors, most likely: without a pause this would spin.
                    static TOLD: Seldom = Seldom::new();
                    if let Some(more) = TOLD.pass() {
                        tracing::warn!("SIP accept: {e} ({more} more were not logged)");
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            // Told to stop, or the transport is gone.
            _ = stop.changed() => return,
        }
    }
}
