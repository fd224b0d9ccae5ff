//! Heads of answers, until the final one.

use super::breaks::{BadAnswer, Break};
use crate::h1::{self, ResponseHead, ResponseReader, encode};

/// The heads that have arrived so far.
#[derive(Default)]
pub(super) struct Answers {
    pub(super) reader: ResponseReader,
    interim: usize,
    interim_bytes: usize,
}

impl Answers {
    /// Counts an interim answer. Another one follows.
    pub(super) fn count(&mut self, length: usize) -> Result<(), Break> {
        self.reader = ResponseReader::default();
        self.interim += 1;
        self.interim_bytes += length;
        if self.interim > h1::MAX_INTERIM || self.interim_bytes > h1::MAX_INTERIM_BYTES {
            return Err(Break::BadAnswer(BadAnswer::TooManyInterim));
        }
        Ok(())
    }
}

/// Of early hints only the links pass (RFC 8297 section 2); nothing else in an interim answer means anything.
pub(super) fn early_hints(head: &ResponseHead, out: &mut Vec<u8>) {
    encode::status_line(head.status, head.reason(), out);
    for field in head.fields.iter().filter(|field| field.is(b"link")) {
        out.extend_from_slice(field.line());
    }
    out.extend_from_slice(b"\r\n");
}
