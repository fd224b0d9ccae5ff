//! The command line.

mod banner;

use std::sync::Arc;
use std::time::Duration;

use crate::app::{self, App};
use crate::config::{Live, Overrides, Source};
use crate::record::{Line, Log, Output};
use crate::text::Lang;

/// Runs the program.
pub fn main() -> std::process::ExitCode {
    let path =
        std::env::args().next_back().filter(|_| std::env::args().len() > 1).unwrap_or_else(|| "config.json".into());
    let source = Source {
        path: path.into(),
        overrides: Overrides::default(),
        lang: Lang::of_environment(|name| std::env::var(name).ok()),
    };
    let lang = source.lang;
    let (live, warnings) = match Live::start(source) {
        Ok(live) => live,
        Err(findings) => {
            #[expect(clippy::print_stderr, reason = "x")]
            {
                eprintln!("{}", app::errors(&findings, lang));
            }
            return 1.into();
        }
    };
    let live = Arc::new(live);
    let log = Log::start(Output::console(), lang).expect("thread");
    app::warn(&warnings, lang, &log);
    let running = App::start(&live, &log).expect("start");
    let result = app::run(running, &live, &log, |running| {
        let listening: Vec<String> = running.addresses.iter().map(|address| format!("http://{address}")).collect();
        log.write(Line::Notice(banner::banner(&live.current(), &live.source().path.display().to_string(), &listening)));
    });
    log.finish(Duration::from_secs(1));
    drop(result);
    0.into()
}
