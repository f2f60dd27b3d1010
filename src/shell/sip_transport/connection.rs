//! One connection: a task that reads messages, writes what is queued, and keeps its time. TCP and TLS, accepted and opened.
//!
//! ```text
//! accept -> seat -> (handshake) -.            .-> end: what was queued is told as failed
//! send -> seat -> connect -> (handshake) -> run -> closed, broken, garbage, late, silent, told to stop
//! ```
//! Everything that waits has its time: connecting, the handshake, a stranger's first message, the rest of a message, silence, writing,
//! the pong. Pings go out on connections that we opened; a peer that has once answered one and then does not is dead (RFC 5626 s.4.4.1).
//! One that never does is none that knows of them, as most did before that RFC: there the kernel's probes and unacknowledged data tell.

use super::table::{Proven, Queue, Seat};
use super::{Incoming, Shared, ping_after};
use crate::clock::Rng;
use crate::shell::{clock, sys, tls};
use crate::sip::message::Message;
use crate::sip::stream::{Broken, Frame, Framer};
use crate::sip::{Hop, Transport};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

/// Bytes read at a time.
const READ_BYTES: usize = 4096;
/// Until what is queued must be written when a connection is closed from our side.
const FAREWELL: Duration = Duration::from_secs(1);

/// Takes a connection that somebody opened.
pub(super) fn serve(shared: Arc<Shared>, seat: Seat, queue: Queue, src: Hop, stream: TcpStream) {
    sys::tune_connection(&stream, shared.dscp, shared.patience.write);
    tokio::spawn(async move {
        let from = own_address(&stream);
        if src.transport != Transport::Tls {
            return run(shared, seat, queue, src, stream, from, false, None).await;
        }
        match timeout(shared.patience.handshake, shared.tls.accept(stream)).await {
            Ok(Ok(stream)) => {
                // Whoever shows a certificate here was verified in the handshake.
                let certificate = tls::peer_certificate(stream.get_ref().1.peer_certificates());
                if let Some(certificate) = &certificate {
                    seat.prove(Proven::Certificate(certificate.clone()));
                }
                run(shared, seat, queue, src, stream, from, false, certificate).await;
            }
            Ok(Err(e)) => {
                shared.table.count(|c| c.handshakes_failed += 1);
                tell(&shared, src, &format!("TLS: {e}"));
            }
            Err(_late) => shared.table.count(|c| c.timed_out += 1),
        }
    });
}

/// Opens a connection for what is queued.
pub(super) fn open(shared: Arc<Shared>, seat: Seat, queue: Queue, dst: Hop, server_name: Option<Arc<str>>) {
    tokio::spawn(async move {
        let mut stop = shared.stop.clone();
        let connected = tokio::select! {
            connected = connect(&shared, dst.addr) => connected,
            _ = stop.changed() => return,
        };
        let stream = match connected {
            Ok(stream) => stream,
            Err(why) => return fail(&shared, seat, dst, why).await,
        };
        let from = own_address(&stream);
        if dst.transport != Transport::Tls {
            return run(shared, seat, queue, dst, stream, from, true, None).await;
        }
        match timeout(shared.patience.handshake, shared.tls.connect(stream, dst.addr.ip(), server_name.as_deref())).await {
            Ok(Ok(stream)) => {
                let certificate = tls::peer_certificate(stream.get_ref().1.peer_certificates());
                seat.prove(match &certificate {
                    Some(certificate) if shared.tls.verifies_servers() => Proven::Certificate(certificate.clone()),
                    _ => Proven::Anything,
                });
                run(shared, seat, queue, dst, stream, from, true, certificate).await;
            }
            Ok(Err(e)) => {
                shared.table.count(|c| c.handshakes_failed += 1);
                fail(&shared, seat, dst, format!("TLS: {e}")).await;
            }
            Err(_late) => {
                shared.table.count(|c| c.timed_out += 1);
                fail(&shared, seat, dst, "TLS: the handshake does not end".into()).await;
            }
        }
    });
}

/// Our end of a connection.
fn own_address(stream: &TcpStream) -> Option<IpAddr> {
    stream.local_addr().ok().map(|a| a.ip())
}

