//! HTTP/2 as frames written by hand, for what no well-behaved peer would say: either side of a connection.
//!
//! It shares nothing with the product, so that the two cannot be wrong together. Of compressed heads it writes only
//! literals, and it reads only the status, which comes first: its peer is told to keep no table.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::PATIENCE;

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 0x1;
pub(crate) const ACK: u8 = 0x1;
pub(crate) const END_HEADERS: u8 = 0x4;
pub(crate) const PADDED: u8 = 0x8;
pub(crate) const PRIORITISED: u8 = 0x20;

/// Error codes (RFC 9113 section 7).
pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const INTERNAL_ERROR: u32 = 2;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
pub(crate) const STREAM_CLOSED: u32 = 5;
pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// Settings (RFC 9113 section 6.5.2).
pub(crate) const HEADER_TABLE_SIZE: u16 = 1;
pub(crate) const ENABLE_PUSH: u16 = 2;
pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;
pub(crate) const MAX_FRAME_SIZE: u16 = 5;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

/// What became of a stream, or of the whole connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// An answer of this status, to its end.
    Answered(u16),
    /// The stream was broken off, with this code.
    Reset(u32),
    /// The connection ended, after a GOAWAY with this code.
    GoneAway(u32),
    /// The connection ended without a word.
    Closed,
}

/// A connection on which frames are written and read.
pub(crate) struct Frames {
    stream: TcpStream,
    seen: Vec<u8>,
    /// What is said and has not left: frames that follow each other arrive together.
    said: Vec<u8>,
    /// Whether SETTINGS of the peer are acknowledged.
    acknowledges: bool,
}

impl Frame {
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> Self {
        Self { kind, flags, stream, payload: payload.as_ref().to_vec() }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.with_length(self.payload.len())
    }

    /// The frame with another length in its head than its payload has.
    pub(crate) fn with_length(&self, length: usize) -> Vec<u8> {
        let length = u32::try_from(length).expect("24 bits").to_be_bytes();
        [&length[1..], &[self.kind, self.flags], &self.stream.to_be_bytes(), &self.payload].concat()
    }

    /// Whether it ends its stream.
    pub(crate) fn is_last(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
    }

    /// The code of an error, in the frames that have one.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        number(&self.payload[at..at + 4])
    }

    /// The status in the head of an answer.
    pub(crate) fn status(&self) -> u16 {
        let block = match self.payload.iter().position(|byte| byte & 0xe0 != 0x20) {
            Some(start) => &self.payload[start..],
            None => &[],
        };
        match block {
            [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
            [0x08 | 0x18 | 0x48, length, value @ ..] => {
                let value = &value[..usize::from(length & 0x7f)];
                let digits = if length & 0x80 == 0 { value.to_vec() } else { digits(value) };
                String::from_utf8(digits).expect("digits").parse().expect("a status")
            }
            _ => panic!("no status: {self:?}"),
        }
    }
}

