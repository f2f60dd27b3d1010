//! A small HTTP/1.1 client for the local API of a daemon: one request, one JSON answer.

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;

/// Largest answer read.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug)]
pub enum ApiError {
    /// Nobody listens there, or it went away.
    Unreachable(SocketAddr, String),
    /// It answered with this status and message.
    Refused(u16, String),
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ApiError::Unreachable(at, why) => write!(f, "no answer from {at}: {why}"),
            ApiError::Refused(_, message) => f.write_str(message),
        }
    }
}
impl std::error::Error for ApiError {}

/// Sends one request, with the operator's token if there is one; 2xx answers are returned, others become [`ApiError::Refused`] with the
/// server's own message.
pub async fn request_as(
    at: SocketAddr,
    token: Option<&str>,
    method: &str,
    path: &str,
    body: Option<&(impl Serialize + Sync)>,
) -> Result<Value, ApiError> {
    let lost = |e: &dyn std::fmt::Display| ApiError::Unreachable(at, e.to_string());
    let exchange = async {
        let stream = tokio::net::TcpStream::connect(at).await.map_err(|e| lost(&e))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| lost(&e))?;
        let driver = tokio::spawn(connection);
        let bytes = match body {
            Some(body) => serde_json::to_vec(body).map_err(|e| lost(&e))?,
            None => Vec::new(),
        };
        let mut request =
            hyper::Request::builder().method(method).uri(path).header("host", at.to_string()).header("content-type", "application/json");
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = request.body(Full::new(Bytes::from(bytes))).map_err(|e| lost(&e))?;
        let answer = sender.send_request(request).await.map_err(|e| lost(&e))?;
        let status = answer.status().as_u16();
        let bytes = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(|e| lost(&e))?.to_bytes();
        driver.abort();
        let value = if bytes.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&bytes) };
        if (200..300).contains(&status) {
            return value.map_err(|e| lost(&e));
        }
        // A refusal that is no JSON is still a refusal.
        let value: Value = value.unwrap_or_default();
        let message = value.pointer("/error/message").and_then(Value::as_str).map_or_else(|| format!("HTTP {status}"), str::to_owned);
        Err(ApiError::Refused(status, message))
    };
    tokio::time::timeout(Duration::from_secs(10), exchange).await.unwrap_or_else(|_| Err(ApiError::Unreachable(at, "timed out".into())))
}

/// A question anybody may ask.
pub async fn get(at: SocketAddr, path: &str) -> Result<Value, ApiError> {
    request_as(at, None, "GET", path, None::<&()>).await
}
