//! Between client and upstream: both directions at once, every byte when it arrives, every wait with a limit.
//!
//! A [`Relay`] carries one exchange from the request's first byte that is sent to the answer's last. It works in two
//! parts: [`Relay::answer_head`] sends the request and waits for the head of the answer; the caller looks at it and
//! says what goes to the client; [`Relay::answer_body`] carries the rest. In both the client is watched: one that
//! leaves ends the exchange at once, since somebody pays for what the upstream goes on to say.

mod again;
mod answers;
mod aside;
mod breaks;
mod early;
mod flow;
mod limits;
mod outbox;
mod overdue;
mod pulse;
mod rest;
mod tap;
mod tunnel;

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::coop;
use tokio::time::Instant;

pub use breaks::{BadAnswer, Break};
pub use early::{Early, Opening};
pub use flow::{Broken, Flow, Side};
pub use limits::{ClientLimits, Kept, Timeouts};
pub use outbox::Outbox;
pub use pulse::Sign;
pub use rest::Drain;
pub use tap::Tap;
pub use tunnel::Tunnel;

use answers::{Answers, early_hints};
use overdue::{Overdue, Wait};
use rest::Leaving;

use crate::deadline::{Deadline, Now, earlier};
use crate::error::Limit;
use crate::h1::{self, ResponseHead, Upgrade};
use crate::wire::Wire;

/// How many bytes of a next request are read ahead while this exchange runs. Reading is how a client's end is seen.
const READ_AHEAD: usize = 16 * 1024;
/// How long a request is kept that is kept shortly, once it has been sent: [`Kept::Shortly`].
const SHORTLY: Duration = Duration::from_secs(1);
/// How often a client is looked at of which so much has been read ahead that its end cannot be read.
const UNREAD_CLIENT_CHECK: Duration = Duration::from_millis(50);

/// How the client knows that an answer is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// By its framing.
    Itself,
    /// By the end of the connection.
    WithConnection,
}

/// One exchange between two wires.
pub struct Relay<'a> {
    client: &'a mut Wire,
    deadline: &'a mut Deadline,
    request: Flow,
    /// The upstream takes no more of the request. It may still answer.
    request_abandoned: bool,
    /// There may be another attempt: nothing of the request is thrown away.
    may_repeat: bool,
    /// The client waits to be told to send its body (RFC 9110 section 10.1.1). It is told once there is a connection
    /// to send it on, and by us: an upstream that does not know of this would cost the client a second.
    continue_is_due: bool,
    /// Bytes of an answer have arrived.
    answer_begun: bool,
    /// Interim answers on their way to the client.
    interim: Outbox,
    passes_interim: bool,
    /// Says something while the upstream does not.
    early: Option<Rc<Early>>,
    upgrade: Option<Upgrade>,
    to_head: bool,
    timeouts: &'a Timeouts,
    client_limits: &'a ClientLimits,
    began: Instant,
    /// The time of the turn in which the relay was made: while that goes on, the clock need not be asked again.
    first_turn: Now,
    total_at: Option<Instant>,
    leaving: Leaving,
    /// Whether the client has been found silent, nobody has read from it since, and this task is woken when it speaks.
    client_is_awaited: bool,
}

/// What a relay needs to know of the request besides its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Nature {
    /// Whether it is a HEAD request, whose answer has no body.
    pub to_head: bool,
    /// Whether the client waits to be told to send its body.
    pub expects_continue: bool,
    /// Whether the client understands interim answers: HTTP/1.1 and above.
    pub understands_interim: bool,
    /// When its head had arrived.
    pub began: Instant,
}

