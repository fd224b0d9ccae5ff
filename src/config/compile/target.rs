//! Where routes lead, and how.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::Compiler;
use crate::config::raw;
use crate::config::snapshot::Target;
use crate::jsonc::Path;
use crate::route::{BadUrl, Fixed};
use crate::text::Problem;
use crate::upstream::tls::{Tls, Trust};
use crate::upstream::{Key, WayOut};

impl Compiler<'_> {
    /// Where a route leads, and the password that stood in its URL.
    pub(super) fn target(
        &mut self,
        raw: &raw::Route,
        way_out: &WayOut,
        tls: Option<&Arc<Tls>>,
        path: &Path,
    ) -> (Target, Option<Zeroizing<String>>) {
        let guard = self.guard(raw, path);
        if raw.universal_proxy {
            return (Target::Universal(Arc::new(guard)), None);
        }
        let Some(url) = raw.target_url.as_deref().map(str::trim).filter(|url| !url.is_empty()) else {
            return (Target::Missing, None);
        };
        match Fixed::parse(url) {
            Ok((url, userinfo)) => {
                let userinfo = userinfo.map(|userinfo| Zeroizing::new(userinfo.to_owned()));
                let origin = url.origin().clone();
                let name = origin.to_string().into();
                let target = match way_out.take(&origin) {
                    Ok(taken) => {
                        let key = Key::new(origin, taken.proxy, tls).speaking_http2(raw.http2);
                        Target::Fixed { url, key: Arc::new(key), name }
                    }
                    Err(bad) => Target::NoWayOut(bad),
                };
                (target, userinfo)
            }
            Err(bad) => {
                let problem = match bad {
                    BadUrl::NoScheme => Problem::NoScheme,
                    BadUrl::OtherScheme => Problem::OtherScheme,
                    BadUrl::BadByte => Problem::BadUrlByte,
                    BadUrl::Authority(bad) => Problem::BadAuthority(bad),
                };
                self.error(&path.key("target_url"), problem);
                (Target::Missing, None)
            }
        }
    }

    pub(super) fn tls(&mut self, ca_file: Option<&str>, needed: bool, path: &Path) -> Option<Arc<Tls>> {
        let mut trust = Trust::from_environment(self.context.around.variable);
        if let Some(name) = ca_file.filter(|name| !name.is_empty()) {
            let file = self.context.around.directory.join(name);
            let read = std::fs::read(&file).map_err(|error| error.to_string());
            match read.and_then(|pem| crate::pem::certificates(&pem).map(|_| pem)) {
                Ok(pem) => trust.besides = Some(pem),
                Err(why) => self.error(path, Problem::UnreadableFile { file: file.display().to_string(), why }),
            }
        }
        if !needed {
            return None;
        }
        let previous = self.context.previous.and_then(|previous| previous.tls.as_ref());
        if let Some(previous) = previous.filter(|previous| *previous.trust() == trust) {
            return Some(Arc::clone(previous));
        }
        match Tls::new(trust) {
            Ok(tls) => Some(Arc::new(tls)),
            Err(why) => {
                let (file, why) = why.split_once(": ").unwrap_or(("", &why));
                self.error(path, Problem::UnreadableFile { file: file.to_owned(), why: why.to_owned() });
                None
            }
        }
    }
}

/// Whether a route may lead to TLS, at its target or at its proxy.
pub(super) fn may_need_tls(route: &raw::Route) -> bool {
    route.universal_proxy || [&route.target_url, &route.proxy].into_iter().flatten().any(|url| is_https(url))
}

pub(super) fn is_https(url: &str) -> bool {
    url.trim_start().get(..6).is_some_and(|start| start.eq_ignore_ascii_case("https:"))
}
