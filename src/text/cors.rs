//! What can be wrong with the rules for pages in browsers, and what is said of them.

use std::fmt::{self, Display};

use super::{Lang, Speak};

/// One thing that is wrong, or odd, with which pages may read answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CorsProblem {
    /// Not an origin.
    BadOrigin,
    /// Every page, and some.
    NotAlone,
    /// No page at all.
    NoOrigin,
    /// Every page that anybody opens can use keys of the operator.
    OpenToPages,
}

impl Speak for CorsProblem {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (lang, self) {
            (Lang::En, Self::BadOrigin) => {
                "expected an origin such as \"https://app.example.com\" or \"http://localhost:5173\": scheme, host and port, without a path or '*'"
            }
            (Lang::En, Self::NotAlone) => "\"*\" means every page: it stands alone in the list",
            (Lang::En, Self::NoOrigin) => "'origins' names nobody: no page may read answers",
            (Lang::En, Self::OpenToPages) => {
                "without client_keys every page that a browser on this network opens can use your routes, and their keys. Name the pages in 'origins', or say who may use the proxy in client_keys"
            }
            (Lang::Zh, Self::BadOrigin) => {
                "应为来源，例如 \"https://app.example.com\" 或 \"http://localhost:5173\": 协议、主机和端口，不带路径或 '*'"
            }
            (Lang::Zh, Self::NotAlone) => "\"*\" 表示任何页面，在列表中只能单独出现",
            (Lang::Zh, Self::NoOrigin) => "'origins' 为空: 没有页面可以读取响应",
            (Lang::Zh, Self::OpenToPages) => {
                "没有配置 client_keys 时，此网络中浏览器打开的任何页面都可以使用您的路由及其密钥。请在 'origins' 中写明页面，或用 client_keys 限定使用者"
            }
        })
    }
}

/// What is said of pages.
pub enum CorsSay<'a> {
    /// Whose pages may read answers.
    Pages(&'a dyn Display),
    /// The same of one route, in a note.
    RoutePages(&'a dyn Display),
    /// A preflight would be answered.
    ExplainPreflight(&'a dyn Display),
}

impl Speak for CorsSay<'_> {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (lang, self) {
            (Lang::En, Self::Pages(origins)) => write!(f, "  - Pages in browsers (CORS): {origins}"),
            (Lang::Zh, Self::Pages(origins)) => write!(f, "  - 浏览器页面 (CORS): {origins}"),
            (_, Self::RoutePages(origins)) => write!(f, "CORS: {origins}"),
            (Lang::En, Self::ExplainPreflight(lines)) => {
                write!(
                    f,
                    "The proxy answers the preflight by itself: 204. No key is asked for, no upstream is asked.\n{lines}"
                )
            }
            (Lang::Zh, Self::ExplainPreflight(lines)) => {
                write!(f, "由代理直接应答预检请求: 204。不需要密钥，也不会询问任何上游。\n{lines}")
            }
        }
    }
}
