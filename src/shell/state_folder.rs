//! What lies in a daemon's state folder beside its database: secrets that are made at the first start, and the lock that says that a
//! daemon runs on it.

use super::clock;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The operator's token, readable by the daemon's user only.
pub const ADMIN_TOKEN: &str = "admin.token";
/// The one-time token that makes the first admin; it goes when it was used.
pub const FIRST_ADMIN_TOKEN: &str = "first-admin.token";
/// Held while a daemon runs on this state.
const LOCK: &str = "lock";

/// A secret of 256 bits in hex.
pub fn fresh_secret() -> String {
    clock::random::<32>().iter().map(|b| format!("{b:02x}")).collect()
}

/// The secret in this file; made, and true with it, if there is none.
pub fn secret(path: &Path) -> io::Result<(String, bool)> {
    match std::fs::read_to_string(path) {
        Ok(token) if token.trim().len() >= 32 => return Ok((token.trim().to_owned(), false)),
        Ok(_) => {}
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(e),
    }
    let token = fresh_secret();
    put(path, token.as_bytes(), 0o600)?;
    Ok((token, true))
}

/// Puts a whole file in place of whatever stood there, or nothing at all.
pub fn put(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let _none_left_over = std::fs::remove_file(&fresh);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh)?;
    file.write_all(bytes).and_then(|()| file.sync_all())?;
    std::fs::rename(&fresh, path)
}

/// The lock of a state folder, until it is dropped. `None`: a daemon holds it.
pub fn lock(state: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(state.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(e)) => Err(e),
    }
}
