//! Coded answers, decoded for the reader alone: what passes stays as it is.
//!
//! Decoding is bounded in memory, and in how much may come of how little: what grows beyond that is read no further.

use std::io::{self, Write};

use brotli_decompressor::DecompressorWriter;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use ruzstd::decoding::FrameDecoder;

use super::plain::Plain;

/// How much may come of one piece of an answer: so many times its length, and so much more, in bytes. What providers say
/// shrinks to a tenth.
const MAX_GROWTH: usize = 64;
const MORE: usize = 256 * 1024;
/// How far back what is decoded may refer, at most, in bytes, and the same for Brotli, as a power of two. More would be
/// held for each exchange.
const MAX_WINDOW: u64 = 8 << 20;
const MAX_BROTLI_WINDOW: u8 = 22;
/// How much is decoded at once, in bytes.
const BUFFER: usize = 16 * 1024;

/// Decodes an answer for its reader.
pub(super) struct Decoder {
    coding: Coding,
    is_broken: bool,
}

/// The codings, each with the reader behind it.
enum Coding {
    Gzip(MultiGzDecoder<Bounded>),
    /// Which of two codings it is, the first byte says.
    Deflate(Bounded),
    Zlib(ZlibDecoder<Bounded>),
    Raw(DeflateDecoder<Bounded>),
    /// How much memory it takes, the first byte says.
    BrotliBegins(Bounded),
    Brotli(Box<DecompressorWriter<Bounded>>),
    Zstd(Box<Zstd>),
    /// It cannot be read. What came before has been.
    Broken(Bounded),
}

/// A reader that takes so much and no more.
#[derive(Default)]
struct Bounded {
    plain: Plain,
    left: usize,
}

impl Write for Bounded {
    fn write(&mut self, decoded: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(decoded.len()).ok_or(io::ErrorKind::FileTooLarge)?;
        self.plain.read(decoded);
        Ok(decoded.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Decoder {
    /// A decoder for a coding of this name (RFC 9110 section 8.4.1), if it is one that is known.
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        let is = |known: &str| name.trim_ascii().eq_ignore_ascii_case(known.as_bytes());
        let coding = match () {
            () if is("gzip") || is("x-gzip") => Coding::Gzip(MultiGzDecoder::new(Bounded::default())),
            () if is("deflate") => Coding::Deflate(Bounded::default()),
            () if is("br") => Coding::BrotliBegins(Bounded::default()),
            () if is("zstd") => Coding::Zstd(Box::default()),
            () => return None,
        };
        Some(Self { coding, is_broken: false })
    }

    /// Decodes what comes next.
    pub(super) fn read(&mut self, content: &[u8]) {
        let Some(&first) = content.first().filter(|_| !self.is_broken) else { return };
        self.begin(first);
        self.coding.reader().left = content.len().saturating_mul(MAX_GROWTH).saturating_add(MORE);
        if self.coding.write(content).is_err() {
            self.is_broken = true;
            // What a decoder holds is of no use any more.
            self.coding = Coding::Broken(std::mem::take(self.coding.reader()));
        }
    }

    /// The reader, and whether all has been decoded that came.
    pub(super) fn finish(mut self) -> (Plain, bool) {
        self.coding.reader().left = MORE;
        let is_whole = !self.is_broken && self.coding.end().is_ok();
        (std::mem::take(&mut self.coding.reader().plain), is_whole)
    }

    fn begin(&mut self, first: u8) {
        match &mut self.coding {
            Coding::Deflate(reader) => {
                let reader = std::mem::take(reader);
                // RFC 9110 means the format with a head (RFC 1950); some leave it out.
                let has_head = first & 0x0f == 8 && first >> 4 <= 7;
                self.coding = if has_head {
                    Coding::Zlib(ZlibDecoder::new(reader))
                } else {
                    Coding::Raw(DeflateDecoder::new(reader))
                };
            }
            Coding::BrotliBegins(reader) => {
                let reader = std::mem::take(reader);
                self.is_broken = brotli_window(first).is_none_or(|window| window > MAX_BROTLI_WINDOW);
                self.coding = if self.is_broken {
                    Coding::Broken(reader)
                } else {
                    Coding::Brotli(Box::new(DecompressorWriter::new(reader, BUFFER)))
                };
            }
            _ => {}
        }
    }
}

impl Coding {
    fn reader(&mut self) -> &mut Bounded {
        match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zlib(decoder) => decoder.get_mut(),
            Self::Raw(decoder) => decoder.get_mut(),
            Self::Brotli(decoder) => decoder.get_mut(),
            Self::Zstd(decoder) => &mut decoder.reader,
            Self::Deflate(reader) | Self::BrotliBegins(reader) | Self::Broken(reader) => reader,
        }
    }

    fn write(&mut self, content: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(decoder) => decoder.write_all(content).and_then(|()| decoder.flush()),
            Self::Zlib(decoder) => decoder.write_all(content).and_then(|()| decoder.flush()),
            Self::Raw(decoder) => decoder.write_all(content).and_then(|()| decoder.flush()),
            Self::Brotli(decoder) => decoder.write_all(content),
            Self::Zstd(decoder) => decoder.write(content),
            Self::Deflate(_) | Self::BrotliBegins(_) | Self::Broken(_) => Ok(()),
        }
    }

