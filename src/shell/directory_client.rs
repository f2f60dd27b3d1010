//! A gateway's (or the command line's) side of the directory's API: HTTP/1.1 or HTTPS on kept connections, Digest credentials, short timeouts.
//!
//! One client serves all ports of a gateway: the last nonce of a server is shared by all accounts, so that a request usually takes one round
//! trip. Of several servers the one that answered last is asked first; one that does not answer, or cannot serve now, costs its share of
//! the time, and the next is asked.

use crate::api::ErrorAnswer;
use crate::api::directory::{DeregisterAnswer, LookupAnswer, RegisterAnswer, RegisterRequest};
use crate::api::enrol::{EnrolAnswer, EnrolRequest};
use crate::api::keys::ProofJson;
use crate::api::numbers::{CallsRequest, IdentifierAnswer};
use crate::api::revocations::{CallKeyAnswer, CallKeyRequest, RevocationsAnswer};
use crate::config::server::{Host, Server};
use crate::digest::{Algorithm, Asked, Challenge, Ha1};
use crate::limits::{API_BODY_BYTES_MAX, DIRECTORY_CONNECTIONS_KEPT};
use crate::proof::base64;
use crate::registration;
use crate::shell::identity_key::{Keyring, Keys};
use crate::shell::tls::https::{self, Trust};
use crate::shell::{clock, key_proof};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// An account to ask as.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The account's name.
    pub user: String,
    /// Its password.
    pub password: String,
}

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientError {
    /// The directory cannot be reached, or the connection broke.
    Unreachable(String),
    /// It did not answer in time.
    TimedOut,
    /// It answered something that is not its API.
    NotOurApi(String),
    /// It said no: HTTP status, code, message, and seconds to wait where it named them.
    Refused {
        /// The HTTP status.
        status: u16,
        /// For programs.
        code: String,
        /// For people.
        message: String,
        /// From Retry-After.
        retry_after_s: Option<u32>,
    },
}
impl core::fmt::Display for ClientError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            ClientError::Unreachable(why) => write!(f, "the directory cannot be reached: {why}"),
            ClientError::TimedOut => write!(f, "the directory does not answer"),
            ClientError::NotOurApi(why) => write!(f, "what answers is no directory: {why}"),
            ClientError::Refused { code, message, .. } => write!(f, "{message} ({code})"),
        }
    }
}
impl std::error::Error for ClientError {}

/// How long the client waits, in milliseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timeouts {
    /// For a look-up: somebody is waiting with the receiver at the ear.
    pub lookup_ms: u64,
    /// For a registration.
    pub register_ms: u64,
}
impl Default for Timeouts {
    fn default() -> Self {
        Timeouts { lookup_ms: 1500, register_ms: 4500 }
    }
}

/// A connection that is to stand within this time, in milliseconds, so that a dead server costs no more than this of a long patience.
const CONNECT_WITHIN_MS: u64 = 2000;

/// A directory, or several that know the same, as their clients see them.
pub struct DirectoryClient {
    /// What registrations are signed with.
    keyring: Option<Arc<Keyring>>,
    /// The serial of the list of revoked keys, as it was last heard.
    revocations: AtomicU64,
    places: Vec<Place>,
    /// Which of them answered last.
    first: AtomicUsize,
    timeouts: Timeouts,
}

/// One server, and what we keep of it.
struct Place {
    server: Server,
    tls: Option<TlsConnector>,
    idle: Mutex<Vec<SendRequest<Full<Bytes>>>>,
    /// Connections of an earlier life are not kept.
    life: AtomicU32,
    challenge: Mutex<Option<(Challenge, u32)>>,
}

/// What is asked.
struct Question<'a> {
    login: Option<&'a Login>,
    method: Method,
    target: &'a str,
    body: Body,
    /// From the directory that sent us here.
    referral: Option<&'a str>,
}

/// What goes with a question.
enum Body {
    Fixed(Bytes),
    /// A registration whose key is proven for each log-in anew.
    Proven(Box<RegisterRequest>, Arc<Keys>),
}

impl Body {
    fn none() -> Body {
        Body::Fixed(Bytes::new())
    }

    fn of<T: Serialize>(ask: &T) -> Body {
        Body::Fixed(Bytes::from(serde_json::to_vec(ask).expect("a plain struct with string keys")))
    }

