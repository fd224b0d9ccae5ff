//! What has to hold for any bytes. The fuzz targets look for bytes for which it does not; the ordinary tests hold it
//! against the corpus and against random bytes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use aqueduct::accept::{ProxyHeader, Trusted};
use aqueduct::admit::Tallies;
use aqueduct::config::{Context, Finding, Surroundings, compile, load};
use aqueduct::h1::{
    Body, Framing, Limits, RequestHead, RequestReader, ResponseReader, Step, Trailers, Upgrade, Violation, list, token,
};
use aqueduct::h2::Passing;
use aqueduct::h2::head::{has_good_protocol, request_from_h1, request_to_h1, response_from_h1, response_to_h1};
use aqueduct::headers::{Outgoing, Policy, Said, write_answer};
use aqueduct::jsonc;
use aqueduct::origin::{Host, Origin, Scheme};
use aqueduct::peer::Peer;
use aqueduct::pick::{States, reset};
use aqueduct::route::{Fixed, universal};
use aqueduct::sse::Reader;
use aqueduct::text::Lang;
use aqueduct::upstream::{Guard, Handshake, Heard, Hosts, NoProxy, Proxy};
use aqueduct::usage::{Prices, Question, Reader as UsageReader};
use http::uri::PathAndQuery;

/// A request head has one reading however it arrives, and what is forwarded of it has the same one.
pub fn request_head(data: &[u8]) {
    let whole = RequestReader::default().read(data, &Limits::REQUEST);
    let pieces = in_pieces(data, |bytes, reader: &mut RequestReader| reader.read(bytes, &Limits::REQUEST));
    assert_eq!(verdict(&whole), verdict(&pieces));
    let Ok(Some((head, length))) = whole else { return };
    assert!(length <= data.len() && head.fields.len() <= Limits::REQUEST.max_fields);
    let forwarded = forward(&head, None);
    let read = RequestReader::default().read(&forwarded, &Limits::REQUEST);
    let (again, length) = read.expect("what is forwarded is valid").expect("what is forwarded is whole");
    assert_eq!(length, forwarded.len(), "exactly one head is forwarded");
    assert_eq!(again.framing == Framing::None, head.framing == Framing::None && !is_content_expected(&head));
    if head.framing != Framing::None {
        assert_eq!(again.framing, head.framing);
    }
    assert_eq!(again.method(), head.method());
    assert!(again.keep_alive && !again.expects_continue);
    for hop in
        ["connection", "keep-alive", "te", "upgrade", "proxy-connection", "proxy-authorization", "expect", "trailer"]
    {
        let is_there = again.fields.iter().any(|field| field.name().eq_ignore_ascii_case(hop.as_bytes()));
        // Only one expectation is known; others are for the upstream.
        assert!(!is_there || hop == "expect", "{hop} was forwarded");
    }
    assert_eq!(again.fields.values(b"host").collect::<Vec<_>>(), [b"up"]);
    if let Some(upgrade) = &head.upgrade {
        let asking = forward(&head, Some(upgrade));
        let read = RequestReader::default().read(&asking, &Limits::REQUEST);
        let (asks, length) = read.expect("what asks for an upgrade is valid").expect("what asks is whole");
        assert_eq!((length, asks.upgrade.as_ref()), (asking.len(), Some(upgrade)), "the same is asked for");
        assert_eq!(asks.fields.values(b"connection").collect::<Vec<_>>(), [b"Upgrade"]);
        assert_eq!(asks.fields.values(b"upgrade").collect::<Vec<_>>(), [upgrade.as_bytes()]);
        assert_eq!(asks.fields.len(), again.fields.len() + 2, "nothing else changes");
        let carries = |protocol: &[u8]| {
            let lower = protocol.to_ascii_lowercase();
            [&b"h2c"[..], b"http", b"tls"].iter().any(|name| lower.starts_with(name))
        };
        assert!(!list(upgrade.as_bytes()).any(carries), "what carries requests is never asked for");
    }
}

