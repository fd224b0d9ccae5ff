//! Why an exchange failed, as the log says it.

use std::fmt;

use super::{Lang, Speak};
use crate::error::{Ban, Kind, Limit, Refusal, Scope, Step, Unit, Unproven};

/// A kind of failure, to be said in words.
pub struct Failure(Kind);

/// A kind of failure, to be said in words.
#[must_use]
pub fn failure(kind: Kind) -> Failure {
    Failure(kind)
}

impl Speak for Failure {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match lang {
            Lang::En => self.en(f),
            Lang::Zh => self.zh(f),
        }
    }
}

impl Failure {
    fn en(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::RouteNotFound => f.write_str("the route does not exist or is disabled"),
            Kind::RouteMisconfigured => f.write_str("the route has no target_url"),
            Kind::RouteProxyUnusable => f.write_str("the environment names no usable proxy for this route"),
            Kind::BadTargetUrl => f.write_str("the target URL is not valid"),
            Kind::TargetForbidden(ban) => write!(f, "the target is not allowed on this route: {}", ban.en()),
            Kind::EmptyPath => f.write_str("nothing is left of the path after base_path"),
            Kind::BadPath => f.write_str("the path could leave the target's prefix, or is not encoded in one way"),
            Kind::MethodNotAllowed => f.write_str("the method is not served here"),
            Kind::Unauthorized(unproven) => f.write_str(unproven.en()),
            Kind::OriginNotAllowed => f.write_str("the page may not read answers here (cors.origins)"),
            Kind::Forbidden => f.write_str("the client key is not good for this route (client_keys.*.routes)"),
            Kind::BadRequest(violation) => write!(f, "the request is not valid: {violation}"),
            Kind::RequestTimeout => f.write_str("the client was silent for too long inside its request"),
            Kind::BodyTooLarge => f.write_str("the request body is larger than server.limits.max_body_size"),
            Kind::Overloaded => f.write_str("more connections than server.limits.max_connections"),
            Kind::ConcurrencyLimited(scope) => {
                write!(f, "more requests at once than {}.max_concurrency", limits(scope))
            }
            Kind::RateLimited(scope, unit) => {
                let (unit, field) = rate(unit);
                write!(f, "more {unit} in a minute than {}.{field}", limits(scope))
            }
            Kind::StateUnavailable => f.write_str("the server in 'state' is away, and state_failure is \"closed\""),
            Kind::BudgetExhausted(scope, unit) => write!(f, "{}.budget.{} is used up", limits(scope), budget(unit)),
            Kind::UpstreamDns => f.write_str("the upstream's name could not be resolved"),
            Kind::UpstreamConnect => f.write_str("the upstream takes no connection"),
            Kind::UpstreamTls => f.write_str("no TLS session with the upstream"),
            Kind::UpstreamProxyDns => f.write_str("the upstream proxy's name could not be resolved"),
            Kind::UpstreamProxyConnect => f.write_str("the upstream proxy takes no connection"),
            Kind::UpstreamProxyTls => f.write_str("no TLS session with the upstream proxy"),
            Kind::UpstreamProxyAuth => {
                f.write_str("the upstream proxy asks for a login, or does not accept the given one")
            }
            Kind::UpstreamProxyRefused(refusal) => {
                write!(f, "the upstream proxy does not make the connection: {}", refusal.en())
            }
            Kind::UpstreamProxyBadAnswer => f.write_str("the upstream proxy's answer is not valid"),
            Kind::UpstreamProxyReset => f.write_str("the upstream proxy closed the connection before it had made one"),
            Kind::UpstreamReset => f.write_str("the upstream closed the connection before it answered"),
            Kind::UpstreamBadAnswer => f.write_str("the upstream's answer is not valid"),
            Kind::UpstreamStatus(status) => {
                write!(f, "the upstream answered with status {status} to a client that had been told 200")
            }
            Kind::UpstreamNoStream => {
                f.write_str("the upstream answered with no plain event stream to a client that was promised one")
            }
            Kind::UpstreamTimeout(limit) => write!(f, "the upstream took longer than timeouts.{}", limit.name()),
            Kind::Internal => f.write_str("a bug in the proxy"),
        }
    }

    fn zh(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Kind::RouteNotFound => f.write_str("路由不存在或已禁用"),
            Kind::RouteMisconfigured => f.write_str("路由缺少 target_url"),
            Kind::RouteProxyUnusable => f.write_str("环境变量没有为此路由指定可用的代理"),
            Kind::BadTargetUrl => f.write_str("目标 URL 无效"),
            Kind::TargetForbidden(ban) => write!(f, "此路由不允许该目标: {}", ban.zh()),
            Kind::EmptyPath => f.write_str("剥离 base_path 后路径为空"),
            Kind::BadPath => f.write_str("路径可能越出目标前缀，或编码有歧义"),
            Kind::MethodNotAllowed => f.write_str("此处不接受该请求方法"),
            Kind::Unauthorized(unproven) => f.write_str(unproven.zh()),
            Kind::OriginNotAllowed => f.write_str("该来源的页面不允许读取此处的响应 (cors.origins)"),
            Kind::Forbidden => f.write_str("该客户端密钥无权使用此路由 (client_keys.*.routes)"),
            Kind::BadRequest(violation) => write!(f, "请求无效: {violation}"),
            Kind::RequestTimeout => f.write_str("客户端在发送请求途中静默过久"),
            Kind::BodyTooLarge => f.write_str("请求体超过 server.limits.max_body_size"),
            Kind::Overloaded => f.write_str("连接数超过 server.limits.max_connections"),
            Kind::ConcurrencyLimited(scope) => write!(f, "同时进行的请求数超过 {}.max_concurrency", limits(scope)),
            Kind::RateLimited(scope, unit) => write!(f, "一分钟内的用量超过 {}.{}", limits(scope), rate(unit).1),
            Kind::StateUnavailable => f.write_str("'state' 中的服务器不可用，且 state_failure 为 \"closed\""),
            Kind::BudgetExhausted(scope, unit) => write!(f, "{}.budget.{} 已用完", limits(scope), budget(unit)),
            Kind::UpstreamDns => f.write_str("无法解析上游域名"),
            Kind::UpstreamConnect => f.write_str("无法连接上游"),
            Kind::UpstreamTls => f.write_str("与上游的 TLS 握手失败"),
            Kind::UpstreamProxyDns => f.write_str("无法解析转发代理的域名"),
            Kind::UpstreamProxyConnect => f.write_str("无法连接转发代理"),
            Kind::UpstreamProxyTls => f.write_str("与转发代理的 TLS 握手失败"),
            Kind::UpstreamProxyAuth => f.write_str("转发代理要求登录，或不接受所给的用户名和密码"),
            Kind::UpstreamProxyRefused(refusal) => write!(f, "转发代理拒绝建立连接: {}", refusal.zh()),
            Kind::UpstreamProxyBadAnswer => f.write_str("转发代理的应答无效"),
            Kind::UpstreamProxyReset => f.write_str("转发代理在建立连接之前关闭了连接"),
            Kind::UpstreamReset => f.write_str("上游在应答之前关闭了连接"),
            Kind::UpstreamBadAnswer => f.write_str("上游的应答无效"),
            Kind::UpstreamStatus(status) => write!(f, "已向客户端发送 200 之后，上游的响应状态为 {status}"),
            Kind::UpstreamNoStream => f.write_str("已向客户端开始事件流之后，上游的响应不是未压缩的事件流"),
            Kind::UpstreamTimeout(limit) => write!(f, "上游超时: {}", limit_in_chinese(limit)),
            Kind::Internal => f.write_str("代理内部错误"),
        }
    }
}