    /// The bytes to send under this log-in; before there is one the directory asks for it and reads nothing.
    fn bytes(&self, login: Option<(&str, &Challenge)>) -> Bytes {
        let (ask, keys) = match self {
            Body::Fixed(bytes) => return bytes.clone(),
            Body::Proven(ask, keys) => (ask, keys),
        };
        let key = keys.current.fingerprint();
        let mut ask = RegisterRequest { fingerprint: Some(key.to_string()), ..(**ask).clone() };
        if let Some((user, challenge)) = login {
            let text = key_proof::text(&challenge.realm, &challenge.nonce, user, &ask, key);
            ask.proof = Some(ProofJson {
                certificate: base64::encode(keys.current.certificate()),
                signature: base64::encode(&keys.current.sign(&text)),
                previous: keys.successions.iter().map(Into::into).collect(),
            });
        }
        Bytes::from(serde_json::to_vec(&ask).expect("a plain struct with string keys"))
    }
}

struct Answered {
    /// Which of the servers it was.
    place: usize,
    status: StatusCode,
    challenge: Option<Challenge>,
    retry_after_s: Option<u32>,
    body: Bytes,
}

impl DirectoryClient {
    /// For the directory whose API listens in the clear on `address`. Connects at the first request.
    pub fn new(address: SocketAddr, timeouts: Timeouts) -> Self {
        DirectoryClient {
            keyring: None,
            revocations: AtomicU64::new(0),
            places: vec![Place::of(Server::plain(address), None)],
            first: AtomicUsize::new(0),
            timeouts,
        }
    }

    /// For one directory or several; `trust` says whom HTTPS believes. The error names the file at fault.
    pub fn of(servers: &[Server], trust: &Trust, timeouts: Timeouts) -> Result<Self, String> {
        let tls = if servers.iter().any(|s| s.tls) { Some(https::connector(trust)?) } else { None };
        let places = servers.iter().map(|s| Place::of(s.clone(), tls.clone().filter(|_| s.tls))).collect();
        Ok(DirectoryClient { keyring: None, revocations: AtomicU64::new(0), places, first: AtomicUsize::new(0), timeouts })
    }

    /// Whose keys registrations name are proven with this ring.
    pub fn with_key(mut self, keyring: Arc<Keyring>) -> Self {
        self.keyring = Some(keyring);
        self
    }

    /// Our address changed, or the cable is back in: connections from before lead nowhere, and would take their time to find out.
    pub fn forget_connections(&self) {
        for place in &self.places {
            place.life.fetch_add(1, Ordering::Relaxed);
            place.idle.lock().expect("no thread panics while it holds the connections").clear();
        }
    }

    /// Registers or renews.
    pub async fn register(&self, login: &Login, ask: &RegisterRequest) -> Result<RegisterAnswer, ClientError> {
        let keys = self.keyring.as_ref().filter(|_| ask.fingerprint.is_some()).map(|ring| ring.keys());
        let body = match keys {
            Some(keys) => Body::Proven(Box::new(ask.clone()), keys),
            None => Body::of(ask),
        };
        let question = Question { login: Some(login), method: Method::POST, target: "/v1/registrations", body, referral: None };
        let answer: RegisterAnswer = read(&self.ask(self.timeouts.register_ms, &question).await?)?;
        self.hear_serial(answer.revocations);
        Ok(answer)
    }

    /// The directory's list of revoked keys has this serial now, as it last said.
    pub fn revocations_heard(&self) -> u64 {
        self.revocations.load(Ordering::Relaxed)
    }

    /// It said so just now.
    pub fn hear_serial(&self, serial: u64) {
        self.revocations.store(serial, Ordering::Relaxed);
    }

    /// The keys that are revoked, with the server that said so.
    pub async fn revoked(&self, login: Option<&Login>, nonce: &str) -> Result<(RevocationsAnswer, &Server), ClientError> {
        let target = format!("/v1/revocations{}", query(Some(nonce)));
        let question = Question { login, method: Method::GET, target: &target, body: Body::none(), referral: None };
        let answered = self.ask(self.timeouts.register_ms, &question).await?;
        read(&answered).map(|answer| (answer, &self.places[answered.place].server))
    }

    /// The key of a call (D-5), by HTTPS or on this machine: for the side of the call that `login` is registered as. The called side asks when it
    /// answers, and the caller's after that.
    pub async fn call_key(&self, login: &Login, ask: &CallKeyRequest) -> Result<CallKeyAnswer, ClientError> {
        let question = Question { login: Some(login), method: Method::POST, target: "/v1/calls/key", body: Body::of(ask), referral: None };
        read(&self.ask(self.timeouts.lookup_ms, &question).await?)
    }

