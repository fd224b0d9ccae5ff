//! The configuration as it is written.
//!
//! The comments on the fields below are the manual: the JSON Schema, the reference in `docs/` and the file that
//! `aqueduct init` writes are made from them. The first paragraph is English, the second Chinese. Defaults are those
//! of the `Default` implementations; they need no words.

mod clients;
mod cors;
mod limits;
mod retry;

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::listed::{HeaderValue, KeyStrategy, TargetUrl};
use super::scalar::{
    Hidden, IgnoredText, Language, LogFormat, OnClientGone, Pem, Port, StateFailure, Texts, Time, in_order,
};
pub use clients::ClientKey;
pub use cors::Cors;
pub use limits::{Budget, Limits, RouteTimeouts, Timeouts, UseLimits};
pub use retry::{Retry, RetryOn};

/// The configuration of Aqueduct: JSON with comments and trailing commas. Every field is optional.
/// Texts may hold `${NAME}`, `${NAME:-default}` and `${file:/path}`.
///
/// Aqueduct 的配置: 可带注释和尾随逗号的 JSON，所有字段均可省略。
/// 文本中可以使用 `${名称}`、`${名称:-默认值}` 和 `${file:/路径}`。
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(title = "Aqueduct configuration")]
pub struct File {
    /// Where the JSON Schema of this file lies, for editors. Aqueduct ignores it.
    ///
    /// 此文件的 JSON Schema 的位置，供编辑器使用；Aqueduct 会忽略它。
    #[serde(rename = "$schema")]
    #[schemars(with = "IgnoredText")]
    pub schema: Option<IgnoredText>,
    /// The server itself: where it listens, what it logs, what it accepts.
    ///
    /// 服务器本身: 监听地址、日志、可接受的请求。
    pub server: Server,
    /// The upstream proxy for every route that names none: `http://`, `https://`, `socks5://` (names resolved here),
    /// `socks5h://` (names resolved by the proxy), `socks4://` or `socks4a://`, with `user:pass@` if needed. `""`: none.
    /// `null`: what the environment says (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`).
    ///
    /// 所有未单独配置的路由使用的转发代理: `http://`、`https://`、`socks5://`（本地解析域名）、`socks5h://`（由代理解析域名）、
    /// `socks4://` 或 `socks4a://`，可带 `user:pass@`。`""` 表示不使用代理；`null` 时由环境变量决定
    /// (`HTTP_PROXY`、`HTTPS_PROXY`、`ALL_PROXY`、`NO_PROXY`)。
    #[schemars(with = "Option<String>")]
    pub global_proxy: Option<Hidden>,
    /// Targets that are reached directly, as a list or as one text with commas: names (`example.com` with all below it),
    /// addresses, networks (`10.0.0.0/8`), each with a port if wanted (`example.com:8443`), or `*`. A route's own `proxy`
    /// is used all the same.
    ///
    /// 不经代理、直接连接的目标，可以是数组，也可以是用逗号分隔的一个文本: 域名（`example.com` 包括其所有子域名）、地址、
    /// 网段（`10.0.0.0/8`），可带端口（`example.com:8443`），或 `*`。对路由自身的 `proxy` 不起作用。
    #[schemars(with = "Texts")]
    pub no_proxy: Option<Texts>,
    /// Who comes first where both the client and `custom_headers` have a header: `true` the configuration,
    /// `false` the client. Routes can say otherwise.
    ///
    /// 客户端与 `custom_headers` 同时带有某个 Header 时以谁为准: `true` 以配置为准，`false` 以客户端为准。路由可单独设置。
    pub force_header_overwrite: bool,
    /// Client headers that are removed from requests, in any case. They count as absent for the header policy.
    ///
    /// 从请求中移除的客户端 Header，不区分大小写；对 Header 策略而言视为不存在。
    pub headers_to_drop: Vec<String>,
    /// Time limits on upstreams, for every route that does not set its own.
    ///
    /// 对上游的时限，适用于所有未单独设置的路由。
    pub timeouts: Timeouts,
    /// How much is let through on all routes together. Answers of the proxy itself do not count.
    ///
    /// 所有路由合计的用量限制；代理自身的应答不计入。
    pub limits: UseLimits,
    /// Whether the figures that providers put into their answers are read along, for the log: tokens in and out, cached,
    /// reasoning, and the model. Nothing of an answer changes. Routes can say otherwise.
    ///
    /// 是否读取服务商在响应中给出的用量（输入、输出、缓存、推理 token 数和模型）并写入日志。响应本身不受任何影响。路由可单独设置。
    pub usage: bool,
    /// The path of a JSON file with the prices of models, in the shape that `LiteLLM` keeps
    /// (`model_prices_and_context_window.json`): where usage is read along, the log tells what it costs. A relative path
    /// begins at the directory of this file.
    ///
    /// 模型价格文件的路径，格式与 `LiteLLM` 的 `model_prices_and_context_window.json` 相同: 读取用量时，日志同时给出费用。
    /// 相对路径以此配置文件所在目录为准。
    pub prices: Option<String>,
    /// What becomes of an answer whose client leaves, where usage is read along. `cancel`: its upstream connection is
    /// closed at once. `drain`: it is read to its end, for its figures.
    ///
    /// 读取用量时，客户端中途离开后如何处理响应。`cancel`: 立即断开上游；`drain`: 继续读完，以获得用量。
    pub on_client_gone: OnClientGone,
    /// For how long an answer is read on after its client has left. 0: no limit but those on upstreams.
    ///
    /// 客户端离开后最多再读取多久。0 表示只受对上游的时限约束。
    pub drain_timeout: Time,
    /// A Redis (5 or later, or Valkey) on which several instances count their limits together:
    /// `redis://user:password@host:6379/0`, `rediss://` with TLS, `unix:///path`. `null`: each counts for itself, in memory.
    ///
    /// 多个实例共享用量限制的 Redis（5 或更高版本，或 Valkey）: `redis://用户:密码@主机:6379/0`、使用 TLS 的 `rediss://`、
    /// `unix:///路径`。`null` 表示各自在内存中计数。
    #[schemars(with = "Option<String>")]
    pub state: Option<Hidden>,
    /// What happens to requests under limits while the Redis is away: `open` (each instance counts for itself) or `closed`
    /// (503). `null`: `open`.
    ///
    /// Redis 不可用时如何处理受限制的请求: `open`（各实例自行计数）或 `closed`（返回 503）。`null` 即 `open`。
    #[schemars(with = "StateFailure")]
    pub state_failure: Option<StateFailure>,
    /// How long a request waits for the Redis before it counts as away. `null`: 0.1 seconds.
    ///
    /// 请求等待 Redis 多久后视其为不可用。`null` 即 0.1 秒。
    #[schemars(with = "Time")]
    pub state_timeout: Option<Time>,
    /// A PEM file of certificate authorities that are trusted besides the usual ones.
    ///
    /// 额外信任的证书颁发机构 (PEM 文件)。
    pub ca_file: Option<String>,
    /// Who may use the proxy, by name: whoever presents no such key is refused, but for the health answer and routes with
    /// `public`. Left out: everybody may.
    ///
    /// 可以使用代理的客户端，以名称为键: 除健康检查和带 `public` 的路由外，未出示密钥的请求一律拒绝。省略时任何人都可以使用。
    #[serde(deserialize_with = "clients::clients")]
    #[schemars(with = "std::collections::BTreeMap<String, ClientKey>")]
    pub client_keys: Option<Vec<(String, ClientKey)>>,
    /// Which pages in browsers may read answers (CORS). Left out: what upstreams say of that passes as it is.
    ///
    /// 浏览器中哪些页面可以读取响应 (CORS)。省略时上游的相关 Header 原样通过。
    #[schemars(with = "Cors")]
    pub cors: Option<Cors>,
    /// The routes, by the first segment of the path.
    ///
    /// 路由表，以路径的第一段为键。
    #[serde(deserialize_with = "in_order")]
    #[schemars(with = "std::collections::BTreeMap<String, Route>")]
    pub routes: Vec<(String, Route)>,
}