/// The field in which the limits stand.
fn limits(scope: Scope) -> &'static str {
    match scope {
        Scope::Client => "client_keys.*.limits",
        Scope::Route => "routes.*.limits",
        Scope::Server => "limits",
    }
}

/// What is counted by the minute, and the field that limits it.
fn rate(unit: Unit) -> (&'static str, &'static str) {
    match unit {
        Unit::Requests => ("requests", "requests_per_minute"),
        Unit::Tokens | Unit::Dollars => ("tokens", "tokens_per_minute"),
    }
}

/// The field of a budget.
fn budget(unit: Unit) -> &'static str {
    match unit {
        Unit::Requests | Unit::Tokens => "tokens",
        Unit::Dollars => "usd",
    }
}

fn limit_in_chinese(limit: Limit) -> &'static str {
    match limit {
        Limit::Connect => "超过连接时限 (timeouts.connect)",
        Limit::FirstByte => "超过首字节时限 (timeouts.first_byte)",
        Limit::Idle => "静默超过时限 (timeouts.idle)",
        Limit::Total => "超过总时限 (timeouts.total)",
    }
}

impl Unproven {
    fn en(self) -> &'static str {
        match self {
            Self::Missing => "the request has no client key",
            Self::Unknown => "the request has no client key that is known",
            Self::Disabled => "the client key is disabled",
            Self::Expired => "the client key has expired",
        }
    }

    fn zh(self) -> &'static str {
        match self {
            Self::Missing => "请求没有携带客户端密钥",
            Self::Unknown => "请求没有携带已知的客户端密钥",
            Self::Disabled => "客户端密钥已停用",
            Self::Expired => "客户端密钥已过期",
        }
    }
}