    /// Ends the registration of `number`, if `instance` still holds it.
    pub async fn deregister(&self, login: &Login, number: &str, instance: &str) -> Result<DeregisterAnswer, ClientError> {
        let target = format!("/v1/registrations/{number}?instance={}", percent(instance));
        let question = Question { login: Some(login), method: Method::DELETE, target: &target, body: Body::none(), referral: None };
        read(&self.ask(self.timeouts.register_ms, &question).await?)
    }

    /// Where is `number`?
    pub async fn lookup(&self, login: Option<&Login>, number: &str) -> Result<LookupAnswer, ClientError> {
        self.look_up(login, number, None, None).await.map(|(answer, _)| answer)
    }

    /// Where is `number`, that another directory sent us here for (C-3)?
    pub async fn lookup_referred(&self, number: &str, referral: Option<&str>) -> Result<LookupAnswer, ClientError> {
        self.look_up(None, number, referral, None).await.map(|(answer, _)| answer)
    }

    /// An account for a terminal that has none (C-11). Of several servers the first that answers decides.
    pub async fn enrol(&self, ask: &EnrolRequest) -> Result<EnrolAnswer, ClientError> {
        let body = Body::of(ask);
        let question = Question { login: None, method: Method::POST, target: "/v1/enrol", body, referral: None };
        read(&self.ask(self.timeouts.register_ms, &question).await?)
    }

    /// How many calls a number has (D-6).
    pub async fn report_calls(&self, login: &Login, number: &str, calls: u8) -> Result<(), ClientError> {
        let body = Body::of(&CallsRequest { calls });
        let target = format!("/v1/registrations/{number}/calls");
        let question = Question { login: Some(login), method: Method::PUT, target: &target, body, referral: None };
        read::<serde_json::Value>(&self.ask(self.timeouts.register_ms, &question).await?).map(|_done| ())
    }

    /// Where is the gateway of this key?
    pub async fn identifier(&self, login: &Login, fingerprint: &str) -> Result<IdentifierAnswer, ClientError> {
        self.identifier_signed(login, fingerprint, None).await.map(|(answer, _)| answer)
    }

    /// The same, with the server that said so, and with its signature if there is a nonce for it.
    pub async fn identifier_signed(
        &self,
        login: &Login,
        fingerprint: &str,
        nonce: Option<&str>,
    ) -> Result<(IdentifierAnswer, &Server), ClientError> {
        let target = format!("/v1/identifiers/{}{}", percent(fingerprint), query(nonce));
        let question = Question { login: Some(login), method: Method::GET, target: &target, body: Body::none(), referral: None };
        let answered = self.ask(self.timeouts.lookup_ms, &question).await?;
        read(&answered).map(|answer| (answer, &self.places[answered.place].server))
    }

    /// Where is `number`? With the server that said so, and with its signature if there is a nonce for it. `referral` is of the directory that
    /// sent us here.
    pub async fn look_up(
        &self,
        login: Option<&Login>,
        number: &str,
        referral: Option<&str>,
        nonce: Option<&str>,
    ) -> Result<(LookupAnswer, &Server), ClientError> {
        let target = format!("/v1/lookup/{}{}", percent(number), query(nonce));
        let question = Question { login, method: Method::GET, target: &target, body: Body::none(), referral };
        let answered = self.ask(self.timeouts.lookup_ms, &question).await?;
        let server = &self.places[answered.place].server;
        match read(&answered) {
            Err(ClientError::Refused { code, .. }) if code == "unknown_number" => {
                Ok((LookupAnswer::Unknown { number: number.to_owned() }, server))
            }
            other => other.map(|answer| (answer, server)),
        }
    }

    /// Carries out what a registrant asks, and says what came of it.
    pub async fn carry_out(&self, login: &Login, ask: &registration::Ask) -> registration::Outcome {
        let result = match ask {
            registration::Ask::Register(register) => self.register(login, &RegisterRequest::of(register)).await.and_then(|a| {
                let number = crate::number::Number::parse(&a.number).map_err(|e| ClientError::NotOurApi(e.to_string()))?;
                Ok(registration::Outcome::Granted { number, lease_s: a.lease_s })
            }),
            registration::Ask::Deregister { number, instance } => {
                self.deregister(login, number.as_str(), instance.as_str()).await.map(|_| registration::Outcome::Ended)
            }
        };
        result.unwrap_or_else(|e| match &e {
            // 429: too many of this source failed to log in; whose fault that is, time will tell.
            ClientError::Refused { status, .. } if *status < 500 && *status != 429 => registration::Outcome::Refused { why: e.to_string() },
            ClientError::Refused { retry_after_s, .. } => {
                registration::Outcome::Failed { why: e.to_string(), retry_after_s: *retry_after_s }
            }
            _ => registration::Outcome::Failed { why: e.to_string(), retry_after_s: None },
        })
    }

