//! What can be wrong with the ways in, and how to mend it.

use std::fmt;

use super::{Lang, Speak};

/// One thing that is wrong, or odd, with how clients are to come in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DoorProblem {
    /// Not a place to listen at.
    BadPlace,
    /// A path that is too long for a local socket.
    LongPath,
    /// A local socket where there are none.
    NoLocalSockets,
    /// No place to listen at.
    NoPlace,
    /// A place that was named before.
    RepeatedPlace,
    /// `host` or `port` beside `listen`.
    UnusedHost,
    /// Neither an address nor a network.
    BadNetwork,
    /// The PROXY protocol, and nobody from whom it is accepted.
    NobodyTrusted,
    /// TLS without a certificate or without a key.
    IncompleteTls,
    /// Certificates that cannot be used; what the library says of them.
    BadCertificate(String),
    /// A key that cannot be used.
    BadKey,
    /// The key of another certificate.
    OtherKey,
    /// A key file that other users of the machine can read.
    ReadableKey {
        /// Its path.
        file: String,
    },
}

impl Speak for DoorProblem {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match lang {
            Lang::En => self.en(f),
            Lang::Zh => self.zh(f),
        }
    }
}

impl DoorProblem {
    fn en(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadPlace => f.write_str(
                "expected an address to listen on: \"host:port\", \"[IPv6]:port\", \":port\" or \"unix:/path\"",
            ),
            Self::LongPath => f.write_str("the path is longer than the system allows for a socket (about 100 bytes)"),
            Self::NoLocalSockets => f.write_str("Unix sockets are not supported on this system"),
            Self::NoPlace => f.write_str("the list is empty: name an address to listen on, or leave the field out"),
            Self::RepeatedPlace => f.write_str("this address stands in the list already"),
            Self::UnusedHost => f.write_str("'listen' is used instead of 'host' and 'port'"),
            Self::BadNetwork => f.write_str(
                "expected an address, a network such as \"10.0.0.0/8\", or \"unix:\" for Unix sockets",
            ),
            Self::NobodyTrusted => f.write_str(
                "nobody could connect: name those who may send the PROXY protocol in 'trusted_proxies'",
            ),
            Self::IncompleteTls => f.write_str("TLS needs both 'cert' and 'key'"),
            Self::BadCertificate(why) => write!(f, "no certificate in PEM form that can be used: {why}"),
            Self::BadKey => f.write_str(
                "no private key that can be used. Expected PEM: PKCS#8, PKCS#1 or SEC1, RSA or ECDSA or Ed25519, without a password",
            ),
            Self::OtherKey => f.write_str("the key does not belong to the certificate in 'cert'"),
            Self::ReadableKey { file } => {
                write!(f, "every user of this machine can read the key file '{file}'. Run: chmod 600")
            }
        }
    }

    fn zh(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadPlace => f.write_str("应为监听地址: \"主机:端口\"、\"[IPv6]:端口\"、\":端口\" 或 \"unix:/路径\""),
            Self::LongPath => f.write_str("路径超过系统对套接字的限制 (约 100 字节)"),
            Self::NoLocalSockets => f.write_str("此系统不支持 Unix 套接字"),
            Self::NoPlace => f.write_str("列表为空: 请至少写一个监听地址，或省略此字段"),
            Self::RepeatedPlace => f.write_str("该地址在列表中重复"),
            Self::UnusedHost => f.write_str("已配置 'listen'，'host' 和 'port' 不起作用"),
            Self::BadNetwork => f.write_str("应为 IP 地址、\"10.0.0.0/8\" 这样的网段，或表示 Unix 套接字的 \"unix:\""),
            Self::NobodyTrusted => {
                f.write_str("这样任何人都无法连接: 请在 'trusted_proxies' 中写明允许发送 PROXY 协议的地址")
            }
            Self::IncompleteTls => f.write_str("TLS 需要同时配置 'cert' 和 'key'"),
            Self::BadCertificate(why) => write!(f, "没有可用的 PEM 证书: {why}"),
            Self::BadKey => {
                f.write_str("没有可用的私钥。应为 PEM: PKCS#8、PKCS#1 或 SEC1，RSA、ECDSA 或 Ed25519，且不带密码")
            }
            Self::OtherKey => f.write_str("该私钥与 'cert' 中的证书不匹配"),
            Self::ReadableKey { file } => write!(f, "本机所有用户都能读取私钥文件 '{file}'。请运行: chmod 600"),
        }
    }
}
