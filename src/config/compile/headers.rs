//! Configured headers, and those that are dropped.

use super::Compiler;
use crate::config::listed::HeaderValue;
use crate::h1::token;
use crate::headers::{Configured, Policy};
use crate::jsonc::Path;
use crate::secret::Secret;
use crate::text::Problem;

/// Headers that frame a message or belong to one connection: the proxy writes them itself.
const MANAGED: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

impl Compiler<'_> {
    pub(super) fn custom_headers(
        &mut self,
        raw: Vec<(String, HeaderValue)>,
        force: bool,
        path: &Path,
    ) -> (Vec<Configured>, Option<Secret>) {
        let (mut configured, mut host): (Vec<Configured>, _) = (Vec::new(), None);
        for (written, value) in raw {
            let path = path.key(&written);
            let name = written.trim();
            let value = match value {
                HeaderValue::Absent => continue,
                HeaderValue::One(value) => value,
                HeaderValue::Several(values) => match self.list(name, values, &path) {
                    // A list of one is a single value.
                    Some(mut values) if values.len() == 1 => values.remove(0),
                    Some(values) => {
                        self.configure(&mut configured, name, Configured::one_of(name, &values, force), &path);
                        continue;
                    }
                    None => continue,
                },
            };
            let value = value.expose().trim_ascii();
            if !token::is_token(name.as_bytes()) {
                self.error(&path, Problem::BadHeaderName(written.clone()));
            } else if token::check_text(value).is_err() {
                self.error(&path, Problem::BadHeaderValue);
            } else if is_managed(name) {
                self.warn(&path, Problem::ManagedHeader(name.to_owned()));
            } else if name.eq_ignore_ascii_case("host") {
                if value.is_empty() || !token::is_authority(value) {
                    self.error(&path, Problem::BadHeaderValue);
                }
                host = Some(Secret::new(value));
            } else {
                self.configure(&mut configured, name, Configured::new(name, value, force), &path);
            }
        }
        if configured.len() >= Policy::MAX_CONFIGURED {
            self.error(path, Problem::TooManyHeaders(Policy::MAX_CONFIGURED - 1));
            configured.truncate(Policy::MAX_CONFIGURED - 1);
        }
        (configured, host)
    }

    fn configure(&mut self, to: &mut Vec<Configured>, name: &str, header: Configured, path: &Path) {
        if to.iter().any(|known| known.name().eq_ignore_ascii_case(name)) {
            self.warn(path, Problem::RepeatedHeader(name.to_owned()));
            to.retain(|known| !known.name().eq_ignore_ascii_case(name));
        }
        to.push(header);
    }

    pub(super) fn headers_to_drop(&mut self, names: Vec<String>, path: &Path) -> Vec<String> {
        for (place, name) in names.iter().enumerate() {
            let path = path.index(place);
            if !token::is_token(name.trim().as_bytes()) {
                self.warn(&path, Problem::BadHeaderName(name.clone()));
            } else if ["host", "content-length", "transfer-encoding"]
                .contains(&name.trim().to_ascii_lowercase().as_str())
            {
                self.warn(&path, Problem::ManagedHeader(name.clone()));
            }
        }
        names.into_iter().map(|name| name.trim().to_owned()).collect()
    }
}

pub(super) fn is_managed(name: &str) -> bool {
    MANAGED.iter().any(|managed| name.eq_ignore_ascii_case(managed))
}
