//! The keys of clients: where in a request they may stand, whose they are, and what of the request must not go on.
//!
//! A key that is presented is looked up by its digest, so that however many keys there are, one costs the same, and how
//! long it takes says nothing about any of them. What is found is taken out of the request wherever it stood, that of
//! somebody whose key is good for nothing too: it is ours, and no upstream's business. What is not found may be a key
//! for the upstream, and is not touched.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;
use percent_encoding::percent_decode;

use super::client::{Client, Standing};
use crate::error::{Error, Kind, Unproven};
use crate::h1::{Edit, Field, RequestHead, list};
use crate::secret::Digest;

/// Keys that are shorter can be found by trying, and are refused.
pub const MIN_KEY: usize = 16;
/// Where a page in a browser puts a key, which can say nothing else in a WebSocket handshake.
const PROTOCOL: &[u8] = b"openai-insecure-api-key.";

/// Every key that is known. Once there are any, whoever has none is a stranger.
#[derive(Debug, Default)]
pub struct Keys {
    clients: Vec<Arc<Client>>,
    owners: HashMap<Digest, Arc<Client>>,
}

/// Who asks, as far as he proves it, and where the proof stands.
#[derive(Default)]
pub struct Credentials {
    /// Whose key was found: of several, one that is good, and of these the one in the field of our own.
    owner: Option<(Arc<Client>, Standing)>,
    /// Whether there was anything that might have been a key.
    were_any: bool,
    /// The lines that do not pass as they came.
    edits: Vec<Edit>,
    /// The query without the keys that were found in it, if there were any.
    query: Option<Vec<u8>>,
    /// A subprotocol with a key in it, if the client offered no other.
    only_protocol: Option<Box<[u8]>>,
}

impl Keys {
    /// Adds somebody with his key.
    ///
    /// # Errors
    /// Whose key it is already.
    pub fn add(&mut self, key: Digest, client: Client) -> Result<(), Arc<str>> {
        if let Some(owner) = self.owners.get(&key) {
            return Err(Arc::clone(&owner.name));
        }
        let client = Arc::new(client);
        self.owners.insert(key, Arc::clone(&client));
        self.clients.push(client);
        Ok(())
    }

    /// Everybody who has a key, in the order in which they were added.
    #[must_use]
    pub fn clients(&self) -> &[Arc<Client>] {
        &self.clients
    }

    /// Looks for keys in a request, whose query is given apart.
    #[must_use]
    pub fn find(&self, head: &RequestHead, query: Option<&[u8]>, now: Timestamp) -> Credentials {
        let found = Credentials::default();
        let mut search = Search { keys: self, now, is_own: false, has_other_protocol: false, found };
        for (line, field) in head.fields.iter().enumerate() {
            search.field(line, &field);
        }
        if search.has_other_protocol {
            search.found.only_protocol = None;
        }
        if let Some(query) = query {
            search.query(query);
        }
        search.found
    }

    /// What it would be if somebody of this name asked.
    #[must_use]
    pub fn named(&self, name: &str, now: Timestamp) -> Option<Credentials> {
        let client = self.clients.iter().find(|client| &*client.name == name)?;
        let owner = Some((Arc::clone(client), client.standing(now)));
        Some(Credentials { owner, were_any: true, ..Credentials::default() })
    }
}

/// A look at one request.
struct Search<'a> {
    keys: &'a Keys,
    now: Timestamp,
    /// Whether the owner that was found stands in our own field.
    is_own: bool,
    /// Whether a subprotocol is offered in which no key stands.
    has_other_protocol: bool,
    found: Credentials,
}

