//! Which way a request leaves, and why: by the route's own proxy, the one for all routes, the environment's, or none.

use std::sync::Arc;

use super::no_proxy::NoProxy;
use super::proxy::{BadProxy, Proxy};
use crate::origin::{Origin, Scheme};

/// The ways out of a route. Which one a request takes depends on its target.
#[derive(Debug, Clone)]
pub struct WayOut(Ways);

#[derive(Debug, Clone)]
enum Ways {
    /// Always the same.
    One(Taken),
    /// `global_proxy`, except where it does not lead.
    Global(Arc<Proxy>, Arc<NoProxy>),
    /// Whatever the environment says.
    Environment(Arc<Environment>, Arc<NoProxy>),
}

/// The way that requests to one target take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Through this proxy, or directly.
    pub proxy: Option<Arc<Proxy>>,
    /// Who said so.
    pub because: Reason,
}

/// Who decided on a way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// `proxy` of the route.
    Route,
    /// `global_proxy`.
    Global,
    /// An entry of `no_proxy`.
    NoProxy(Arc<str>),
    /// A variable of the environment.
    Variable(&'static str),
    /// An entry of `NO_PROXY` in the environment, by the name of the variable.
    NoProxyVariable(&'static str, Arc<str>),
    /// Nobody: no proxy is named anywhere.
    Nobody,
}

/// A variable of the environment names a proxy that does not exist. Its users are not served: to send them directly
/// would be what somebody had asked not to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadVariable {
    /// The variable.
    pub name: &'static str,
    /// What is wrong with it.
    pub why: BadProxy,
}

/// The proxies that the environment names.
#[derive(Debug, Default)]
pub struct Environment {
    http: Option<Variable>,
    https: Option<Variable>,
    no_proxy: Option<(&'static str, NoProxy)>,
}

#[derive(Debug, Clone)]
struct Variable {
    name: &'static str,
    proxy: Result<Arc<Proxy>, BadProxy>,
}

/// Where proxies are named, the first that is set decides. Lower case comes first, as in curl and Python.
const HTTP: [&str; 4] = ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"];
const HTTPS: [&str; 4] = ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
const NO_PROXY: [&str; 2] = ["no_proxy", "NO_PROXY"];

impl WayOut {
    /// What the route itself says: a proxy, or none.
    #[must_use]
    pub fn own(proxy: Option<Arc<Proxy>>) -> Self {
        Self(Ways::One(Taken { proxy, because: Reason::Route }))
    }

    /// What the configuration says for all routes: a proxy that does not lead to all targets, or none.
    #[must_use]
    pub fn global(proxy: Option<Arc<Proxy>>, no_proxy: Arc<NoProxy>) -> Self {
        Self(match proxy {
            Some(proxy) => Ways::Global(proxy, no_proxy),
            None => Ways::One(Taken { proxy: None, because: Reason::Global }),
        })
    }

    /// What the environment says, where the configuration names no proxy. Its `no_proxy` holds here too.
    #[must_use]
    pub fn environment(environment: Environment, no_proxy: Arc<NoProxy>) -> Self {
        Self(match environment {
            Environment { http: None, https: None, .. } => Ways::One(Taken { proxy: None, because: Reason::Nobody }),
            environment => Ways::Environment(Arc::new(environment), no_proxy),
        })
    }

    /// The way to this target.
    ///
    /// # Errors
    /// The environment names a proxy that does not exist.
    pub fn take(&self, target: &Origin) -> Result<Taken, BadVariable> {
        match &self.0 {
            Ways::One(taken) => Ok(taken.clone()),
            Ways::Global(proxy, no_proxy) => Ok(match no_proxy.find(target) {
                Some(entry) => Taken { proxy: None, because: Reason::NoProxy(Arc::clone(entry)) },
                None => Taken { proxy: Some(Arc::clone(proxy)), because: Reason::Global },
            }),
            Ways::Environment(environment, no_proxy) => match no_proxy.find(target) {
                Some(entry) => Ok(Taken { proxy: None, because: Reason::NoProxy(Arc::clone(entry)) }),
                None => environment.take(target),
            },
        }
    }