/// The server itself.
///
/// 服务器本身。
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct Server {
    /// The address to listen on. `127.0.0.1`: this machine only; `0.0.0.0`: every network; `unix:/path`: a Unix
    /// socket, without a port.
    ///
    /// 监听地址。`127.0.0.1` 仅限本机，`0.0.0.0` 为所有网络，`unix:/路径` 为 Unix 套接字（无端口）。
    pub host: String,
    /// The port to listen on. 0: any free port.
    ///
    /// 监听端口。0 表示任意空闲端口。
    pub port: Port,
    /// Several addresses to listen on, instead of `host` and `port`: `"127.0.0.1:3000"`, `"[::1]:3000"`, `":3000"`
    /// (every network), `"unix:/run/aqueduct.sock"`.
    ///
    /// 多个监听地址，取代 `host` 和 `port`: `"127.0.0.1:3000"`、`"[::1]:3000"`、`":3000"`（所有网络）、
    /// `"unix:/run/aqueduct.sock"`。
    pub listen: Option<Vec<String>>,
    /// Whether requests are logged on standard output.
    ///
    /// 是否在标准输出记录每个请求。
    pub log_requests: bool,
    /// `pretty`: blocks of lines for people. `json`: one object a line for programs.
    ///
    /// `pretty` 为便于阅读的多行日志，`json` 为每个请求一行 JSON。
    pub log_format: LogFormat,
    /// The language of banner and log: `zh` or `en`. Otherwise that of the environment (`LC_ALL`, `LC_MESSAGES`,
    /// `LANG`).
    ///
    /// 启动信息和日志的语言: `zh` 或 `en`。省略时由环境变量 (`LC_ALL`、`LC_MESSAGES`、`LANG`) 决定。
    pub language: Option<Language>,
    /// How often this file is checked for changes, in seconds. -1: never; 0: live, within a second. SIGHUP reloads at
    /// any time.
    ///
    /// 每隔多少秒检查一次此文件的改动。-1 不检查；0 实时（1 秒内）。随时可用 SIGHUP 触发重载。
    pub reload_interval: f64,
    /// A path prefix under which everything is served, for use behind another server. `null` or `""`: none.
    ///
    /// 基础路径前缀，用于部署在其他服务器之后。`null` 或 `""` 表示无。
    pub base_path: Option<String>,
    /// Whether every connection begins with a header of the PROXY protocol (version 1 or 2), as HAProxy, nginx and load
    /// balancers send it. It is accepted from `trusted_proxies` only; nobody else can connect.
    ///
    /// 每个连接是否以 PROXY 协议头（v1 或 v2）开始，HAProxy、nginx 和负载均衡器可以发送它。只接受来自 `trusted_proxies` 的连接，
    /// 其余一律断开。
    pub proxy_protocol: bool,
    /// The proxies in front that are believed when they say who the client is, by the PROXY protocol or by
    /// `X-Forwarded-For`: addresses, networks (`"10.0.0.0/8"`), or `"unix:"` for Unix sockets. The log uses it, and
    /// `"key_strategy": "sticky"`.
    ///
    /// 前置代理的地址: 相信它们通过 PROXY 协议或 `X-Forwarded-For` 说明的客户端地址。可写地址、网段 (`"10.0.0.0/8"`)，
    /// 或用 `"unix:"` 表示 Unix 套接字。用于日志和 `"key_strategy": "sticky"`。
    pub trusted_proxies: Vec<String>,
    /// TLS on every listener. Without it HTTP is spoken in the clear.
    ///
    /// 在所有监听地址上启用 TLS。省略时使用明文 HTTP。
    #[schemars(with = "ServerTls")]
    pub tls: Option<ServerTls>,
    /// How many worker threads serve. Otherwise one for each core.
    ///
    /// 工作线程数。省略时每个 CPU 核心一个。
    #[schemars(range(min = 1, max = 1024))]
    pub workers: Option<u32>,
    /// How long running answers may go on after SIGTERM, SIGINT or SIGUSR2: seconds, or a text like `"30s"`.
    ///
    /// 收到 SIGTERM、SIGINT 或 SIGUSR2 后，进行中的响应最多还能持续多久: 秒数，或 `"30s"` 这样的文本。
    pub shutdown_timeout: Time,
    /// What is accepted from clients.
    ///
    /// 对客户端的限制。
    pub limits: Limits,
}

