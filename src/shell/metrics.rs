//! Counts as a scraper reads them: the OpenMetrics text that Prometheus takes. A page is made anew for each scrape from counts that are
//! kept anyway, so nothing is counted twice.

use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

/// One page.
pub(super) struct Page {
    registry: Registry,
}

impl Page {
    /// A page whose names begin with `tipring_` and `daemon`.
    pub fn of(daemon: &str) -> Page {
        Page { registry: Registry::with_prefix(format!("tipring_{daemon}")) }
    }
    /// How many there are now.
    pub fn gauge(&mut self, name: &str, help: &str, value: usize) -> &mut Page {
        self.registry.register(name, help, ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)));
        self
    }
    /// How often something happened since start; `_total` is added to its name.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) -> &mut Page {
        self.registry.register(name, help, ConstCounter::new(value));
        self
    }
    /// The page as text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _written = encode(&mut text, &self.registry);
        text
    }
    /// The page as an answer.
    pub fn answer(&self) -> Response {
        Page::answer_of(self.text())
    }
    /// A page's text as an answer.
    pub fn answer_of(text: String) -> Response {
        ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_what_a_scraper_reads() {
        let mut page = Page::of("directory");
        page.gauge("registered", "Numbers with an address", 3).counter("commits", "Transactions", 7);
        assert_eq!(
            page.text(),
            "# HELP tipring_directory_registered Numbers with an address.\n# TYPE tipring_directory_registered gauge\n\
             tipring_directory_registered 3\n# HELP tipring_directory_commits Transactions.\n# TYPE tipring_directory_commits counter\n\
             tipring_directory_commits_total 7\n# EOF\n"
        );
    }
}
