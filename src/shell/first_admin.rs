//! How the first admin comes to be: there is no default password (D-17). While there is no admin, a one-time token lies in the state
//! folder; it was said once, in the log, when it was made. Whoever has it makes the first admin, and it is gone.

use super::state_folder::{self, FIRST_ADMIN_TOKEN};
use crate::digest::same;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

/// The one-time token of a directory, while it is worth something.
pub(super) struct FirstAdmin {
    path: PathBuf,
    token: Mutex<Option<String>>,
}

impl FirstAdmin {
    /// At the start of a directory. With an admin there, no token is worth anything.
    pub fn open(state: &Path, has_admin: bool) -> io::Result<FirstAdmin> {
        let path = state.join(FIRST_ADMIN_TOKEN);
        if has_admin {
            let _none = std::fs::remove_file(&path);
            return Ok(FirstAdmin { path, token: Mutex::new(None) });
        }
        let (token, fresh) = state_folder::secret(&path)?;
        if fresh {
            tracing::warn!(
                "there is no admin yet; the one-time token for the first is {token} (`tipring accounts first-admin NAME`, or POST \
                 /v1/first-admin); it lies in {} too, and is not said again",
                path.display()
            );
        }
        Ok(FirstAdmin { path, token: Mutex::new(Some(token)) })
    }

    fn token(&self) -> MutexGuard<'_, Option<String>> {
        self.token.lock().expect("nothing panics while it holds the token")
    }

    /// Whether this is it.
    pub fn is(&self, said: &str) -> bool {
        self.token().as_deref().is_some_and(|token| same(token.as_bytes(), said.as_bytes()))
    }

    /// There is an admin now.
    pub fn used(&self) {
        *self.token() = None;
        if let Err(e) = std::fs::remove_file(&self.path)
            && e.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("{}: {e}; its token is worth nothing any more", self.path.display());
        }
    }
}