/// The same for the head of an answer.
pub fn response_head(data: &[u8]) {
    let whole = ResponseReader::default().read(data, false, &Limits::RESPONSE);
    let pieces = in_pieces(data, |bytes, reader: &mut ResponseReader| reader.read(bytes, false, &Limits::RESPONSE));
    assert_eq!(verdict(&whole), verdict(&pieces));
    let Ok(Some((head, length))) = whole else { return };
    assert!(length <= data.len() && (100..=999).contains(&head.status));
    let mut sent = Vec::new();
    let said = Said { chunked: head.framing == Framing::Chunked, connection: None, protocol: None, cors: None };
    write_answer(&head, said, &mut sent);
    let read = ResponseReader::default().read(&sent, false, &Limits::RESPONSE);
    let (again, length) = read.expect("what is sent is valid").expect("what is sent is whole");
    assert_eq!((length, again.status, again.reason()), (sent.len(), head.status, head.reason()));
    if head.framing != Framing::None {
        assert_eq!(again.framing, head.framing);
    }
    let names_protocol = again.fields.values(b"upgrade").next().is_some();
    assert!(!names_protocol || head.status == 101, "only a switch says to what");
}

/// A chunked body has the same content however it arrives, and so has what is passed on of it.
pub fn chunks(data: &[u8]) {
    let (piece, data) = match data {
        [piece, data @ ..] => (usize::from(*piece % 32) + 1, data),
        [] => return,
    };
    let framed = || Body::new(Framing::Chunked, Trailers::Drop);
    let plain = || Body::without_chunks(Framing::Chunked);
    let whole = drain(framed(), data, data.len().max(1));
    assert_eq!(whole, drain(framed(), data, piece));
    assert_eq!(drain(plain(), data, data.len().max(1)), drain(plain(), data, piece));
    if let (Ok((passed, true)), Ok((content, true))) = (&whole, &drain(plain(), data, piece)) {
        assert_eq!(drain(plain(), passed, piece), Ok((content.clone(), true)), "what is passed on says the same");
        assert_eq!(drain(framed(), passed, piece), Ok((passed.clone(), true)), "nothing more is left out of it");
    }
}

/// A target leads to a target that can be sent, or nowhere; and below its prefix, or nowhere.
pub fn target(data: &[u8]) {
    let (path, query) = match data.iter().position(|&byte| byte == b'?') {
        Some(at) => (&data[..at], Some(&data[at + 1..])),
        None => (data, None),
    };
    let can_come = token::is_target(data);
    if let Ok(forward) = universal("key", path, query) {
        assert!(token::is_target(&forward.target) && forward.target.starts_with(b"/"));
        assert!(token::is_authority(&forward.host) && !forward.host.contains(&b'@'));
    }
    let (fixed, _) = Fixed::parse("http://h/base?v=1").expect("valid");
    let below = [b"/", path].concat();
    if let (true, Ok(forward)) = (can_come, fixed.forward(&below, query)) {
        assert!(token::is_target(&forward.target) && forward.target.starts_with(b"/base"));
        // However often a server decodes it and whatever it takes for a slash, it stays below.
        let text = String::from_utf8_lossy(&forward.target).replace('\\', "/");
        let path = text.split('?').next().unwrap_or_default();
        assert!(!path.split('/').any(|segment| matches!(segment.split(';').next(), Some("." | ".."))), "{path}");
    }
}

/// A header of the PROXY protocol is found in its own bytes, however they arrive, and refused as soon as it is none.
pub fn proxy_header(data: &[u8]) {
    let whole = ProxyHeader::read(data);
    let first = (0..data.len()).map(|end| ProxyHeader::read(&data[..end])).find(|read| *read != Ok(None));
    if let Some(first) = first {
        assert_eq!(first, whole, "what comes later changes nothing");
    }
    if let Ok(Some(header)) = whole {
        assert!(header.length <= data.len());
        assert_eq!(ProxyHeader::read(&data[..header.length]), whole);
        assert_eq!(ProxyHeader::read(&data[..header.length - 1]), Ok(None));
    }
}