/// TLS with clients, 1.2 and 1.3. A file that changes is read again at `reload_interval` and on SIGHUP; who is
/// connected stays so. Where a path is expected, the PEM text itself will do too, as `${file:...}` gives it.
///
/// 与客户端的 TLS (1.2 和 1.3)。文件的改动在 `reload_interval` 到期或收到 SIGHUP 时生效，已有连接不受影响。
/// 需要路径的地方也可以直接写 PEM 文本，例如 `${file:...}` 的结果。
#[derive(Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(default)]
pub struct ServerTls {
    /// The path of a PEM file with the certificate, followed by the intermediate ones. A relative path begins at the
    /// directory of this file.
    ///
    /// 证书 (含中间证书) 的 PEM 文件路径。相对路径以此配置文件所在目录为准。
    #[schemars(with = "Pem")]
    pub cert: Option<Pem>,
    /// The path of a PEM file with the private key.
    ///
    /// 私钥的 PEM 文件路径。
    #[schemars(with = "Pem")]
    pub key: Option<Pem>,
    /// The path of a PEM file with certificate authorities: every client must show a certificate of one of them.
    ///
    /// 证书颁发机构的 PEM 文件路径: 每个客户端都必须出示由其签发的证书。
    #[schemars(with = "Pem")]
    pub client_ca: Option<Pem>,
}

