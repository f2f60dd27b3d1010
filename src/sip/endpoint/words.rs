//! Words and small headers of messages.

use super::*;

pub(super) fn tag_response(response: &mut Message, tag: &[u8]) {
    if let Ok(mut to) = response.to()
        && to.tag().is_none()
    {
        to.params.set("tag", tag);
        response.headers.set("To", to.emit());
    }
}

pub(super) fn with_q850(message: Message, q850: Option<u8>) -> Message {
    match q850 {
        Some(cause) => message.with("Reason", format!("Q.850;cause={cause}")),
        None => message,
    }
}

/// The refusal for a Q.850 cause (RFC 3398 s.8.2.6.1).
pub(super) fn status_of_q850(cause: Option<u8>) -> u16 {
    match cause {
        Some(1..=3) => 404,
        Some(17) => 486,
        Some(18) => 408,
        Some(21 | 22) => 403,
        Some(28) => 484,
        Some(34 | 38 | 41 | 42 | 47) => 503,
        Some(65 | 79 | 88) => 488,
        _ => 480,
    }
}

/// The reason phrase of RFC 3261 s.21 for the statuses we send.
pub(super) fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Trying",
        180 => "Ringing",
        183 => "Session Progress",
        200 => "OK",
        302 => "Moved Temporarily",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        415 => "Unsupported Media Type",
        401 => "Unauthorized",
        407 => "Proxy Authentication Required",
        416 => "Unsupported URI Scheme",
        420 => "Bad Extension",
        422 => "Session Interval Too Small",
        469 => "Bad Info Package",
        480 => "Temporarily Unavailable",
        481 => "Call/Transaction Does Not Exist",
        482 => "Loop Detected",
        484 => "Address Incomplete",
        486 => "Busy Here",
        487 => "Request Terminated",
        488 => "Not Acceptable Here",
        491 => "Request Pending",
        500 => "Server Internal Error",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        504 => "Server Time-out",
        505 => "Version Not Supported",
        600 => "Busy Everywhere",
        603 => "Decline",
        606 => "Not Acceptable",
        _ => "Refused",
    }
}
