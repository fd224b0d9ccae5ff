//! Upstream proxies, and where they do not lead.

use std::sync::Arc;

use super::Compiler;
use crate::config::scalar::Texts;
use crate::jsonc::Path;
use crate::secret::{MASK, mask_path};
use crate::text::{Problem, shown};
use crate::upstream::{BadProxy, Environment, NoProxy, Proxy, Reason, WayOut};

impl Compiler<'_> {
    /// How requests leave where the route says nothing: `global_proxy`, else the environment.
    pub(super) fn way_out(&mut self, global: Option<&str>, no_proxy: Option<&Texts>, root: &Path) -> WayOut {
        let no_proxy = Arc::new(self.no_proxy(no_proxy, &root.key("no_proxy")));
        if let Some(global) = global {
            return WayOut::global(self.proxy(global, &root.key("global_proxy")), no_proxy);
        }
        let mut unread = Vec::new();
        let environment = Environment::read(self.context.around.variable, |name, entry| {
            unread.push(Problem::UnreadNoProxy { variable: Some(name), entry: masked(entry) });
        });
        let way_out = WayOut::environment(environment, no_proxy);
        if !way_out.proxies().is_empty() {
            unread.into_iter().for_each(|problem| self.warn(root, problem));
        }
        way_out
    }

    /// How the requests of a route leave, if it says so itself.
    pub(super) fn own_way_out(&mut self, proxy: Option<&str>, path: &Path) -> Option<WayOut> {
        Some(WayOut::own(self.proxy(proxy?, path)))
    }

    /// Warns of variables that name no proxy. The routes that would use them are not served.
    pub(super) fn bad_variables(&mut self, way_out: &WayOut, root: &Path) {
        for (proxy, because) in way_out.proxies() {
            if let (Err(_), Reason::Variable(name)) = (proxy, because) {
                self.warn(root, Problem::BadProxyVariable(name));
            }
        }
    }

    /// The proxy of this URL; an empty one is none.
    fn proxy(&mut self, url: &str, path: &Path) -> Option<Arc<Proxy>> {
        if url.trim().is_empty() {
            return None;
        }
        let proxy = Proxy::parse(url).map_err(|bad| {
            let problem = match bad {
                BadProxy::Scheme | BadProxy::Path => Problem::BadProxy,
                BadProxy::Authority(bad) => Problem::BadAuthority(bad),
                BadProxy::Login => Problem::BadProxyLogin,
            };
            self.error(path, problem);
        });
        proxy.ok().map(Arc::new)
    }

    fn no_proxy(&mut self, written: Option<&Texts>, path: &Path) -> NoProxy {
        let mut no_proxy = NoProxy::default();
        let mut add = |list: &str, path: &Path| {
            no_proxy.add(list, |entry| {
                self.error(path, Problem::UnreadNoProxy { variable: None, entry: masked(entry) });
            });
        };
        match written {
            None => {}
            Some(Texts::One(list)) => add(list, path),
            Some(Texts::Many(entries)) => {
                entries.iter().enumerate().for_each(|(place, entry)| add(entry, &path.index(place)));
            }
        }
        no_proxy
    }
}

/// An entry that is none may be anything, the URL of a proxy with its password too.
fn masked(entry: &str) -> String {
    match entry.rsplit_once('@') {
        Some((_, host)) if !entry.contains("://") => format!("{MASK}@{}", shown(host)),
        _ => {
            let shown = shown(&mask_path(entry.as_bytes())).to_string();
            shown.split_once('=').map_or_else(|| shown.clone(), |(name, _)| format!("{name}={MASK}"))
        }
    }
}