impl<'a> Relay<'a> {
    /// A relay for a request with the body that `request` is to send. See [`Relay::begin`].
    pub fn new(
        client: &'a mut Wire,
        deadline: &'a mut Deadline,
        request: Flow,
        nature: Nature,
        client_limits: &'a ClientLimits,
    ) -> Self {
        Self {
            client,
            deadline,
            request,
            request_abandoned: false,
            may_repeat: false,
            continue_is_due: nature.expects_continue,
            answer_begun: false,
            interim: Outbox::default(),
            passes_interim: nature.understands_interim,
            early: None,
            upgrade: None,
            to_head: nature.to_head,
            timeouts: &Timeouts::NONE,
            client_limits,
            began: nature.began,
            first_turn: Now::known(nature.began),
            total_at: None,
            leaving: Leaving::default(),
            client_is_awaited: false,
        }
    }

    /// Lets somebody read the request's body along.
    pub fn tap_request(&mut self, tap: Rc<dyn Tap>) {
        self.request.tap(tap);
    }

    /// Prepares the request for an upstream of which only now is known what it speaks: trailers of requests pass on
    /// HTTP/2 alone.
    ///
    /// # Errors
    /// The body is broken, or too large.
    pub fn meet(&mut self, upstream: &Wire) -> Result<(), Break> {
        if !upstream.is_http2() {
            self.request.drop_trailers();
        }
        self.preload()
    }

    /// Puts what has arrived of the request's body behind its head, so that both go out at once.
    ///
    /// # Errors
    /// The body is broken, or too large.
    pub fn preload(&mut self) -> Result<(), Break> {
        self.request.preload(self.client).map_err(|broken| Break::in_request(&broken))
    }

