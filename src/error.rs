//! What can go wrong with one exchange: a closed set, so that statuses, codes and metric labels cannot explode.
//!
//! What the client reads and what the log reads are two things. An address, a library's error text or a key
//! belongs to the log alone, and a key not even there.

mod cause;

use std::borrow::Cow;
use std::fmt;

pub use cause::{Ban, Fault, Limit, Refusal, Scope, Step, Unit, Unproven};

use crate::h1::Violation;

/// A failed exchange, before any byte of an answer has gone to the client.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    answer: Cow<'static, str>,
    fields: Vec<(&'static str, String)>,
    step: Option<Step>,
    detail: Option<String>,
}

/// What went wrong. Status, code, fault and whether to repeat follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No route has this key, or it is switched off.
    RouteNotFound,
    /// The route lacks its `target_url`.
    RouteMisconfigured,
    /// The environment names a proxy for the route that cannot be used.
    RouteProxyUnusable,
    /// The rest of a universal route's path is no URL that can be asked.
    BadTargetUrl,
    /// A universal route's target is not one that its client may reach.
    TargetForbidden(Ban),
    /// Nothing is left of the path to choose a route by.
    EmptyPath,
    /// The path would leave the target's prefix, or cannot be decoded in one way.
    BadPath,
    /// The method is not served here.
    MethodNotAllowed,
    /// Nobody whose key is good asks.
    Unauthorized(Unproven),
    /// Somebody asks whose key is not good for this route.
    Forbidden,
    /// A browser asks for a page that may not read answers.
    OriginNotAllowed,
    /// The request is not HTTP/1.1, or exceeds a limit on heads.
    BadRequest(Violation),
    /// The client was silent for too long inside its own request.
    RequestTimeout,
    /// The body is larger than `max_body_size`.
    BodyTooLarge,
    /// More connections than `max_connections`.
    Overloaded,
    /// More requests at once than `max_concurrency`.
    ConcurrencyLimited(Scope),
    /// More in a minute than `requests_per_minute` or `tokens_per_minute`.
    RateLimited(Scope, Unit),
    /// The server on which limits are counted is away, and `state_failure` is `closed`.
    StateUnavailable,
    /// All of a `budget` is spent.
    BudgetExhausted(Scope, Unit),
    /// The name of the upstream could not be resolved.
    UpstreamDns,
    /// No TCP connection to the upstream.
    UpstreamConnect,
    /// No TLS session with the upstream.
    UpstreamTls,
    /// The name of the upstream proxy could not be resolved.
    UpstreamProxyDns,
    /// No TCP connection to the upstream proxy.
    UpstreamProxyConnect,
    /// No TLS session with the upstream proxy.
    UpstreamProxyTls,
    /// The upstream proxy wants a login, or another one.
    UpstreamProxyAuth,
    /// The upstream proxy does not make the connection.
    UpstreamProxyRefused(Refusal),
    /// What the upstream proxy said has no meaning in its protocol.
    UpstreamProxyBadAnswer,
    /// The upstream proxy closed the connection before it had made one for us.
    UpstreamProxyReset,
    /// The upstream closed the connection before its answer began.
    UpstreamReset,
    /// What the upstream sent is no valid answer.
    UpstreamBadAnswer,
    /// The upstream answered with another status than 200 when that had been said already.
    UpstreamStatus(u16),
    /// The upstream answered with something else than a plain stream of events when one had begun already.
    UpstreamNoStream,
    /// A time limit on the upstream ran out.
    UpstreamTimeout(Limit),
    /// A fault of ours.
    Internal,
}

impl Error {
    /// An error whose answer is the usual text of its kind.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self::with_answer(kind, kind.answer())
    }

    /// An error with an answer of its own: nothing may stand in it that the client did not send itself.
    pub fn with_answer(kind: Kind, answer: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, answer: answer.into(), fields: Vec::new(), step: None, detail: None }
    }

    /// Adds what only the log may say.
    #[must_use]
    pub fn detail(mut self, detail: impl fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    /// Adds a header field to the answer, such as `Retry-After`.
    #[must_use]
    pub fn field(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.fields.push((name, value.to_string()));
        self
    }

    /// Adds on which step it happened, where that is known, for the log alone.
    #[must_use]
    pub fn during(mut self, step: Option<Step>) -> Self {
        self.step = step;
        self
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What the client reads.
    #[must_use]
    pub fn answer(&self) -> &str {
        &self.answer
    }

    /// The header fields of the answer that are not those of every answer.
    #[must_use]
    pub fn fields(&self) -> &[(&'static str, String)] {
        &self.fields
    }

    /// On which step it happened, where that is not clear from the kind.
    #[must_use]
    pub fn step(&self) -> Option<Step> {
        self.step
    }

    /// What only the log reads.
    #[must_use]
    pub fn log_detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }
}

impl From<Violation> for Error {
    fn from(violation: Violation) -> Self {
        Self::new(Kind::BadRequest(violation))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.code())
    }
}

