//! What can be wrong with a configuration, and how to mend it.

use std::borrow::Cow;
use std::fmt;

use super::json::syntax_in_chinese;
use super::{
    ClientProblem, CorsProblem, DoorProblem, JsonType, KeepAliveProblem, Lang, LimitProblem, PickProblem, RetryProblem,
    Speak, UsageProblem, system_words,
};
use crate::origin::BadAuthority;
use crate::secret::{MASK, mask_after_name};

/// One thing that is wrong, or odd, in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The text is no JSON; what the parser says of it.
    Syntax(String),
    /// A `/*` without its `*/`.
    UnclosedComment,
    /// A value of the wrong type.
    WrongType {
        /// What may stand there.
        expected: Vec<JsonType>,
        /// What stands there.
        found: JsonType,
    },
    /// A number that is too small or too large.
    OutOfRange {
        /// The smallest that is allowed.
        minimum: Option<i64>,
        /// The largest that is allowed.
        maximum: Option<i64>,
    },
    /// A word that is none of those allowed.
    NotOneOf(Vec<String>),
    /// A field that does not exist.
    UnknownField {
        /// One that does, and is written almost the same.
        suggestion: Option<String>,
    },
    /// A key that stood before in the same object.
    RepeatedKey,
    /// `${NAME}` with no such variable.
    UnsetVariable(String),
    /// `${…}` that is none of the forms. What stands in it is not told: it may be a key that was to be hidden there.
    BadReference,
    /// A file that cannot be read.
    UnreadableFile {
        /// Its path.
        file: String,
        /// Why.
        why: String,
    },
    /// Not a duration.
    BadDuration,
    /// Not a size.
    BadSize,
    /// Not a port.
    BadPort,
    /// Not a URL: it does not begin with `http://` or `https://`.
    NoScheme,
    /// Not a URL that can be asked.
    OtherScheme,
    /// A URL with white space, a control character or a backslash.
    BadUrlByte,
    /// A URL with a bad host or port.
    BadAuthority(BadAuthority),
    /// Not the URL of an upstream proxy.
    BadProxy,
    /// A login that the proxy's protocol cannot carry.
    BadProxyLogin,
    /// A variable of the environment that should name an upstream proxy.
    BadProxyVariable(&'static str),
    /// An entry of `no_proxy` that is neither name nor address nor network.
    UnreadNoProxy {
        /// The variable of the environment, if it stands in one.
        variable: Option<&'static str>,
        /// The entry, masked.
        entry: String,
    },
    /// Not a header name.
    BadHeaderName(String),
    /// A header value with a line end or another control character.
    BadHeaderValue,
    /// A header that the proxy writes itself.
    ManagedHeader(String),
    /// A header that is configured twice, in different cases.
    RepeatedHeader(String),
    /// Too many headers.
    TooManyHeaders(usize),
    /// A base path that can never be part of a path.
    BadBasePath,
    /// A route without target.
    MissingTarget,
    /// A route without anything.
    EmptyRoute,
    /// A key that can never be a path segment.
    UnreachableKey,
    /// Anybody can use the proxy to reach any host.
    OpenUniversal {
        /// Internal ones too.
        internal: bool,
    },
    /// Neither name nor address nor network.
    BadHostEntry,
    /// Rules for targets that clients name, where they name none.
    UnusedGuard,
    /// Other users of the machine can read the keys in the file.
    WorldReadable,
    /// Something about how clients come in.
    Door(DoorProblem),
    /// Something about how usage is read along.
    Usage(UsageProblem),
    /// Something about comments in streams.
    KeepAlive(KeepAliveProblem),
    /// Something about who may come in.
    Client(ClientProblem),
    /// Something about pages in browsers.
    Cors(CorsProblem),
    /// Something about lists of which one is picked.
    Pick(PickProblem),
    /// Something about limits.
    Limit(LimitProblem),
    /// Something about what happens when an upstream fails.
    Retry(RetryProblem),
}

impl From<DoorProblem> for Problem {
    fn from(problem: DoorProblem) -> Self {
        Self::Door(problem)
    }
}

