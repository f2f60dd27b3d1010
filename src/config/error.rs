//! What is wrong with a configuration, and where.

use core::fmt;
use core::ops::Range;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};

/// One problem of one file: the user's to mend.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigError {
    /// Which file.
    pub file: PathBuf,
    /// Which line, from 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// Which key, as far as it is known.
    pub key: String,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}
impl std::error::Error for ConfigError {}

/// A configuration file's text, to read from and to point into.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    text: String,
}

impl Source {
    /// A file's text that was read from `path`.
    pub fn new(path: &Path, text: String) -> Self {
        Source { path: path.to_owned(), text }
    }
    /// Where the file lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
    /// Reads the text as `T`; a problem is named with its line and the key that stands there.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, ConfigError> {
        toml::from_str(&self.text).map_err(|e| {
            let span = e.span().unwrap_or(0..0);
            let key = self.key_at(&span);
            self.problem(span, &key, e.message().lines().next().unwrap_or("is not TOML"))
        })
    }
    /// A problem with what stands at `span`.
    pub fn problem(&self, span: Range<usize>, key: &str, message: impl Into<String>) -> ConfigError {
        let line = self.text.get(..span.start).map_or(0, |before| before.matches('\n').count() + 1);
        ConfigError { file: self.path.clone(), line, key: key.to_owned(), message: message.into() }
    }
    /// A problem with the file as a whole.
    pub fn whole(&self, message: impl Into<String>) -> ConfigError {
        ConfigError { file: self.path.clone(), line: 0, key: String::new(), message: message.into() }
    }
    /// The key of the line that `span` starts in.
    fn key_at(&self, span: &Range<usize>) -> String {
        let start = self.text.get(..span.start).and_then(|t| t.rfind('\n')).map_or(0, |at| at + 1);
        let line = self.text.get(start..).and_then(|t| t.lines().next()).unwrap_or("");
        line.split('=').next().unwrap_or("").trim().to_owned()
    }
}

impl Source {
    /// A problem with the value of a dotted key (`media.ports`, `port[2].name`), at the line where it stands, or where its table begins.
    pub fn at_key(&self, key: &str, message: impl Into<String>) -> ConfigError {
        ConfigError { file: self.path.clone(), line: self.line_of(key), key: key.to_owned(), message: message.into() }
    }

    /// The line of a dotted key, from 1; 0 if neither it nor its table stands in the file.
    fn line_of(&self, key: &str) -> usize {
        let (table, name) = key.rsplit_once('.').unwrap_or(if key.contains('[') { (key, "") } else { ("", key) });
        let (table, index) = match table.split_once('[') {
            Some((table, index)) => (table, index.trim_end_matches(']').parse().unwrap_or(0)),
            None => (table, 0usize),
        };
        let (mut inside, mut seen, mut found) = (table.is_empty(), 0, 0);
        for (i, line) in self.text.lines().enumerate() {
            let line = line.trim();
            if line.starts_with('[') {
                inside = line == format!("[{table}]");
                if line == format!("[[{table}]]") {
                    inside = seen == index;
                    seen += 1;
                }
                if inside {
                    found = i + 1;
                }
            } else if inside && line.split('=').next().is_some_and(|k| k.trim() == name) {
                return i + 1;
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_points_at_its_line() {
        let text = "[sip]\nlisten = \"x\"\n\n[[port]]\nname = \"a\"\n\n[[port]]\nname = \"a\"\n";
        let source = Source::new(Path::new("g.toml"), text.into());
        assert_eq!(source.at_key("sip.listen", "bad").to_string(), "g.toml:2: sip.listen: bad");
        assert_eq!(source.at_key("port[1].name", "twice").line, 8);
        assert_eq!(source.at_key("port[1]", "twice").line, 7);
        assert_eq!(source.at_key("media.ports", "missing").line, 0);
    }
}
