//! `aqueduct explain`: what would become of a request, and why.

use std::fmt::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::ArgMatches;

use super::notes::{allowed, strategy};
use super::{Caller, MISUSE, line, print, print_error, print_refusal, ways};
use crate::admit::{Policy, Rule as Limits};
use crate::config::Target;
use crate::error::Error;
use crate::h1::{RequestHead, RequestReader};
use crate::headers::{Action, Rule};
use crate::proxy::explain::{Explained, Plan, explain as walk};
use crate::secret::mask_target;
use crate::text::{Because, ClientSay, CorsSay, KeepAliveSay, Lang, Say, Speak, Tell, failure, shown, spoken};

pub(super) fn explain(caller: &Caller<'_>, matches: &ArgMatches) -> ExitCode {
    let source = caller.source();
    let snapshot = match source.read() {
        Ok((snapshot, _)) => snapshot,
        Err(findings) => {
            print_refusal(&source, &findings, caller.lang);
            return MISUSE.into();
        }
    };
    let lang = snapshot.lang;
    let client = matches.get_one::<String>("client").map(String::as_str);
    let explained = match request(matches, &snapshot.accept.head) {
        Ok(head) => walk(&snapshot, &head, client),
        Err(error) => Ok(Explained::Refused(error)),
    };
    let Ok(explained) = explained else {
        print_error(&line(&ClientSay::Nobody(&shown(client.unwrap_or_default())), lang));
        return MISUSE.into();
    };
    match explained {
        Explained::Health => {
            print(&line(&Tell::ExplainHealth, lang));
            ExitCode::SUCCESS
        }
        Explained::Preflight(lines) => {
            let text = String::from_utf8_lossy(&lines);
            let lines: Vec<_> = text.lines().map(|line| format!("   {}", shown(line))).collect();
            print(&line(&CorsSay::ExplainPreflight(&lines.join("\n")), lang));
            ExitCode::SUCCESS
        }
        Explained::Refused(error) => {
            let (status, code) = (error.kind().status(), error.kind().code());
            print_error(&line(&Tell::ExplainRefused { status, code, answer: &shown(error.answer()) }, lang));
            if let Some(detail) = error.log_detail() {
                let why = failure(error.kind());
                print_error(&line(&Tell::ExplainReason { why: &why.in_lang(lang), detail: &shown(detail) }, lang));
            }
            ExitCode::FAILURE
        }
        Explained::Forwarded(plan) => {
            print(&told(&plan, lang));
            ExitCode::SUCCESS
        }
    }
}

/// The request, read as the proxy would read it.
fn request(matches: &ArgMatches, limits: &crate::h1::Limits) -> Result<RequestHead, Error> {
    let text = |name| matches.get_one::<String>(name).map_or("", String::as_str);
    let headers: Vec<&String> = matches.get_many("header").into_iter().flatten().collect();
    let mut bytes = format!("{} {} HTTP/1.1\r\n", text("method"), text("path"));
    let is_host = |header: &&String| header.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("host:"));
    if !headers.iter().any(is_host) {
        bytes.push_str("Host: localhost\r\n");
    }
    for header in headers {
        bytes.push_str(header);
        bytes.push_str("\r\n");
    }
    bytes.push_str("\r\n");
    let read = RequestReader::default().read(bytes.as_bytes(), limits)?;
    read.map(|(head, _)| head).ok_or_else(|| crate::h1::Violation::BadRequestLine.into())
}

fn told(plan: &Plan, lang: Lang) -> String {
    let mut text = String::new();
    let mut say = |say: &dyn Speak| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", spoken(say, lang));
    };
    if let Some(client) = &plan.client {
        say(&ClientSay::Asks(&shown(&**client)));
    }
    if let Some((base_path, effective)) = &plan.stripped {
        say(&Say::Stripped { base_path, effective: &shown(&mask_target(effective)) });
    }
    let guard = match &plan.route.target {
        Target::Universal(guard) => Some(guard),
        _ => None,
    };
    let universal = guard.is_some();
    let url = [&plan.base[..], &mask_target(&plan.target)].concat();
    say(&Say::Forwarded { route: &shown(&*plan.route.key), universal, url: &shown(&url) });
    if let Target::Several(several) = &plan.route.target {
        let (count, targets) = (several.places.len(), &shown(&*plan.route.shown_target));
        say(&Tell::ExplainTargets { count, targets });
    }
    say(&Tell::ExplainHost(&shown(&plan.host)));
    say(&Tell::ExplainWay(&shown(&ways::told(&plan.way, lang))));
    if let Some(guard) = guard {
        say(&Tell::ExplainGuard { allow_private: guard.allow_private });
    }
    if plan.route.http2 && plan.upgrade.is_none() {
        say(&Tell::ExplainHttp2);
    }
    if let Some(upgrade) = &plan.upgrade {
        say(&Tell::ExplainUpgrade(&shown(upgrade.as_bytes())));
    }
    if let Some(keys) = &plan.route.keys {
        say(&Tell::ExplainKeys { count: keys.len(), strategy: strategy(keys.strategy()), picks: plan.picks });
    }
    say(&Say::HeaderPart);
    for (written, action) in &plan.headers {
        let name = shown(written);
        match action {
            Action::Passed | Action::Kept if plan.is_plain && is_accept_encoding(written) => {
                say(&KeepAliveSay::ExplainPlain(&name));
            }
            Action::Passed => say(&Tell::ExplainPassed(&name)),
            Action::Kept => say(&Say::Kept(&name)),
            Action::Added => say(&Say::Added(&name)),
            Action::Overwritten => say(&Say::Overwritten(&name)),
            Action::Dropped(rule) => say(&Tell::ExplainDropped { name: &name, because: because(*rule) }),
        }
    }
    let limit =
        |limit: Option<Duration>| limit.map_or_else(|| "-".to_owned(), |limit| format!("{} s", limit.as_secs_f64()));
    let Policy { route, server, .. } = &plan.route.admit;
    if route.is_some() || server.is_some() {
        let allowed = |rule: &Option<Arc<Limits>>| rule.as_ref().map(|rule| allowed(rule.limits())).unwrap_or_default();
        let (route, server) = (allowed(route), allowed(server));
        say(&Tell::ExplainLimits { route, server });
    }
    if let Some(every) = plan.route.sse_keepalive {
        say(&KeepAliveSay::Explain(&limit(Some(every))));
        if plan.is_plain {
            say(&KeepAliveSay::ExplainBeforeHead);
        }
    }
    if let Some(policy) = &plan.route.usage {
        let prices = policy.prices.as_ref().map_or(0, |prices| prices.len());
        let drain = plan.route.drain.map(|drain| limit(drain.limit));
        say(&Tell::ExplainUsage { prices, drain: drain.as_deref() });
    }
    say(&Tell::ExplainTimeouts {
        connect: &limit(plan.timeouts.connect),
        first_byte: &limit(plan.timeouts.first_byte),
        idle: &limit(plan.timeouts.idle),
        total: &limit(plan.timeouts.total),
    });
    text
}

fn is_accept_encoding(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"accept-encoding")
}

fn because(rule: Rule) -> Because {
    match rule {
        Rule::HopByHop => Because::HopByHop,
        Rule::NamedByConnection => Because::NamedByConnection,
        Rule::Configured => Because::Configured,
        Rule::Repeated => Because::Replaced,
        Rule::Expect => Because::Answered,
        Rule::Credential => Because::Credential,
        Rule::Trailer => Because::Trailer,
        Rule::ClientKey => Because::ClientKey,
        Rule::NoUpgrade => Because::NoUpgrade,
    }
}
