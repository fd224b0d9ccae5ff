//! The request head that goes to an upstream.

use super::hop::Named;
use super::policy::Policy;
use crate::h1::{Edit, Field, Framing, Known, RequestHead, Upgrade, encode, is_name, list};
use crate::secret::{self, Secret};

/// Who we are to an upstream proxy. The client's own never passes.
const PROXY_AUTHORIZATION: &str = "Proxy-Authorization";

/// What became of one header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// The client's, passed on; nothing is configured for it.
    Passed,
    /// The client's, passed on although one is configured: the client comes first on this route.
    Kept,
    /// The operator's, since the client sent none.
    Added,
    /// The operator's in the place of the client's.
    Overwritten,
    /// Not passed on.
    Dropped(Rule),
}

/// Why a header is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// It belongs to one connection (RFC 9110 section 7.6.1).
    HopByHop,
    /// The client's `Connection` names it.
    NamedByConnection,
    /// `headers_to_drop` names it.
    Configured,
    /// The operator's, or that of the URL, stands in its place already.
    Repeated,
    /// `Expect: 100-continue` is answered here.
    Expect,
    /// The request goes to another origin than the client knows of, and its keys stay behind.
    Credential,
    /// It announces trailers, and trailers of requests are not passed on.
    Trailer,
    /// A key of the proxy's own client stands in it.
    ClientKey,
    /// The connection stays what it is: nothing that may pass is asked for, or the route takes no upgrades.
    NoUpgrade,
}

/// Where a request goes.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// The request target: path and query.
    pub target: &'a [u8],
    /// What stands in `Host`.
    pub host: &'a [u8],
    /// `Authorization` from `user:password@` in a URL that the client wrote itself.
    pub authorization: Option<&'a Secret>,
    /// Whether it goes to another origin than the client knows of: what the client proves itself with stays behind.
    pub is_foreign: bool,
    /// Whether trailers of the request pass, and with them what announces them.
    pub trailers: bool,
    /// The protocols that the upstream may switch to.
    pub upgrade: Option<&'a Upgrade>,
    /// Lines that do not pass as they came, since keys of clients stand in them, in order.
    pub edits: &'a [Edit],
    /// Which entry of the configured lists is sent, if any is: see [`Policy::takes_from_lists`].
    pub picked: Option<usize>,
    /// What is said besides to an HTTP proxy that is sent the whole request.
    pub proxy: Option<ToProxy<'a>>,
}

/// What an HTTP proxy that is sent a whole request is told besides the whole URL (RFC 9112 section 3.2.2).
#[derive(Debug, Clone, Copy)]
pub struct ToProxy<'a> {
    /// Who we are: the value of `Proxy-Authorization`.
    pub authorization: Option<&'a Secret>,
}

