//! JSON that comes in pieces, of which a few members are wanted.
//!
//! Nothing is kept of what is not wanted: not the text of an answer, not its shape. So a document may have any length and
//! any depth, and what stands inside a text is never taken for a member.

use memchr::memchr2;

/// How long a value may be that is kept, in bytes. Beyond it, it counts as not there.
const MAX_KEPT: usize = 8 * 1024;
/// The longest name of a member that anybody asks for.
const MAX_NAME: usize = 20;
/// How deep what is looked into lies, at most.
const MAX_PATH: usize = 4;

/// A member that is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The name of a model.
    Model,
    /// An object of figures.
    Usage {
        /// Whether better ones are still to come: they stand at the beginning of a stream.
        first: bool,
    },
    /// Ollama's count of what went in.
    EvaluatedIn,
    /// Ollama's count of what came out.
    EvaluatedOut,
}

/// Whoever is told of what was found.
pub(super) trait Finds {
    /// A wanted member, with its value as it is written.
    fn found(&mut self, wanted: Wanted, value: &[u8]);
}

/// Reads documents, one after the other.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    state: State,
    /// The objects and arrays that are being looked into.
    path: [Place; MAX_PATH],
    depth: usize,
    name: [u8; MAX_NAME],
    /// Beyond the longest name: none that anybody asks for.
    name_length: usize,
    wish: Wish,
    kept: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a document.
    #[default]
    Start,
    /// Before a name, or the end of an object.
    Name,
    InName {
        escaped: bool,
    },
    Colon,
    Value,
    /// In a text that is a value by itself.
    Text {
        escaped: bool,
    },
    /// In a number or a word.
    Scalar,
    /// In a value that is not looked into.
    Nested {
        depth: usize,
        in_text: bool,
        escaped: bool,
    },
    /// Behind a value.
    After,
    /// This is no JSON.
    Broken,
}

/// What is being looked into.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// A list of documents.
    List,
    /// A document.
    #[default]
    Document,
    /// An object in it that holds what others have at the top: `response`, `x_groq`.
    Inner,
    /// The same, at the beginning of a stream: `message`.
    Message,
    Choices,
    Choice,
}

/// What is wanted of the next value.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Wish {
    #[default]
    Nothing,
    Enter(Place),
    Keep(Wanted),
}

impl Scanner {
    /// Reads on, until the end of a document at most. Gives how much was read if a document has ended.
    pub(super) fn read(&mut self, bytes: &[u8], finds: &mut impl Finds) -> Option<usize> {
        let mut at = 0;
        while at < bytes.len() {
            at += match self.state {
                State::Text { escaped } => self.text(&bytes[at..], escaped, finds),
                State::Nested { depth, in_text, escaped } => self.nested(&bytes[at..], depth, in_text, escaped, finds),
                State::InName { escaped } => self.in_name(&bytes[at..], escaped),
                State::Scalar => self.scalar(&bytes[at..], finds),
                State::Broken => return None,
                State::Start | State::Name | State::Colon | State::Value | State::After => {
                    let byte = bytes[at];
                    if !byte.is_ascii_whitespace() {
                        self.sign(byte);
                        if self.state == State::Start {
                            return Some(at + 1);
                        }
                    }
                    1
                }
            };
        }
        None
    }

    /// Whether what came is no JSON.
    #[cfg(test)]
    fn is_broken(&self) -> bool {
        self.state == State::Broken
    }

    /// A byte between values.
    fn sign(&mut self, byte: u8) {
        self.state = match (self.state, byte) {
            (State::Start, b'{') => self.enter(Place::Document),
            (State::Start, b'[') => self.enter(Place::List),
            (State::Name, b'"') => {
                self.name_length = 0;
                State::InName { escaped: false }
            }
            (State::Name, b'}') => self.leave(),
            (State::Colon, b':') => {
                self.wish = wish(self.place(), &self.name[..self.name_length.min(MAX_NAME)]);
                State::Value
            }
            (State::Value, b']') if !self.place().is_object() => self.leave(),
            (State::Value, byte) => self.value(byte),
            (State::After, b',') if self.place().is_object() => State::Name,
            (State::After, b',') => {
                self.wish = self.place().element();
                State::Value
            }
            (State::After, b'}') if self.place().is_object() => self.leave(),
            (State::After, b']') if !self.place().is_object() => self.leave(),
            _ => State::Broken,
        };
    }

    /// The first byte of a value.
    fn value(&mut self, byte: u8) -> State {
        self.kept.clear();
        match (byte, self.wish) {
            (b'{', Wish::Enter(place)) if place.is_object() => return self.enter(place),
            (b'[', Wish::Enter(place)) if !place.is_object() => return self.enter(place),
            (b'{', Wish::Keep(Wanted::Usage { .. })) | (b'"', Wish::Keep(Wanted::Model)) => self.kept.push(byte),
            (b'0'..=b'9', Wish::Keep(Wanted::EvaluatedIn | Wanted::EvaluatedOut)) => self.kept.push(byte),
            _ => self.wish = Wish::Nothing,
        }
        match byte {
            b'{' | b'[' => State::Nested { depth: 1, in_text: false, escaped: false },
            b'"' => State::Text { escaped: false },
            b'-' | b'0'..=b'9' | b'a'..=b'z' => State::Scalar,
            _ => State::Broken,
        }
    }

    fn in_name(&mut self, bytes: &[u8], escaped: bool) -> usize {
        let byte = bytes[0];
        match byte {
            b'"' if !escaped => self.state = State::Colon,
            _ => {
                // A name that is written with escapes is none that anybody asks for.
                let is_plain = !escaped && byte != b'\\';
                match self.name.get_mut(self.name_length).filter(|_| is_plain) {
                    Some(place) => {
                        *place = byte;
                        self.name_length += 1;
                    }
                    None => self.name_length = MAX_NAME + 1,
                }
                self.state = State::InName { escaped: byte == b'\\' && !escaped };
            }
        }
        1
    }

