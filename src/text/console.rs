//! The banner, the request log and the notices. The Chinese words are an interface: scripts look for them.

use std::fmt::{self, Display};
use std::time::Duration;

use super::spent::spent;
use super::{Lang, Speak, system_words};
use crate::spending::Spending;

/// What the program says on its console.
pub enum Say<'a> {
    /// A line that is the same in every language.
    Rule(&'a str),
    /// The title of the banner.
    Started,
    /// The head of the banner's first part.
    GlobalPart,
    /// Which version this is.
    Version(&'a str),
    /// Which file was read.
    ConfigFile(&'a dyn Display),
    /// Where it listens.
    Listening {
        /// The address.
        at: &'a dyn Display,
        /// Whether the manager of services opened it.
        is_given: bool,
    },
    /// The base path, or none.
    BasePath(&'a str),
    /// An address that goes through the base path.
    BasePathExample(&'a str),
    /// Whether requests are logged.
    RequestLog(bool),
    /// How often the file is looked at.
    HotReload(Option<Duration>),
    /// Who comes first where both send a header.
    GlobalPolicy {
        /// Whether it is the operator.
        force: bool,
    },
    /// The way out for every route that names none.
    GlobalProxy(&'a dyn Display),
    /// Targets to which no proxy leads, and who says so.
    NoProxy {
        /// `no_proxy`, or the variable of the environment.
        name: &'a str,
        /// The targets.
        targets: &'a dyn Display,
    },
    /// Client headers that are removed.
    DroppedHeaders(&'a str),
    /// The head of the banner's second part.
    RoutePart,
    /// There is no route.
    NoRoutes,
    /// The target of a universal route.
    Universal,
    /// The target of a route that has none.
    MissingTarget,
    /// What is said of a disabled route.
    Disabled,
    /// A route's header policy.
    RoutePolicy {
        /// Whether the operator comes first.
        force: bool,
    },
    /// A route's way out.
    RouteProxy(&'a dyn Display),
    /// The end of the banner.
    Waiting,
    /// A request has come.
    Request {
        /// Method and target.
        line: &'a dyn Display,
    },
    /// Whose key was presented.
    ForClient(&'a dyn Display),
    /// The base path was taken off.
    Stripped {
        /// The base path.
        base_path: &'a str,
        /// What is left.
        effective: &'a dyn Display,
    },
    /// Where a request goes.
    Forwarded {
        /// The route's key.
        route: &'a dyn Display,
        /// Whether the client named the target.
        universal: bool,
        /// The target.
        url: &'a dyn Display,
    },
    /// The query.
    Parameters(&'a dyn Display),
    /// The way out.
    ViaProxy(&'a dyn Display),
    /// The head of the part on headers.
    HeaderPart,
    /// A header was added.
    Added(&'a dyn Display),
    /// A header of the client was replaced.
    Overwritten(&'a dyn Display),
    /// A header of the client was kept though one is configured.
    Kept(&'a dyn Display),
    /// A header of the client was removed.
    Dropped(&'a dyn Display),
    /// The status of an answer.
    Answered(u16),
    /// What an exchange has used.
    Spent {
        /// How much of what.
        spending: &'a Spending,
        /// The model.
        model: Option<&'a dyn Display>,
    },
    /// A request failed.
    Failed(&'a dyn Display),
    /// The target of a universal route was no URL.
    UniversalFailed(&'a dyn Display),
    /// What came was no request.
    Malformed(&'a dyn Display),
    /// An answer broke off.
    Broken {
        /// How, as the log names it.
        end: &'static str,
    },
    /// A client did not come to its first request.
    Unmet {
        /// Who it was.
        peer: &'a dyn Display,
        /// Why.
        why: &'a dyn Display,
        /// How many others this has happened to since it was last said.
        others: u64,
    },
    /// The file could not be loaded.
    LoadFailed {
        /// Its path.
        file: &'a dyn Display,
        /// Why.
        why: &'a dyn Display,
    },
    /// The file was loaded anew.
    Reloaded {
        /// Local time.
        at: &'a dyn Display,
    },
    /// Something in the file needs a restart to take effect.
    NeedsRestart,
    /// A warning about the file.
    Warning(&'a dyn Display),
    /// The address cannot be listened on.
    BindFailed(&'a dyn Display),
    /// The local socket cannot be listened on.
    SocketFailed(&'a dyn Display),
    /// What the manager of services says of its sockets has no meaning.
    BadActivation(&'a dyn Display),
    /// A socket of the manager of services is not one at which clients come in.
    BadSocket(&'a dyn Display),
    /// A socket of the manager of services is at a place that the configuration does not name.
    UnnamedSocket {
        /// Where it is.
        at: &'a dyn Display,
        /// What the configuration names.
        places: &'a str,
    },
    /// The sockets of a process before this one cannot be taken.
    BadHandover(&'a dyn Display),
    /// The end has begun: so many exchanges still run.
    Draining(usize),
    /// The end.
    Stopped,
    /// The log could not keep up.
    LinesDropped(u64),
    /// A bug.
    Panicked(&'a dyn Display),
    /// The name to listen on cannot be resolved.
    ResolveFailed(&'a dyn Display),
    /// The system refuses threads or the like.
    StartFailed(&'a dyn Display),
    /// The system's limit on open files is low.
    FewFiles {
        /// How many clients it allows.
        allowed: usize,
        /// How many are configured.
        wanted: usize,
    },
}

impl Speak for Say<'_> {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match lang {
            Lang::En => self.en(f),
            Lang::Zh => self.zh(f),
        }
    }
}

impl Say<'_> {
    fn en(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => f.write_str(rule),
            Self::Started => f.write_str("🚀 Aqueduct is running"),
            Self::GlobalPart => f.write_str("[Global configuration]"),
            Self::Version(version) => write!(f, "  - Version: {version}"),
            Self::ConfigFile(file) => write!(f, "  - Configuration file: {file}"),
            Self::Listening { at, is_given: false } => write!(f, "  - Listening on: {at}"),
            Self::Listening { at, is_given: true } => {
                write!(f, "  - Listening on: {at} (opened by the service manager)")
            }
            Self::BasePath("") => f.write_str("  - Base path (base_path): (not set)"),
            Self::BasePath(path) => write!(f, "  - Base path (base_path): {path}"),
            Self::BasePathExample(path) => {
                write!(f, "    → Behind a reverse proxy: https://your-domain.com{path}/openai/v1/chat/completions")
            }
            Self::RequestLog(true) => f.write_str("  - Request log: ✅ on"),
            Self::RequestLog(false) => f.write_str("  - Request log: ❌ off"),
            Self::HotReload(None) => f.write_str("  - Hot reload: ❌ off"),
            Self::HotReload(Some(Duration::ZERO)) => f.write_str("  - Hot reload: ✅ on (live)"),
            Self::HotReload(Some(every)) => {
                write!(f, "  - Hot reload: ✅ on (checked every {} s)", every.as_secs_f64())
            }
            Self::GlobalPolicy { force: false } => f.write_str("  - Header policy: 🔄 client first"),
            Self::GlobalPolicy { force: true } => f.write_str("  - Header policy: ❗️ overwrite"),
            Self::GlobalProxy(proxy) => write!(f, "  - Upstream proxy: {proxy}"),
            Self::NoProxy { name, targets } => write!(f, "  - Reached directly ({name}): {targets}"),
            Self::DroppedHeaders(names) => write!(f, "  - Client headers removed: {names}"),
            Self::RoutePart => f.write_str("[Routes]"),
            Self::NoRoutes => f.write_str("  - ⚠️  No routes are configured."),
            Self::Universal => f.write_str("[universal proxy]"),
            Self::MissingTarget => f.write_str("[⚠️ no target_url]"),
            Self::Disabled => f.write_str("disabled"),
            Self::RoutePolicy { force: false } => f.write_str("🔄 client headers first"),
            Self::RoutePolicy { force: true } => f.write_str("❗️ headers overwritten"),
            Self::RouteProxy(proxy) => write!(f, "proxy: {proxy}"),
            Self::Waiting => f.write_str("...waiting for requests..."),
            Self::Request { line } => write!(f, "⬇️  Request:          {line}"),
            Self::ForClient(name) => write!(f, "   Client:           {name}"),
            Self::Stripped { base_path, effective } => {
                write!(f, "   Prefix stripped:  '{base_path}' -> path: '{effective}'")
            }
            Self::Forwarded { route, universal: false, url } => write!(f, "➡️  Route '{route}' forwards to: {url}"),
            Self::Forwarded { route, universal: true, url } => {
                write!(f, "🔗 [universal] Route '{route}' forwards to: {url}")
            }
            Self::Parameters(parameters) => write!(f, "   Parameters:       {parameters}"),
            Self::ViaProxy(proxy) => write!(f, "   Via proxy:        {proxy}"),
            Self::HeaderPart => f.write_str("   --- Headers ---"),
            Self::Added(name) => write!(f, "   ➕  Added:           '{name}'"),
            Self::Overwritten(name) => write!(f, "   ❗️  Overwritten:     '{name}'"),
            Self::Kept(name) => write!(f, "   🔄  Kept:            '{name}'"),
            Self::Dropped(name) => write!(f, "   🗑️  Dropped:         '{name}'"),
            Self::Answered(status) => write!(f, "⬅️  Status:           {status}"),
            Self::Spent { spending, model } => spent(spending, *model, Lang::En, f),
            Self::Failed(why) => write!(f, "❌ Request failed: {why}"),
            Self::UniversalFailed(why) => write!(f, "⚠️  Universal route error: {why}"),
            Self::Malformed(why) => write!(f, "⚠️  Invalid request: {why}"),
            Self::Broken { end } => write!(f, "✂️  Answer broke off: {end}"),
            Self::Unmet { peer, why, others: 0 } => write!(f, "⚠️  No request from {peer}: {why}"),
            Self::Unmet { peer, why, others } => {
                write!(f, "⚠️  No request from {peer}: {why} (and none from {others} others since this was last said)")
            }
            Self::LoadFailed { file, why } => {
                write!(f, "❌ Error: failed to load or reload the configuration file '{file}': {why}")
            }
            Self::Reloaded { at } => write!(f, "✅ [{at}] Configuration reloaded."),
            Self::NeedsRestart => {
                f.write_str("⚠️  A change of server.host, port, listen or workers takes effect after a restart.")
            }
            Self::Warning(what) => write!(f, "⚠️  {what}"),
            Self::BindFailed(why) => write!(
                f,
                "❌ Error: cannot listen on {why}. Is another program using the port? Choose another with --port or server.port."
            ),
            Self::SocketFailed(why) => write!(
                f,
                "❌ Error: cannot listen on {why}. An address in use is one where another program listens, or a file that is no socket."
            ),
            Self::BadActivation(why) => write!(
                f,
                "❌ Error: the sockets of the service manager cannot be taken (LISTEN_FDS, LISTEN_PID): {why}"
            ),
            Self::BadSocket(name) => write!(
                f,
                "❌ Error: '{name}' of the service manager is not a listening TCP or Unix stream socket. In a socket unit, use ListenStream= and Accept=no."
            ),
            Self::UnnamedSocket { at, places } => write!(
                f,
                "❌ Error: the service manager listens on {at}, but the configuration names {places}. Make ListenStream= of the socket unit and server.host, port or listen the same."
            ),
            Self::BadHandover(why) => {
                write!(f, "❌ Error: the sockets of the process that is to be replaced cannot be taken over: {why}")
            }
            Self::Draining(0) => f.write_str("🛑 Stopping."),
            Self::Draining(running) => {
                write!(f, "🛑 Stopping: {running} connections may finish. A second signal ends them at once.")
            }
            Self::Stopped => f.write_str("👋 Stopped."),
            Self::LinesDropped(count) => {
                write!(f, "⚠️  {count} log lines were dropped: the output is read too slowly, or cannot be written.")
            }
            Self::Panicked(what) => write!(f, "❌ Bug: {what}. One connection was lost. Please report this."),
            Self::ResolveFailed(why) => write!(f, "❌ Error: the address to listen on cannot be resolved: {why}"),
            Self::StartFailed(why) => write!(f, "❌ Error: the system refuses what is needed to start: {why}"),
            Self::FewFiles { allowed, wanted } => write!(
                f,
                "⚠️  The limit on open files allows {allowed} connections, not {wanted} (server.limits.max_connections). Raise it: ulimit -n."
            ),
        }
    }

    fn zh(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(rule) => f.write_str(rule),
            Self::Started => f.write_str("🚀 高级功能代理服务已启动"),
            Self::GlobalPart => f.write_str("[全局配置]"),
            Self::Version(version) => write!(f, "  - 版本: {version}"),
            Self::ConfigFile(file) => write!(f, "  - 配置文件: {file}"),
            Self::Listening { at, is_given: false } => write!(f, "  - 监听地址: {at}"),
            Self::Listening { at, is_given: true } => write!(f, "  - 监听地址: {at} (由服务管理器打开)"),
            Self::BasePath("") => f.write_str("  - 基础路径 (base_path): (未配置)"),
            Self::BasePath(path) => write!(f, "  - 基础路径 (base_path): {path}"),
            Self::BasePathExample(path) => {
                write!(f, "    → 前端反代示例: https://your-domain.com{path}/openai/v1/chat/completions")
            }
            Self::RequestLog(true) => f.write_str("  - 请求日志: ✅ 已开启"),
            Self::RequestLog(false) => f.write_str("  - 请求日志: ❌ 已关闭"),
            Self::HotReload(None) => f.write_str("  - 配置热重载: ❌ 已禁用"),
            Self::HotReload(Some(Duration::ZERO)) => f.write_str("  - 配置热重载: ✅ 已开启 (实时监控)"),
            Self::HotReload(Some(every)) => {
                write!(f, "  - 配置热重载: ✅ 已开启 (每 {} 秒检查一次)", every.as_secs_f64())
            }
            Self::GlobalPolicy { force: false } => f.write_str("  - 全局Header策略: 🔄 优先客户端"),
            Self::GlobalPolicy { force: true } => f.write_str("  - 全局Header策略: ❗️ 强制覆盖"),
            Self::GlobalProxy(proxy) => write!(f, "  - 全局转发代理: {proxy}"),
            Self::NoProxy { name, targets } => write!(f, "  - 直连目标 ({name}): {targets}"),
            Self::DroppedHeaders(names) => write!(f, "  - 移除客户端Header: {names}"),
            Self::RoutePart => f.write_str("[路由表]"),
            Self::NoRoutes => f.write_str("  - ⚠️  未配置任何路由。"),
            Self::Universal => f.write_str("[万能代理模式]"),
            Self::MissingTarget => f.write_str("[⚠️ 缺少目标URL]"),
            Self::Disabled => f.write_str("已禁用"),
            Self::RoutePolicy { force: false } => f.write_str("🔄 优先客户端Header"),
            Self::RoutePolicy { force: true } => f.write_str("❗️ 强制覆盖Header"),
            Self::RouteProxy(proxy) => write!(f, "代理: {proxy}"),
            Self::Waiting => f.write_str("...等待请求..."),
            Self::Request { line } => write!(f, "⬇️  收到请求:      {line}"),
            Self::ForClient(name) => write!(f, "   客户端:       {name}"),
            Self::Stripped { base_path, effective } => {
                write!(f, "   剥离前缀:      '{base_path}' -> 有效路径: '{effective}'")
            }
            Self::Forwarded { route, universal: false, url } => write!(f, "➡️  路由 '{route}' 转发到: {url}"),
            Self::Forwarded { route, universal: true, url } => write!(f, "🔗 [万能] 路由 '{route}' 转发到: {url}"),
            Self::Parameters(parameters) => write!(f, "   携带参数:     {parameters}"),
            Self::ViaProxy(proxy) => write!(f, "   使用代理:     {proxy}"),
            Self::HeaderPart => f.write_str("   --- Header 处理 ---"),
            Self::Added(name) => write!(f, "   ➕  添加Header:      '{name}'"),
            Self::Overwritten(name) => write!(f, "   ❗️  强制覆盖Header:  '{name}'"),
            Self::Kept(name) => write!(f, "   🔄  保留Header:      '{name}'"),
            Self::Dropped(name) => write!(f, "   🗑️  移除Header:      '{name}'"),
            Self::Answered(status) => write!(f, "⬅️  响应状态:      {status}"),
            Self::Spent { spending, model } => spent(spending, *model, Lang::Zh, f),
            Self::Failed(why) => write!(f, "❌ 请求转发失败: {why}"),
            Self::UniversalFailed(why) => write!(f, "⚠️  万能路由错误: {why}"),
            Self::Malformed(why) => write!(f, "⚠️  无效请求: {why}"),
            Self::Broken { end } => write!(f, "✂️  响应中断: {end}"),
            Self::Unmet { peer, why, others: 0 } => write!(f, "⚠️  {peer} 未能发出请求: {why}"),
            Self::Unmet { peer, why, others } => {
                write!(f, "⚠️  {peer} 未能发出请求: {why}（自上次提示以来另有 {others} 个连接如此）")
            }
            Self::LoadFailed { file, why } => write!(f, "❌ 错误: 加载或重载配置文件 '{file}' 失败: {why}"),
            Self::Reloaded { at } => write!(f, "✅ [{at}] 配置文件已成功重载。"),
            Self::NeedsRestart => f.write_str("⚠️  server.host、port、listen 和 workers 的改动需重启后生效。"),
            Self::Warning(what) => write!(f, "⚠️  {what}"),
            Self::BindFailed(why) => {
                write!(
                    f,
                    "❌ 错误: 无法监听 {}。端口是否已被其他程序占用？可用 --port 或 server.port 换一个端口。",
                    in_chinese(why)
                )
            }
            Self::SocketFailed(why) => write!(
                f,
                "❌ 错误: 无法监听 {}。地址被占用是指有其他程序正在监听，或该文件不是套接字。",
                in_chinese(why)
            ),
            Self::BadActivation(why) => {
                write!(f, "❌ 错误: 无法接管服务管理器的套接字 (LISTEN_FDS、LISTEN_PID): {}", in_chinese(why))
            }
            Self::BadSocket(name) => write!(
                f,
                "❌ 错误: 服务管理器的 '{name}' 不是处于监听状态的 TCP 或 Unix 流套接字。请在 socket 单元中使用 ListenStream= 和 Accept=no。"
            ),
            Self::UnnamedSocket { at, places } => write!(
                f,
                "❌ 错误: 服务管理器监听的是 {at}，而配置中是 {places}。请让 socket 单元的 ListenStream= 与 server.host、port 或 listen 一致。"
            ),
            Self::BadHandover(why) => {
                write!(f, "❌ 错误: 无法接管被替换进程的套接字: {}", in_chinese(why))
            }
            Self::Draining(0) => f.write_str("🛑 正在停止。"),
            Self::Draining(running) => write!(f, "🛑 正在停止: 等待 {running} 个连接完成。再次发送信号将立即结束。"),
            Self::Stopped => f.write_str("👋 已停止。"),
            Self::LinesDropped(count) => write!(f, "⚠️  输出读取过慢或无法写入，已丢弃 {count} 行日志。"),
            Self::Panicked(what) => write!(f, "❌ 程序缺陷: {what}。一个连接因此中断，请反馈此问题。"),
            Self::ResolveFailed(why) => write!(f, "❌ 错误: 无法解析监听地址: {}", in_chinese(why)),
            Self::StartFailed(why) => write!(f, "❌ 错误: 系统拒绝了启动所需的资源: {}", in_chinese(why)),
            Self::FewFiles { allowed, wanted } => write!(
                f,
                "⚠️  系统的文件描述符上限只允许 {allowed} 个连接，少于配置的 {wanted} 个 (server.limits.max_connections)。请提高上限: ulimit -n。"
            ),
        }
    }
}

fn in_chinese(why: &dyn Display) -> String {
    system_words(&why.to_string(), Lang::Zh).into_owned()
}
