//! What the command line says of itself.

use super::Lang;

/// A text of the command line's help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Help {
    /// What the program is.
    About,
    /// What to try first.
    First,
    /// `run`
    Run,
    /// `check`
    Check,
    /// `explain`
    Explain,
    /// `keygen`
    Keygen,
    /// `NAME` of `keygen`
    KeygenName,
    /// `--client` of `explain`
    ExplainClient,
    /// `init`
    Init,
    /// `schema`
    Schema,
    /// `routes`
    Routes,
    /// `healthcheck`
    Healthcheck,
    /// `demo`
    Demo,
    /// `completions`
    Completions,
    /// `help`
    HelpCommand,
    /// `--config`
    Config,
    /// `--host`
    Host,
    /// `--port`
    Port,
    /// `--base-path`
    BasePath,
    /// `--lang`
    Lang,
    /// `--log-format`
    LogFormat,
    /// `--log-requests`
    LogRequests,
    /// `--workers`
    Workers,
    /// `-t`
    Test,
    /// `--strict`
    Strict,
    /// `METHOD`
    Method,
    /// `PATH`
    Path,
    /// `--header`
    Header,
    /// `FILE` of `init`
    InitFile,
    /// `SHELL`
    Shell,
    /// `--help`
    HelpFlag,
    /// `--version`
    VersionFlag,
    /// The heading of options.
    Options,
    /// The heading of arguments.
    Arguments,
    /// The heading of commands.
    Commands,
    /// The word before the synopsis.
    Usage,
}

impl Help {
    /// The text in this language.
    #[must_use]
    pub fn text(self, lang: Lang) -> &'static str {
        match lang {
            Lang::En => self.en(),
            Lang::Zh => self.zh(),
        }
    }

    fn en(self) -> &'static str {
        match self {
            Self::About => {
                "A reverse proxy for LLM APIs: one address, one config file, many providers, every byte at once."
            }
            Self::First => {
                "New here? 'aqueduct demo' shows it at work without any account; 'aqueduct init' writes a first config.json."
            }
            Self::Run => "Start the proxy (what happens without a command)",
            Self::Check => "Check the configuration and show every problem with its place",
            Self::Explain => "Say what would become of a request, and why; nothing is sent",
            Self::Keygen => "Make a key for a client, and print it with what belongs into the configuration",
            Self::KeygenName => "What to call the client",
            Self::ExplainClient => "Ask as this client, by its name in client_keys",
            Self::Init => "Write a commented configuration to begin with; never over an existing file",
            Self::Schema => "Print the JSON Schema of the configuration",
            Self::Routes => "List the routes of the configuration",
            Self::Healthcheck => "Ask a running proxy whether it is alive; for containers",
            Self::Demo => "Start a fake provider with a proxy in front, and show three requests to try",
            Self::Completions => "Print a completion script for a shell",
            Self::HelpCommand => "Print help for a command",
            Self::Config => "The configuration file. Otherwise ./config.json, then /etc/aqueduct/config.json",
            Self::Host => "The address to listen on, instead of server.host",
            Self::Port => "The port to listen on, instead of server.port",
            Self::BasePath => "The prefix under which everything is served, instead of server.base_path",
            Self::Lang => "The language: zh or en. Otherwise server.language, then that of the environment",
            Self::LogFormat => "The shape of the request log, instead of server.log_format",
            Self::LogRequests => "Whether requests are logged, instead of server.log_requests",
            Self::Workers => "The number of worker threads, instead of server.workers",
            Self::Test => "Check the configuration instead of starting, like 'check'",
            Self::Strict => "Fail on warnings too",
            Self::Method => "The method, such as POST",
            Self::Path => "The path with its query, such as /openai/v1/models",
            Self::Header => "A header of the request, such as 'Authorization: Bearer x'; as often as needed",
            Self::InitFile => "Where to write. Otherwise ./config.json",
            Self::Shell => "Which shell",
            Self::HelpFlag => "Print help",
            Self::VersionFlag => "Print the version",
            Self::Options => "Options",
            Self::Arguments => "Arguments",
            Self::Commands => "Commands",
            Self::Usage => "Usage",
        }
    }

    fn zh(self) -> &'static str {
        match self {
            Self::About => "面向大模型 API 的反向代理: 一个地址，一份配置，多家服务商，逐字节即时转发。",
            Self::First => "初次使用？'aqueduct demo' 无需账号即可体验；'aqueduct init' 生成第一份 config.json。",
            Self::Run => "启动代理（不写命令时的默认行为）",
            Self::Check => "检查配置，列出每个问题及其位置",
            Self::Explain => "说明一个请求会被如何处理及其原因，不会真正发送",
            Self::Keygen => "为客户端生成密钥，并输出应加入配置的内容",
            Self::KeygenName => "客户端的名称",
            Self::ExplainClient => "以此客户端的身份 (client_keys 中的名称)",
            Self::Init => "生成一份带注释的初始配置，绝不覆盖已有文件",
            Self::Schema => "输出配置文件的 JSON Schema",
            Self::Routes => "列出配置中的路由",
            Self::Healthcheck => "询问运行中的代理是否正常，适用于容器",
            Self::Demo => "启动一个模拟服务商和它前面的代理，并给出三个可直接尝试的请求",
            Self::Completions => "输出指定 shell 的补全脚本",
            Self::HelpCommand => "显示某个命令的帮助",
            Self::Config => "配置文件。省略时依次查找 ./config.json 和 /etc/aqueduct/config.json",
            Self::Host => "监听地址，代替 server.host",
            Self::Port => "监听端口，代替 server.port",
            Self::BasePath => "基础路径前缀，代替 server.base_path",
            Self::Lang => "语言: zh 或 en。省略时依次取 server.language 和环境变量",
            Self::LogFormat => "请求日志的格式，代替 server.log_format",
            Self::LogRequests => "是否记录请求，代替 server.log_requests",
            Self::Workers => "工作线程数，代替 server.workers",
            Self::Test => "只检查配置而不启动，等同于 'check'",
            Self::Strict => "有警告时也视为失败",
            Self::Method => "请求方法，例如 POST",
            Self::Path => "路径及查询参数，例如 /openai/v1/models",
            Self::Header => "请求的 Header，例如 'Authorization: Bearer x'；可重复",
            Self::InitFile => "写入的位置，省略时为 ./config.json",
            Self::Shell => "哪种 shell",
            Self::HelpFlag => "显示帮助",
            Self::VersionFlag => "显示版本",
            Self::Options => "选项",
            Self::Arguments => "参数",
            Self::Commands => "命令",
            Self::Usage => "用法",
        }
    }
}