impl Policy {
    /// Whether what is picked from the lists is sent with this request. Lists belong together, as a key and the name of
    /// its organization: where what the client sends itself is kept in the place of one of them, none is used.
    #[must_use]
    pub fn takes_from_lists(&self, head: &RequestHead, to: &Outgoing<'_>) -> bool {
        let named = Named::of(&head.fields, head.names_fields);
        let is_taken_out = |number| to.edits.iter().any(|edit| edit.line == number && edit.value.is_none());
        let stays_behind = |name: &[u8]| to.is_foreign && secret::is_credential(name);
        let is_kept = |field: &Field<'_>| {
            let name = field.name();
            let is_hop_by_hop = field.known().is_some_and(Known::is_hop_by_hop);
            !is_hop_by_hop && !named.has(name) && !self.drops(name) && !stays_behind(name)
        };
        self.configured().iter().filter(|configured| configured.list().is_some()).all(|list| {
            let name = list.name().as_bytes();
            let is_theirs = |(number, field): (usize, Field<'_>)| {
                field.name().eq_ignore_ascii_case(name) && is_kept(&field) && !is_taken_out(number)
            };
            !to.replaces(name) && (list.is_forced() || !head.fields.iter().enumerate().any(is_theirs))
        })
    }

    /// Writes the head of the request as it goes to the upstream, and tells `note` of every decision.
    ///
    /// Configured headers are set after those of the connection are removed, so that a client cannot strip a key by
    /// naming it in `Connection`.
    pub fn write_request(
        &self,
        head: &RequestHead,
        to: &Outgoing<'_>,
        out: &mut Vec<u8>,
        mut note: impl FnMut(&[u8], Action),
    ) {
        out.extend_from_slice(head.method());
        out.push(b' ');
        if to.proxy.is_some() {
            // Only such requests go to a proxy as a whole; for others it opens a tunnel.
            out.extend_from_slice(b"http://");
            out.extend_from_slice(to.host);
        }
        out.extend_from_slice(to.target);
        out.extend_from_slice(b" HTTP/1.1\r\n");
        let named = Named::of(&head.fields, head.names_fields);
        let mut writer = Writer { policy: self, to, head, out, named, met: 0, written: Written::default(), run: 0 };
        let is_plain = writer.is_plain();
        for (number, field) in head.fields.iter().enumerate() {
            // Most lines of most requests: nothing here has a word for them.
            let is_nobodys = is_plain && field.known().is_none() && !self.may_name(field.name());
            let action = if is_nobodys { Some(Action::Passed) } else { writer.field(number, &field) };
            if let Some(action) = action {
                note(field.name(), action);
            }
        }
        writer.end_run(head.fields.len());
        let Writer { out, met, written, .. } = writer;
        if !written.host {
            encode::field("Host", self.host().unwrap_or(to.host), out);
        }
        if let Some(authorization) = to.authorization {
            encode::field("Authorization", authorization.expose(), out);
            note(b"Authorization", Action::Added);
        }
        if to.proxy.is_some() {
            // Its connection serves once: see `upstream::Upstreams::keep`.
            out.extend_from_slice(b"Connection: close\r\n");
        }
        if let Some(authorization) = to.proxy.and_then(|proxy| proxy.authorization)
            && self.find(PROXY_AUTHORIZATION.as_bytes()).is_none()
        {
            encode::field(PROXY_AUTHORIZATION, authorization.expose(), out);
            note(PROXY_AUTHORIZATION.as_bytes(), Action::Added);
        }
        for (place, configured) in self.configured().iter().enumerate() {
            if met & (1 << place) == 0
                && !to.replaces(configured.name().as_bytes())
                && let Some(line) = configured.line(to.picked)
            {
                out.extend_from_slice(line);
                note(configured.name().as_bytes(), Action::Added);
            }
        }
        if head.framing == Framing::None && expects_content(head.method()) {
            out.extend_from_slice(b"Content-Length: 0\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl Outgoing<'_> {
    /// Whether the URL says what stands in this header.
    fn replaces(&self, name: &[u8]) -> bool {
        self.authorization.is_some() && is_name(name, b"authorization")
    }
}

/// What is known while the lines go by.
struct Writer<'a> {
    policy: &'a Policy,
    to: &'a Outgoing<'a>,
    head: &'a RequestHead,
    out: &'a mut Vec<u8>,
    named: Named<'a>,
    /// Which of the configured headers the client sent too, by place.
    met: u128,
    written: Written,
    /// The first line that passes and is not yet written: lines that pass one after another are written at once.
    run: usize,
}

/// Which of the lines that stand once, whatever the client sent, are there.
#[derive(Default)]
struct Written {
    host: bool,
    connection: bool,
    upgrade: bool,
}

impl Writer<'_> {
    /// Whether nothing but the protocol and the policy has a reason to keep a line back.
    fn is_plain(&self) -> bool {
        let to = self.to;
        self.named.is_empty() && to.edits.is_empty() && !to.is_foreign && to.authorization.is_none()
    }

    /// Writes what becomes of one of the client's lines. `None`: not a matter of policy.
    fn field(&mut self, number: usize, field: &Field<'_>) -> Option<Action> {
        let name = field.name();
        match field.known() {
            Some(Known::Host) => {
                self.end_run(number);
                if !std::mem::replace(&mut self.written.host, true) {
                    encode::field("Host", self.policy.host().unwrap_or(self.to.host), self.out);
                }
                None
            }
            Some(Known::Expect) if field.value().eq_ignore_ascii_case(b"100-continue") => {
                self.end_run(number);
                Some(Action::Dropped(Rule::Expect))
            }
            Some(Known::Te) if self.to.trailers && field.value().eq_ignore_ascii_case(b"trailers") => {
                Some(Action::Passed)
            }
            Some(Known::Trailer) if !self.to.trailers => {
                self.end_run(number);
                Some(Action::Dropped(Rule::Trailer))
            }
            Some(Known::Upgrade) => {
                self.end_run(number);
                let Some(upgrade) = self.to.upgrade else {
                    let is_configured = self.policy.drops(name);
                    return Some(Action::Dropped(if is_configured { Rule::Configured } else { Rule::NoUpgrade }));
                };
                if !std::mem::replace(&mut self.written.upgrade, true) {
                    self.line(name, upgrade.as_bytes());
                }
                Some(Action::Passed)
            }
            Some(Known::Connection) if self.to.upgrade.is_some() => {
                self.end_run(number);
                if !std::mem::replace(&mut self.written.connection, true) {
                    self.line(name, b"Upgrade");
                }
                Some(Action::Passed)
            }
            Some(Known::ContentLength) => {
                // Leading zeros are one more thing that parsers read in different ways.
                if let (Framing::Length(length), [b'0', _, ..]) = (self.head.framing, field.value()) {
                    self.end_run(number);
                    encode::name(name, self.out);
                    encode::decimal(length, self.out);
                    self.out.extend_from_slice(b"\r\n");
                }
                None
            }
            Some(Known::TransferEncoding) => {
                self.end_run(number);
                self.line(name, b"chunked");
                None
            }
            // Whether there are any keys or not: it is for us, and whoever sends it may not know that.
            Some(Known::AqueductKey) => {
                self.end_run(number);
                Some(Action::Dropped(Rule::ClientKey))
            }
            Some(Known::SecWebSocketProtocol) if self.to.is_foreign => {
                self.end_run(number);
                let value = match self.to.edits.iter().find(|edit| edit.line == number) {
                    Some(edit) => edit.value.as_deref().unwrap_or_default(),
                    None => field.value(),
                };
                let harmless = list(value).filter(|protocol| !holds_key(protocol)).collect::<Vec<_>>();
                if harmless.is_empty() {
                    return Some(Action::Dropped(Rule::Credential));
                }
                self.line(name, &harmless.join(&b", "[..]));
                Some(Action::Passed)
            }
            _ => {
                let edit = self.to.edits.iter().find(|edit| edit.line == number);
                // A line with a key in it counts as absent for the policy.
                let action = match edit {
                    Some(Edit { value: None, .. }) => Action::Dropped(Rule::ClientKey),
                    _ => self.judge(field),
                };
                match action {
                    Action::Passed | Action::Kept if edit.is_some() => {
                        self.end_run(number);
                        self.line(name, edit.and_then(|edit| edit.value.as_deref()).unwrap_or_default());
                    }
                    Action::Passed | Action::Kept | Action::Added => {}
                    Action::Dropped(_) => self.end_run(number),
                    Action::Overwritten => {
                        self.end_run(number);
                        let line = |place: usize| self.policy.configured()[place].line(self.to.picked);
                        if let Some(line) = self.policy.find(name).and_then(line) {
                            self.out.extend_from_slice(line);
                        }
                    }
                }
                Some(action)
            }
        }
    }

    /// Writes a line of ours under a name in the case in which it came.
    fn line(&mut self, name: &[u8], value: &[u8]) {
        encode::name(name, self.out);
        self.out.extend_from_slice(value);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Writes the lines that passed before this one, which does not pass as it is.
    fn end_run(&mut self, number: usize) {
        self.out.extend_from_slice(self.head.fields.lines(self.run..number));
        self.run = number + 1;
    }

    #[inline]
    fn judge(&mut self, field: &Field<'_>) -> Action {
        let name = field.name();
        if field.known().is_some_and(Known::is_hop_by_hop) {
            return Action::Dropped(Rule::HopByHop);
        }
        if self.named.has(name) {
            return Action::Dropped(Rule::NamedByConnection);
        }
        if self.policy.drops(name) {
            return Action::Dropped(Rule::Configured);
        }
        if self.to.is_foreign && secret::is_credential(name) {
            return Action::Dropped(Rule::Credential);
        }
        if self.to.replaces(name) {
            return Action::Dropped(Rule::Repeated);
        }
        let Some(place) = self.policy.find(name) else { return Action::Passed };
        let is_first = self.met & (1 << place) == 0;
        self.met |= 1 << place;
        let configured = &self.policy.configured()[place];
        match (configured.is_forced() && configured.line(self.to.picked).is_some(), is_first) {
            (false, _) => Action::Kept,
            (true, true) => Action::Overwritten,
            (true, false) => Action::Dropped(Rule::Repeated),
        }
    }
}

/// Whether a protocol of WebSocket is a key in disguise, as browsers have to say it: `openai-insecure-api-key.sk-…`.
fn holds_key(protocol: &[u8]) -> bool {
    protocol.split(|&byte| byte == b'.').next().is_some_and(secret::is_credential)
}

/// Whether a request of this method without a body says so (RFC 9110 section 8.6).
fn expects_content(method: &[u8]) -> bool {
    matches!(method, b"POST" | b"PUT" | b"PATCH")
}

#[cfg(test)]
mod tests;