async fn connect(shared: &Shared, addr: SocketAddr) -> Result<TcpStream, String> {
    match timeout(shared.patience.connect, TcpStream::connect(addr)).await {
        Ok(Ok(stream)) => {
            sys::tune_connection(&stream, shared.dscp, shared.patience.write);
            Ok(stream)
        }
        Ok(Err(e)) => Err(e.to_string()),
        Err(_late) => Err("no connection in time".into()),
    }
}

async fn fail(shared: &Shared, seat: Seat, dst: Hop, why: String) {
    drop(seat);
    tell(shared, dst, &why);
    let _nobody_asks = shared.came.send(Incoming::Failed { dst, why }).await;
}

/// One line a source and minute; the counters know of all.
fn tell(shared: &Shared, hop: Hop, words: &str) {
    if shared.table.may_tell(clock::now(), hop.addr.ip()) {
        tracing::info!("SIP connection with {hop}: {words}");
    } else {
        tracing::debug!("SIP connection with {hop}: {words}");
    }
}

/// Why a connection is over.
enum End {
    /// The peer closed it.
    Closed,
    /// Nothing was said for so long that it is closed from here.
    Idle,
    /// It broke, or had to be cut.
    Broken(String),
    /// The daemon stops, or the end of a stream that was answered.
    Farewell,
}

async fn run<S: AsyncRead + AsyncWrite>(
    shared: Arc<Shared>,
    seat: Seat,
    queue: Queue,
    hop: Hop,
    stream: S,
    from: Option<IpAddr>,
    ours: bool,
    certificate: Option<Arc<[u8]>>,
) {
    let (read, write) = tokio::io::split(stream);
    let mut connection = Connection::new(&shared, &seat, hop, queue, read, write, ours, certificate);
    let end = tokio::select! {
        end = connection.talk() => end,
        () = address_gone(&shared, from) => End::Broken("our address is gone".into()),
    };
    seat.leave();
    if matches!(end, End::Idle | End::Farewell) {
        // A stream that stands gets what is queued, and TLS its close_notify.
        let _cut_off = timeout(FAREWELL, connection.say_farewell()).await;
    }
    let (unsent, has_spoken) = (connection.has_unsent(), connection.has_spoken);
    drop(connection);
    drop(seat);
    let why = match end {
        End::Closed => "the peer closed the connection".to_owned(),
        End::Broken(why) => {
            tell(&shared, hop, &why);
            why
        }
        End::Idle | End::Farewell if unsent => "the connection ended".to_owned(),
        End::Idle | End::Farewell => return,
    };
    // Nothing waits for a stranger that never said a word; telling of it would have all transactions looked through.
    if !has_spoken {
        return;
    }
    let _nobody_asks = shared.came.send(Incoming::Failed { dst: hop, why }).await;
}

/// Waits until our end of a connection is ours no more.
async fn address_gone(shared: &Shared, from: Option<IpAddr>) {
    let mut gone = shared.gone.clone();
    gone.mark_unchanged();
    while gone.changed().await.is_ok() {
        if from.is_some_and(|from| gone.borrow_and_update().contains(&from)) {
            return;
        }
    }
    // The transport is gone; its connections end by `stop`.
    std::future::pending().await
}

/// Writes some of `bytes`; where there are none, has what was written before leave (TLS holds it back).
async fn write_on(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<usize> {
    match bytes {
        [] => to.flush().await.map(|()| 0),
        bytes => to.write(bytes).await,
    }
}

struct Connection<'a, R, W> {
    shared: &'a Shared,
    seat: &'a Seat,
    hop: Hop,
    queue: Queue,
    read: R,
    write: W,
    ours: bool,
    /// What the peer proved, until its first request said whether it wants an alias.
    certificate: Option<Arc<[u8]>>,
    framer: Framer,
    /// Being written, from `written` on.
    writing: Vec<u8>,
    written: usize,
    flush: bool,
    rng: Rng,
    has_spoken: bool,
    /// The peer answers pings.
    has_ponged: bool,
    timers: Timers,
}

/// When something has to have happened. All on tokio's clock, which tests can wind.
struct Timers {
    /// Anything at all from the peer, or to it.
    silence: Instant,
    /// The rest of the message.
    message: Option<Instant>,
    /// What is being written moves on.
    write: Option<Instant>,
    ping: Option<Instant>,
    pong: Option<Instant>,
}