    /// Every proxy that may be taken, with who says so.
    #[must_use]
    pub fn proxies(&self) -> Vec<(Result<Arc<Proxy>, BadProxy>, Reason)> {
        match &self.0 {
            Ways::One(Taken { proxy, because }) => {
                proxy.iter().map(|proxy| (Ok(Arc::clone(proxy)), because.clone())).collect()
            }
            Ways::Global(proxy, _) => vec![(Ok(Arc::clone(proxy)), Reason::Global)],
            Ways::Environment(environment, _) => environment.proxies(),
        }
    }

    /// Every list of targets to which no proxy leads, with the variable of the environment that it comes from.
    #[must_use]
    pub fn exceptions(&self) -> Vec<(&NoProxy, Option<&'static str>)> {
        let lists = match &self.0 {
            Ways::One(_) => vec![],
            Ways::Global(_, no_proxy) => vec![(&**no_proxy, None)],
            Ways::Environment(environment, no_proxy) => {
                let theirs = environment.no_proxy.as_ref().map(|(name, no_proxy)| (no_proxy, Some(*name)));
                std::iter::once((&**no_proxy, None)).chain(theirs).collect()
            }
        };
        lists.into_iter().filter(|(no_proxy, _)| no_proxy.entries().next().is_some()).collect()
    }
}

impl Environment {
    /// Reads the environment. Empty variables count as unset. Entries of `NO_PROXY` that cannot be read are handed to
    /// `unread` with the name of the variable.
    pub fn read(variable: impl Fn(&str) -> Option<String>, mut unread: impl FnMut(&'static str, &str)) -> Self {
        let first = |names: &[&'static str]| {
            names.iter().find_map(|&name| Some((name, variable(name).filter(|value| !value.trim().is_empty())?)))
        };
        let proxy = |names| first(names).map(|(name, url)| Variable { name, proxy: Proxy::parse(&url).map(Arc::new) });
        let no_proxy = first(&NO_PROXY).map(|(name, list)| (name, NoProxy::parse(&list, |entry| unread(name, entry))));
        Self { http: proxy(&HTTP), https: proxy(&HTTPS), no_proxy }
    }

    fn take(&self, target: &Origin) -> Result<Taken, BadVariable> {
        if let Some((name, no_proxy)) = &self.no_proxy
            && let Some(entry) = no_proxy.find(target)
        {
            return Ok(Taken { proxy: None, because: Reason::NoProxyVariable(name, Arc::clone(entry)) });
        }
        let variable = match target.scheme {
            Scheme::Http => &self.http,
            Scheme::Https => &self.https,
        };
        match variable {
            None => Ok(Taken { proxy: None, because: Reason::Nobody }),
            Some(Variable { name, proxy: Ok(proxy) }) => {
                Ok(Taken { proxy: Some(Arc::clone(proxy)), because: Reason::Variable(name) })
            }
            Some(Variable { name, proxy: Err(why) }) => Err(BadVariable { name, why: *why }),
        }
    }

    fn proxies(&self) -> Vec<(Result<Arc<Proxy>, BadProxy>, Reason)> {
        let mut variables: Vec<&Variable> = [&self.https, &self.http].into_iter().flatten().collect();
        // `ALL_PROXY` stands for both.
        variables.dedup_by_key(|variable| variable.name);
        variables.into_iter().map(|variable| (variable.proxy.clone(), Reason::Variable(variable.name))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(url: &str) -> Origin {
        let (scheme, authority) = url.split_once("://").expect("a URL");
        Origin::parse(Scheme::parse(scheme.as_bytes()).expect("a scheme"), authority.as_bytes()).expect("valid").0
    }

    fn environment(set: &[(&str, &str)]) -> Environment {
        let variable = |name: &str| set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Environment::read(variable, |name, entry| panic!("{name}: {entry}"))
    }

    /// The way that the environment alone leads.
    fn way(set: &[(&str, &str)], target: &str) -> Result<(Option<String>, Reason), BadVariable> {
        shown(&WayOut::environment(environment(set), Arc::default()), target)
    }

    fn shown(way_out: &WayOut, target: &str) -> Result<(Option<String>, Reason), BadVariable> {
        let taken = way_out.take(&origin(target))?;
        Ok((taken.proxy.map(|proxy| proxy.to_string()), taken.because))
    }

    fn proxy(url: &str) -> Option<Arc<Proxy>> {
        Some(Arc::new(Proxy::parse(url).expect("valid")))
    }

    fn through(url: &str, because: Reason) -> Result<(Option<String>, Reason), BadVariable> {
        Ok((Some(url.to_owned()), because))
    }

    #[test]
    fn each_scheme_has_its_variable_and_all_stands_for_both() {
        let set = [("HTTP_PROXY", "http://a:1"), ("HTTPS_PROXY", "http://b:1"), ("ALL_PROXY", "http://c:1")];
        assert_eq!(way(&set, "http://h"), through("http://a:1", Reason::Variable("HTTP_PROXY")));
        assert_eq!(way(&set, "https://h"), through("http://b:1", Reason::Variable("HTTPS_PROXY")));
        assert_eq!(way(&set[1..], "http://h"), through("http://c:1", Reason::Variable("ALL_PROXY")));
        assert_eq!(way(&set[..1], "https://h"), Ok((None, Reason::Nobody)));
        assert_eq!(way(&[], "https://h"), Ok((None, Reason::Nobody)));
    }

    #[test]
    fn lower_case_comes_first_and_empty_is_unset() {
        let set = [("HTTPS_PROXY", "http://upper:1"), ("https_proxy", "lower:1"), ("all_proxy", "http://all:1")];
        assert_eq!(way(&set, "https://h"), through("http://lower:1", Reason::Variable("https_proxy")));
        let set = [("HTTPS_PROXY", "http://upper:1"), ("https_proxy", " ")];
        assert_eq!(way(&set, "https://h"), through("http://upper:1", Reason::Variable("HTTPS_PROXY")));
        let set = [("https_proxy", "http://p:1"), ("NO_PROXY", "upper.example"), ("no_proxy", "lower.example")];
        assert_eq!(way(&set, "https://upper.example"), through("http://p:1", Reason::Variable("https_proxy")));
        let because = Reason::NoProxyVariable("no_proxy", "lower.example".into());
        assert_eq!(way(&set, "https://lower.example"), Ok((None, because)));
    }

    #[test]
    fn a_bad_variable_is_nobodys_way_and_only_its_own_targets_suffer() {
        let set = [
            ("https_proxy", "gopher://h"),
            ("HTTPS_PROXY", "http://good"),
            ("http_proxy", "http://p:1"),
            ("NO_PROXY", "in.example"),
        ];
        assert_eq!(way(&set, "https://h"), Err(BadVariable { name: "https_proxy", why: BadProxy::Scheme }));
        assert_eq!(way(&set, "http://h"), through("http://p:1", Reason::Variable("http_proxy")));
        assert!(way(&set, "https://in.example").is_ok_and(|(proxy, _)| proxy.is_none()));
    }

    #[test]
    fn no_proxy_is_for_what_routes_do_not_name_themselves() {
        let no_proxy = Arc::new(NoProxy::parse("in.example", |_| {}));
        let global = WayOut::global(proxy("http://g:1"), Arc::clone(&no_proxy));
        assert_eq!(shown(&global, "https://h"), through("http://g:1", Reason::Global));
        assert_eq!(shown(&global, "https://in.example"), Ok((None, Reason::NoProxy("in.example".into()))));
        let around = WayOut::environment(environment(&[("ALL_PROXY", "http://e:1")]), no_proxy);
        assert_eq!(shown(&around, "https://in.example"), Ok((None, Reason::NoProxy("in.example".into()))));
        assert_eq!(
            shown(&WayOut::own(proxy("http://o:1")), "https://in.example"),
            through("http://o:1", Reason::Route)
        );
    }

    #[test]
    fn none_is_a_way_too() {
        assert_eq!(shown(&WayOut::own(None), "https://h"), Ok((None, Reason::Route)));
        assert_eq!(shown(&WayOut::global(None, Arc::default()), "https://h"), Ok((None, Reason::Global)));
    }

    #[test]
    fn proxies_are_listed_once() {
        let listed = |set: &[(&str, &str)]| -> Vec<_> {
            let way_out = WayOut::environment(environment(set), Arc::default());
            way_out.proxies().into_iter().map(|(proxy, _)| proxy.map(|proxy| proxy.to_string())).collect()
        };
        assert_eq!(listed(&[("ALL_PROXY", "http://a:1")]), [Ok("http://a:1".to_owned())]);
        let both = listed(&[("HTTP_PROXY", "http://a:1"), ("HTTPS_PROXY", "x://b")]);
        assert_eq!(both, [Err(BadProxy::Scheme), Ok("http://a:1".to_owned())]);
        assert!(listed(&[]).is_empty());
    }
}
