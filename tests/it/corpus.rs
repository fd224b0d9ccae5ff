//! The checks of the fuzz targets, on the corpus and on random bytes, with a stable compiler.

use proptest::prelude::*;

#[path = "../../fuzz/checks.rs"]
#[expect(unreachable_pub, reason = "the fuzz targets are programs of their own")]
mod checks;

type Check = fn(&[u8]);
const CHECKS: [(&str, Check); 16] = [
    ("request_head", checks::request_head),
    ("response_head", checks::response_head),
    ("chunks", checks::chunks),
    ("target", checks::target),
    ("proxy_header", checks::proxy_header),
    ("jsonc", checks::jsonc),
    ("socks", checks::socks),
    ("proxy_url", checks::proxy_url),
    ("guard", checks::guard),
    ("frames", checks::frames),
    ("config", checks::config),
    ("forwarded", checks::forwarded),
    ("stream_head", checks::stream_head),
    ("reset", checks::reset),
    ("usage", checks::usage),
    ("sse", checks::sse),
];

#[test]
fn the_corpus_holds() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, check) in CHECKS {
        let mut count = 0;
        for entry in std::fs::read_dir(corpus.join(name)).expect("a corpus") {
            let bytes = std::fs::read(entry.expect("an entry").path()).expect("a file");
            check(&bytes);
            // Cut anywhere, it holds as well.
            for end in 0..bytes.len().min(300) {
                check(&bytes[..end]);
            }
            count += 1;
        }
        assert!(count >= 10, "{name}: {count}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_hold(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for (_, check) in CHECKS {
            check(&bytes);
        }
    }

    #[test]
    fn requests_for_upgrades_hold(
        version in "1\\.[01]",
        lines in prop::collection::vec("(Connection|connection|Upgrade|X): {0,1}(upgrade|Upgrade|x|close|websocket|h2c|HTTP/2\\.0|TLS/1|a/b|a b|)(, ?| ,)(UPGRADE|websocket|h2c-14|spdy/3|Host|,)", 0..5),
    ) {
        checks::request_head(format!("GET / HTTP/{version}\r\nHost: h\r\n{}\r\n\r\n", lines.join("\r\n")).as_bytes());
    }

    #[test]
    fn bytes_of_the_grammar_hold(text in "[GETPOS /:.?%0-9a-f\\r\\n\\\\;,{}\"\\[\\]HhtTp1*@-]{0,80}") {
        for (_, check) in CHECKS {
            check(text.as_bytes());
        }
    }
}