impl Search<'_> {
    fn field(&mut self, line: usize, field: &Field<'_>) {
        let value = field.value();
        let is_found = match field.name().len() {
            7 if field.is(b"api-key") => self.is_known(value, false),
            9 if field.is(b"x-api-key") => self.is_known(value, false),
            13 if field.is(b"authorization") => bearer(value).is_some_and(|token| self.is_known(token, false)),
            14 if field.is(b"x-goog-api-key") => self.is_known(value, false),
            // It never passes, whatever stands in it: `headers` sees to that.
            14 if field.is(b"x-aqueduct-key") => {
                self.is_known(value, true);
                false
            }
            22 if field.is(b"sec-websocket-protocol") => return self.protocols(line, value),
            _ => false,
        };
        if is_found {
            self.found.edits.push(Edit { line, value: None });
        }
    }

    /// The subprotocols that a client offers, of which the upstream chooses one.
    fn protocols(&mut self, line: usize, value: &[u8]) {
        let is_key = |protocol: &&[u8]| protocol.strip_prefix(PROTOCOL).is_some_and(|key| self.is_known(key, false));
        let (keys, others): (Vec<_>, Vec<_>) = list(value).partition(is_key);
        self.has_other_protocol |= !others.is_empty();
        if let Some(&first) = keys.first() {
            self.found.only_protocol.get_or_insert_with(|| first.into());
            let value = (!others.is_empty()).then(|| others.join(&b", "[..]).into());
            self.found.edits.push(Edit { line, value });
        }
    }

    /// Takes the keys out of a query, and nothing else.
    fn query(&mut self, query: &[u8]) {
        let pairs = || query.split(|&byte| byte == b'&');
        if pairs().any(|pair| self.is_key(pair)) {
            let rest: Vec<_> = pairs().filter(|pair| !self.is_key(pair)).collect();
            self.found.query = Some(rest.join(&b'&'));
        }
    }

    /// Whether a parameter is `key`, and holds one that is known. Both are read as the upstream would read them.
    fn is_key(&mut self, pair: &[u8]) -> bool {
        let Some(at) = memchr::memchr(b'=', pair) else { return false };
        let value: Cow<'_, [u8]> = percent_decode(&pair[at + 1..]).into();
        percent_decode(&pair[..at]).eq(b"key".iter().copied()) && self.is_known(&value, false)
    }

    /// Whether this is the key of somebody, who is then the one who asks unless another has a better claim.
    fn is_known(&mut self, key: &[u8], is_own: bool) -> bool {
        self.found.were_any = true;
        // What nobody may have as a key is not worth a digest.
        let Some(client) = (key.len() >= MIN_KEY).then(|| self.keys.owners.get(&Digest::of(key))).flatten() else {
            return false;
        };
        let claim = (client.standing(self.now), is_own);
        if self.found.owner.as_ref().is_none_or(|(_, standing)| claim > (*standing, self.is_own)) {
            self.found.owner = Some((Arc::clone(client), claim.0));
            self.is_own = is_own;
        }
        true
    }
}

impl Credentials {
    /// Who asks, whatever his key is worth: what the log calls him.
    #[must_use]
    pub fn owner(&self) -> Option<&Arc<Client>> {
        self.owner.as_ref().map(|(client, _)| client)
    }

    /// Who asks, if his key is good.
    #[must_use]
    pub fn client(&self) -> Option<&Arc<Client>> {
        self.owner.as_ref().filter(|(_, standing)| *standing == Standing::Good).map(|(client, _)| client)
    }

    /// Whoever may go on is one with a good key.
    ///
    /// # Errors
    /// He has none.
    pub fn check(&self) -> Result<&Arc<Client>, Error> {
        let unproven = match &self.owner {
            Some((client, Standing::Good)) => return Ok(client),
            Some((_, Standing::Expired)) => Unproven::Expired,
            Some((_, Standing::Disabled)) => Unproven::Disabled,
            None if self.were_any => Unproven::Unknown,
            None => Unproven::Missing,
        };
        Err(Error::new(Kind::Unauthorized(unproven)).field("WWW-Authenticate", "Bearer"))
    }

    /// Whoever may go on is one with a good key that is good for this route.
    ///
    /// # Errors
    /// He has none.
    pub fn check_for(&self, route: &str) -> Result<(), Error> {
        if self.check()?.may_use(route) { Ok(()) } else { Err(Error::new(Kind::Forbidden)) }
    }

    /// The lines of the head that do not pass as they came.
    #[must_use]
    pub fn edits(&self) -> &[Edit] {
        &self.edits
    }

    /// What goes on of the query that was looked at.
    #[must_use]
    pub fn query<'a>(&'a self, whole: Option<&'a [u8]>) -> Option<&'a [u8]> {
        match &self.query {
            Some(rest) => Some(&rest[..]).filter(|rest| !rest.is_empty()),
            None => whole,
        }
    }

    /// The subprotocol with a key in it, if the client offered no other: then the upstream is offered none and chooses
    /// none, and a browser would take that for a failure.
    #[must_use]
    pub fn only_protocol(&self) -> Option<&[u8]> {
        self.only_protocol.as_deref()
    }
}

/// The token of `Bearer`, which may be written in any case (RFC 9110 section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests;
