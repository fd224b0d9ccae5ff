//! What can be wrong with the keys of clients, and what is said of them.

use std::fmt::{self, Display};

use super::{Allowed, Lang, Speak};

/// One thing that is wrong, or odd, with who may use the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientProblem {
    /// Not a name.
    BadName,
    /// A client without a key.
    NoKey,
    /// A key that could be guessed.
    ShortKey,
    /// A key that not every place can hold.
    BadKey,
    /// A bad digest of a key.
    BadDigest,
    /// The key of another.
    RepeatedKey {
        /// Of this one.
        owner: String,
    },
    /// Neither a date nor a time.
    BadExpiry,
    /// The time of a key is over.
    IsExpired,
    /// A route that does not exist.
    NoSuchRoute,
    /// There is no key that is good for anything.
    NoneGood,
    /// A route is said to be open, and all are.
    UnusedPublic,
    /// Everybody can use keys of the operator.
    OpenSecrets {
        /// On how many routes besides this one.
        others: usize,
        /// The operator has said so.
        is_public: bool,
    },
}

impl ClientProblem {
    /// Whether it lies in a key of the file and not in the value under it.
    pub(super) fn is_about_key(&self) -> bool {
        matches!(self, Self::BadName | Self::NoKey | Self::NoneGood | Self::UnusedPublic | Self::OpenSecrets { .. })
    }

    fn en(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName => f.write_str("a client needs a name, without control characters: the log shows it"),
            Self::NoKey => f.write_str("'key' is missing. 'aqueduct keygen NAME' makes one"),
            Self::ShortKey => {
                f.write_str("a key has at least 16 characters, or others can guess it. 'aqueduct keygen NAME' makes one")
            }
            Self::BadKey => f.write_str("a key has visible ASCII characters only, without spaces"),
            Self::BadDigest => f.write_str("expected 'sha256:' and 64 hexadecimal digits, as 'aqueduct keygen' prints them"),
            Self::RepeatedKey { owner } => write!(f, "this is the key of '{owner}' already: each client needs one of its own"),
            Self::BadExpiry => f.write_str(
                "expected a date such as \"2027-01-01\" (good to the end of that day, UTC) or a time with its zone such as \"2027-01-01T12:00:00Z\"",
            ),
            Self::IsExpired => f.write_str("this time is over: the key is refused"),
            Self::NoSuchRoute => f.write_str("no route has such a key"),
            Self::NoneGood => f.write_str("no key in it is good: everything is refused but routes with \"public\": true"),
            Self::UnusedPublic => f.write_str("without client_keys every route is open to everybody, this one and all others"),
            Self::OpenSecrets { others, is_public } => {
                f.write_str("everybody who reaches the port can use the keys of this route")?;
                if *others > 0 {
                    write!(f, " and of {others} more")?;
                }
                f.write_str(if *is_public {
                    ", since it is public. Leave out 'public', or listen on 127.0.0.1"
                } else {
                    ". Say who may in client_keys ('aqueduct keygen NAME' makes a key), or listen on 127.0.0.1"
                })
            }
        }
    }

    fn zh(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadName => f.write_str("客户端需要一个不含控制字符的名称: 日志会显示它"),
            Self::NoKey => f.write_str("缺少 'key'。可用 'aqueduct keygen 名称' 生成"),
            Self::ShortKey => f.write_str("密钥至少 16 个字符，否则容易被猜中。可用 'aqueduct keygen 名称' 生成"),
            Self::BadKey => f.write_str("密钥只能由可见的 ASCII 字符组成，不含空格"),
            Self::BadDigest => f.write_str("应为 'sha256:' 加 64 个十六进制数字，即 'aqueduct keygen' 输出的形式"),
            Self::RepeatedKey { owner } => write!(f, "与 '{owner}' 的密钥相同: 每个客户端需要自己的密钥"),
            Self::BadExpiry => f.write_str(
                "应为日期，例如 \"2027-01-01\"（到当天结束为止，UTC），或带时区的时间，例如 \"2027-01-01T12:00:00Z\"",
            ),
            Self::IsExpired => f.write_str("已过期: 该密钥会被拒绝"),
            Self::NoSuchRoute => f.write_str("没有匹配的路由"),
            Self::NoneGood => f.write_str("其中没有可用的密钥: 除 \"public\": true 的路由外一律拒绝"),
            Self::UnusedPublic => f.write_str("没有配置 client_keys 时，所有路由都对任何人开放，不只是这一个"),
            Self::OpenSecrets { others, is_public } => {
                f.write_str("任何能访问此端口的人都可以使用此路由")?;
                if *others > 0 {
                    write!(f, "及另外 {others} 个路由")?;
                }
                f.write_str(if *is_public {
                    "的密钥，因为它是公开的。请去掉 'public'，或改为监听 127.0.0.1"
                } else {
                    "的密钥。请用 client_keys 限定使用者（'aqueduct keygen 名称' 可生成密钥），或改为监听 127.0.0.1"
                })
            }
        }
    }
}

