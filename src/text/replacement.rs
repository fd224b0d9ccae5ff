//! What is said when the running program is replaced.

use std::fmt::{self, Display};
use std::time::Duration;

use super::{Lang, Speak, shown, system_words};

/// What a process says that is replaced, or takes the place of another.
pub enum Replacement<'a> {
    /// The program is started anew.
    Begins,
    /// That is under way already.
    HasBegun,
    /// Another process has taken over.
    Done {
        /// Its number.
        by: u32,
        /// How many connections this one still has.
        connections: usize,
    },
    /// No other process has taken over.
    Failed(&'a Unreplaced),
    /// A process that was replaced has ended: its number.
    IsGone(u32),
    /// Nobody listens any more where the process before this one did.
    LeftBehind(&'a dyn Display),
}

/// Why no other process has taken the place of this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreplaced {
    /// The program cannot be started.
    CannotStart {
        /// Its path.
        program: String,
        /// Why not.
        why: String,
    },
    /// It ended before it could serve.
    Ended {
        /// Its exit status.
        code: Option<i32>,
        /// The signal that ended it.
        signal: Option<i32>,
    },
    /// It took too long.
    TooSlow(Duration),
    /// Nobody knows what became of it.
    Lost,
    /// This is the first process of a container.
    FirstProcess,
}

impl Speak for Replacement<'_> {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match lang {
            Lang::En => self.en(f),
            Lang::Zh => self.zh(f),
        }
    }
}

impl Replacement<'_> {
    fn en(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begins => f.write_str("🔁 Starting the program anew to replace this process."),
            Self::HasBegun => f.write_str("⚠️  This process is being replaced already."),
            Self::Done { by, connections } => {
                write!(f, "🔁 Process {by} has taken over. {connections} connections of this one may finish.")
            }
            Self::Failed(why) => {
                write!(f, "❌ This process was not replaced and goes on serving: {}.", why.in_lang(Lang::En))
            }
            Self::IsGone(process) => write!(f, "👋 Process {process}, which was replaced, has ended."),
            Self::LeftBehind(at) => {
                write!(f, "⚠️  No longer listening on {at}: the configuration does not name it any more.")
            }
        }
    }

    fn zh(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begins => f.write_str("🔁 正在重新启动程序，以替换本进程。"),
            Self::HasBegun => f.write_str("⚠️  替换已在进行中。"),
            Self::Done { by, connections } => {
                write!(f, "🔁 进程 {by} 已接管服务。本进程等待 {connections} 个连接完成。")
            }
            Self::Failed(why) => write!(f, "❌ 替换未成功，本进程继续服务: {}。", why.in_lang(Lang::Zh)),
            Self::IsGone(process) => write!(f, "👋 已被替换的进程 {process} 已结束。"),
            Self::LeftBehind(at) => write!(f, "⚠️  不再监听 {at}: 配置中已没有该地址。"),
        }
    }
}

impl Speak for Unreplaced {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match lang {
            Lang::En => self.en(f),
            Lang::Zh => self.zh(f),
        }
    }
}

impl Unreplaced {
    fn en(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CannotStart { program, why } => write!(f, "'{}' cannot be started: {why}", shown(program)),
            Self::Ended { code: Some(code), .. } => {
                write!(f, "the new process ended before it could serve, with status {code}")
            }
            Self::Ended { code: None, signal } => {
                write!(f, "the new process ended before it could serve, by signal {}", signal.unwrap_or_default())
            }
            Self::TooSlow(limit) => write!(f, "the new process could not serve within {} s", limit.as_secs()),
            Self::Lost => f.write_str("the new process is gone"),
            Self::FirstProcess => f.write_str(
                "this is the first process of a container, which would end with it. Start a new container instead",
            ),
        }
    }

    fn zh(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CannotStart { program, why } => {
                write!(f, "无法启动 '{}': {}", shown(program), system_words(why, Lang::Zh))
            }
            Self::Ended { code: Some(code), .. } => write!(f, "新进程在就绪前退出，状态码 {code}"),
            Self::Ended { code: None, signal } => {
                write!(f, "新进程在就绪前被信号 {} 终止", signal.unwrap_or_default())
            }
            Self::TooSlow(limit) => write!(f, "新进程在 {} 秒内没有就绪", limit.as_secs()),
            Self::Lost => f.write_str("新进程已不存在"),
            Self::FirstProcess => f.write_str("本进程是容器的首个进程，它退出时容器也随之停止。请改为启动新容器"),
        }
    }
}