    fn end(&mut self) -> io::Result<()> {
        match self {
            Self::Gzip(decoder) => decoder.try_finish(),
            Self::Zlib(decoder) => decoder.try_finish(),
            Self::Raw(decoder) => decoder.try_finish(),
            Self::Brotli(decoder) => decoder.close(),
            Self::Zstd(decoder) if decoder.is_between() => Ok(()),
            Self::Zstd(_) => Err(io::ErrorKind::UnexpectedEof.into()),
            Self::Deflate(_) | Self::BrotliBegins(_) | Self::Broken(_) => Ok(()),
        }
    }
}

/// The window that a stream of Brotli asks for in its first byte (RFC 7932 section 9.1), as a power of two.
fn brotli_window(first: u8) -> Option<u8> {
    match (first & 1, first >> 1 & 7, first >> 4 & 7) {
        (0, ..) => Some(16),
        (_, 0, 0) => Some(17),
        // Larger windows than the format knows.
        (_, 0, 1) => None,
        (_, 0, more) => Some(8 + more),
        (_, more, _) => Some(17 + more),
    }
}

/// Decodes Zstandard (RFC 8878) block by block: the library wants each of them whole.
#[derive(Default)]
struct Zstd {
    reader: Bounded,
    /// What is not enough to go on with: at most a block.
    held: Vec<u8>,
    frame: Option<Frame>,
    /// How much of a sum is left between two frames.
    sum_left: usize,
}

struct Frame {
    decoder: FrameDecoder,
    has_sum: bool,
}

impl Zstd {
    fn write(&mut self, content: &[u8]) -> io::Result<()> {
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(content);
        let mut at = 0;
        while let Some(length) = self.step(&held[at..])? {
            at += length;
        }
        held.drain(..at);
        self.held = held;
        Ok(())
    }

    fn is_between(&self) -> bool {
        self.frame.is_none() && self.held.is_empty()
    }

    /// Takes the next part, and says how long it was; `None` if it is not all there.
    fn step(&mut self, held: &[u8]) -> io::Result<Option<usize>> {
        if self.sum_left > 0 && !held.is_empty() {
            let length = self.sum_left.min(held.len());
            self.sum_left -= length;
            return Ok(Some(length));
        }
        let Some(Frame { decoder, has_sum }) = &mut self.frame else {
            let Some(length) = frame_head(held).filter(|length| *length <= held.len()) else { return Ok(None) };
            let mut decoder = FrameDecoder::new();
            decoder.set_max_window_size(MAX_WINDOW);
            decoder.init(&held[..length]).map_err(io::Error::other)?;
            self.frame = Some(Frame { decoder, has_sum: held[4] & 4 != 0 });
            return Ok(Some(length));
        };
        let Some(&[first, second, third]) = held.first_chunk() else { return Ok(None) };
        let head = u32::from_le_bytes([first, second, third, 0]);
        let (is_last, is_repeated, size) = (head & 1 == 1, head >> 1 & 3 == 1, head >> 3);
        let length = 3 + if is_repeated { 1 } else { size as usize };
        let Some(block) = held.get(..length) else { return Ok(None) };
        let mut decoded = [0; BUFFER];
        let (_, mut count) = decoder.decode_from_to(block, &mut decoded).map_err(io::Error::other)?;
        while count > 0 {
            self.reader.write_all(&decoded[..count])?;
            count = io::Read::read(decoder, &mut decoded)?;
        }
        if is_last {
            self.sum_left = if *has_sum { 4 } else { 0 };
            self.frame = None;
        }
        Ok(Some(length))
    }
}

/// How long the head of a frame is, if enough of it is there to say (RFC 8878 section 3.1.1.1).
fn frame_head(held: &[u8]) -> Option<usize> {
    let descriptor = *held.get(4)?;
    let is_single = descriptor >> 5 & 1 == 1;
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let size = [usize::from(is_single), 2, 4, 8][usize::from(descriptor >> 6)];
    Some(5 + usize::from(!is_single) + dictionary + size)
}

#[cfg(test)]
mod tests;