    /// Sends the request, and gives the head of the final answer once it has arrived. `kept` says for how long what is
    /// sent can be sent again: see [`Relay::can_repeat`].
    ///
    /// # Errors
    /// Whatever breaks the exchange off before that.
    pub async fn answer_head(&mut self, upstream: &mut Wire, kept: Kept) -> Result<ResponseHead, Break> {
        if std::mem::take(&mut self.continue_is_due) {
            self.interim.extend(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        if !self.may_repeat {
            self.request.keep_written(kept != Kept::Not && self.request.is_repeatable());
        }
        let mut answers = Answers::default();
        let head = poll_fn(|cx| {
            let now = &mut std::mem::take(&mut self.first_turn);
            self.poll_request(cx, now, upstream)?;
            let head = self.poll_head(cx, upstream, &mut answers)?;
            // Interim answers go out whether they wait or not; nothing else is written before they are.
            let _ = self.poll_interim(cx)?;
            if let Poll::Ready(head) = head {
                if !self.may_repeat {
                    self.request.keep_written(false);
                }
                return Poll::Ready(Ok(head));
            }
            self.poll_client(cx)?;
            let answer_wait = match self.timeouts.first_byte {
                Some(limit) if !self.sends() => Some(self.request.waits_since(now) + limit),
                _ => None,
            };
            let forget_at = if kept == Kept::Shortly && !self.may_repeat { self.forget_request(now) } else { None };
            let look_again = match &self.early {
                None => forget_at,
                Some(_) => self.speak_early(cx, now, false, forget_at)?,
            };
            self.poll_overdue(cx, now, (answer_wait, Overdue::Upstream(Limit::FirstByte)), look_again)
        })
        .await;
        match head {
            // Boxed, here and below: what happens to few must not weigh on all.
            Err(broken) if self.goes_on_after(&broken) => Box::pin(self.head_of_rest(upstream, &mut answers)).await,
            head => head,
        }
    }

    /// Sends `answer`, which begins with the head, and all that comes after it. Returns when the last byte of the
    /// answer is written, even if the client has not sent all of its request: see [`Relay::is_request_sent`].
    ///
    /// # Errors
    /// Whatever breaks the exchange off before that. The head may have reached the client.
    pub async fn answer_body(&mut self, upstream: &mut Wire, answer: &mut Flow, ends: Ends) -> Result<(), Break> {
        self.client.set_end_would_lie(ends == Ends::WithConnection);
        let result =
            if self.leaving.is_gone() { Err(Break::ClientGone) } else { self.carry_body(upstream, answer).await };
        match &result {
            Ok(()) => self.client.set_end_would_lie(false),
            Err(broken) if self.goes_on_after(broken) => Box::pin(self.rest_of_body(upstream, answer)).await,
            Err(_) => {}
        }
        result
    }

    async fn carry_body(&mut self, upstream: &mut Wire, answer: &mut Flow) -> Result<(), Break> {
        // A fault in what has arrived is found again below, when what came before it has been delivered.
        let _ = answer.preload(upstream);
        poll_fn(|cx| {
            let now = &mut Now::default();
            self.poll_request(cx, now, upstream)?;
            if self.poll_interim(cx)?.is_ready()
                && let Poll::Ready(result) = answer.poll(cx, now, upstream, self.client)
            {
                return Poll::Ready(result.map_err(Break::in_answer));
            }
            self.poll_client(cx)?;
            let (limit, overdue) = match answer.waits_for() {
                Side::Source => (self.timeouts.idle, Overdue::Upstream(Limit::Idle)),
                Side::Sink => (self.client_limits.write_timeout, Overdue::ClientReads),
            };
            let answer_wait = limit.map(|limit| answer.waits_since(now) + limit);
            let speaks_at = answer.speaks_at(now);
            self.poll_overdue(cx, now, (answer_wait, overdue), speaks_at)
        })
        .await
    }

    /// When the exchange began.
    #[must_use]
    pub fn began(&self) -> Instant {
        self.began
    }

    /// Whether the client is one stream of an HTTP/2 connection.
    #[must_use]
    pub fn is_client_http2(&self) -> bool {
        self.client.is_http2()
    }

    /// Whether the whole request has been sent.
    #[must_use]
    pub fn is_request_sent(&self) -> bool {
        self.request.is_finished()
    }

    /// Whether all of the request has been taken out of the client's input, sent or not.
    #[must_use]
    pub fn is_request_read(&self) -> bool {
        self.request.is_read()
    }

    /// How much of the request's content has gone by.
    #[must_use]
    pub fn request_payload(&self) -> u64 {
        self.request.payload()
    }

    fn sends(&self) -> bool {
        !self.request_abandoned && !self.request.is_finished()
    }

    fn poll_request(&mut self, cx: &mut Context<'_>, now: &mut Now, upstream: &mut Wire) -> Result<(), Break> {
        if !self.sends() {
            return Ok(());
        }
        self.client_is_awaited = false;
        match self.request.poll(cx, now, self.client, upstream) {
            Poll::Pending | Poll::Ready(Ok(())) => Ok(()),
            Poll::Ready(Err(Broken::Sink(_))) => {
                // It may have answered before it closed, to say why it takes no more.
                self.request_abandoned = true;
                Ok(())
            }
            Poll::Ready(Err(broken)) => Err(Break::in_request(&broken)),
        }
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        upstream: &mut Wire,
        answers: &mut Answers,
    ) -> Poll<Result<ResponseHead, Break>> {
        loop {
            // Most answers come whole: what is asked here is asked once before they do and once after.
            let read = if upstream.input.is_empty() {
                None
            } else {
                let (arrived, limits) = (upstream.input.filled(), &h1::Limits::RESPONSE);
                answers.reader.read(arrived, self.to_head, limits).map_err(Break::bad_answer)?
            };
            if let Some((head, length)) = read {
                if !head.is_interim() || self.switches(&head)? {
                    upstream.input.consume(length);
                    return Poll::Ready(Ok(head));
                }
                answers.count(length)?;
                // 100 was ours to say, and 102 only says that the upstream is alive.
                if self.passes_interim && head.status == 103 {
                    self.interim.make(|out| early_hints(&head, out));
                }
                upstream.input.consume(length);
                continue;
            }
            match std::task::ready!(upstream.poll_fill(cx)) {
                Ok(0) => return Poll::Ready(Err(Break::UpstreamClosed(io::ErrorKind::UnexpectedEof.into()))),
                Ok(_) => self.answer_begun = true,
                Err(error) => return Poll::Ready(Err(Break::UpstreamClosed(error))),
            }
        }
    }

    /// Whether this is the switch to another protocol that was asked for.
    fn switches(&self, head: &ResponseHead) -> Result<bool, Break> {
        if head.status != 101 {
            return Ok(false);
        }
        match self.upgrade.as_ref().filter(|_| self.is_request_sent()) {
            Some(upgrade) if upgrade.is_granted_by(head) => Ok(true),
            Some(_) => Err(Break::BadAnswer(BadAnswer::ForeignSwitch)),
            None => Err(Break::BadAnswer(BadAnswer::UnaskedSwitch)),
        }
    }

    /// Forgets the request if it has been kept for long enough, or says when it will have been.
    fn forget_request(&mut self, now: &mut Now) -> Option<Instant> {
        if self.sends() {
            return None;
        }
        let at = self.request.waits_since(now) + SHORTLY;
        if at > now.get() {
            return Some(at);
        }
        self.request.keep_written(false);
        None
    }

    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Break>> {
        self.interim.poll_write(cx, self.client).map_err(|_| Break::ClientGone)
    }

    /// Sees the client's end. While its request is being read, the reading does that.
    fn poll_client(&mut self, cx: &mut Context<'_>) -> Result<(), Break> {
        if self.sends() && self.request.waits_for() == Side::Source {
            return Ok(());
        }
        self.read_ahead(cx)
    }

    /// Reads what the client says next, up to a limit: that is how its end is seen.
    fn read_ahead(&mut self, cx: &mut Context<'_>) -> Result<(), Break> {
        while self.reads_ahead() {
            if self.client_is_awaited && !self.client.may_be_readable() {
                // With every event of a stream: a look is a tenth of what it costs to ask the runtime once more.
                return Ok(());
            }
            if self.drops_request() {
                // Nobody waits for the rest of the request, but a client that cannot send it on would not read either.
                self.client.input.clear();
            }
            match self.client.poll_fill(cx) {
                Poll::Pending => {
                    // In a turn that has used up its share, the runtime takes no notice of whom to wake.
                    self.client_is_awaited = coop::has_budget_remaining();
                    return Ok(());
                }
                Poll::Ready(Ok(0) | Err(_)) => return Err(Break::ClientGone),
                Poll::Ready(Ok(_)) => {}
            }
        }
        if self.client.has_ended(cx) { Err(Break::ClientGone) } else { Ok(()) }
    }

    fn reads_ahead(&self) -> bool {
        // What the upstream has not taken counts too, or an upload would be held twice.
        self.drops_request() || self.client.input.len() + self.request.unwritten() < READ_AHEAD
    }

    /// Whether nobody wants the rest of the request, now or in another attempt.
    fn drops_request(&self) -> bool {
        self.request_abandoned && !self.can_begin_again()
    }

    /// Pending until a limit has run out, then the error that names it. At `look_again` the task is woken.
    fn poll_overdue<T>(
        &mut self,
        cx: &mut Context<'_>,
        now: &mut Now,
        answer: Wait,
        look_again: Option<Instant>,
    ) -> Poll<Result<T, Break>> {
        let waits = [(self.total_at, Overdue::Upstream(Limit::Total)), self.request_wait(now), answer];
        let client_at = (!self.reads_ahead()).then(|| now.get() + UNREAD_CLIENT_CHECK);
        overdue::poll(self.deadline, cx, &waits, earlier(look_again, client_at))
    }

    /// Until when the request may stand still.
    fn request_wait(&mut self, now: &mut Now) -> Wait {
        let (limit, overdue) = match self.request.waits_for() {
            _ if !self.sends() => (None, Overdue::ClientSends),
            Side::Source => (self.client_limits.body_timeout, Overdue::ClientSends),
            Side::Sink => (self.timeouts.idle, Overdue::Upstream(Limit::Idle)),
        };
        (limit.map(|limit| self.request.waits_since(now) + limit), overdue)
    }
}