/// Digits in the code of RFC 7541 appendix B: 0 to 2 have five bits, the others six.
fn digits(coded: &[u8]) -> Vec<u8> {
    let bits: Vec<u8> = coded.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let value = |bits: &[u8]| bits.iter().fold(0, |value, bit| value << 1 | bit);
    let (mut rest, mut digits) = (&bits[..], Vec::new());
    while rest.len() >= 5 {
        match value(&rest[..5]) {
            digit @ 0..=2 => {
                digits.push(b'0' + digit);
                rest = &rest[5..];
            }
            _ if rest.len() < 6 => break,
            _ => match value(&rest[..6]) {
                digit @ 0x19..=0x1f => {
                    digits.push(b'3' + digit - 0x19);
                    rest = &rest[6..];
                }
                _ => break,
            },
        }
    }
    digits
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// A number as a compressed head has it, in what its first byte leaves free (RFC 7541 section 5.1).
pub(crate) fn integer(first: u8, prefix: u8, value: usize) -> Vec<u8> {
    let most = (1_usize << prefix) - 1;
    if value < most {
        return vec![first | u8::try_from(value).expect("fits")];
    }
    let mut bytes = vec![first | u8::try_from(most).expect("fits")];
    let mut rest = value - most;
    while rest >= 0x80 {
        bytes.push(u8::try_from(rest & 0x7f).expect("fits") | 0x80);
        rest >>= 7;
    }
    bytes.push(u8::try_from(rest).expect("fits"));
    bytes
}

/// A field as a literal that enters no table.
pub(crate) fn field(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    let string = |text: &[u8]| [&integer(0, 7, text.len()), text].concat();
    [&[0], &string(name.as_ref())[..], &string(value.as_ref())].concat()
}

/// Fields, one after the other.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// The head of a request to route `a`, and these fields behind it.
pub(crate) fn request(method: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    request_for("/a/x", method, fields)
}

/// The head of a request for any path.
pub(crate) fn request_for(path: &str, method: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let head = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "proxy")];
    [block(&head), block(fields)].concat()
}

/// The payload of SETTINGS.
pub(crate) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    values.iter().flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect()
}

impl Frames {
    /// Either side of a connection.
    pub(crate) fn on(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        stream.set_write_timeout(Some(PATIENCE)).expect("a socket");
        Self { stream, seen: Vec::new(), said: Vec::new(), acknowledges: true }
    }

    /// A client that has said nothing yet.
    pub(crate) fn connect(to: SocketAddr) -> Self {
        Self::on(TcpStream::connect(to).expect("the proxy listens"))
    }

    /// A client that has said who it is.
    pub(crate) fn open(to: SocketAddr) -> Self {
        Self::open_with(to, &[])
    }

    /// The same, with these settings.
    pub(crate) fn open_with(to: SocketAddr, values: &[(u16, u32)]) -> Self {
        let mut frames = Self::connect(to);
        let values = [&[(HEADER_TABLE_SIZE, 0)], values].concat();
        frames.send(PREFACE).frame(SETTINGS, 0, 0, settings(&values));
        frames
    }

    /// Takes what a client begins with, as its server.
    pub(crate) fn take_preface(&mut self) -> io::Result<()> {
        self.need(PREFACE.len())?;
        assert_eq!(self.seen.drain(..PREFACE.len()).collect::<Vec<_>>(), PREFACE);
        Ok(())
    }

    /// Says nothing but what it is told to, not even what it has to.
    pub(crate) fn keep_silent(&mut self) -> &mut Self {
        self.acknowledges = false;
        self
    }

