//! The way out of a request, and who decided on it.

use std::fmt;

use super::{Lang, Speak};

/// A way out.
pub struct Way<'a> {
    /// The proxy, masked; `None`: directly.
    pub proxy: Option<&'a str>,
    /// Who decided on it.
    pub decided: Decided<'a>,
}

/// Who decides on a way out.
#[derive(Clone, Copy)]
pub enum Decided<'a> {
    /// `proxy` of the route.
    Route,
    /// `global_proxy`.
    Global,
    /// An entry of `no_proxy`.
    NoProxy(&'a str),
    /// A variable of the environment.
    Variable(&'a str),
    /// An entry of a variable of the environment.
    NoProxyVariable(&'a str, &'a str),
    /// Nobody.
    Nobody,
}

impl Speak for Way<'_> {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.proxy, lang) {
            (Some(proxy), _) => write!(f, "{proxy}")?,
            (None, Lang::En) => f.write_str("direct")?,
            (None, Lang::Zh) => f.write_str("直连")?,
        }
        match lang {
            Lang::En => self.decided_en(f),
            Lang::Zh => self.decided_zh(f),
        }
    }
}

impl Way<'_> {
    fn decided_en(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.decided, self.proxy.is_some()) {
            (Decided::Route, true) => f.write_str(" (the route's proxy)"),
            (Decided::Route, false) => f.write_str(" (the route's proxy is \"\")"),
            (Decided::Global, true) => f.write_str(" (global_proxy)"),
            (Decided::Global, false) => f.write_str(" (global_proxy is \"\")"),
            (Decided::NoProxy(entry), _) => write!(f, " (no_proxy: {entry})"),
            (Decided::Variable(name), _) => write!(f, " ({name} in the environment)"),
            (Decided::NoProxyVariable(name, entry), _) => write!(f, " ({name} in the environment: {entry})"),
            (Decided::Nobody, _) => Ok(()),
        }
    }

    fn decided_zh(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.decided, self.proxy.is_some()) {
            (Decided::Route, true) => f.write_str(" (路由的 proxy)"),
            (Decided::Route, false) => f.write_str(" (路由的 proxy 为 \"\")"),
            (Decided::Global, true) => f.write_str(" (global_proxy)"),
            (Decided::Global, false) => f.write_str(" (global_proxy 为 \"\")"),
            (Decided::NoProxy(entry), _) => write!(f, " (no_proxy: {entry})"),
            (Decided::Variable(name), _) => write!(f, " (环境变量 {name})"),
            (Decided::NoProxyVariable(name, entry), _) => write!(f, " (环境变量 {name}: {entry})"),
            (Decided::Nobody, _) => Ok(()),
        }
    }
}