impl Timers {
    fn next(&self) -> Instant {
        let silence = self.silence_unless_inside();
        let first = [silence, self.message, self.write, self.ping, self.pong].into_iter().flatten().min();
        first.unwrap_or(self.silence)
    }

    /// Inside a message the message's own time counts.
    fn silence_unless_inside(&self) -> Option<Instant> {
        self.message.is_none().then_some(self.silence)
    }
}

impl<'a, R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Connection<'a, R, W> {
    fn new(
        shared: &'a Shared,
        seat: &'a Seat,
        hop: Hop,
        queue: Queue,
        read: R,
        write: W,
        ours: bool,
        certificate: Option<Arc<[u8]>>,
    ) -> Self {
        let mut rng = Rng::new(clock::seed());
        let now = Instant::now();
        let timers = Timers {
            silence: now + if ours { shared.patience.idle } else { shared.patience.first_message },
            message: None,
            write: None,
            ping: ours.then(|| now + ping_after(&shared.patience, &mut rng)),
            pong: None,
        };
        Connection {
            shared,
            seat,
            hop,
            queue,
            read,
            write,
            ours,
            certificate: certificate.filter(|_| !ours),
            framer: Framer::new(),
            writing: Vec::new(),
            written: 0,
            flush: false,
            rng,
            has_spoken: ours,
            has_ponged: false,
            timers,
        }
    }

    /// Until it is over.
    async fn talk(&mut self) -> End {
        let mut stop = self.shared.stop.clone();
        let mut piece = vec![0u8; READ_BYTES];
        let mut is_ours_still = true;
        loop {
            let writes = self.written < self.writing.len();
            tokio::select! {
                read = self.read.read(&mut piece) => match read {
                    Ok(0) => return self.linger().await,
                    Ok(n) => {
                        self.framer.push(&piece[..n]);
                        if let Some(end) = self.take_frames().await {
                            return end;
                        }
                    }
                    // Many TLS peers go without saying so.
                    Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return End::Closed,
                    Err(e) => return End::Broken(e.to_string()),
                },
                message = self.queue.recv(), if !writes && !self.flush && is_ours_still => match message {
                    Some(message) => self.put(&message),
                    // Another connection took our place; what comes here is still read.
                    None => is_ours_still = false,
                },
                wrote = write_on(&mut self.write, &self.writing[self.written..]), if writes || self.flush => match wrote {
                    Ok(0) if writes => return End::Broken("nothing can be written".into()),
                    Ok(0) => {
                        self.flush = false;
                        self.timers.write = None;
                    }
                    Ok(n) => self.wrote(n),
                    Err(e) => return End::Broken(e.to_string()),
                },
                () = sleep_until(self.timers.next()) => if let Some(end) = self.take_time() {
                    return end;
                },
                _ = stop.changed() => return End::Farewell,
            }
        }
    }

    fn put(&mut self, message: &[u8]) {
        if self.has_spoken {
            self.timers.silence = Instant::now() + self.shared.patience.idle;
        }
        self.put_keep_alive(message);
    }

    /// Writes what is no sign of life of the connection's users.
    fn put_keep_alive(&mut self, bytes: &[u8]) {
        self.writing.extend_from_slice(bytes);
        self.timers.write.get_or_insert(Instant::now() + self.shared.patience.write);
    }

    /// The peer has said its last word, but may still listen for answers to it.
    async fn linger(&mut self) -> End {
        if !self.ours && self.has_spoken {
            let answers = async {
                self.write.write_all(&self.writing[self.written..]).await?;
                (self.writing, self.written) = (Vec::new(), 0);
                while let Some(answer) = self.queue.recv().await {
                    self.write.write_all(&answer).await?;
                    self.write.flush().await?;
                }
                io::Result::Ok(())
            };
            let _over_or_broken = timeout(FAREWELL, answers).await;
        }
        End::Closed
    }

    fn wrote(&mut self, n: usize) {
        self.written += n;
        self.timers.write = Some(Instant::now() + self.shared.patience.write);
        if self.written == self.writing.len() {
            self.writing = Vec::new();
            self.written = 0;
            self.flush = true;
        }
    }

