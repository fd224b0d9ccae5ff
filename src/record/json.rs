//! The request log for programs: one JSON object a line.

use std::time::Duration;

use serde::Serialize;

use super::entry::Entry;
use super::spent::Spent;
use crate::secret;
use crate::text::shown;

/// The fields, in the order in which they are written. They are a public interface: see `docs/configuration.md`.
#[derive(Serialize)]
struct Object<'a> {
    ts: String,
    id: String,
    peer: String,
    /// Only where clients have keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    route: Option<&'a str>,
    method: Option<String>,
    path: Option<String>,
    status: Option<u16>,
    code: Option<&'a str>,
    /// Only where the client could not be sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_status: Option<u16>,
    upstream: Option<&'a str>,
    proxy: Option<&'a str>,
    /// Only where one of several keys was picked.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_index: Option<usize>,
    attempts: u32,
    /// Only where another route was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback: Option<&'a str>,
    bytes_in: u64,
    bytes_out: u64,
    ttfb_ms: Option<f64>,
    duration_ms: f64,
    max_gap_ms: f64,
    end: Option<&'a str>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    spent: Option<Spent<'a>>,
    /// Only where it is so.
    #[serde(skip_serializing_if = "is_false")]
    uncounted: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Entry {
    /// Adds the line for programs that says all that is known of an exchange at its end.
    pub fn write_json(&self, out: &mut String) {
        write(self, out);
    }
}

fn write(entry: &Entry, out: &mut String) {
    let object = Object {
        ts: format!("{:.3}", entry.began_at),
        id: entry.id.to_string(),
        peer: entry.peer.to_string(),
        client: entry.client.as_deref(),
        route: entry.route.as_deref(),
        method: entry.method.as_deref().map(|method| shown(method).to_string()),
        path: entry.target.as_deref().map(|target| shown(&secret::mask_target(target)).to_string()),
        status: entry.status,
        code: entry.code,
        upstream_status: entry.upstream_status,
        upstream: entry.upstream.as_deref(),
        proxy: entry.proxy.as_deref(),
        key_index: entry.key_index,
        attempts: entry.attempts,
        fallback: entry.fallback.as_deref(),
        bytes_in: entry.bytes_in,
        bytes_out: entry.bytes_out,
        ttfb_ms: entry.time_to_first_byte.map(milliseconds),
        duration_ms: milliseconds(entry.duration),
        max_gap_ms: milliseconds(entry.longest_silence),
        end: entry.end.map(super::super::ending::End::name),
        spent: entry.spending.as_deref().map(Spent::of),
        uncounted: entry.uncounted,
    };
    if let Ok(line) = serde_json::to_string(&object) {
        out.push_str(&line);
        out.push('\n');
    }
}

/// To a hundredth: what is below that is noise.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 100_000.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::super::entry::Id;
    use super::*;
    use crate::ending::End;
    use crate::peer::Peer;

    #[test]
    fn one_object_one_line() {
        let mut entry = Entry::new(Id::new(0, 1), Peer::Local, Instant::now());
        entry.method = Some(b"GET".as_slice().into());
        entry.target = Some(b"/openai/v1?key=sk\x80\x1b".as_slice().into());
        entry.duration = Duration::from_micros(1_234_567);
        entry.end = Some(End::Done);
        let mut out = String::new();
        entry.write_json(&mut out);
        let object: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        assert_eq!(object["peer"], "unix:");
        assert_eq!(object["path"], "/openai/v1?key=***");
        assert_eq!(
            (object["duration_ms"].as_f64(), &object["end"], &object["route"]),
            (Some(1234.57), &"done".into(), &serde_json::Value::Null)
        );
        assert!(out.ends_with('\n') && out.matches('\n').count() == 1);
        let ts = object["ts"].as_str().expect("text");
        assert!(ts.len() == 24 && ts.ends_with('Z'), "{ts}");
    }
}