impl Ban {
    fn en(self) -> &'static str {
        match self {
            Self::Metadata => "a cloud's metadata service",
            Self::LinkLocal => "a link-local address",
            Self::Ambiguous => "a host that ends in a number and is no address",
            Self::Private => "not a public address, and allow_private is false",
            Self::Denied => "deny_hosts names it",
            Self::NotAllowed => "allow_hosts does not name it",
            Self::Own => "this proxy itself listens there",
        }
    }

    fn zh(self) -> &'static str {
        match self {
            Self::Metadata => "云服务的元数据地址",
            Self::LinkLocal => "链路本地地址",
            Self::Ambiguous => "主机名以数字结尾，却不是有效的地址",
            Self::Private => "不是公网地址，而 allow_private 为 false",
            Self::Denied => "在 deny_hosts 之列",
            Self::NotAllowed => "不在 allow_hosts 之列",
            Self::Own => "这是本代理自身的监听地址",
        }
    }
}

impl Refusal {
    fn en(self) -> String {
        match self {
            Self::Status(status) => format!("status {status}"),
            Self::Socks5(reply) => match reply {
                1 => "general failure of the SOCKS server".to_owned(),
                2 => "not allowed by its rules".to_owned(),
                3 => "network unreachable".to_owned(),
                4 => "host unreachable".to_owned(),
                5 => "connection refused".to_owned(),
                6 => "TTL expired".to_owned(),
                7 => "command not supported".to_owned(),
                8 => "kind of address not supported".to_owned(),
                other => format!("SOCKS5 reply {other}"),
            },
            Self::Socks4(reply) => format!("SOCKS4 reply {reply}"),
        }
    }

    fn zh(self) -> String {
        match self {
            Self::Status(status) => format!("状态码 {status}"),
            Self::Socks5(reply) => match reply {
                1 => "SOCKS 服务器一般性故障".to_owned(),
                2 => "规则不允许".to_owned(),
                3 => "网络不可达".to_owned(),
                4 => "主机不可达".to_owned(),
                5 => "连接被拒绝".to_owned(),
                6 => "TTL 超时".to_owned(),
                7 => "不支持该命令".to_owned(),
                8 => "不支持该地址类型".to_owned(),
                other => format!("SOCKS5 应答 {other}"),
            },
            Self::Socks4(reply) => format!("SOCKS4 应答 {reply}"),
        }
    }
}

/// What was going on when patience ran out.
impl Speak for Step {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match lang {
            Lang::En => match self {
                Self::Dns => "while resolving the upstream's name",
                Self::Connect => "while connecting to the upstream",
                Self::Tls => "during the TLS handshake with the upstream",
                Self::ProxyDns => "while resolving the upstream proxy's name",
                Self::ProxyConnect => "while connecting to the upstream proxy",
                Self::ProxyTls => "during the TLS handshake with the upstream proxy",
                Self::Proxy => "while waiting for the upstream proxy to make the connection",
            },
            Lang::Zh => match self {
                Self::Dns => "正在解析上游域名",
                Self::Connect => "正在连接上游",
                Self::Tls => "正在与上游进行 TLS 握手",
                Self::ProxyDns => "正在解析转发代理的域名",
                Self::ProxyConnect => "正在连接转发代理",
                Self::ProxyTls => "正在与转发代理进行 TLS 握手",
                Self::Proxy => "正在等待转发代理建立连接",
            },
        })
    }
}
