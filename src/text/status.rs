//! What the manager of services shows of the program, such as `systemctl status`.

use std::fmt;

use super::{Lang, Speak};

/// What the program is about.
#[derive(Debug, Clone, Copy)]
pub enum Status {
    /// It serves so many routes.
    Serving {
        /// How many there are.
        routes: usize,
    },
    /// It goes on with its old configuration, since the new one has a fault.
    NotReloaded,
    /// It ends when the connections that are left have ended.
    Ending {
        /// How many there are.
        connections: usize,
    },
}

impl Speak for Status {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, lang) {
            (Self::Serving { routes: 1 }, Lang::En) => f.write_str("Serving 1 route"),
            (Self::Serving { routes }, Lang::En) => write!(f, "Serving {routes} routes"),
            (Self::Serving { routes }, Lang::Zh) => write!(f, "正在服务 {routes} 条路由"),
            (Self::NotReloaded, Lang::En) => {
                f.write_str("Serving with the old configuration: the new one has a fault (see the log)")
            }
            (Self::NotReloaded, Lang::Zh) => f.write_str("沿用旧配置继续服务: 新配置有误 (见日志)"),
            (Self::Ending { connections }, Lang::En) => write!(f, "Stopping: {connections} connections may finish"),
            (Self::Ending { connections }, Lang::Zh) => write!(f, "正在停止: 等待 {connections} 个连接完成"),
        }
    }
}