/// A SOCKS handshake has one meaning however the server's words arrive, and never uses more than has arrived.
pub fn socks(data: &[u8]) {
    let [kind, data @ ..] = data else { return };
    let proxy = ["socks5h://h", "socks5h://user:password@h", "socks4a://h"][usize::from(*kind % 3)];
    let proxy = Proxy::parse(proxy).expect("valid");
    let host = Host::with_port("target.example").expect("valid").0;
    let talk = |piece: usize| {
        let mut handshake = Handshake::new(&proxy, &host, 443).expect("can be said");
        let (mut start, mut end, mut said) = (0, 0, Vec::new());
        loop {
            match handshake.hear(&data[start..end]) {
                Ok(Heard::Starved) if end < data.len() => end = (end + piece).min(data.len()),
                Ok(Heard::Starved) => return (said, Ok(None)),
                Ok(Heard::Say(used, bytes)) => {
                    assert!(used > 0 && used <= end - start);
                    start += used;
                    said.push(bytes);
                }
                Ok(Heard::Open(used)) => {
                    assert!(used > 0 && used <= end - start);
                    return (said, Ok(Some(start + used)));
                }
                Err(no_tunnel) => return (said, Err(no_tunnel)),
            }
        }
    };
    let whole = talk(data.len().max(1));
    assert!(whole.0.len() <= 2, "a login and a request at most");
    assert_eq!(whole, talk(1));
}

/// A text is a proxy or none; what is shown of one has no login in it and names the same place. So with exceptions:
/// each entry of a list is read or handed back.
pub fn proxy_url(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(proxy) = Proxy::parse(text) {
        let shown = proxy.to_string();
        let again = Proxy::parse(&shown.replace("***@", "")).expect("what is shown can be read");
        assert_eq!((again.scheme, &again.host, again.port), (proxy.scheme, &proxy.host, proxy.port));
        assert_eq!(shown.contains('@'), proxy.login.is_some());
        assert!(proxy.authorization().is_none() || proxy.login.is_some());
        let origin = Origin { scheme: Scheme::Http, host: proxy.host.clone(), port: proxy.port };
        let list = format!("{}, {}:{}", proxy.host, proxy.host, proxy.port);
        assert!(NoProxy::parse(&list, |entry| panic!("{entry}")).find(&origin).is_some(), "{list}");
    }
    let mut unread = 0;
    let no_proxy = NoProxy::parse(text, |_| unread += 1);
    let entries = text.split([',', ' ', '\t', '\r', '\n']).filter(|entry| !entry.is_empty()).count();
    assert_eq!(no_proxy.entries().count() + unread, entries);
}

/// A host, in whatever form, is judged; the entry that names it means it, in both lists.
pub fn guard(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok((host, _)) = Host::with_port(text) else { return };
    let judged = Guard::default().check(&host);
    assert_eq!(judged, Guard::default().check(&host));
    let Some(only) = Hosts::default().with(&host.to_string()) else { return };
    let allowed = Guard { allow: Some(only.clone()), ..Guard::default() };
    assert_eq!(allowed.check(&host), judged, "to be allowed changes nothing else");
    let denied = Guard { deny: only, ..allowed };
    assert!(denied.check(&host).is_err(), "deny wins");
    assert!(Guard { allow: Some(Hosts::default()), ..Guard::default() }.check(&host).is_err());
}

