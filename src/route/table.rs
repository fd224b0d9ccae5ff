//! The routes by their keys.

use std::borrow::Cow;

use percent_encoding::percent_decode;

use super::BasePath;

/// Base path and keys; what a route holds is known to whoever made the table, by number.
#[derive(Debug, Clone, Default)]
pub struct Table {
    base_path: BasePath,
    /// In order, so that they can be searched: few enough for that to be cheaper than to hash one.
    keys: Vec<(Box<[u8]>, usize)>,
}

/// What a path asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice<'a> {
    /// Whether the base path was there and was taken off.
    pub stripped: bool,
    /// What is left of the path, without the slashes at its start.
    pub effective: &'a [u8],
    /// The query, without its `?`.
    pub query: Option<&'a [u8]>,
    /// What the path leads to.
    pub chosen: Chosen<'a>,
}

/// What the first segment names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen<'a> {
    /// The proxy itself: there is no segment.
    Root,
    /// A route, and what follows its key: nothing, or a path that begins with a slash.
    Route {
        /// The number under which the key was added.
        number: usize,
        /// What follows the key.
        rest: &'a [u8],
    },
    /// No route has this key.
    Unknown {
        /// The segment as it came.
        segment: &'a [u8],
    },
}

impl Table {
    /// An empty table under this path.
    #[must_use]
    pub fn new(base_path: BasePath) -> Self {
        Self { base_path, keys: Vec::new() }
    }

    /// Adds a route.
    pub fn add(&mut self, key: &str, number: usize) {
        match self.place(key.as_bytes()) {
            Ok(place) => self.keys[place].1 = number,
            Err(place) => self.keys.insert(place, (key.as_bytes().into(), number)),
        }
    }

    /// The prefix under which the routes are served.
    #[must_use]
    pub fn base_path(&self) -> &BasePath {
        &self.base_path
    }

    /// Reads a path with its query. A path without the base path is served all the same: a server in front may
    /// have taken it off.
    #[must_use]
    pub fn choose<'a>(&self, target: &'a [u8]) -> Choice<'a> {
        let (path, query) = match memchr::memchr(b'?', target) {
            Some(at) => (&target[..at], Some(&target[at + 1..])),
            None => (target, None),
        };
        let stripped = self.base_path.strip(path);
        let effective = trim_slashes(stripped.unwrap_or(path));
        let end = memchr::memchr(b'/', effective).unwrap_or(effective.len());
        let (segment, rest) = effective.split_at(end);
        let chosen = match self.find(segment) {
            _ if segment.is_empty() => Chosen::Root,
            Some(number) => Chosen::Route { number, rest },
            None => Chosen::Unknown { segment },
        };
        Choice { stripped: stripped.is_some(), effective, query, chosen }
    }

    fn find(&self, segment: &[u8]) -> Option<usize> {
        let key: Cow<'_, [u8]> = percent_decode(segment).into();
        self.place(&key).ok().map(|place| self.keys[place].1)
    }

    /// Where a key is, or where it would be.
    fn place(&self, key: &[u8]) -> Result<usize, usize> {
        self.keys.binary_search_by(|(known, _)| known.len().cmp(&key.len()).then_with(|| (**known).cmp(key)))
    }
}

fn trim_slashes(path: &[u8]) -> &[u8] {
    &path[path.iter().take_while(|&&byte| byte == b'/').count()..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(base_path: &str) -> Table {
        let mut table = Table::new(BasePath::new(base_path));
        for (number, key) in ["openai", "智谱", "byok"].into_iter().enumerate() {
            table.add(key, number);
        }
        table
    }

    fn route(base_path: &str, target: &'static str) -> Option<(usize, &'static str)> {
        match table(base_path).choose(target.as_bytes()).chosen {
            Chosen::Route { number, rest } => Some((number, std::str::from_utf8(rest).expect("text"))),
            Chosen::Root | Chosen::Unknown { .. } => None,
        }
    }

    #[test]
    fn the_first_segment_names_the_route() {
        assert_eq!(route("", "/openai/v1?x=/y"), Some((0, "/v1")));
        assert_eq!(route("", "/openai"), Some((0, "")));
        assert_eq!(route("", "/openai?x"), Some((0, "")));
        assert_eq!(route("", "/openai//v1/"), Some((0, "//v1/")));
        assert_eq!(route("", "//openai/v1"), Some((0, "/v1")));
        assert_eq!(route("", "/%6Fpenai/v1"), Some((0, "/v1")));
        assert_eq!(route("", "/%E6%99%BA%e8%b0%b1/v1"), Some((1, "/v1")));
        assert_eq!(route("", "/智谱/v1"), Some((1, "/v1")));
        for other in ["/OpenAI/v1", "/openai2/v1", "/opena", "/openai%2Fv1", "/openai%/v1", "/"] {
            assert_eq!(route("", other), None, "{other}");
        }
    }

    #[test]
    fn the_prefix_comes_off_once() {
        assert_eq!(route("/byok", "/byok/openai/v1"), Some((0, "/v1")));
        assert_eq!(route("/byok", "/byok//openai"), Some((0, "")));
        assert_eq!(route("/byok", "/openai/v1"), Some((0, "/v1")));
        assert_eq!(route("/byok", "/byok/byok/openai"), Some((2, "/openai")));
        assert_eq!(route("/byok", "/byokopenai/v1"), None);
    }

    #[test]
    fn nothing_left_is_the_proxy_itself() {
        for target in ["/byok", "/byok/", "/byok//", "/", "/byok?x"] {
            let table = table("/byok");
            let choice = table.choose(target.as_bytes());
            assert_eq!((choice.chosen, choice.stripped), (Chosen::Root, target != "/"), "{target}");
        }
    }

    #[test]
    fn the_query_is_what_follows_the_first_mark() {
        let query = |target: &'static str| table("").choose(target.as_bytes()).query;
        assert_eq!(query("/a"), None);
        assert_eq!(query("/a?"), Some(&b""[..]));
        assert_eq!(query("/a?a=?b&&a="), Some(&b"a=?b&&a="[..]));
    }
}
