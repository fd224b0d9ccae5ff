//! Who may use the proxy, and for which routes.

use std::sync::Arc;

use jiff::Timestamp;

use super::account::Rule;

/// Somebody with a key.
#[derive(Debug, Clone)]
pub struct Client {
    /// What the operator calls him.
    pub name: Arc<str>,
    /// The routes that he may use. `None`: all of them.
    pub routes: Option<Vec<Pattern>>,
    /// From when on his key is good for nothing.
    pub expires: Option<Timestamp>,
    /// Whether his key is good for anything.
    pub enabled: bool,
    /// How much he may use, where that is limited.
    pub limits: Option<Arc<Rule>>,
}

/// What a key is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It is switched off.
    Disabled,
    /// Its time is over.
    Expired,
    /// It is good.
    Good,
}

/// The key of a route, in which a `*` stands for whatever there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Box<str>);

impl Client {
    /// What his key is worth at this moment.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> Standing {
        match self.expires {
            _ if !self.enabled => Standing::Disabled,
            Some(expires) if expires <= now => Standing::Expired,
            _ => Standing::Good,
        }
    }

    /// Whether he may use the route of this key.
    #[must_use]
    pub fn may_use(&self, route: &str) -> bool {
        self.routes.as_ref().is_none_or(|routes| routes.iter().any(|pattern| pattern.fits(route)))
    }
}

impl Pattern {
    /// The pattern as the operator writes it.
    #[must_use]
    pub fn new(written: &str) -> Self {
        Self(written.into())
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is such a key.
    #[must_use]
    pub fn fits(&self, key: &str) -> bool {
        let mut parts = self.0.split('*');
        let Some(mut rest) = key.strip_prefix(parts.next().unwrap_or_default()) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        for part in parts {
            // The first place is as good as any: it leaves most for what follows.
            let Some(at) = rest.find(part) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_whatever_there_is() {
        let fits = |pattern: &str, key: &str| Pattern::new(pattern).fits(key);
        for (pattern, key) in [
            ("openai", "openai"),
            ("*", ""),
            ("*", "anything"),
            ("claude*", "claude"),
            ("claude*", "claude-4"),
            ("*-eu", "openai-eu"),
            ("a*b*c", "abc"),
            ("a*b*c", "a-b-b-c"),
            ("**", "x"),
            ("a**b", "ab"),
            ("智*", "智谱"),
            ("", ""),
        ] {
            assert!(fits(pattern, key), "{pattern} {key}");
        }
        for (pattern, key) in [
            ("openai", "openai2"),
            ("openai", "OpenAI"),
            ("openai", ""),
            ("", "openai"),
            ("claude*", "my-claude"),
            ("*-eu", "openai-eu-2"),
            ("a*a", "a"),
            ("ab*bc", "abc"),
            ("a*b*c", "acb"),
            ("a?", "ab"),
        ] {
            assert!(!fits(pattern, key), "{pattern} {key}");
        }
    }

    #[test]
    fn a_key_is_good_until_the_very_moment() {
        let at = |second| Timestamp::from_second(second).expect("a time");
        let client = Client { name: "a".into(), routes: None, expires: Some(at(100)), enabled: true, limits: None };
        assert_eq!((client.standing(at(99)), client.standing(at(100))), (Standing::Good, Standing::Expired));
        let disabled = Client { enabled: false, ..client.clone() };
        assert_eq!((disabled.standing(at(99)), disabled.standing(at(100))), (Standing::Disabled, Standing::Disabled));
        assert_eq!(Client { expires: None, ..client }.standing(Timestamp::MAX), Standing::Good);
    }

    #[test]
    fn no_list_is_every_route_and_an_empty_one_none() {
        let client = |routes: Option<&[&str]>| Client {
            name: "a".into(),
            routes: routes.map(|routes| routes.iter().map(|route| Pattern::new(route)).collect()),
            expires: None,
            enabled: true,
            limits: None,
        };
        assert!(client(None).may_use("x") && !client(Some(&[])).may_use("x"));
        assert!(client(Some(&["y", "x*"])).may_use("x1") && !client(Some(&["y", "x*"])).may_use("z"));
    }
}
