//! What an exchange uses, read along on its way.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use crate::h1::{Body, Content, RequestHead, ResponseHead, Target};
use crate::relay::Tap;
use crate::spending::Spending;
use crate::usage::{Policy, Question, Reader};

/// Reads one exchange along.
pub(super) struct Meter {
    pub(super) policy: Policy,
    path: Box<[u8]>,
    question: Rc<Ear<Question>>,
    answer: Option<Rc<Ear<Reader>>>,
    /// Whether the answer is over, with all that belonged to it.
    pub(super) is_whole: bool,
}

/// Listens to one body. A bug in who listens ends the listening, and nothing else.
pub(super) struct Ear<R>(RefCell<Option<Listening<R>>>);

struct Listening<R> {
    reader: R,
    chunks: Option<Content>,
}

/// Whoever is shown the content of a body.
pub(super) trait Reads {
    fn read(&mut self, content: &[u8]);
}

impl Meter {
    /// A meter for this request, if it is one whose answer may have figures that are new: what is only looked up again
    /// has been paid for.
    pub(super) fn of(head: &RequestHead, policy: &Policy) -> Option<Box<Self>> {
        let Target::Path(path) = head.target() else { return None };
        head.is("POST").then(|| {
            let question = Ear::new(Question::default(), &head.body(crate::h1::Trailers::Drop));
            let path = path.split(|byte| *byte == b'?').next().unwrap_or_default();
            Box::new(Self { policy: policy.clone(), path: path.into(), question, answer: None, is_whole: false })
        })
    }

    /// Who listens to the request.
    pub(super) fn on_request(&self) -> Rc<dyn Tap> {
        Rc::<Ear<Question>>::clone(&self.question)
    }

    /// Who listens to an answer with this body, if there may be something to hear.
    pub(super) fn on_answer(&mut self, answer: &ResponseHead, body: &Body) -> Option<Rc<dyn Tap>> {
        let mut codings = answer.fields.values(b"content-encoding");
        let coding = codings.next();
        if !(200..300).contains(&answer.status) || codings.next().is_some() {
            return None;
        }
        let ear = Ear::new(Reader::of(coding)?, body);
        self.answer = Some(Rc::clone(&ear));
        Some(ear)
    }

    /// Whether there may be figures in the answer.
    pub(super) fn hears_answer(&self) -> bool {
        self.answer.is_some()
    }

    /// Whether it is only asked how many tokens something would take. That costs none.
    pub(super) fn asks_for_a_count(&self) -> bool {
        [&b"/count_tokens"[..], b":countTokens"].iter().any(|end| self.path.ends_with(end))
    }

    /// What is known in the end.
    pub(super) fn spending(&self) -> Spending {
        let unknown = || Spending { partial: !self.is_whole, ..Spending::default() };
        let answer = self.answer.as_ref().and_then(|ear| ear.take());
        let finish = |reader: Reader| catch_unwind(AssertUnwindSafe(|| reader.finish(self.is_whole))).ok();
        let mut spending = answer.and_then(finish).unwrap_or_else(unknown);
        if spending.model.is_none() {
            spending.model = self.question.take().and_then(|question| question.model(&self.path));
        }
        spending
    }
}

impl<R: Reads> Ear<R> {
    pub(super) fn new(reader: R, body: &Body) -> Rc<Self> {
        let chunks = body.passes_chunks().then(Content::default);
        Rc::new(Self(RefCell::new(Some(Listening { reader, chunks }))))
    }

    fn take(&self) -> Option<R> {
        self.0.take().map(|listening| listening.reader)
    }
}

impl<R: Reads> Tap for Ear<R> {
    fn see(&self, passed: &[u8]) {
        let mut listening = self.0.borrow_mut();
        let Some(Listening { reader, chunks }) = &mut *listening else { return };
        let read = AssertUnwindSafe(|| match chunks {
            Some(chunks) => chunks.each(passed, |content| reader.read(content)),
            None => reader.read(passed),
        });
        if catch_unwind(read).is_err() {
            *listening = None;
        }
    }
}

impl Reads for Question {
    fn read(&mut self, content: &[u8]) {
        self.read(content);
    }
}

impl Reads for Reader {
    fn read(&mut self, content: &[u8]) {
        self.read(content);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::{Framing, Trailers};

    struct Buggy;

    impl Reads for Buggy {
        fn read(&mut self, content: &[u8]) {
            assert!(content != b"bad", "a bug");
        }
    }

    #[test]
    fn a_bug_in_who_listens_ends_the_listening_and_nothing_else() {
        let ear = Ear::new(Buggy, &Body::new(Framing::Chunked, Trailers::Drop));
        for passed in [&b"4\r\ngood\r\n"[..], b"3\r\nbad\r\n", b"4\r\ngood\r\n"] {
            ear.see(passed);
        }
        assert!(ear.take().is_none());
    }
}
