//! The content of a chunked body, for those who read along.

/// Takes the framing out of what a [`super::Body`] passes on as chunks: it has been checked, so that this only counts.
#[derive(Debug, Clone, Default)]
pub struct Content {
    at: At,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum At {
    /// In the line of a size. Extensions have been left out.
    Size(u64),
    /// So many bytes of content are left.
    Data(u64),
    /// So many bytes are left of a line end behind content.
    End(u8),
    /// Behind the last chunk.
    Over,
    #[default]
    Start,
}

impl Content {
    /// Gives the runs of content in what has been passed on.
    pub fn each(&mut self, mut passed: &[u8], mut run: impl FnMut(&[u8])) {
        while !passed.is_empty() {
            match self.at {
                At::Start => self.at = At::Size(0),
                At::Size(size) => {
                    let byte = passed[0];
                    passed = &passed[1..];
                    self.at = match (char::from(byte).to_digit(16), byte) {
                        (Some(digit), _) => At::Size(size << 4 | u64::from(digit)),
                        (None, b'\n') if size == 0 => At::Over,
                        (None, b'\n') => At::Data(size),
                        (None, _) => At::Size(size),
                    };
                }
                At::Data(left) => {
                    let length = usize::try_from(left).unwrap_or(usize::MAX).min(passed.len());
                    run(&passed[..length]);
                    passed = &passed[length..];
                    self.at = if left == length as u64 { At::End(2) } else { At::Data(left - length as u64) };
                }
                At::End(left) => {
                    passed = &passed[1..];
                    self.at = if left == 1 { At::Start } else { At::End(left - 1) };
                }
                At::Over => return,
            }
        }
    }

    /// Whether a chunk has ended, or none has begun, and others may follow.
    #[must_use]
    pub fn is_between_chunks(&self) -> bool {
        self.at == At::Start
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Body, Framing, Step, Trailers};
    use super::*;

    proptest! {
        /// Whatever passes, in pieces of any size: the content is what a reader without framing gives.
        #[test]
        fn the_content_of_what_passes_is_the_content(
            chunks in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..40), "(;[a-z]{1,3})?"), 0..6),
            piece in 1_usize..50,
        ) {
            let (mut body, mut content) = (Vec::new(), Vec::new());
            for (data, extension) in &chunks {
                body.extend_from_slice(format!("{:x}{extension}\r\n", data.len()).as_bytes());
                body.extend_from_slice(data);
                body.extend_from_slice(b"\r\n");
                content.extend_from_slice(data);
            }
            body.extend_from_slice(b"0\r\nA: b\r\n\r\n");
            let (mut reader, mut seen, mut rest) = (Body::new(Framing::Chunked, Trailers::Pass), Vec::new(), &body[..]);
            let mut heard = Content::default();
            while let Ok(step) = reader.step(rest) {
                match step {
                    Step::Pass(length) => {
                        rest[..length].chunks(piece).for_each(|piece| heard.each(piece, |run| seen.extend_from_slice(run)));
                        rest = &rest[length..];
                    }
                    Step::Skip(length) => rest = &rest[length..],
                    Step::Starved | Step::Done => break,
                }
            }
            prop_assert_eq!(seen, content);
        }
    }
}