/// One route. Its key is the first segment of the path.
///
/// 一个路由，其键为路径的第一段。
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Route {
    /// Whether the route exists: `false` answers 404.
    ///
    /// 是否启用: `false` 返回 404。
    pub enabled: bool,
    /// Whether everybody may use the route, also where there are `client_keys`.
    ///
    /// 即使配置了 `client_keys`，是否仍允许任何人使用此路由。
    pub public: bool,
    /// The base URL to which the rest of the path is added. It may have a path and a query. Of a list, one is picked for
    /// each request: URLs, or `{"url": "...", "weight": 3, "priority": 1}`.
    ///
    /// 目标基础 URL，请求路径的其余部分附加其后；可带路径和查询参数。为列表时每个请求选用其中一项: URL，
    /// 或 `{"url": "...", "weight": 3, "priority": 1}`。
    #[schemars(with = "TargetUrl")]
    pub target_url: Option<TargetUrl>,
    /// Whether the rest of the path is itself the target: `/key/https://host/path`.
    ///
    /// 万能代理模式: 路径的其余部分就是目标，即 `/key/https://host/path`。
    pub universal_proxy: bool,
    /// Whether clients of a universal route may reach addresses that are not public: this machine, private networks and
    /// the like. Link-local addresses and the metadata services of clouds are refused in any case.
    ///
    /// 万能路由的客户端能否访问非公网地址（本机、内网等）。链路本地地址和云服务的元数据地址始终拒绝。
    pub allow_private: bool,
    /// The only hosts that clients of a universal route may reach: names (`"api.example.com"`; `"*.example.com"`: all
    /// below it), addresses, networks (`"10.0.0.0/8"`). `null`: any.
    ///
    /// 万能路由的客户端只能访问这些主机: 域名（`"api.example.com"`；`"*.example.com"` 为其所有子域名）、地址、
    /// 网段（`"10.0.0.0/8"`）。`null` 表示不限。
    pub allow_hosts: Option<Vec<String>>,
    /// Hosts that clients of a universal route may not reach, written as in `allow_hosts`. They are refused even if they
    /// are allowed there.
    ///
    /// 万能路由的客户端不能访问的主机，写法同 `allow_hosts`，且优先于它。
    pub deny_hosts: Vec<String>,
    /// The upstream proxy of this route, written as in `global_proxy`. `null`: that one; `""`: none, whatever the
    /// environment says.
    ///
    /// 此路由的转发代理，写法同 `global_proxy`。`null` 沿用它；`""` 表示直连，即使环境变量指定了代理。
    #[schemars(with = "Option<String>")]
    pub proxy: Option<Hidden>,
    /// Who comes first on this route where both have a header. `null`: as in the global setting.
    ///
    /// 此路由的 Header 策略。`null` 沿用全局设置。
    pub force_header_overwrite: Option<bool>,
    /// Headers added to requests, such as the provider's key. A number or boolean is sent as text. Of a list, one entry is
    /// picked for each request; several lists on a route move in step.
    ///
    /// 添加到请求中的 Header，例如服务商的密钥。数字和布尔值以文本形式发送。值为列表时，每个请求选用其中一项；同一路由的多个列表同步轮换。
    #[serde(deserialize_with = "in_order")]
    #[schemars(with = "std::collections::BTreeMap<String, HeaderValue>")]
    pub custom_headers: Vec<(String, HeaderValue)>,
    /// How an entry of such lists is picked: `"round_robin"`, `"random"`, `"least_used"`, `"sticky"` (the same for the same
    /// client), or `{"sticky": "x-session-id"}` (the same for the same value of this header). `null`: `"round_robin"`.
    ///
    /// 从这类列表中选取的方式: `"round_robin"`（轮流）、`"random"`（随机）、`"least_used"`（进行中请求最少者）、`"sticky"`（同一客户端固定），
    /// 或 `{"sticky": "x-session-id"}`（此 Header 的值相同者固定）。`null` 即 `"round_robin"`。
    #[schemars(with = "KeyStrategy")]
    pub key_strategy: Option<KeyStrategy>,
    /// Whether HTTP/2 is spoken to the upstream: over TLS if it agrees, in the clear without asking. Otherwise HTTP/1.1,
    /// which needs less of the machine.
    ///
    /// 是否以 HTTP/2 连接上游: 经由 TLS 时由双方协商，明文时直接使用。否则使用开销更小的 HTTP/1.1。
    pub http2: bool,
    /// Time limits of this route.
    ///
    /// 此路由的时限。
    pub timeouts: RouteTimeouts,
    /// How much is let through on this route.
    ///
    /// 此路由的用量限制。
    pub limits: UseLimits,
    /// Which pages in browsers may read answers of this route, instead of what `cors` says of all.
    ///
    /// 浏览器中哪些页面可以读取此路由的响应，代替全局的 `cors`。
    #[schemars(with = "Cors")]
    pub cors: Option<Cors>,
    /// Whether a request is sent once more when the upstream fails before its answer begins. Without it: no.
    ///
    /// 上游在响应开始之前失败时，是否重新发送请求。省略时不重发。
    #[schemars(with = "Retry")]
    pub retry: Option<Retry>,
    /// The routes that are asked in this order when the attempts on this one are spent on something in `retry.on`: the same
    /// request, with the headers, keys, proxy and limits of that route. Their own fallbacks are not asked.
    ///
    /// 此路由的尝试都以 `retry.on` 中的情况失败后，依次改用的路由: 发送同一请求，使用那个路由的 Header、密钥、代理和限制。
    /// 不再使用那个路由自己的 fallback。
    pub fallback: Vec<String>,
    /// Whether usage figures are read along on this route. `null`: as in the global setting.
    ///
    /// 此路由是否读取用量。`null` 沿用全局设置。
    pub usage: Option<bool>,
    /// What becomes of an answer of this route whose client leaves. `null`: as in the global setting.
    ///
    /// 此路由上客户端中途离开后如何处理响应。`null` 沿用全局设置。
    #[schemars(with = "OnClientGone")]
    pub on_client_gone: Option<OnClientGone>,
    /// For how long an answer of this route is read on. `null`: as in the global setting.
    ///
    /// 此路由上最多再读取多久。`null` 沿用全局设置。
    #[schemars(with = "Time")]
    pub drain_timeout: Option<Time>,
    /// After how long a silence in a stream of events (`text/event-stream`) a comment, `: keep-alive`, is sent to the client,
    /// and again, so that nothing on the way takes the connection for dead. The upstream's time limits go on. 0: none.
    ///
    /// 事件流 (`text/event-stream`) 静默多久后向客户端发送一条注释 `: keep-alive`，此后每隔同样的时间再发送一次，以免途中的设备认为连接已断开。
    /// 对上游的时限不受影响。0 表示不发送。
    pub sse_keepalive: Time,
    /// Whether that holds before the answer begins, too: a client that asks for a stream gets status 200 and a comment when the
    /// upstream has not answered for so long. A failure after that becomes an event. Needs `sse_keepalive`.
    ///
    /// 响应开始之前是否也发送: 上游这么久没有响应时，要求流式响应的客户端会先收到状态 200 和一条注释，此后的失败以事件告知。
    /// 需要同时设置 `sse_keepalive`。
    pub sse_keepalive_before_head: bool,
    /// Whether clients may switch to another protocol, such as WebSocket. `false`: their `Upgrade` is removed, and the
    /// request goes on as an ordinary one. `null`: yes with a `target_url`, no on a universal route.
    ///
    /// 是否允许客户端切换到其他协议（如 WebSocket）。`false`: 移除 `Upgrade`，请求按普通请求转发。
    /// `null`: 有 `target_url` 的路由允许，万能路由不允许。
    pub upgrade: Option<bool>,
}