impl From<PickProblem> for Problem {
    fn from(problem: PickProblem) -> Self {
        Self::Pick(problem)
    }
}

impl From<KeepAliveProblem> for Problem {
    fn from(problem: KeepAliveProblem) -> Self {
        Self::KeepAlive(problem)
    }
}

impl From<LimitProblem> for Problem {
    fn from(problem: LimitProblem) -> Self {
        Self::Limit(problem)
    }
}

impl From<RetryProblem> for Problem {
    fn from(problem: RetryProblem) -> Self {
        Self::Retry(problem)
    }
}

impl From<UsageProblem> for Problem {
    fn from(problem: UsageProblem) -> Self {
        Self::Usage(problem)
    }
}

impl Speak for Problem {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match lang {
            Lang::En => self.en(f),
            Lang::Zh => self.zh(f),
        }
    }
}

impl Problem {
    /// Whether it lies in a key and not in the value under it.
    #[must_use]
    pub fn is_about_key(&self) -> bool {
        matches!(
            self,
            Self::UnknownField { .. }
                | Self::RepeatedKey
                | Self::BadHeaderName(_)
                | Self::ManagedHeader(_)
                | Self::RepeatedHeader(_)
                | Self::UnreachableKey
                | Self::MissingTarget
                | Self::EmptyRoute
                | Self::OpenUniversal { .. }
                | Self::UnusedGuard
                | Self::Door(DoorProblem::UnusedHost)
                | Self::Pick(PickProblem::UnusedStrategy)
                | Self::Retry(RetryProblem::OneAttempt)
        ) || matches!(self, Self::Client(problem) if problem.is_about_key())
    }

    /// Whether it lies in the environment and not in the file.
    #[must_use]
    pub fn is_about_environment(&self) -> bool {
        matches!(self, Self::BadProxyVariable(_) | Self::UnreadNoProxy { variable: Some(_), .. })
    }

