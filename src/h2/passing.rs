//! Frames as they pass, seen from the outside: no more of them than their heads (RFC 9113 section 4.1).

const FRAME_HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
/// What a frame costs that carries no content, and what has to be sent in return for some. Content has windows.
const BARE: u32 = 4;
const SETTINGS_ACK: u32 = 9;
const PING_ACK: u32 = 17;

/// What passes in one direction.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Passing {
    /// How many bytes are left before the head of the next frame.
    left: usize,
    head: [u8; FRAME_HEAD],
    /// How many bytes of that are there.
    known: usize,
    /// A head of a message has begun and not ended.
    in_message_head: bool,
    /// How many of them have ended.
    message_heads: u64,
    has_settings: bool,
}

impl Passing {
    /// What passes behind a preface of this length.
    #[must_use]
    pub fn behind(preface: usize) -> Self {
        Self { left: preface, ..Self::default() }
    }

    /// Lets bytes pass, and gives what the frames that begin in them cost whoever has to read them, beside content.
    pub fn pass(&mut self, mut bytes: &[u8]) -> u32 {
        let mut cost = 0_u32;
        while !bytes.is_empty() {
            let length = if self.left > 0 { self.left } else { FRAME_HEAD - self.known }.min(bytes.len());
            let (these, rest) = bytes.split_at(length);
            bytes = rest;
            if self.left > 0 {
                self.left -= length;
            } else {
                self.head[self.known..self.known + length].copy_from_slice(these);
                self.known += length;
                if self.known < FRAME_HEAD {
                    break;
                }
                cost = cost.saturating_add(self.begin());
            }
            if self.left == 0 {
                self.end();
            }
        }
        cost
    }

    /// Whether a message's head has begun and not come to its end.
    #[must_use]
    pub fn is_in_message_head(&self) -> bool {
        self.in_message_head
    }

    /// How many messages' heads have come to their end.
    #[must_use]
    pub fn message_heads(&self) -> u64 {
        self.message_heads
    }

    /// Whether SETTINGS have come, with which each side begins.
    #[must_use]
    pub fn has_settings(&self) -> bool {
        self.has_settings
    }

    fn kind(&self) -> u8 {
        self.head[3]
    }

    fn begin(&mut self) -> u32 {
        let [high, middle, low, ..] = self.head;
        self.left = u32::from_be_bytes([0, high, middle, low]) as usize;
        self.known = 0;
        self.in_message_head |= matches!(self.kind(), HEADERS | PUSH_PROMISE);
        match self.kind() {
            DATA => 0,
            SETTINGS => BARE + SETTINGS_ACK,
            PING => BARE + PING_ACK,
            _ => BARE,
        }
    }

    /// All of a frame has passed, or of the preface.
    fn end(&mut self) {
        self.has_settings |= self.kind() == SETTINGS && self.head[4] & ACK == 0;
        let ends_head = matches!(self.kind(), HEADERS | PUSH_PROMISE | CONTINUATION) && self.head[4] & END_HEADERS != 0;
        if ends_head {
            self.in_message_head = false;
            self.message_heads += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        [&[0, 0, length, kind, flags, 0, 0, 0, 1][..], &vec![0xff; usize::from(length)]].concat()
    }

    #[test]
    fn a_head_goes_on_until_it_is_said_to_end() {
        let mut passing = Passing::default();
        let states: Vec<bool> = [
            frame(PING, 0, 8),
            frame(HEADERS, 0x1, 20),
            frame(CONTINUATION, 0, 20),
            frame(CONTINUATION, END_HEADERS, 0),
            frame(HEADERS, END_HEADERS, 3)[..10].to_vec(),
            vec![0xff; 2],
            frame(DATA, END_HEADERS, 5),
        ]
        .iter()
        .map(|bytes| {
            passing.pass(bytes);
            passing.is_in_message_head()
        })
        .collect();
        assert_eq!((&states[..], passing.message_heads()), (&[false, true, true, false, true, false, false][..], 2));
    }

    #[test]
    fn each_side_begins_with_settings() {
        let mut passing = Passing::behind(24);
        passing.pass(&[SETTINGS; 24]);
        passing.pass(&frame(SETTINGS, ACK, 0));
        passing.pass(&frame(SETTINGS, 0, 6)[..14]);
        assert!(!passing.has_settings());
        passing.pass(&[0]);
        assert!(passing.has_settings());
    }

    #[test]
    fn what_carries_nothing_has_its_price() {
        let mut passing = Passing::default();
        let cost = |bytes: &[u8]| Passing::default().pass(bytes);
        assert_eq!(cost(&frame(DATA, 0, 7)), 0);
        assert_eq!([frame(PING, 0, 8), frame(SETTINGS, 0, 0)].map(|bytes| cost(&bytes)), [21, 13]);
        assert_eq!([HEADERS, 2, 3, 7, 8, CONTINUATION, 0x16, 0xff].map(|kind| cost(&frame(kind, 0, 4))), [4; 8]);
        let many = frame(PING, 0, 8).repeat(10);
        assert_eq!(passing.pass(&many[..100]) + passing.pass(&many[100..]), 210);
    }

    proptest! {
        #[test]
        fn pieces_make_no_difference(
            frames in prop::collection::vec((0..12_u8, 0..8_u8, 0..40_u8), 0..8),
            noise in prop::collection::vec(any::<u8>(), 0..60),
            at in any::<prop::sample::Index>(),
        ) {
            let frames = frames.iter().flat_map(|&(kind, flags, length)| frame(kind, flags, length));
            let bytes: Vec<u8> = frames.chain(noise).collect();
            let (before, behind) = bytes.split_at(at.index(bytes.len() + 1));
            let (mut whole, mut pieces) = (Passing::default(), Passing::default());
            prop_assert_eq!(whole.pass(&bytes), pieces.pass(before) + pieces.pass(behind));
            prop_assert_eq!(whole, pieces);
        }
    }
}