impl std::error::Error for Error {}

impl Kind {
    /// The status of the answer.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            Self::BadTargetUrl | Self::EmptyPath | Self::BadPath => 400,
            Self::BadRequest(violation) => violation.status(),
            Self::Unauthorized(_) => 401,
            Self::TargetForbidden(_) | Self::Forbidden | Self::OriginNotAllowed => 403,
            Self::RouteNotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::ConcurrencyLimited(_) | Self::RateLimited(..) | Self::BudgetExhausted(..) => 429,
            Self::RouteMisconfigured | Self::RouteProxyUnusable | Self::Internal => 500,
            Self::UpstreamDns
            | Self::UpstreamConnect
            | Self::UpstreamTls
            | Self::UpstreamProxyDns
            | Self::UpstreamProxyConnect
            | Self::UpstreamProxyTls
            | Self::UpstreamProxyAuth
            | Self::UpstreamProxyRefused(_)
            | Self::UpstreamProxyBadAnswer
            | Self::UpstreamProxyReset
            | Self::UpstreamReset
            | Self::UpstreamBadAnswer
            | Self::UpstreamStatus(_)
            | Self::UpstreamNoStream => 502,
            Self::Overloaded | Self::StateUnavailable => 503,
            Self::UpstreamTimeout(_) => 504,
        }
    }

    /// The code in the body, in `x-aqueduct-error`, in the log.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::RouteNotFound => "route_not_found",
            Self::RouteMisconfigured | Self::RouteProxyUnusable => "route_misconfigured",
            Self::BadTargetUrl => "bad_target_url",
            Self::TargetForbidden(_) => "target_forbidden",
            Self::EmptyPath => "empty_path",
            Self::BadPath => "bad_path",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Unauthorized(_) => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::BadRequest(Violation::RequestLineTooLong) => "uri_too_long",
            Self::BadRequest(Violation::HeadTooLong | Violation::TooManyFields) => "head_too_large",
            Self::BadRequest(Violation::UnsupportedVersion) => "unsupported_version",
            Self::BadRequest(_) => "bad_request",
            Self::RequestTimeout => "request_timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::Overloaded => "overloaded",
            Self::ConcurrencyLimited(_) => "concurrency_limited",
            Self::RateLimited(..) => "rate_limited",
            Self::StateUnavailable => "state_unavailable",
            Self::BudgetExhausted(..) => "budget_exhausted",
            Self::UpstreamDns => "upstream_dns",
            Self::UpstreamConnect => "upstream_unreachable",
            Self::UpstreamTls => "upstream_tls",
            Self::UpstreamProxyDns => "upstream_proxy_dns",
            Self::UpstreamProxyConnect => "upstream_proxy_unreachable",
            Self::UpstreamProxyTls => "upstream_proxy_tls",
            Self::UpstreamProxyAuth => "upstream_proxy_auth",
            Self::UpstreamProxyRefused(_) => "upstream_proxy_refused",
            Self::UpstreamProxyBadAnswer => "upstream_proxy_bad_answer",
            Self::UpstreamProxyReset => "upstream_proxy_reset",
            Self::UpstreamReset => "upstream_reset",
            Self::UpstreamBadAnswer => "upstream_bad_answer",
            Self::UpstreamStatus(_) => "upstream_status",
            Self::UpstreamNoStream => "upstream_no_stream",
            Self::UpstreamTimeout(_) => "upstream_timeout",
            Self::Internal => "internal_error",
        }
    }

    /// Whether there was a connection to the upstream. `None`: the kind says nothing of that.
    #[must_use]
    pub fn was_connected(self) -> Option<bool> {
        match self {
            Self::UpstreamDns
            | Self::UpstreamConnect
            | Self::UpstreamTls
            | Self::UpstreamProxyDns
            | Self::UpstreamProxyConnect
            | Self::UpstreamProxyTls
            | Self::UpstreamProxyAuth
            | Self::UpstreamProxyRefused(_)
            | Self::UpstreamProxyBadAnswer
            | Self::UpstreamProxyReset
            | Self::UpstreamTimeout(Limit::Connect) => Some(false),
            Self::UpstreamReset
            | Self::UpstreamBadAnswer
            | Self::UpstreamStatus(_)
            | Self::UpstreamNoStream
            | Self::UpstreamTimeout(Limit::FirstByte | Limit::Idle) => Some(true),
            _ => None,
        }
    }

    /// Whose fault it was.
    #[must_use]
    pub fn fault(self) -> Fault {
        match self.status() {
            400..=499 => Fault::Client,
            502 | 504 => Fault::Upstream,
            _ => Fault::Ours,
        }
    }

    /// The usual text of the answer. Those of the original stay word for word: programs look for them.
    fn answer(self) -> Cow<'static, str> {
        match self {
            Self::RouteNotFound => "Route not found or is disabled.".into(),
            Self::RouteMisconfigured => "Route is missing 'target_url' configuration.".into(),
            Self::RouteProxyUnusable => "Route has no usable upstream proxy.".into(),
            Self::BadTargetUrl => "Invalid target URL format.".into(),
            Self::TargetForbidden(_) => "This target is not allowed on this route.".into(),
            Self::EmptyPath => "Empty path after stripping base_path.".into(),
            Self::BadPath => {
                "Invalid path: it has '.' or '..' segments, a control character or a broken escape.".into()
            }
            Self::MethodNotAllowed => "Method not allowed.".into(),
            // Whoever has a key may know what it is worth; whoever has none learns nothing.
            Self::Unauthorized(Unproven::Missing | Unproven::Unknown) => "Missing or unknown API key.".into(),
            Self::Unauthorized(Unproven::Disabled) => "This API key is disabled.".into(),
            Self::Unauthorized(Unproven::Expired) => "This API key has expired.".into(),
            Self::Forbidden => "This API key is not allowed on this route.".into(),
            Self::OriginNotAllowed => "This origin is not allowed here.".into(),
            Self::BadRequest(violation) => format!("Invalid request: {violation}.").into(),
            Self::RequestTimeout => "The request did not arrive in time.".into(),
            Self::BodyTooLarge => "The request body is larger than this proxy accepts.".into(),
            Self::Overloaded => "Too many connections. Try again shortly.".into(),
            Self::ConcurrencyLimited(scope) => {
                format!("Too many requests at once{}. Try again shortly.", scope.answer()).into()
            }
            Self::RateLimited(scope, unit) => {
                format!("Too many {} in a minute{}. Try again later.", unit.answer(), scope.answer()).into()
            }
            Self::StateUnavailable => "Limits cannot be looked up at the moment. Try again shortly.".into(),
            Self::BudgetExhausted(scope, unit) => {
                format!("The budget of {}{} is used up.", unit.answer(), scope.answer()).into()
            }
            Self::UpstreamDns
            | Self::UpstreamConnect
            | Self::UpstreamTls
            | Self::UpstreamProxyDns
            | Self::UpstreamProxyConnect
            | Self::UpstreamProxyTls
            | Self::UpstreamProxyAuth
            | Self::UpstreamProxyRefused(_)
            | Self::UpstreamProxyBadAnswer
            | Self::UpstreamProxyReset
            | Self::UpstreamReset
            | Self::UpstreamBadAnswer => "Proxy failed to connect to the target server.".into(),
            Self::UpstreamStatus(status) => format!("The target server answered with status {status}.").into(),
            Self::UpstreamNoStream => "The target server did not answer with a stream of events.".into(),
            Self::UpstreamTimeout(limit) => {
                format!("The target server did not answer in time: the '{}' limit ran out.", limit.name()).into()
            }
            Self::Internal => "Internal proxy error.".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_the_original_stay() {
        assert_eq!(Kind::UpstreamConnect.answer(), "Proxy failed to connect to the target server.");
        assert_eq!(Kind::EmptyPath.answer(), "Empty path after stripping base_path.");
        assert_eq!((Kind::UpstreamDns.status(), Kind::UpstreamTimeout(Limit::Connect).status()), (502, 504));
    }

    #[test]
    fn faults_follow_from_the_status() {
        assert_eq!(Kind::from_violation().fault(), Fault::Client);
        assert_eq!(Kind::UpstreamTls.fault(), Fault::Upstream);
        assert_eq!(Kind::UpstreamTimeout(Limit::Idle).fault(), Fault::Upstream);
        assert_eq!(Kind::RouteMisconfigured.fault(), Fault::Ours);
    }

    impl Kind {
        fn from_violation() -> Self {
            Error::from(Violation::Nul).kind()
        }
    }

    #[test]
    fn what_the_log_reads_is_not_in_the_answer() {
        let error = Error::new(Kind::UpstreamConnect).detail("10.0.0.7:80: refused");
        assert!(!error.answer().contains("10.0.0.7") && !error.to_string().contains("10.0.0.7"));
        assert_eq!(error.log_detail(), Some("10.0.0.7:80: refused"));
    }
}