    /// Hands on what is complete.
    async fn take_frames(&mut self) -> Option<End> {
        loop {
            match self.framer.next() {
                Ok(Some(Frame::Message(bytes))) => {
                    self.has_spoken = true;
                    self.timers.message = None;
                    self.timers.silence = Instant::now() + self.shared.patience.idle;
                    self.take_alias(&bytes);
                    // A daemon that is behind makes us wait, and by us the peer.
                    if self.shared.came.send(Incoming::Message { src: self.hop, bytes }).await.is_err() {
                        return Some(End::Farewell);
                    }
                }
                Ok(Some(Frame::Ping)) => {
                    self.shared.table.count(|c| c.pings_answered += 1);
                    if self.has_spoken {
                        self.timers.silence = Instant::now() + self.shared.patience.idle;
                    }
                    // A peer that pings and does not read gets no more of them.
                    if self.writing.len() - self.written < READ_BYTES {
                        self.put_keep_alive(b"\r\n");
                    }
                }
                Ok(Some(Frame::Pong)) => {
                    self.has_ponged = true;
                    self.timers.pong = None;
                }
                Ok(None) => break,
                Err(broken) => {
                    self.shared.table.count(|c| c.garbage += 1);
                    let Broken::NoEnd(head) = broken else {
                        return Some(End::Broken("what comes is no SIP".into()));
                    };
                    // RFC 3261 s.18.3: it is answered with what is wrong with it, and nothing behind it can be found.
                    let _nobody_asks = self.shared.came.send(Incoming::Message { src: self.hop, bytes: head }).await;
                    if let Ok(Some(answer)) = timeout(FAREWELL, self.queue.recv()).await {
                        self.put(&answer);
                    }
                    return Some(End::Farewell);
                }
            }
        }
        if self.framer.is_inside_message() {
            self.timers.message.get_or_insert(Instant::now() + self.shared.patience.message);
        } else {
            self.timers.message = None;
        }
        None
    }

    /// RFC 5923: a peer that asks for it (`alias`) in its first request, and whose certificate proves the host that its Via names, takes
    /// requests to that host and port over this connection. Without the proof anybody could draw another's calls to itself.
    fn take_alias(&mut self, bytes: &[u8]) {
        let Some(certificate) = self.certificate.take() else { return };
        let Ok(via) = Message::parse(bytes).map_err(|_| ()).and_then(|m| m.top_via().map_err(|_| ())) else { return };
        if !via.params.has("alias") || via.transport != "TLS" {
            return;
        }
        let proven = match &via.host {
            crate::sip::message::Host::Name(name) => tls::certifies(&certificate, name),
            crate::sip::message::Host::Addr(ip) => *ip == self.hop.addr.ip() && tls::certifies(&certificate, &ip.to_string()),
        };
        if proven {
            let port = via.port.unwrap_or(Transport::Tls.default_port());
            self.seat.alias(Hop::tls(SocketAddr::new(self.hop.addr.ip(), port)));
        }
    }

    /// Something did not happen in time, or a ping is due.
    fn take_time(&mut self) -> Option<End> {
        let now = Instant::now();
        let late = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        let cut = |why: &str| {
            self.shared.table.count(|c| c.timed_out += 1);
            Some(End::Broken(why.to_owned()))
        };
        if late(self.timers.message) {
            return cut("the rest of a message does not come");
        }
        if late(self.timers.write) {
            return cut("the peer does not read what it is sent");
        }
        if late(self.timers.pong) {
            self.timers.pong = None;
            if self.has_ponged {
                return cut("the peer does not answer pings any more");
            }
        }
        if late(self.timers.silence_unless_inside()) {
            self.shared.table.count(|c| c.timed_out += 1);
            return Some(End::Idle);
        }
        if late(self.timers.ping) {
            self.timers.ping = Some(now + ping_after(&self.shared.patience, &mut self.rng));
            self.timers.pong.get_or_insert(now + self.shared.patience.pong);
            self.framer.await_pong();
            self.put_keep_alive(b"\r\n\r\n");
        }
        None
    }

    fn has_unsent(&self) -> bool {
        self.written < self.writing.len() || !self.queue.is_empty()
    }

    async fn say_farewell(&mut self) -> io::Result<()> {
        self.write.write_all(&self.writing[self.written..]).await?;
        (self.writing, self.written) = (Vec::new(), 0);
        while let Some(message) = self.queue.try_recv() {
            self.write.write_all(&message).await?;
        }
        self.write.shutdown().await
    }
}
