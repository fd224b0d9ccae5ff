//! What the commands say: everything but the banner and the log.

use std::fmt::{self, Display};

use super::{Allowed, Lang, Speak, system_words};

/// What a command says.
pub enum Tell<'a> {
    /// No configuration was found.
    NoConfig {
        /// Where it was looked for.
        places: &'a str,
    },
    /// So many things are wrong.
    SeveralProblems(usize),
    /// The command line was not understood.
    BadUsage(&'a dyn Display),
    /// The configuration is refused.
    CheckFailed {
        /// Its file.
        file: &'a str,
        /// How many errors.
        errors: usize,
        /// How many warnings.
        warnings: usize,
    },
    /// The configuration is good.
    CheckPassed {
        /// Its file.
        file: &'a str,
        /// How many warnings.
        warnings: usize,
    },
    /// The head of the list of limits.
    LimitsPart,
    /// One of them does not hold as it is written.
    FewConnections {
        /// How many connections there may be.
        allowed: usize,
    },
    /// The proxy is alive.
    Healthy,
    /// The proxy is not.
    Unhealthy(&'a dyn Display),
    /// The request asks whether the proxy is alive.
    ExplainHealth,
    /// The proxy would refuse it.
    ExplainRefused {
        /// The status.
        status: u16,
        /// The code.
        code: &'static str,
        /// What the client would read.
        answer: &'a dyn Display,
    },
    /// Why so, as the log would say it.
    ExplainReason {
        /// The rule.
        why: &'a dyn Display,
        /// What it was held against.
        detail: &'a dyn Display,
    },
    /// The target is a name, whose addresses are looked at when a connection is made.
    ExplainGuard {
        /// Whether private ones are good too.
        allow_private: bool,
    },
    /// What would stand in `Host`.
    ExplainHost(&'a dyn Display),
    /// How it would go out.
    ExplainWay(&'a dyn Display),
    /// HTTP/2 is spoken to the upstream.
    ExplainHttp2,
    /// It asks to speak these protocols.
    ExplainUpgrade(&'a dyn Display),
    /// It goes to one of several targets, of which one is shown.
    ExplainTargets {
        /// How many there are.
        count: usize,
        /// All of them, masked.
        targets: &'a dyn Display,
    },
    /// It takes one of several keys.
    ExplainKeys {
        /// How many there are.
        count: usize,
        /// How one is picked.
        strategy: &'static str,
        /// Whether one is: not where the client sends its own.
        picks: bool,
    },
    /// A header would pass.
    ExplainPassed(&'a dyn Display),
    /// A header would be dropped.
    ExplainDropped {
        /// Its name.
        name: &'a dyn Display,
        /// Why.
        because: Because,
    },
    /// The limits.
    ExplainLimits {
        /// On this route.
        route: Allowed,
        /// On all routes together.
        server: Allowed,
    },
    /// Usage is read along.
    ExplainUsage {
        /// Of how many models the prices are known.
        prices: usize,
        /// For how long answers are read on whose client has left.
        drain: Option<&'a str>,
    },
    /// The time limits.
    ExplainTimeouts {
        /// For the connection.
        connect: &'a str,
        /// For the answer's head.
        first_byte: &'a str,
        /// For silence.
        idle: &'a str,
        /// For the whole exchange.
        total: &'a str,
    },
    /// A first configuration was written.
    InitWritten(&'a dyn Display),
    /// There is one already.
    InitExists(&'a dyn Display),
    /// It could not be written.
    InitFailed {
        /// The file.
        file: &'a dyn Display,
        /// Why.
        why: &'a dyn Display,
    },
    /// The demonstration runs.
    DemoStarted {
        /// Where the proxy listens.
        proxy: &'a dyn Display,
        /// Where the fake provider listens.
        provider: &'a dyn Display,
    },
    /// What a request of the demonstration shows.
    DemoOpenAi,
    /// What a request of the demonstration shows.
    DemoAnthropic,
    /// What a request of the demonstration shows.
    DemoGemini,
    /// How to go on.
    DemoNext,
}

/// Why a header is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// It belongs to one connection.
    HopByHop,
    /// The client's `Connection` names it.
    NamedByConnection,
    /// `headers_to_drop` names it.
    Configured,
    /// Another stands in its place.
    Replaced,
    /// The proxy answers it itself.
    Answered,
    /// It announces trailers, which do not pass.
    Trailer,
    /// A key of a client stands in it.
    ClientKey,
    /// It goes to another origin than the client knows of.
    Credential,
    /// It asks for a protocol, and the connection is not to speak it.
    NoUpgrade,
}

impl Speak for Tell<'_> {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match lang {
            Lang::En => self.en(f),
            Lang::Zh => self.zh(f),
        }
    }
}

impl Tell<'_> {
    fn en(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConfig { places } => write!(
                f,
                "There is no configuration yet (looked for: {places}).\n  aqueduct init   writes one to begin with\n  aqueduct demo   shows the proxy at work without one"
            ),
            Self::SeveralProblems(count) => write!(f, "{count} problems"),
            Self::BadUsage(why) => write!(f, "error: {why}\n\nFor more information, try '--help'."),
            Self::CheckFailed { file, errors, warnings } => {
                write!(f, "❌ {file}: {errors} errors, {warnings} warnings")
            }
            Self::CheckPassed { file, warnings: 0 } => write!(f, "✅ {file}: good"),
            Self::CheckPassed { file, warnings } => write!(f, "✅ {file}: good, {warnings} warnings"),
            Self::LimitsPart => f.write_str("\n[Limits]"),
            Self::FewConnections { allowed } => write!(
                f,
                "  (Started from here, there is room for {allowed} connections only: the limit on open files allows no more. Raise it: ulimit -n.)"
            ),
            Self::Healthy => f.write_str("✅ The proxy is alive."),
            Self::Unhealthy(why) => write!(f, "❌ The proxy does not answer as it should: {why}"),
            Self::ExplainHealth => f.write_str("The proxy answers by itself: 200, it is alive. No upstream is asked."),
            Self::ExplainRefused { status, code, answer } => {
                write!(f, "The proxy refuses it by itself: {status} {code}\n   {answer}")
            }
            Self::ExplainReason { why, detail } => write!(f, "   Because:          {why}: {detail}"),
            Self::ExplainGuard { allow_private: true } => {
                f.write_str("   Addresses:        looked at before connecting; private ones pass (allow_private)")
            }
            Self::ExplainGuard { allow_private: false } => f.write_str(
                "   Addresses:        looked at before connecting; only public ones pass (allow_private is false)",
            ),
            Self::ExplainHost(host) => write!(f, "   Host:             {host}"),
            Self::ExplainWay(way) => write!(f, "   Way out:          {way}"),
            Self::ExplainHttp2 => f.write_str("   Version:          HTTP/2, over TLS only if the upstream agrees"),
            Self::ExplainUpgrade(protocols) => {
                write!(f, "   Upgrade:          {protocols} (after 101, bytes pass both ways as they are)")
            }
            Self::ExplainTargets { count, targets } => {
                write!(f, "   Target:           one of {count}, picked when it goes out: {targets}")
            }
            Self::ExplainKeys { count, strategy, picks: true } => {
                write!(f, "   Key:              one of {count}, picked when it goes out ({strategy})")
            }
            Self::ExplainKeys { count, picks: false, .. } => {
                write!(f, "   Key:              none of the {count}, since the client sends its own")
            }
            Self::ExplainPassed(name) => write!(f, "   ➡️  Passed:          '{name}'"),
            Self::ExplainDropped { name, because } => write!(f, "   🗑️  Dropped:         '{name}' ({})", because.en()),
            Self::ExplainLimits { route, server } => {
                let (route, server) = (route.in_lang(Lang::En), server.in_lang(Lang::En));
                write!(f, "   Limits:           on this route: {route}; on all routes together: {server}")
            }
            Self::ExplainUsage { prices, drain } => {
                write!(f, "   Usage:            read along")?;
                if *prices > 0 {
                    write!(f, ", with the prices of {prices} models")?;
                }
                drain.map_or(Ok(()), |drain| write!(f, "; read on when the client leaves, for up to {drain}"))
            }
            Self::ExplainTimeouts { connect, first_byte, idle, total } => {
                write!(f, "   Time limits:      connect {connect}, first byte {first_byte}, idle {idle}, total {total}")
            }
            Self::InitWritten(file) => write!(
                f,
                "✅ Wrote {file}. Put your keys in, then:\n  aqueduct check   tells whether it is good\n  aqueduct         starts the proxy"
            ),
            Self::InitExists(file) => write!(f, "❌ {file} exists already and is left as it is."),
            Self::InitFailed { file, why } => write!(f, "❌ Cannot write {file}: {why}"),
            Self::DemoStarted { proxy, provider } => write!(
                f,
                "🚰 Aqueduct listens on {proxy}. Behind it, a fake provider on {provider} answers as OpenAI, Anthropic and Gemini do.\nIt accepts only the key that the proxy adds. In another terminal, try:"
            ),
            Self::DemoOpenAi => f.write_str("OpenAI, streamed:"),
            Self::DemoAnthropic => f.write_str("Anthropic, streamed:"),
            Self::DemoGemini => f.write_str("Gemini, in one piece:"),
            Self::DemoNext => f.write_str(
                "Then write a configuration of your own with 'aqueduct init'. Ctrl-C ends the demonstration.",
            ),
        }
    }

    fn zh(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoConfig { places } => write!(
                f,
                "还没有配置文件（已查找: {places}）。\n  aqueduct init   生成一份初始配置\n  aqueduct demo   无需配置即可体验"
            ),
            Self::SeveralProblems(count) => write!(f, "共 {count} 处问题"),
            Self::BadUsage(why) => write!(f, "错误: {why}\n\n运行 '--help' 查看用法。"),
            Self::CheckFailed { file, errors, warnings } => {
                write!(f, "❌ {file}: {errors} 个错误，{warnings} 个警告")
            }
            Self::CheckPassed { file, warnings: 0 } => write!(f, "✅ {file}: 配置有效"),
            Self::CheckPassed { file, warnings } => write!(f, "✅ {file}: 配置有效，{warnings} 个警告"),
            Self::LimitsPart => f.write_str("\n[限制]"),
            Self::FewConnections { allowed } => write!(
                f,
                "  （在当前环境启动时最多只能容纳 {allowed} 个连接: 受系统的文件描述符上限限制。请提高上限: ulimit -n。）"
            ),
            Self::Healthy => f.write_str("✅ 代理运行正常。"),
            Self::Unhealthy(why) => write!(f, "❌ 代理没有正常应答: {}", in_chinese(why)),
            Self::ExplainHealth => f.write_str("由代理直接应答: 200，运行正常。不会询问任何上游。"),
            Self::ExplainRefused { status, code, answer } => {
                write!(f, "由代理直接拒绝: {status} {code}\n   {answer}")
            }
            Self::ExplainReason { why, detail } => write!(f, "   原因:         {why}: {detail}"),
            Self::ExplainGuard { allow_private: true } => {
                f.write_str("   地址检查:     连接前检查目标地址；允许内网地址 (allow_private)")
            }
            Self::ExplainGuard { allow_private: false } => {
                f.write_str("   地址检查:     连接前检查目标地址；只允许公网地址 (allow_private 为 false)")
            }
            Self::ExplainHost(host) => write!(f, "   Host:         {host}"),
            Self::ExplainWay(way) => write!(f, "   出口:         {way}"),
            Self::ExplainHttp2 => f.write_str("   版本:         HTTP/2（经由 TLS 时需上游同意）"),
            Self::ExplainUpgrade(protocols) => {
                write!(f, "   协议升级:     {protocols} (收到 101 后双向原样转发)")
            }
            Self::ExplainTargets { count, targets } => {
                write!(f, "   目标:         从 {count} 个中选取一个: {targets}")
            }
            Self::ExplainKeys { count, strategy, picks: true } => {
                write!(f, "   密钥:         从 {count} 个中选取一个 ({strategy})")
            }
            Self::ExplainKeys { count, picks: false, .. } => {
                write!(f, "   密钥:         客户端自带，不使用配置的 {count} 个")
            }
            Self::ExplainPassed(name) => write!(f, "   ➡️  转发Header:      '{name}'"),
            Self::ExplainDropped { name, because } => write!(f, "   🗑️  移除Header:      '{name}' ({})", because.zh()),
            Self::ExplainLimits { route, server } => {
                let (route, server) = (route.in_lang(Lang::Zh), server.in_lang(Lang::Zh));
                write!(f, "   用量限制:     此路由: {route}；所有路由合计: {server}")
            }
            Self::ExplainUsage { prices, drain } => {
                write!(f, "   用量:         读取")?;
                if *prices > 0 {
                    write!(f, "，有 {prices} 个模型的价格")?;
                }
                drain.map_or(Ok(()), |drain| write!(f, "；客户端离开后继续读取，最多 {drain}"))
            }
            Self::ExplainTimeouts { connect, first_byte, idle, total } => {
                write!(f, "   时限:         连接 {connect}，首字节 {first_byte}，静默 {idle}，总计 {total}")
            }
            Self::InitWritten(file) => {
                write!(f, "✅ 已写入 {file}。填入密钥后:\n  aqueduct check   检查配置\n  aqueduct         启动代理")
            }
            Self::InitExists(file) => write!(f, "❌ {file} 已存在，保持不变。"),
            Self::InitFailed { file, why } => write!(f, "❌ 无法写入 {file}: {}", in_chinese(why)),
            Self::DemoStarted { proxy, provider } => write!(
                f,
                "🚰 Aqueduct 正在监听 {proxy}。它后面是 {provider} 上的模拟服务商，按 OpenAI、Anthropic 和 Gemini 的格式应答，\n且只接受由代理添加的密钥。请在另一个终端尝试:"
            ),
            Self::DemoOpenAi => f.write_str("OpenAI，流式:"),
            Self::DemoAnthropic => f.write_str("Anthropic，流式:"),
            Self::DemoGemini => f.write_str("Gemini，非流式:"),
            Self::DemoNext => f.write_str("之后可用 'aqueduct init' 生成自己的配置。按 Ctrl-C 结束演示。"),
        }
    }
}