    fn en(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(why) => write!(f, "not valid JSON: {why}"),
            Self::UnclosedComment => f.write_str("this comment is never closed: '*/' is missing"),
            Self::WrongType { expected, found } => {
                let expected: Vec<_> = expected.iter().map(|expected| expected.en()).collect();
                write!(f, "expected {}, found {}", expected.join(" or "), found.en())
            }
            Self::OutOfRange { minimum: Some(minimum), maximum: Some(maximum) } => {
                write!(f, "expected a number from {minimum} to {maximum}")
            }
            Self::OutOfRange { minimum: Some(minimum), maximum: None } => {
                write!(f, "expected a number of at least {minimum}")
            }
            Self::OutOfRange { minimum: None, maximum } => {
                write!(f, "expected a number of at most {}", maximum.unwrap_or(i64::MAX))
            }
            Self::NotOneOf(allowed) => write!(f, "expected one of: {}", allowed.join(", ")),
            Self::UnknownField { suggestion: Some(known) } => {
                write!(f, "unknown field, ignored. Did you mean '{known}'?")
            }
            Self::UnknownField { suggestion: None } => f.write_str("unknown field, ignored"),
            Self::RepeatedKey => f.write_str("this key stands more than once in the same object; the last one counts"),
            Self::UnsetVariable(name) => {
                let name = told_variable(name);
                write!(
                    f,
                    "the environment variable {name} is not set. Set it, or write ${{{name}:-default}}; a literal '${{' is written '$${{'"
                )
            }
            Self::BadReference => f.write_str(
                "a '${' in it begins none of ${NAME}, ${NAME:-default} and ${file:/path}; a literal '${' is written '$${'",
            ),
            Self::UnreadableFile { file, why } => write!(f, "cannot read the file '{file}': {why}"),
            Self::BadDuration => f.write_str("expected a duration: seconds, or a text like \"300ms\", \"10s\", \"5m\", \"1h\""),
            Self::BadSize => f.write_str("expected a size: bytes, or a text like \"64KiB\", \"32MiB\", \"1GiB\""),
            Self::BadPort => f.write_str("expected a port: a number from 0 to 65535"),
            Self::NoScheme => f.write_str("the URL must begin with http:// or https://"),
            Self::OtherScheme => f.write_str("only http:// and https:// URLs can be forwarded to"),
            Self::BadUrlByte => f.write_str("a URL cannot hold white space, control characters or backslashes"),
            Self::BadAuthority(BadAuthority::NoHost) => f.write_str("the URL has no host"),
            Self::BadAuthority(BadAuthority::BadHost) => {
                f.write_str("the host is not valid; write international names in their 'xn--' form")
            }
            Self::BadAuthority(BadAuthority::BadPort) => f.write_str("the port is not a number from 1 to 65535"),
            Self::BadAuthority(BadAuthority::BadUserinfo) => {
                f.write_str("what stands before '@' is not user:password with special characters percent-encoded")
            }
            Self::BadProxy => {
                f.write_str("expected a proxy URL: http://, https://, socks5://, socks5h://, socks4:// or socks4a://, as in \"http://user:pass@host:port\", with special characters percent-encoded")
            }
            Self::BadProxyLogin => f.write_str("SOCKS5 carries names and passwords of up to 255 bytes, SOCKS4 such a name and no password"),
            Self::BadProxyVariable(name) => write!(
                f,
                "the environment variable {name} does not hold the URL of a proxy. Requests that would go through it are answered with 500 and never sent directly. Correct it, or set global_proxy (\"\": no proxy)"
            ),
            Self::UnreadNoProxy { variable, entry } => {
                write!(f, "'{entry}' is no name, address or network such as 10.0.0.0/8")?;
                variable.map_or(Ok(()), |name| write!(f, "; it stands in the environment variable {name} and is ignored"))
            }
            Self::BadHeaderName(name) => write!(f, "'{}' is not a header name", mask_after_name(name)),
            Self::BadHeaderValue => f.write_str("a header value cannot hold line ends or other control characters"),
            Self::ManagedHeader(name) => write!(f, "the proxy writes '{name}' itself; this entry is ignored"),
            Self::RepeatedHeader(name) => {
                write!(f, "'{name}' is configured more than once, in different case; the last one counts")
            }
            Self::TooManyHeaders(max) => write!(f, "more than {max} headers on one route"),
            Self::BadBasePath => f.write_str("a base path cannot hold '?', '#', white space or control characters"),
            Self::MissingTarget => f.write_str("the route has neither target_url nor universal_proxy: it answers 500"),
            Self::EmptyRoute => f.write_str("the route is empty: it answers 404, as if it were not there"),
            Self::UnreachableKey => f.write_str("a route key is one path segment: with a '/' in it, or empty, it can never be asked for"),
            Self::OpenUniversal { internal: true } => f.write_str(
                "this universal route lets everybody who reaches the port send requests to any host, your internal ones too. Listen on 127.0.0.1, name the targets in allow_hosts, or at least set allow_private to false",
            ),
            Self::OpenUniversal { internal: false } => f.write_str(
                "this universal route lets everybody who reaches the port send requests to any public host. Listen on 127.0.0.1, or name the targets in allow_hosts",
            ),
            Self::BadHostEntry => f.write_str(
                "expected a name (\"api.example.com\", \"*.example.com\"), an address or a network such as \"10.0.0.0/8\", without a port",
            ),
            Self::UnusedGuard => f.write_str(
                "allow_private, allow_hosts and deny_hosts are for universal routes; with a target_url they do nothing",
            ),
            Self::WorldReadable => {
                f.write_str("every user of this machine can read the keys in this file. Run: chmod 600")
            }
            Self::Door(problem) => problem.speak(Lang::En, f),
            Self::Usage(problem) => problem.speak(Lang::En, f),
            Self::KeepAlive(problem) => problem.speak(Lang::En, f),
            Self::Client(problem) => problem.speak(Lang::En, f),
            Self::Cors(problem) => problem.speak(Lang::En, f),
            Self::Pick(problem) => problem.speak(Lang::En, f),
            Self::Limit(problem) => problem.speak(Lang::En, f),
            Self::Retry(problem) => problem.speak(Lang::En, f),
        }
    }

    fn zh(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(why) => write!(f, "不是有效的 JSON: {}", syntax_in_chinese(why)),
            Self::UnclosedComment => f.write_str("注释没有结束: 缺少 '*/'"),
            Self::WrongType { expected, found } => {
                let expected: Vec<_> = expected.iter().map(|expected| expected.zh()).collect();
                write!(f, "应为{}，实际为{}", expected.join("或"), found.zh())
            }
            Self::OutOfRange { minimum: Some(minimum), maximum: Some(maximum) } => {
                write!(f, "应为 {minimum} 到 {maximum} 之间的数字")
            }
            Self::OutOfRange { minimum: Some(minimum), maximum: None } => write!(f, "应为不小于 {minimum} 的数字"),
            Self::OutOfRange { minimum: None, maximum } => {
                write!(f, "应为不大于 {} 的数字", maximum.unwrap_or(i64::MAX))
            }
            Self::NotOneOf(allowed) => write!(f, "应为以下之一: {}", allowed.join("、")),
            Self::UnknownField { suggestion: Some(known) } => write!(f, "未知字段，已忽略。是否想写 '{known}'？"),
            Self::UnknownField { suggestion: None } => f.write_str("未知字段，已忽略"),
            Self::RepeatedKey => f.write_str("同一对象中该键出现了多次，以最后一次为准"),
            Self::UnsetVariable(name) => {
                let name = told_variable(name);
                write!(
                    f,
                    "环境变量 {name} 未设置。请设置它，或写成 ${{{name}:-默认值}}；字面的 '${{' 请写作 '$${{'"
                )
            }
            Self::BadReference => f.write_str(
                "其中的 '${' 不是 ${名称}、${名称:-默认值} 或 ${file:/路径} 的开头；字面的 '${' 请写作 '$${'",
            ),
            Self::UnreadableFile { file, why } => write!(f, "无法读取文件 '{file}': {}", system_words(why, Lang::Zh)),
            Self::BadDuration => f.write_str("应为时长: 秒数，或 \"300ms\"、\"10s\"、\"5m\"、\"1h\" 这样的文本"),
            Self::BadSize => f.write_str("应为大小: 字节数，或 \"64KiB\"、\"32MiB\"、\"1GiB\" 这样的文本"),
            Self::BadPort => f.write_str("应为端口: 0 到 65535 之间的数字"),
            Self::NoScheme => f.write_str("URL 必须以 http:// 或 https:// 开头"),
            Self::OtherScheme => f.write_str("只能转发到 http:// 和 https:// 的 URL"),
            Self::BadUrlByte => f.write_str("URL 中不能有空白、控制字符或反斜杠"),
            Self::BadAuthority(BadAuthority::NoHost) => f.write_str("URL 中没有主机名"),
            Self::BadAuthority(BadAuthority::BadHost) => f.write_str("主机名无效；国际化域名请写成 'xn--' 形式"),
            Self::BadAuthority(BadAuthority::BadPort) => f.write_str("端口应为 1 到 65535 之间的数字"),
            Self::BadAuthority(BadAuthority::BadUserinfo) => {
                f.write_str("'@' 之前应为 用户名:密码，特殊字符需用百分号编码")
            }
            Self::BadProxy => f.write_str(
                "应为代理 URL: http://、https://、socks5://、socks5h://、socks4:// 或 socks4a://，例如 \"http://user:pass@host:port\"，特殊字符需用百分号编码",
            ),
            Self::BadProxyLogin => f.write_str("SOCKS5 的用户名和密码各不能超过 255 字节，SOCKS4 只有用户名，没有密码"),
            Self::BadProxyVariable(name) => write!(
                f,
                "环境变量 {name} 的值不是代理 URL。需要经由它的请求将返回 500，绝不会改为直连。请改正它，或设置 global_proxy (\"\" 表示不使用代理)"
            ),
            Self::UnreadNoProxy { variable, entry } => {
                write!(f, "'{entry}' 不是域名、地址或 10.0.0.0/8 这样的网段")?;
                variable.map_or(Ok(()), |name| write!(f, "；它出现在环境变量 {name} 中，已忽略"))
            }
            Self::BadHeaderName(name) => write!(f, "'{}' 不是有效的 Header 名称", mask_after_name(name)),
            Self::BadHeaderValue => f.write_str("Header 的值中不能有换行或其他控制字符"),
            Self::ManagedHeader(name) => write!(f, "'{name}' 由代理自行生成，此项已忽略"),
            Self::RepeatedHeader(name) => write!(f, "'{name}' 以不同大小写配置了多次，以最后一次为准"),
            Self::TooManyHeaders(max) => write!(f, "一个路由的 Header 不能超过 {max} 个"),
            Self::BadBasePath => f.write_str("基础路径中不能有 '?'、'#'、空白或控制字符"),
            Self::MissingTarget => f.write_str("该路由既没有 target_url 也没有 universal_proxy: 将返回 500"),
            Self::EmptyRoute => f.write_str("该路由为空: 将返回 404，如同不存在"),
            Self::UnreachableKey => f.write_str("路由的键是一个路径段: 为空或含有 '/' 时永远无法访问"),
            Self::OpenUniversal { internal: true } => f.write_str(
                "任何能访问此端口的人都可以借这个万能路由向任意主机发送请求，包括内网主机。请改为监听 127.0.0.1，用 allow_hosts 限定目标，或至少将 allow_private 设为 false",
            ),
            Self::OpenUniversal { internal: false } => f.write_str(
                "任何能访问此端口的人都可以借这个万能路由向任意公网主机发送请求。请改为监听 127.0.0.1，或用 allow_hosts 限定目标",
            ),
            Self::BadHostEntry => f.write_str(
                "应为域名 (\"api.example.com\"、\"*.example.com\")、地址或 \"10.0.0.0/8\" 这样的网段，不带端口",
            ),
            Self::UnusedGuard => f.write_str(
                "allow_private、allow_hosts 和 deny_hosts 只用于万能路由；对有 target_url 的路由不起作用",
            ),
            Self::WorldReadable => f.write_str("本机所有用户都能读取此文件中的密钥。请运行: chmod 600"),
            Self::Door(problem) => problem.speak(Lang::Zh, f),
            Self::Usage(problem) => problem.speak(Lang::Zh, f),
            Self::KeepAlive(problem) => problem.speak(Lang::Zh, f),
            Self::Client(problem) => problem.speak(Lang::Zh, f),
            Self::Cors(problem) => problem.speak(Lang::Zh, f),
            Self::Pick(problem) => problem.speak(Lang::Zh, f),
            Self::Limit(problem) => problem.speak(Lang::Zh, f),
            Self::Retry(problem) => problem.speak(Lang::Zh, f),
        }
    }
}