    fn text(&mut self, bytes: &[u8], escaped: bool, finds: &mut impl Finds) -> usize {
        let (length, end) = text(bytes, escaped);
        self.keep(&bytes[..length]);
        match end {
            TextEnd::Over => {
                self.found(finds);
                self.state = State::After;
            }
            TextEnd::More { escaped } => self.state = State::Text { escaped },
        }
        length
    }

    fn nested(
        &mut self,
        bytes: &[u8],
        mut depth: usize,
        mut in_text: bool,
        mut escaped: bool,
        finds: &mut impl Finds,
    ) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            if in_text {
                let (length, end) = text(&bytes[at..], escaped);
                at += length;
                (in_text, escaped) = match end {
                    TextEnd::Over => (false, false),
                    TextEnd::More { escaped } => (true, escaped),
                };
                continue;
            }
            let Some(next) = structure(&bytes[at..]) else {
                at = bytes.len();
                break;
            };
            at += next + 1;
            match bytes[at - 1] {
                b'"' => in_text = true,
                b'{' | b'[' => depth += 1,
                _ => depth -= 1,
            }
            if depth == 0 {
                self.keep(&bytes[..at]);
                self.found(finds);
                self.state = State::After;
                return at;
            }
        }
        self.keep(bytes);
        self.state = State::Nested { depth, in_text, escaped };
        at
    }

    fn scalar(&mut self, bytes: &[u8], finds: &mut impl Finds) -> usize {
        let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b']') || byte.is_ascii_whitespace();
        let end = bytes.iter().position(is_end);
        self.keep(&bytes[..end.unwrap_or(bytes.len())]);
        if end.is_some() {
            self.found(finds);
            self.state = State::After;
        }
        end.unwrap_or(bytes.len())
    }

    fn keep(&mut self, bytes: &[u8]) {
        if !matches!(self.wish, Wish::Keep(_)) {
            return;
        }
        if self.kept.len() + bytes.len() > MAX_KEPT {
            self.wish = Wish::Nothing;
            return;
        }
        self.kept.extend_from_slice(bytes);
    }

    fn found(&mut self, finds: &mut impl Finds) {
        if let Wish::Keep(wanted) = std::mem::take(&mut self.wish) {
            finds.found(wanted, &self.kept);
        }
    }

    fn place(&self) -> Place {
        self.path[self.depth.saturating_sub(1)]
    }

    fn enter(&mut self, place: Place) -> State {
        let Some(free) = self.path.get_mut(self.depth) else { return State::Broken };
        *free = place;
        self.depth += 1;
        self.wish = place.element();
        if place.is_object() { State::Name } else { State::Value }
    }

    fn leave(&mut self) -> State {
        self.depth -= 1;
        if self.depth == 0 { State::Start } else { State::After }
    }
}

impl Place {
    fn is_object(self) -> bool {
        !matches!(self, Self::List | Self::Choices)
    }

    /// What is wanted of what stands in a list.
    fn element(self) -> Wish {
        match self {
            Self::List => Wish::Enter(Self::Document),
            Self::Choices => Wish::Enter(Self::Choice),
            _ => Wish::Nothing,
        }
    }
}

/// What is wanted of a member, by where it stands and its name.
fn wish(place: Place, name: &[u8]) -> Wish {
    let is_document = place == Place::Document;
    match name {
        b"model" | b"modelVersion" if place != Place::Choice => Wish::Keep(Wanted::Model),
        b"usage" | b"usageMetadata" => Wish::Keep(Wanted::Usage { first: place == Place::Message }),
        b"response" | b"x_groq" if is_document => Wish::Enter(Place::Inner),
        b"message" if is_document => Wish::Enter(Place::Message),
        // Some say it beside the last word instead of beside them all.
        b"choices" if is_document => Wish::Enter(Place::Choices),
        b"prompt_eval_count" if is_document => Wish::Keep(Wanted::EvaluatedIn),
        b"eval_count" if is_document => Wish::Keep(Wanted::EvaluatedOut),
        _ => Wish::Nothing,
    }
}

enum TextEnd {
    Over,
    More { escaped: bool },
}

/// How much of `bytes` belongs to a text that has begun before them, with its quotation mark.
fn text(bytes: &[u8], escaped: bool) -> (usize, TextEnd) {
    let mut at = usize::from(escaped);
    while let Some(next) = bytes.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        at += next + 1;
        if bytes[at - 1] == b'"' {
            return (at, TextEnd::Over);
        }
        at += 1;
    }
    // One beyond the end: what the last byte escapes has not come yet.
    (bytes.len(), TextEnd::More { escaped: at > bytes.len() })
}

/// Where the next quotation mark or bracket stands. Long lists of numbers are the answer to some questions.
fn structure(bytes: &[u8]) -> Option<usize> {
    const BLOCK: usize = 32;
    let is_structure = |byte: u8| byte == b'"' || matches!(byte | 0x20, b'{' | b'}');
    let mut blocks = bytes.chunks_exact(BLOCK);
    let mut at = 0;
    for block in &mut blocks {
        // Without a branch, so that the compiler looks at many at once.
        if block.iter().fold(false, |any, byte| any | is_structure(*byte)) {
            return block.iter().position(|byte| is_structure(*byte)).map(|place| at + place);
        }
        at += BLOCK;
    }
    blocks.remainder().iter().position(|byte| is_structure(*byte)).map(|place| at + place)
}

#[cfg(test)]
mod tests;
