//! Answers in every coding, in pieces of any size, and what only looks like one.

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use proptest::prelude::*;

use super::super::Reader;
use super::*;
use crate::spending::Spending;

/// A stream of events, and the same in codings that are not written in Rust, each event flushed.
const STREAM: &str = include_str!("fixtures/stream");
const BROTLI: &[u8] = include_bytes!("fixtures/stream.br");
const ZSTD: &[u8] = include_bytes!("fixtures/stream.zst");

fn flushed<W: Write>(mut encoder: W, finish: impl FnOnce(W) -> io::Result<Vec<u8>>) -> Vec<u8> {
    for event in STREAM.split_inclusive("\n\n") {
        encoder.write_all(event.as_bytes()).and_then(|()| encoder.flush()).expect("a vector");
    }
    finish(encoder).expect("a vector")
}

fn coded() -> Vec<(&'static str, Vec<u8>)> {
    let level = Compression::default();
    vec![
        ("gzip", flushed(GzEncoder::new(Vec::new(), level), GzEncoder::finish)),
        ("X-Gzip", flushed(GzEncoder::new(Vec::new(), level), GzEncoder::finish)),
        ("deflate", flushed(ZlibEncoder::new(Vec::new(), level), ZlibEncoder::finish)),
        ("deflate", flushed(DeflateEncoder::new(Vec::new(), level), DeflateEncoder::finish)),
        ("br", BROTLI.to_vec()),
        ("zstd", ZSTD.to_vec()),
    ]
}

fn read(coding: &str, content: &[u8], piece: usize) -> Spending {
    let mut reader = Reader::of(Some(coding.as_bytes())).expect("a coding");
    content.chunks(piece).for_each(|piece| reader.read(piece));
    reader.finish(true)
}

fn figures(spending: &Spending) -> (Option<&str>, Option<u64>, Option<u64>, bool) {
    (spending.model.as_deref(), spending.tokens_in, spending.tokens_out, spending.partial)
}

const EXPECTED: (Option<&str>, Option<u64>, Option<u64>, bool) = (Some("gpt-4o"), Some(9), Some(12), false);

#[test]
fn every_coding_is_read_however_it_comes() {
    for (coding, content) in coded() {
        for piece in (1..60).chain([100, 1000, 1 << 20]) {
            assert_eq!(figures(&read(coding, &content, piece)), EXPECTED, "{coding} in pieces of {piece}");
        }
        let twice = [&content[..], &content[..]].concat();
        if matches!(coding, "gzip" | "zstd") {
            assert_eq!(figures(&read(coding, &twice, 100)), EXPECTED, "{coding} in two members");
        }
    }
}

#[test]
fn what_is_cut_or_broken_is_partial_and_what_came_before_counts() {
    for (coding, content) in coded() {
        // Without its end, all events have been flushed all the same.
        let cut = read(coding, &content[..content.len() - 1], 7);
        assert_eq!((cut.tokens_out, cut.partial), (Some(12), coding != "zstd" || cut.partial), "{coding}");
        let most = read(coding, &content[..content.len() * 6 / 10], 7);
        // The decoder of Zstandard gives back nothing that something later may still refer to.
        let is_told = most.model.as_deref() == Some("gpt-4o") || coding == "zstd";
        assert!(most.partial && is_told && most.tokens_in.is_none(), "{coding}");
        let mut broken = content.clone();
        let middle = content.len() / 2;
        broken[middle..middle + 8].fill(0xff);
        // Where there is no sum to compare, a few bytes may only make other words.
        assert!(read(coding, &broken, 7).partial || matches!(coding, "zstd" | "deflate" | "br"), "{coding}");
        assert_eq!(read(coding, b"", 1).tokens_in, None);
        assert_eq!(read(coding, STREAM.as_bytes(), 100).tokens_in, None, "{coding}: that is not what it says");
    }
    for unknown in ["compress", "gzip, br", "", "identity, gzip"] {
        assert!(Reader::of(Some(unknown.as_bytes())).is_none(), "{unknown}");
    }
}

#[test]
fn what_grows_too_much_is_read_no_further() {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(b"{\"usage\": {\"prompt_tokens\": 1}, \"x\": \"").expect("a vector");
    for _ in 0..64 {
        bomb.write_all(&[b'x'; 1 << 20]).expect("a vector");
    }
    let bomb = bomb.finish().expect("a vector");
    let spending = read("gzip", &bomb, 64 * 1024);
    assert!(spending.partial, "{} bytes", bomb.len());
    // So many blocks of one repeated byte: 128 KiB in four bytes each.
    let mut bomb = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    for _ in 0..10_000 {
        bomb.extend_from_slice(&[0x02, 0x00, 0x10, b'x']);
    }
    assert!(read("zstd", &bomb, 64 * 1024).partial);
    // Windows that would have to be held.
    assert!(read("zstd", &[0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0, 0x01, 0x00, 0x00], 100).partial);
    for (first, window) in
        [(0x0c, Some(16)), (0x01, Some(17)), (0x0b, Some(22)), (0x0f, Some(24)), (0x11, None), (0x21, Some(10))]
    {
        assert_eq!(brotli_window(first), window);
    }
    assert!(read("br", &[0x0f, 0x00, 0x01, 0x02], 100).partial && read("br", &[0x11, 0x00], 1).partial);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0_usize..2000, piece in 1_usize..50) {
        for (coding, content) in coded() {
            read(coding, &bytes, piece);
            let at = at % content.len();
            let damaged = [&content[..at], &bytes[..bytes.len().min(9)], &content[at..]].concat();
            read(coding, &damaged, piece);
        }
    }
}
