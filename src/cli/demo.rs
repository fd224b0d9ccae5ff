//! `aqueduct demo`: the proxy at work, without an account and without a configuration.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;

use super::{line, print_error, print_refusal, run};
use crate::app::Heritage;
use crate::config::{Live, Overrides, Source};
use crate::demo::{KEY, Provider};
use crate::record::Line;
use crate::text::{Lang, Say, Speak, Tell};

/// Where the proxy listens if nobody else does.
const PORT: u16 = 3000;

pub(super) fn demo(lang: Lang, port: Option<u16>) -> ExitCode {
    let heritage = match Heritage::take() {
        Ok(heritage) => heritage,
        Err(error) => return run::refuse(&error, lang),
    };
    let provider = match Provider::start() {
        Ok(provider) => provider,
        Err(error) => {
            print_error(&line(&Say::StartFailed(&error), lang));
            return ExitCode::FAILURE;
        }
    };
    let overrides = Overrides { port: Some(port.unwrap_or_else(free_port)), lang: Some(lang), ..Overrides::default() };
    let source = Source::text(&configuration(provider.address()), overrides, lang);
    match Live::start(source.clone()) {
        Ok((live, _)) => run::serve(&Arc::new(live), lang, heritage, |log, running| {
            let address = running.addresses().next().expect("it listens on a port");
            log.write(Line::Notice(welcome(address, provider.address(), lang)));
        }),
        Err(findings) => {
            print_refusal(&source, &findings, lang);
            ExitCode::FAILURE
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, PORT)).map_or(0, |_| PORT)
}

fn configuration(provider: SocketAddr) -> String {
    format!(
        r#"{{
  "server": {{"host": "127.0.0.1", "workers": 1}},
  "global_proxy": "",
  "routes": {{
    "openai": {{"target_url": "http://{provider}", "custom_headers": {{"Authorization": "Bearer {KEY}"}}}},
    "anthropic": {{"target_url": "http://{provider}", "custom_headers": {{"x-api-key": "{KEY}"}}}},
    "gemini": {{"target_url": "http://{provider}", "custom_headers": {{"x-goog-api-key": "{KEY}"}}}}
  }}
}}"#
    )
}

fn welcome(proxy: SocketAddr, provider: SocketAddr, lang: Lang) -> String {
    let title = |tell: &Tell<'_>| tell.in_lang(lang).to_string();
    let json = "-H 'content-type: application/json'";
    format!(
        "{started}

# {openai}
curl -N http://{proxy}/openai/v1/chat/completions {json} -d '{{\"model\": \"demo\", \"stream\": true, \"messages\": [{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'

# {anthropic}
curl -N http://{proxy}/anthropic/v1/messages {json} -d '{{\"model\": \"demo\", \"stream\": true, \"max_tokens\": 100, \"messages\": [{{\"role\": \"user\", \"content\": \"Hello\"}}]}}'

# {gemini}
curl http://{proxy}/gemini/v1beta/models/demo:generateContent {json} -d '{{\"contents\": [{{\"parts\": [{{\"text\": \"Hello\"}}]}}]}}'

{next}
",
        started = title(&Tell::DemoStarted { proxy: &format_args!("http://{proxy}"), provider: &format_args!("http://{provider}") }),
        openai = title(&Tell::DemoOpenAi),
        anthropic = title(&Tell::DemoAnthropic),
        gemini = title(&Tell::DemoGemini),
        next = title(&Tell::DemoNext),
    )
}
