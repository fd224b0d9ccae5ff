//! Where the clients of universal routes may go.

use super::Compiler;
use crate::config::raw;
use crate::jsonc::Path;
use crate::text::Problem;
use crate::upstream::{Guard, Hosts};

impl Compiler<'_> {
    /// What a route refuses to reach.
    pub(super) fn guard(&mut self, raw: &raw::Route, path: &Path) -> Guard {
        let guard = Guard {
            allow_private: raw.allow_private,
            allow: raw.allow_hosts.as_ref().map(|list| self.hosts(list, &path.key("allow_hosts"))),
            deny: self.hosts(&raw.deny_hosts, &path.key("deny_hosts")),
        };
        if !raw.universal_proxy && guard != Guard::default() {
            self.warn(path, Problem::UnusedGuard);
        }
        guard
    }

    fn hosts(&mut self, list: &[String], path: &Path) -> Hosts {
        let mut hosts = Hosts::default();
        for (number, written) in list.iter().enumerate() {
            match hosts.clone().with(written) {
                Some(more) => hosts = more,
                None => self.error(&path.index(number), Problem::BadHostEntry),
            }
        }
        hosts
    }
}
