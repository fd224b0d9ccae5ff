//! The request log for people.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use percent_encoding::percent_decode;

use super::entry::{Change, Id, Sent};
use crate::ending::End;
use crate::error::{Fault, Kind, Step};
use crate::secret::{self, MASK};
use crate::spending::Spending;
use crate::text::{Lang, Say, Speak, failure, shown, system_words};

/// Failures that are not the client's go to standard error.
pub(super) fn is_for_stderr(kind: Kind) -> bool {
    kind.fault() != Fault::Client
}

pub(super) fn sent(sent: &Sent, id: Id, lang: Lang, out: &mut String) {
    let mut line = |say: &Say<'_>| push(out, lang, say);
    line(&Say::Request { line: &RequestLine { sent, id } });
    if let Some(client) = &sent.client {
        line(&Say::ForClient(&shown(&**client)));
    }
    if let Some((base_path, effective)) = &sent.stripped {
        line(&Say::Stripped { base_path, effective: &Target(effective) });
    }
    let Some(forwarded) = &sent.forwarded else { return };
    let (path, query) = match memchr::memchr(b'?', &forwarded.target) {
        Some(at) => (&forwarded.target[..at], Some(&forwarded.target[at + 1..])),
        None => (&forwarded.target[..], None),
    };
    let url = Url { base: &forwarded.base, path };
    line(&Say::Forwarded { route: &shown(&*forwarded.route), universal: forwarded.universal, url: &url });
    if let Some(query) = query.filter(|query| !query.is_empty()) {
        line(&Say::Parameters(&Parameters(query)));
    }
    if let Some(proxy) = &forwarded.proxy {
        line(&Say::ViaProxy(&shown(&**proxy)));
    }
    line(&Say::HeaderPart);
    for (change, name) in &forwarded.headers {
        let name = shown(name);
        line(&match change {
            Change::Added => Say::Added(&name),
            Change::Overwritten => Say::Overwritten(&name),
            Change::Kept => Say::Kept(&name),
            Change::Dropped => Say::Dropped(&name),
        });
    }
    let _ = writeln!(out, "   -------------------");
}

pub(super) fn answered(status: u16, route: Option<&str>, took: Duration, id: Id, lang: Lang, out: &mut String) {
    let _ = write!(out, "{}", Say::Answered(status).in_lang(lang));
    suffix(route, took, id, out);
}

pub(super) fn broken(end: End, route: Option<&str>, took: Duration, id: Id, lang: Lang, out: &mut String) {
    let _ = write!(out, "{}", Say::Broken { end: end.name() }.in_lang(lang));
    suffix(route, took, id, out);
}

pub(super) fn spent(spending: &Spending, route: Option<&str>, took: Duration, id: Id, lang: Lang, out: &mut String) {
    let model = spending.model.as_deref().map(shown);
    let model = model.as_ref().map(|model| model as &dyn Display);
    let _ = write!(out, "{}", Say::Spent { spending, model }.in_lang(lang));
    suffix(route, took, id, out);
}

pub(super) fn failed(why: &Why<'_>, out: &mut String) {
    push(
        out,
        why.lang,
        &match why.kind {
            Kind::BadTargetUrl | Kind::TargetForbidden(_) => Say::UniversalFailed(why),
            Kind::BadRequest(_) => Say::Malformed(why),
            _ => Say::Failed(why),
        },
    );
}

fn push(out: &mut String, lang: Lang, say: &Say<'_>) {
    let _ = writeln!(out, "{}", say.in_lang(lang));
}

fn suffix(route: Option<&str>, took: Duration, id: Id, out: &mut String) {
    let _ = match route {
        Some(route) => writeln!(out, "  ({}, {} ms, #{id})", shown(route), took.as_millis()),
        None => writeln!(out, "  ({} ms, #{id})", took.as_millis()),
    };
}

struct RequestLine<'a> {
    sent: &'a Sent,
    id: Id,
}

impl Display for RequestLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.sent.target.contains(&b'?') { "" } else { "?" };
        write!(f, "{} {}{mark}  #{}", shown(&self.sent.method), Target(&self.sent.target), self.id)
    }
}

/// A target without secrets.
struct Target<'a>(&'a [u8]);

impl Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", shown(&secret::mask_target(self.0)))
    }
}

struct Url<'a> {
    base: &'a [u8],
    path: &'a [u8],
}

impl Display for Url<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", shown(self.base), shown(&secret::mask_path(self.path)))
    }
}

/// A query as Python prints a dictionary, which is what users of the original are used to see.
struct Parameters<'a>(&'a [u8]);