/// Frames that pass are seen as they are, however they arrive.
pub fn frames(data: &[u8]) {
    let mut whole = Passing::default();
    let cost = whole.pass(data);
    for length in [1, 2, 7, 9, 100] {
        let mut pieces = Passing::default();
        let sum = data.chunks(length).map(|piece| pieces.pass(piece)).sum::<u32>();
        assert_eq!((&pieces, sum), (&whole, cost));
    }
    // The same again, frame by frame.
    let (mut rest, mut owes_head, mut heads, mut has_settings, mut count) = (data, false, 0, false, 0);
    while let [high, middle, low, kind, flags, _, _, _, _, behind @ ..] = rest {
        count += u32::from(*kind != 0);
        owes_head |= matches!(kind, 1 | 5);
        let length = u32::from_be_bytes([0, *high, *middle, *low]) as usize;
        if length > behind.len() {
            break;
        }
        if matches!(kind, 1 | 5 | 9) && flags & 4 != 0 {
            (owes_head, heads) = (false, heads + 1);
        }
        has_settings |= *kind == 4 && flags & 1 == 0;
        rest = &behind[length..];
    }
    assert_eq!((whole.is_in_message_head(), whole.message_heads()), (owes_head, heads));
    assert_eq!(whole.has_settings(), has_settings);
    assert!((4 * count..=21 * count).contains(&cost));
}

/// A text keeps its length, and what a parser accepts of it can be mapped.
pub fn jsonc(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(json) = jsonc::to_json(text) else { return };
    assert_eq!(json.len(), text.len());
    if serde_json::from_str::<serde_json::Value>(&json).is_ok() {
        let map = jsonc::Map::of(&json);
        let span = map.span(&jsonc::Path::default()).expect("the whole");
        assert!(serde_json::from_str::<serde_json::Value>(&json[span]).is_ok());
    }
}

/// A configuration is accepted or refused, and what is found in it can be said in both languages and lies in the text.
pub fn config(data: &[u8]) {
    // Nothing is read but the text: what it refers to may be without an end.
    if [&b"/dev"[..], b"/proc", b"/sys"].iter().any(|name| data.windows(name.len()).any(|window| window == *name)) {
        return;
    }
    let variable = |name: &str| (name == "KEY").then(|| "sk-1".to_owned());
    let around = Surroundings { variable: &variable, directory: Path::new("/nowhere") };
    let context =
        Context { around, lang: Lang::En, previous: None, tallies: &Tallies::default(), states: &States::default() };
    let (is_accepted, findings) = match load(data, around).and_then(|loaded| compile(loaded, context)) {
        Ok((_, warnings)) => (true, warnings),
        Err(findings) => (false, findings),
    };
    assert!(is_accepted || !findings.is_empty(), "who is refused is told why");
    assert_ne!(is_accepted, aqueduct::config::has_errors(&findings));
    let lines = data.iter().filter(|&&byte| byte == b'\n').count() + 1;
    let is_in_text =
        |finding: &Finding| finding.position.is_none_or(|at| (1..=lines).contains(&at.line) && at.column > 0);
    assert!(findings.iter().all(is_in_text));
    for lang in [Lang::En, Lang::Zh] {
        assert!(findings.iter().all(|finding| !finding.line("config.json", lang).to_string().contains('\n')));
    }
}

/// Who asks is the one who connected, unless that one is trusted.
pub fn forwarded(data: &[u8]) {
    let values = || data.split(|&byte| byte == b'\n');
    let [near, far] = [1, 2].map(|last| Peer::Address(SocketAddr::from((Ipv4Addr::new(10, 0, 0, last), 80))));
    assert_eq!(Trusted::default().client(near, values()), near, "nobody is trusted");
    let trusted = Trusted::default().with("10.0.0.1").expect("an address");
    assert_eq!(trusted.client(far, values()), far, "this one is not");
    let client = trusted.client(near, values());
    // What stands further to the front is not looked at once somebody is not trusted.
    let longer = std::iter::once(&b"10.0.0.1, 192.0.2.1, 2001:db8::1"[..]).chain(data.split(|&byte| byte == b'\n'));
    let longer: Vec<_> = longer.collect();
    if !trusted.contains(client) {
        assert_eq!(trusted.client(near, longer.into_iter()), client);
    }
    let everybody = Trusted::default().with("0.0.0.0/0").and_then(|trusted| trusted.with("::/0")).expect("networks");
    let _: Peer = everybody.client(near, values());
}