    /// Asks the servers in turn, each within its share of what is left of the time.
    async fn ask(&self, within_ms: u64, question: &Question<'_>) -> Result<Answered, ClientError> {
        let until = clock::now() + Duration::from_millis(within_ms);
        let (all, first) = (self.places.len(), self.first.load(Ordering::Relaxed));
        let mut outcome = Err(ClientError::TimedOut);
        for turn in 0..all {
            let i = (first + turn) % all;
            let left = until - clock::now();
            let share = left / u32::try_from(all - turn).unwrap_or(1);
            match tokio::time::timeout(share, self.places[i].exchange(question)).await {
                Ok(Ok(answered)) if !answered.status.is_server_error() => {
                    self.first.store(i, Ordering::Relaxed);
                    return Ok(Answered { place: i, ..answered });
                }
                // A server that says that it cannot says more than one that is silent.
                Ok(Ok(answered)) => outcome = Ok(answered),
                Ok(Err(e)) if outcome.is_err() => outcome = Err(e),
                Ok(Err(_)) | Err(_) => {}
            }
        }
        outcome
    }
}

impl Place {
    fn of(server: Server, tls: Option<TlsConnector>) -> Place {
        Place { server, tls, idle: Mutex::default(), life: AtomicU32::new(0), challenge: Mutex::default() }
    }

    /// One request and its answer; credentials by the last nonce, and once more by a new one if that is asked for.
    async fn exchange(&self, question: &Question<'_>) -> Result<Answered, ClientError> {
        let Question { login, method, target, body, referral } = question;
        let referral = *referral;
        let login = *login;
        let sent = login.and_then(|login| self.credentials(login, method, target));
        let had_credentials = sent.is_some();
        let (sent, bytes) = self.signed(login, sent, body);
        let answered = self.once(sent, referral, method, target, bytes).await?;
        let (StatusCode::UNAUTHORIZED, Some(challenge), Some(login)) = (answered.status, &answered.challenge, login) else {
            return Ok(answered);
        };
        *self.challenge.lock().expect("no thread panics while it holds the nonce") = Some((challenge.clone(), 0));
        if had_credentials && !challenge.stale {
            return Ok(answered);
        }
        let sent = self.credentials(login, method, target);
        let (sent, bytes) = self.signed(Some(login), sent, body);
        self.once(sent, referral, method, target, bytes).await
    }

    /// The credentials as a header, and the body that goes with them.
    fn signed(&self, login: Option<&Login>, sent: Option<(String, Challenge)>, body: &Body) -> (Option<String>, Bytes) {
        let under = login.map(|l| l.user.as_str()).zip(sent.as_ref().map(|(_, challenge)| challenge));
        let bytes = body.bytes(under);
        (sent.map(|(header, _)| header), bytes)
    }

    /// Credentials as a header, and the challenge that they answer.
    fn credentials(&self, login: &Login, method: &Method, target: &str) -> Option<(String, Challenge)> {
        let mut known = self.challenge.lock().expect("no thread panics while it holds the nonce");
        let (challenge, nc) = known.as_mut()?;
        *nc += 1;
        let ha1 = Ha1::of(&login.user, &challenge.realm, &login.password);
        let cnonce: String = clock::random::<12>().iter().map(|b| format!("{b:02x}")).collect();
        let asked = Asked { method: method.as_str(), uri: target, body: b"" };
        let answer = challenge.answer(&login.user, &ha1, &asked, challenge.qop(false), *nc, &cnonce)?;
        Some((answer.emit(), challenge.clone()))
    }