    /// Says bytes. They leave before anything is read.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.said.extend_from_slice(bytes.as_ref());
        self
    }

    /// Lets what is said leave, and says whether the peer took it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&std::mem::take(&mut self.said))
    }

    /// Says a frame.
    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: impl AsRef<[u8]>) -> &mut Self {
        self.send(Frame::new(kind, flags, stream, payload).bytes())
    }

    /// Asks on a stream, with no body.
    pub(crate) fn get(&mut self, stream: u32) -> &mut Self {
        self.frame(HEADERS, END_HEADERS | END_STREAM, stream, request("GET", &[]))
    }

    /// Begins a POST on a stream.
    pub(crate) fn post(&mut self, stream: u32, fields: &[(&str, &str)]) -> &mut Self {
        self.frame(HEADERS, END_HEADERS, stream, request("POST", fields))
    }

    /// The next frame; `None` at the end of the connection.
    pub(crate) fn next(&mut self) -> io::Result<Option<Frame>> {
        // A peer that takes no more has said why, or says it with its end.
        let _ = self.flush();
        match self.need(9) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && self.seen.is_empty() => return Ok(None),
            read => read?,
        }
        let length = number(&self.seen[..3]) as usize;
        self.need(9 + length)?;
        let bytes: Vec<u8> = self.seen.drain(..9 + length).collect();
        Ok(Some(Frame::new(bytes[3], bytes[4], number(&bytes[5..9]) & 0x7fff_ffff, &bytes[9..])))
    }

    /// The next frame that fits. Everything before it is passed over; SETTINGS are acknowledged.
    pub(crate) fn until(&mut self, fits: impl Fn(&Frame) -> bool) -> io::Result<Option<Frame>> {
        loop {
            let Some(frame) = self.next()? else { return Ok(None) };
            if self.acknowledges && frame.kind == SETTINGS && frame.flags & ACK == 0 {
                self.frame(SETTINGS, ACK, 0, []);
            }
            if fits(&frame) {
                return Ok(Some(frame));
            }
        }
    }

    /// What becomes of a stream. A reset that follows a whole answer only says that no more of the request is wanted.
    pub(crate) fn fate(&mut self, stream: u32) -> Fate {
        self.fates(&[stream]).remove(0)
    }

    /// What becomes of these streams, in whatever order it comes to pass.
    pub(crate) fn fates(&mut self, streams: &[u32]) -> Vec<Fate> {
        let mut fates = vec![None; streams.len()];
        let mut status = vec![0; streams.len()];
        while fates.contains(&None) {
            let its =
                |frame: &Frame| frame.kind == GOAWAY && frame.code() != NO_ERROR || streams.contains(&frame.stream);
            let end = match self.until(its) {
                Ok(Some(frame)) if frame.kind == GOAWAY => self.gone(frame.code()),
                Ok(Some(frame)) => {
                    let number = streams.iter().position(|&stream| stream == frame.stream).expect("one of them");
                    if frame.kind == HEADERS && status[number] < 200 {
                        status[number] = frame.status();
                    }
                    let fate = match frame.kind {
                        RST_STREAM => Some(Fate::Reset(frame.code())),
                        _ => frame.is_last().then_some(Fate::Answered(status[number])),
                    };
                    if fates[number].is_none() {
                        fates[number] = fate;
                    }
                    continue;
                }
                Ok(None) => Fate::Closed,
                Err(error) => ended(&error),
            };
            fates.iter_mut().filter(|fate| fate.is_none()).for_each(|fate| *fate = Some(end.clone()));
        }
        fates.into_iter().flatten().collect()
    }

    /// How the connection ends.
    pub(crate) fn end(&mut self) -> Fate {
        match self.until(|frame| frame.kind == GOAWAY) {
            Ok(Some(frame)) => self.gone(frame.code()),
            Ok(None) => Fate::Closed,
            Err(error) => ended(&error),
        }
    }

    /// Whether the peer still answers: a PING comes back, and nothing bad before it.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.frame(PING, 0, 0, b"aliveyet");
        let wanted = |frame: &Frame| frame.kind == GOAWAY || frame.kind == PING && frame.payload == b"aliveyet";
        matches!(self.until(wanted), Ok(Some(frame)) if frame.kind == PING)
    }

    /// After a GOAWAY there is nothing more but the end.
    fn gone(&mut self, code: u32) -> Fate {
        if let Err(error) = self.until(|_| false) {
            ended(&error);
        }
        Fate::GoneAway(code)
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Whether the end has come, as far as can be seen now.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.stream.set_read_timeout(Some(Duration::from_millis(1))).expect("a socket");
        let seen = self.until(|frame| frame.kind == GOAWAY);
        self.stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        !matches!(seen, Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut))
    }

    fn need(&mut self, length: usize) -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        while self.seen.len() < length {
            match self.stream.read(&mut buffer)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => self.seen.extend_from_slice(&buffer[..read]),
            }
        }
        Ok(())
    }
}

/// A reset of the connection is an end, too; silence is none.
fn ended(error: &io::Error) -> Fate {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => Fate::Closed,
        _ => panic!("neither an answer nor an end: {error}"),
    }
}