impl Display for Parameters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('{')?;
        for (place, (name, value)) in secret::parameters(self.0).enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            let decode = |part: &[u8]| -> Vec<u8> { percent_decode(&plus_to_space(part)).collect() };
            // The name itself may be all that there is.
            let name_itself = if secret::is_secret(name, None) { MASK.into() } else { decode(name) };
            write!(f, "{comma}'{}': ", shown(&name_itself))?;
            if secret::is_secret(name, Some(value.unwrap_or_default())) {
                write!(f, "'{MASK}'")?;
            } else {
                write!(f, "'{}'", shown(&decode(value.unwrap_or_default())))?;
            }
        }
        f.write_char('}')
    }
}

fn plus_to_space(part: &[u8]) -> Vec<u8> {
    part.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect()
}

/// Why an exchange failed.
pub(super) struct Why<'a> {
    pub(super) kind: Kind,
    pub(super) step: Option<Step>,
    pub(super) detail: Option<&'a str>,
    pub(super) id: Id,
    pub(super) lang: Lang,
}

impl Display for Why<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", failure(self.kind).in_lang(self.lang))?;
        if let Some(step) = self.step {
            write!(f, ", {}", step.in_lang(self.lang))?;
        }
        if let Some(detail) = self.detail {
            write!(f, ": {}", shown(&*system_words(detail, self.lang)))?;
        }
        write!(f, "  (#{})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(sent: &Sent, lang: Lang) -> String {
        let mut out = String::new();
        super::sent(sent, Id::new(0, 1), lang, &mut out);
        out
    }

    fn example() -> Sent {
        Sent {
            method: b"POST".as_slice().into(),
            target: b"/api/v1/openai/v1/chat?a=1&key=sk-1".as_slice().into(),
            client: None,
            stripped: Some(("/api/v1".into(), b"openai/v1/chat".as_slice().into())),
            forwarded: Some(Forwarded {
                route: "openai".into(),
                universal: false,
                base: b"https://api.openai.com".as_slice().into(),
                target: b"/v1/chat?a=1&key=sk-1".as_slice().into(),
                proxy: Some("http://127.0.0.1:7890".into()),
                headers: vec![
                    (Change::Added, b"Authorization".as_slice().into()),
                    (Change::Overwritten, b"X".as_slice().into()),
                    (Change::Kept, b"Content-Type".as_slice().into()),
                ],
            }),
        }
    }

    use super::super::entry::Forwarded;

    #[test]
    fn the_chinese_words_are_those_of_the_original() {
        let id = Id::new(0, 1);
        let expected = format!(
            "⬇️  收到请求:      POST /api/v1/openai/v1/chat?a=1&key=***  #{id}
   剥离前缀:      '/api/v1' -> 有效路径: 'openai/v1/chat'
➡️  路由 'openai' 转发到: https://api.openai.com/v1/chat
   携带参数:     {{'a': '1', 'key': '***'}}
   使用代理:     http://127.0.0.1:7890
   --- Header 处理 ---
   ➕  添加Header:      'Authorization'
   ❗️  强制覆盖Header:  'X'
   🔄  保留Header:      'Content-Type'
   -------------------
"
        );
        assert_eq!(block(&example(), Lang::Zh), expected);
    }

    #[test]
    fn whose_key_it_was_is_told() {
        let sent = Sent { client: Some("ali\nce".into()), stripped: None, forwarded: None, ..example() };
        let line = |lang| block(&sent, lang).lines().nth(1).expect("a line").to_owned();
        assert_eq!(line(Lang::En), "   Client:           ali\\u{a}ce");
        assert_eq!(line(Lang::Zh), "   客户端:       ali\\u{a}ce");
    }

    #[test]
    fn a_request_without_query_ends_in_a_mark() {
        let sent = Sent { target: b"/a\x1b[2J".as_slice().into(), stripped: None, forwarded: None, ..example() };
        let expected = format!("⬇️  Request:          POST /a\\u{{1b}}[2J?  #{}\n", Id::new(0, 1));
        assert_eq!(block(&sent, Lang::En), expected);
    }

    #[test]
    fn failures_name_the_exchange() {
        let mut out = String::new();
        let id = Id::new(0, 1);
        let why = Why { kind: Kind::UpstreamConnect, step: None, detail: Some("refused\nforged"), id, lang: Lang::Zh };
        failed(&why, &mut out);
        assert_eq!(out, format!("❌ 请求转发失败: 无法连接上游: refused\\u{{a}}forged  (#{id})\n"));
    }
}