/// Whatever an answer says of when to come back, it is a time or none, and the same for the whole head as for its value.
pub fn reset(data: &[u8]) {
    let now = "2026-01-01T12:00:00Z".parse().expect("a time");
    let Ok(text) = std::str::from_utf8(data) else { return };
    let told = reset::value(text.trim(), now);
    let Ok(digits) = text.trim().parse::<u32>() else { return };
    assert!(told.is_some_and(|told| told.as_secs() == u64::from(digits) || digits >= 1_000_000_000), "{text}");
}

/// A request of HTTP/2 is one request of HTTP/1.1, or none; and so is what is made of that one for HTTP/2 again. The
/// first line is the method, the path, the authority and, if there is one, the protocol; the others are fields.
pub fn stream_head(data: &[u8]) {
    let Some(request) = stream_request(data) else { return };
    let parts = request.into_parts().0;
    if !has_good_protocol(&parts.extensions) {
        return;
    }
    for has_body in [false, true] {
        let head = request_to_h1(&parts, has_body);
        let Ok(read) = RequestReader::default().read(&head, &Limits::REQUEST) else { continue };
        let (read, length) = read.expect("a head ends");
        assert_eq!(length, head.len(), "one request has become two");
        let protocol = parts.extensions.get::<h2::ext::Protocol>();
        let method = protocol.map_or(parts.method.as_str(), |_| "GET");
        assert_eq!(read.method(), method.as_bytes());
        assert!(read.fields.len() <= parts.headers.len() + 5);
        let Ok(again) = request_from_h1(&read, Scheme::Https) else { continue };
        let path = parts.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        assert_eq!(again.uri().path_and_query().map(PathAndQuery::as_str), Some(path));
        for hop in ["connection", "upgrade", "transfer-encoding", "keep-alive", "proxy-connection", "host"] {
            assert!(!again.headers().contains_key(hop), "{hop}");
        }
    }
    // The same fields as those of an answer.
    let mut answer = http::Response::new(());
    *answer.headers_mut() = parts.headers;
    let head = response_to_h1(&answer.into_parts().0, true);
    let Ok(read) = ResponseReader::default().read(&head, false, &Limits::RESPONSE) else { return };
    let (read, length) = read.expect("a head ends");
    assert_eq!((length, read.status), (head.len(), 200));
    if let Ok(again) = response_from_h1(&read) {
        assert_eq!(again.status(), 200);
    }
}

fn stream_request(data: &[u8]) -> Option<http::Request<()>> {
    let mut lines = data.split(|&byte| byte == b'\n');
    let mut words = lines.next()?.split(|&byte| byte == b' ');
    let mut uri = http::uri::Parts::default();
    let method = http::Method::from_bytes(words.next()?).ok()?;
    uri.path_and_query = Some(words.next()?.try_into().ok()?);
    uri.authority = Some(words.next()?.try_into().ok()?);
    uri.scheme = Some(http::uri::Scheme::HTTPS);
    let mut request = http::Request::new(());
    (*request.method_mut(), *request.uri_mut()) = (method, http::Uri::from_parts(uri).ok()?);
    if let Some(protocol) = words.next() {
        let protocol = h2::ext::Protocol::from(std::str::from_utf8(protocol).ok()?);
        request.extensions_mut().insert(protocol);
    }
    for line in lines {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let name = http::HeaderName::from_bytes(&line[..colon]).ok()?;
        request.headers_mut().append(name, http::HeaderValue::from_bytes(&line[colon + 1..]).ok()?);
    }
    Some(request)
}

fn forward(head: &RequestHead, upgrade: Option<&Upgrade>) -> Vec<u8> {
    let to = Outgoing {
        target: b"/",
        host: b"up",
        authorization: None,
        is_foreign: false,
        proxy: None,
        trailers: false,
        upgrade,
        picked: None,
        edits: &[],
    };
    let mut out = Vec::new();
    Policy::default().write_request(head, &to, &mut out, |_, _| {});
    out
}