impl Speak for ClientProblem {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match lang {
            Lang::En => self.en(f),
            Lang::Zh => self.zh(f),
        }
    }
}

/// What is said of clients and their keys.
pub enum ClientSay<'a> {
    /// How many there are, and how many of them are good for something.
    Count {
        /// All of them.
        all: usize,
        /// Those that are.
        good: usize,
    },
    /// A route that everybody may use.
    Public,
    /// The head of the list of clients.
    Part,
    /// One client.
    One {
        /// His name.
        name: &'a dyn Display,
        /// The routes that he may use, if not all.
        routes: Option<&'a dyn Display>,
        /// Until when.
        expires: Option<&'a dyn Display>,
        /// Whether his key is good for anything.
        enabled: bool,
        /// How much he may use, if that is limited.
        limits: Option<Allowed>,
    },
    /// A key was made; it stands below, and then what belongs into the file.
    NewKey(&'a dyn Display),
    /// Where that belongs.
    NewEntry,
    /// The system has no randomness to give.
    NoRandomness,
    /// Nobody has this name.
    Nobody(&'a dyn Display),
    /// Whose request would be forwarded.
    Asks(&'a dyn Display),
}

impl Speak for ClientSay<'_> {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let en = lang == Lang::En;
        match self {
            Self::Count { all, good } if all == good => {
                write!(f, "  - {}: {all}", if en { "Client keys" } else { "客户端密钥" })
            }
            Self::Count { all, good } if en => write!(f, "  - Client keys: {all}, of which {good} are good"),
            Self::Count { all, good } => write!(f, "  - 客户端密钥: {all} (其中 {good} 个可用)"),
            Self::Public => f.write_str(if en { "🔓 public" } else { "🔓 公开" }),
            Self::Part => f.write_str(if en { "\n[Clients]" } else { "\n[客户端]" }),
            Self::One { name, routes, expires, enabled, limits } => {
                write!(f, "  {} {name}: ", if *enabled { "✅" } else { "❌" })?;
                match routes {
                    Some(routes) => f.write_str(if en { "routes " } else { "路由 " }).and(write!(f, "{routes}"))?,
                    None => f.write_str(if en { "every route" } else { "所有路由" })?,
                }
                match expires {
                    Some(expires) if en => write!(f, ", until {expires}")?,
                    Some(expires) => write!(f, "，有效期至 {expires}")?,
                    None => {}
                }
                match limits {
                    Some(limits) if en => write!(f, ", {}", limits.in_lang(lang)),
                    Some(limits) => write!(f, "，{}", limits.in_lang(lang)),
                    None => Ok(()),
                }
            }
            Self::NewKey(name) if en => write!(f, "The key of {name}. It is shown this once, and kept nowhere:"),
            Self::NewKey(name) => write!(f, "{name} 的密钥。只显示这一次，不会保存:"),
            Self::NewEntry if en => f.write_str("What belongs into the configuration, under \"client_keys\":"),
            Self::NewEntry => f.write_str("请加入配置文件的 \"client_keys\" 中:"),
            Self::NoRandomness if en => f.write_str("❌ The system has no randomness to give."),
            Self::NoRandomness => f.write_str("❌ 系统无法提供随机数。"),
            Self::Nobody(name) if en => write!(f, "❌ No client key has the name '{name}'."),
            Self::Nobody(name) => write!(f, "❌ 没有名为 '{name}' 的客户端密钥。"),
            Self::Asks(name) if en => write!(f, "   Client:           {name} (the key itself is not passed on)"),
            Self::Asks(name) => write!(f, "   客户端:       {name} (密钥本身不会转发)"),
        }
    }
}