impl Default for File {
    fn default() -> Self {
        Self {
            schema: None,
            server: Server::default(),
            global_proxy: None,
            no_proxy: None,
            force_header_overwrite: false,
            headers_to_drop: Vec::new(),
            timeouts: Timeouts::default(),
            limits: UseLimits::default(),
            usage: false,
            prices: None,
            on_client_gone: OnClientGone::default(),
            drain_timeout: Time(Duration::from_secs(60)),
            state: None,
            state_failure: None,
            state_timeout: None,
            ca_file: None,
            client_keys: None,
            cors: None,
            routes: Vec::new(),
        }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            host: "0.0.0.0".to_owned(),
            port: Port(3000),
            listen: None,
            log_requests: true,
            log_format: LogFormat::Pretty,
            language: None,
            reload_interval: -1.0,
            base_path: None,
            proxy_protocol: false,
            trusted_proxies: Vec::new(),
            tls: None,
            workers: None,
            shutdown_timeout: Time(Duration::from_secs(30)),
            limits: Limits::default(),
        }
    }
}

impl Default for Route {
    fn default() -> Self {
        Self {
            enabled: true,
            public: false,
            target_url: None,
            universal_proxy: false,
            allow_private: true,
            allow_hosts: None,
            deny_hosts: Vec::new(),
            proxy: None,
            force_header_overwrite: None,
            custom_headers: Vec::new(),
            key_strategy: None,
            http2: false,
            timeouts: RouteTimeouts::default(),
            limits: UseLimits::default(),
            cors: None,
            retry: None,
            fallback: Vec::new(),
            usage: None,
            on_client_gone: None,
            drain_timeout: None,
            sse_keepalive: Time(Duration::ZERO),
            sse_keepalive_before_head: false,
            upgrade: None,
        }
    }
}
