//! The operator's wishes about request headers, as compiled from the configuration.

use crate::secret::Secret;

/// What is done to the headers of requests on one route.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    drop: Vec<Box<str>>,
    configured: Vec<Configured>,
    host: Option<Secret>,
    /// How long the names are of which either says something, a bit for each length.
    lengths: u64,
}

/// A header that the operator wants to be there.
#[derive(Debug, Clone)]
pub struct Configured {
    name: Box<str>,
    line: Line,
    /// Whether it wins over a header of the same name that the client sent.
    force: bool,
}

/// A whole line with its CRLF.
#[derive(Debug, Clone)]
enum Line {
    One(Secret),
    /// One for each entry of the list that is configured, of which one is picked.
    Several(Box<[Secret]>),
}

impl Policy {
    /// How many headers can be configured on one route.
    pub const MAX_CONFIGURED: usize = 128;

    /// A policy that drops these names (any case) and sets these headers, in this order.
    ///
    /// # Panics
    /// If there are more than [`Policy::MAX_CONFIGURED`].
    #[must_use]
    pub fn new(drop: &[String], configured: Vec<Configured>, host: Option<Secret>) -> Self {
        assert!(configured.len() <= Self::MAX_CONFIGURED, "the configuration is checked before it is compiled");
        let names = drop.iter().map(String::as_str).chain(configured.iter().map(Configured::name));
        let lengths = names.fold(0, |lengths, name| lengths | length_bit(name.as_bytes()));
        Self { drop: drop.iter().map(|name| name.as_str().into()).collect(), configured, host, lengths }
    }

    /// Whether something may be said of this name. Most names are told apart from those of a few by their length alone.
    #[inline]
    pub(super) fn may_name(&self, name: &[u8]) -> bool {
        self.lengths & length_bit(name) != 0
    }

    /// Whether the client's header of this name is removed.
    pub(super) fn drops(&self, name: &[u8]) -> bool {
        self.drop.iter().any(|dropped| name.eq_ignore_ascii_case(dropped.as_bytes()))
    }

    /// Whether a request can ask for an upgrade: not without the two headers in which it does (RFC 9110 section 7.8).
    #[must_use]
    pub fn passes_upgrades(&self) -> bool {
        !self.drops(b"connection") && !self.drops(b"upgrade")
    }

    /// The configured headers, in order.
    #[must_use]
    pub fn configured(&self) -> &[Configured] {
        &self.configured
    }

    /// What stands in `Host` instead of the target's own name.
    pub(super) fn host(&self) -> Option<&[u8]> {
        self.host.as_ref().map(Secret::expose)
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<usize> {
        self.configured.iter().position(|configured| name.eq_ignore_ascii_case(configured.name.as_bytes()))
    }
}

impl Configured {
    /// A header to set. Name and value have been checked: see [`crate::h1::token`].
    #[must_use]
    pub fn new(name: &str, value: &[u8], force: bool) -> Self {
        let line = [name.as_bytes(), b": ", value, b"\r\n"].concat();
        Self { name: name.into(), line: Line::One(Secret::new(line)), force }
    }

    /// A header to set to one of these values, whichever is picked.
    #[must_use]
    pub fn one_of(name: &str, values: &[Secret], force: bool) -> Self {
        let line = |value: &Secret| Secret::new([name.as_bytes(), b": ", value.expose(), b"\r\n"].concat());
        Self { name: name.into(), line: Line::Several(values.iter().map(line).collect()), force }
    }

    /// The lines of which one is picked, if there are several.
    #[must_use]
    pub fn list(&self) -> Option<&[Secret]> {
        match &self.line {
            Line::One(_) => None,
            Line::Several(lines) => Some(lines),
        }
    }

    /// Its name, as written in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it wins over the client's.
    #[must_use]
    pub fn is_forced(&self) -> bool {
        self.force
    }

    /// The line, if there is one or one is picked.
    pub(super) fn line(&self, picked: Option<usize>) -> Option<&[u8]> {
        match &self.line {
            Line::One(line) => Some(line.expose()),
            Line::Several(lines) => lines.get(picked?).map(Secret::expose),
        }
    }
}

fn length_bit(name: &[u8]) -> u64 {
    1 << name.len().min(63)
}