fn is_content_expected(head: &RequestHead) -> bool {
    matches!(head.method(), b"POST" | b"PUT" | b"PATCH")
}

/// What is compared of two readings: the fault, or the length.
fn verdict<T>(read: &Result<Option<(T, usize)>, Violation>) -> Result<Option<usize>, Violation> {
    match read {
        Ok(Some((_, length))) => Ok(Some(*length)),
        Ok(None) => Ok(None),
        Err(violation) => Err(*violation),
    }
}

/// Reads bytes that arrive one by one, up to some length, and then all at once.
fn in_pieces<R: Default, T>(
    data: &[u8],
    read: impl Fn(&[u8], &mut R) -> Result<Option<(T, usize)>, Violation>,
) -> Result<Option<(T, usize)>, Violation> {
    let mut reader = R::default();
    for end in 0..data.len().min(200) {
        match read(&data[..end], &mut reader) {
            Ok(None) => {}
            // A fault that is known before all is there is the same fault.
            done => return done,
        }
    }
    read(data, &mut reader)
}

/// What is passed on of a body that arrives in pieces, and whether it is whole.
fn drain(mut body: Body, data: &[u8], piece: usize) -> Result<(Vec<u8>, bool), Violation> {
    let (mut passed, mut start, mut end) = (Vec::new(), 0, 0);
    loop {
        match body.step(&data[start..end])? {
            Step::Pass(length) => {
                passed.extend_from_slice(&data[start..start + length]);
                start += length;
            }
            Step::Skip(length) => start += length,
            Step::Starved if end < data.len() => end = (end + piece).min(data.len()),
            Step::Starved => return Ok((passed, false)),
            Step::Done => return Ok((passed, true)),
        }
    }
}

/// Events are the same however they arrive, and none is larger than its limit.
pub fn sse(data: &[u8]) {
    // Whether a LF that arrives later still counts as part of the event before it is a matter of the piece it is in.
    let max = if data.contains(&b'\r') { usize::MAX } else { 64 };
    let read = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let (mut reader, mut events) = (Reader::of(max), Vec::new());
        for piece in pieces {
            reader.read(piece, |event| {
                let data = event.data().map(std::borrow::Cow::into_owned);
                assert!(data.as_ref().is_none_or(|data| data.len() <= max));
                events.push((event.name().map(<[u8]>::to_vec), data));
            });
        }
        (events, reader.is_between_events(), reader.is_too_large())
    };
    let whole = read(&mut std::iter::once(data));
    for length in [1, 2, 3, 7] {
        assert_eq!(read(&mut data.chunks(length)), whole, "pieces of {length}");
    }
}

/// Whatever an answer looks like, plain or coded: it is read to an end, and what is told of a plain one does not depend on
/// how it comes.
pub fn usage(data: &[u8]) {
    const CODINGS: [Option<&[u8]>; 5] = [None, Some(b"gzip"), Some(b"deflate"), Some(b"br"), Some(b"zstd")];
    let (&kind, data) = data.split_first().unwrap_or((&0, data));
    let piece = usize::from(kind / 8) + 1;
    let coding = CODINGS[usize::from(kind) % CODINGS.len()];
    let read = |piece: usize| {
        let mut reader = UsageReader::of(coding).expect("a coding that is known");
        data.chunks(piece).for_each(|piece| reader.read(piece));
        reader.finish(true)
    };
    let (whole, pieces) = (read(data.len().max(1)), read(piece));
    if coding.is_none() && data.len() < 16 * 1024 {
        assert_eq!(whole, pieces, "in pieces of {piece}");
    }
    let mut question = Question::default();
    data.chunks(piece).for_each(|piece| question.read(piece));
    let _ = question.model(data);
    if let Ok(prices) = Prices::parse(data) {
        let _ = prices.cost(&whole);
    }
}