    async fn once(
        &self,
        credentials: Option<String>,
        referral: Option<&str>,
        method: &Method,
        target: &str,
        body: Bytes,
    ) -> Result<Answered, ClientError> {
        // A kept connection may have been closed by the other side meanwhile: those fail at once and say so, and the next is tried.
        loop {
            let life = self.life.load(Ordering::Relaxed);
            let kept = self.idle.lock().expect("no thread panics while it holds the connections").pop();
            let fresh = kept.is_none();
            let mut connection = match kept {
                Some(connection) => connection,
                None => self.connect().await?,
            };
            if connection.ready().await.is_err() && !fresh {
                continue;
            }
            let mut request = Request::builder()
                .method(method.clone())
                .uri(target)
                .header(header::HOST, self.server.authority())
                .header(header::CONTENT_TYPE, "application/json");
            if let Some(credentials) = &credentials {
                request = request.header(header::AUTHORIZATION, credentials);
            }
            if let Some(referral) = referral {
                request = request.header(super::numbers::REFERRAL, referral);
            }
            let request = request.body(Full::new(body.clone())).map_err(|e| ClientError::NotOurApi(e.to_string()))?;
            let answer = match connection.try_send_request(request).await {
                Ok(answer) => answer,
                // Given back unsent: nothing was done twice.
                Err(e) if !fresh && e.message().is_some() => continue,
                // On a kept connection the other side may have closed it after our bytes left. All requests say the whole truth, so saying
                // one twice does no harm; only the nonce count is spent.
                Err(_) if !fresh => continue,
                Err(e) => return Err(self.unreachable(&e.into_error())),
            };
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, API_BODY_BYTES_MAX).collect().await.map_err(|e| self.unreachable(&e))?;
            let mut idle = self.idle.lock().expect("no thread panics while it holds the connections");
            if idle.len() < DIRECTORY_CONNECTIONS_KEPT && life == self.life.load(Ordering::Relaxed) {
                idle.push(connection);
            }
            let challenges = head.headers.get_all(header::WWW_AUTHENTICATE);
            return Ok(Answered {
                place: 0,
                status: head.status,
                challenge: challenges
                    .iter()
                    .flat_map(|v| Challenge::parse_all(v.to_str().unwrap_or_default()))
                    .find(|c| c.algorithm == Algorithm::Sha256),
                retry_after_s: head.headers.get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok()),
                body: body.to_bytes(),
            });
        }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, ClientError> {
        let connecting = async {
            match &self.server.host {
                Host::Address(ip) => TcpStream::connect((*ip, self.server.port)).await,
                // The system's resolver, and all addresses that it names in turn.
                Host::Name(name) => TcpStream::connect((name.as_str(), self.server.port)).await,
            }
        };
        let late = |_| self.unreachable(&"no connection in time");
        let stream = tokio::time::timeout(Duration::from_millis(CONNECT_WITHIN_MS), connecting).await.map_err(late)?;
        let stream = stream.map_err(|e| self.unreachable(&e))?;
        let _ = stream.set_nodelay(true);
        let name = match &self.server.host {
            Host::Address(ip) => ip.to_string(),
            Host::Name(name) => name.clone(),
        };
        let sender = match &self.tls {
            Some(tls) => {
                let stream = https::connect(tls, stream, &name).await.map_err(|why| self.unreachable(&why))?;
                let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| self.unreachable(&e))?;
                tokio::spawn(connection);
                sender
            }
            None => {
                let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| self.unreachable(&e))?;
                tokio::spawn(connection);
                sender
            }
        };
        Ok(sender)
    }

    fn unreachable(&self, why: &dyn core::fmt::Display) -> ClientError {
        ClientError::Unreachable(format!("{}: {why}", self.server))
    }
}

fn read<T: DeserializeOwned>(answered: &Answered) -> Result<T, ClientError> {
    if answered.status.is_success() {
        return serde_json::from_slice(&answered.body).map_err(|e| ClientError::NotOurApi(e.to_string()));
    }
    match serde_json::from_slice::<ErrorAnswer>(&answered.body) {
        Ok(said) => Err(ClientError::Refused {
            status: answered.status.as_u16(),
            code: said.error.code,
            message: said.error.message,
            retry_after_s: answered.retry_after_s,
        }),
        Err(_) => Err(ClientError::NotOurApi(format!("HTTP status {}", answered.status))),
    }
}

fn query(nonce: Option<&str>) -> String {
    nonce.map(|nonce| format!("?nonce={nonce}")).unwrap_or_default()
}

/// Percent-encodes what is not unreserved (RFC 3986 clause 2.3).
fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(b)),
            _ => out.push_str(&format!("%{b:02X}")),
        }
    }
    out
}