/// The name of a variable, as it is told. By custom names are in capitals, a few in small letters without digits;
/// anything else may be a key that somebody put between the braces.
fn told_variable(name: &str) -> Cow<'_, str> {
    let has = |is_such: fn(&char) -> bool| name.chars().any(|letter| is_such(&letter));
    let is_name = !has(char::is_ascii_lowercase) || !(has(char::is_ascii_uppercase) || has(char::is_ascii_digit));
    if is_name { name.into() } else { format!("{}{MASK}", name.chars().take(3).collect::<String>()).into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_say_what_was_expected() {
        let problem = Problem::WrongType { expected: vec![JsonType::String, JsonType::Null], found: JsonType::Number };
        assert_eq!(problem.in_lang(Lang::En).to_string(), "expected a string or null, found a number");
        assert_eq!(problem.in_lang(Lang::Zh).to_string(), "应为字符串或null，实际为数字");
    }

    #[test]
    fn what_looks_like_a_key_is_no_name_of_a_variable() {
        for name in ["OPENAI_API_KEY", "KEY_2", "http_proxy", "_"] {
            assert_eq!(told_variable(name), name);
        }
        assert_eq!(told_variable("AIzaSyD9x"), "AIz***");
        assert_eq!(told_variable("sk_live_51h8x"), "sk_***");
    }
}
