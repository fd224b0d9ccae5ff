//! Who may use the proxy, as people read it.

use jiff::Timestamp;

use super::notes::allowed;
use crate::admit::{Client, Keys, Standing};
use crate::text::{ClientSay, Lang, Speak, shown};

/// How many there are.
pub(super) fn count(keys: &Keys) -> ClientSay<'static> {
    let now = Timestamp::now();
    let good = keys.clients().iter().filter(|client| client.standing(now) == Standing::Good).count();
    ClientSay::Count { all: keys.clients().len(), good }
}

/// Each of them, with what he may.
pub(super) fn list(keys: &Keys, lang: Lang) -> String {
    let mut text = format!("{}\n", ClientSay::Part.in_lang(lang));
    for client in keys.clients() {
        text.push_str(&one(client, lang));
        text.push('\n');
    }
    text
}

fn one(client: &Client, lang: Lang) -> String {
    let routes = client.routes.as_ref().map(|routes| {
        let routes: Vec<_> = routes.iter().map(|route| shown(route.as_str()).to_string()).collect();
        if routes.is_empty() { "-".to_owned() } else { routes.join(", ") }
    });
    let say = ClientSay::One {
        name: &shown(&*client.name),
        routes: routes.as_ref().map(|routes| routes as _),
        expires: client.expires.as_ref().map(|expires| expires as _),
        enabled: client.standing(Timestamp::now()) == Standing::Good,
        limits: client.limits.as_ref().map(|rule| allowed(rule.limits())),
    };
    say.in_lang(lang).to_string()
}
