//! Configuration files: TOML, typed, and every problem named with file and line before anything runs.

pub mod accounts;
pub mod api;
pub mod directory;
pub mod enrol;
pub mod enum_dns;
pub mod error;
pub mod gateway;
pub mod security;
pub mod server;
pub mod sip;

use error::{ConfigError, Source};
use std::path::{Path, PathBuf};

/// A daemon's configuration, whichever it is.
pub enum AnyConfig {
    /// `tipring directory`
    Directory(Box<directory::Config>),
    /// `tipring gateway`
    Gateway(Box<gateway::GatewayConfig>),
}

/// The configuration's name: the file's, without its ending.
pub fn name(path: &Path) -> String {
    path.file_stem().map_or_else(|| "tipring".into(), |s| s.to_string_lossy().into_owned())
}

/// Where configurations keep their state: `$TIPRING_STATE`, or `target/state`.
pub fn state_root() -> PathBuf {
    std::env::var_os("TIPRING_STATE").map_or_else(|| PathBuf::from("target/state"), PathBuf::from)
}

fn read(path: &Path) -> Result<String, Vec<ConfigError>> {
    let unreadable = |e: std::io::Error| vec![Source::new(path, String::new()).whole(e.to_string())];
    std::fs::read_to_string(path).map_err(unreadable)
}

/// Reads and checks a gateway's configuration.
pub fn gateway(path: &Path) -> Result<gateway::GatewayConfig, Vec<ConfigError>> {
    let source = Source::new(path, read(path)?);
    let mut config: gateway::GatewayConfig = source.parse().map_err(|e| vec![e])?;
    config.sip.take_paths(&source);
    if let Some(ca) = config.directory.as_mut().and_then(|d| d.ca.as_mut()) {
        *ca = source.path().parent().map_or_else(|| ca.clone(), |folder| folder.join(&*ca));
    }
    let mut problems = config.check(&source);
    problems.extend(config.take_passwords(&source));
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

/// Reads and checks a directory's configuration.
pub fn directory(path: &Path) -> Result<directory::Config, Vec<ConfigError>> {
    directory::parse(path, read(path)?, &state_root())
}

/// Reads whichever configuration the file is: a directory's begins with a `domain`.
pub fn any(path: &Path) -> Result<AnyConfig, Vec<ConfigError>> {
    let text = read(path)?;
    let top = text.lines().map(str::trim_start).take_while(|l| !l.starts_with('['));
    let is_directory = top.into_iter().any(|l| l.starts_with("domain") && l.contains('='));
    if is_directory {
        directory(path).map(|c| AnyConfig::Directory(Box::new(c)))
    } else {
        gateway(path).map(|c| AnyConfig::Gateway(Box::new(c)))
    }
}