fn in_chinese(why: &dyn Display) -> String {
    system_words(&why.to_string(), Lang::Zh).into_owned()
}

impl Because {
    fn en(self) -> &'static str {
        match self {
            Self::HopByHop => "belongs to one connection, RFC 9110 section 7.6.1",
            Self::NamedByConnection => "named by the client's Connection header",
            Self::Configured => "named by headers_to_drop",
            Self::Replaced => "replaced already",
            Self::Answered => "answered by the proxy",
            Self::Trailer => "trailers of requests are not passed on",
            Self::ClientKey => "a key for this proxy, which never passes",
            Self::Credential => "the client's own key goes to no other origin",
            Self::NoUpgrade => "this connection is not switched to another protocol",
        }
    }

    fn zh(self) -> &'static str {
        match self {
            Self::HopByHop => "逐跳字段，RFC 9110 7.6.1 节",
            Self::NamedByConnection => "被客户端的 Connection 点名",
            Self::Configured => "在 headers_to_drop 之列",
            Self::Replaced => "已被替换",
            Self::Answered => "由代理直接应答",
            Self::Trailer => "请求的尾部字段不转发",
            Self::ClientKey => "本代理的密钥，绝不转发",
            Self::Credential => "客户端自己的密钥不发往其他目标",
            Self::NoUpgrade => "此连接不切换到其他协议",
        }
    }
}
