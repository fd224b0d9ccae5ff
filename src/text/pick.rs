//! What can be wrong with lists of which one is picked, and what is told of those that were.

use std::fmt::{self, Display};

use super::{Lang, Speak};

/// One thing that is wrong, or odd, with a list of which one is picked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PickProblem {
    /// A list without entries.
    Empty,
    /// An entry without anything in it.
    EmptyEntry,
    /// A list that is longer or shorter than the one before it.
    OtherLength {
        /// How many entries it has.
        found: usize,
        /// How many the one before has.
        expected: usize,
        /// The header of that one.
        other: String,
    },
    /// More entries than there may be.
    TooMany(usize),
    /// The same entry once more.
    Repeated,
    /// A list where only one value can stand.
    NotHere(String),
    /// An entry without URL.
    NoUrl,
    /// A list of targets on a route whose clients name theirs.
    OnUniversal,
    /// A strategy, and nothing to pick from.
    UnusedStrategy,
    /// Not the name of a header.
    NoHeader,
}

impl Speak for PickProblem {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match lang {
            Lang::En => self.en(f),
            Lang::Zh => self.zh(f),
        }
    }
}

impl PickProblem {
    fn en(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the list is empty: put one entry in at least, or leave the field out"),
            Self::EmptyEntry => f.write_str("this entry is empty: put a value in, or take it out of the list"),
            Self::OtherLength { found, expected, other } => write!(
                f,
                "this list has {found} entries, that of '{other}' has {expected}: lists of one route move in step and must be equally long"
            ),
            Self::TooMany(max) => write!(f, "a list may have {max} entries at most"),
            Self::Repeated => f.write_str("this entry stands in the list already: it is used twice as often"),
            Self::NotHere(name) => write!(f, "'{name}' cannot be a list: write one value"),
            Self::NoUrl => f.write_str("expected a URL, or {\"url\": \"https://...\", \"weight\": 1, \"priority\": 0}"),
            Self::OnUniversal => {
                f.write_str("clients of a universal route name the target themselves: leave the list out")
            }
            Self::UnusedStrategy => f.write_str("no header of this route is a list: key_strategy does nothing"),
            Self::NoHeader => f.write_str("expected the name of a header, as in {\"sticky\": \"x-session-id\"}"),
        }
    }

    fn zh(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("列表为空: 请至少写一项，或省略此字段"),
            Self::EmptyEntry => f.write_str("此项为空: 请填入值，或将其从列表中删除"),
            Self::OtherLength { found, expected, other } => write!(
                f,
                "此列表有 {found} 项，而 '{other}' 的列表有 {expected} 项: 同一路由的多个列表同步轮换，长度必须相同"
            ),
            Self::TooMany(max) => write!(f, "列表最多 {max} 项"),
            Self::Repeated => f.write_str("此项在列表中重复: 其使用频率会加倍"),
            Self::NotHere(name) => write!(f, "'{name}' 不能是列表: 请只写一个值"),
            Self::NoUrl => f.write_str("应为 URL，或 {\"url\": \"https://...\", \"weight\": 1, \"priority\": 0}"),
            Self::OnUniversal => f.write_str("万能路由的目标由客户端指定: 请删除此列表"),
            Self::UnusedStrategy => f.write_str("此路由没有任何列表形式的 Header: key_strategy 不起作用"),
            Self::NoHeader => f.write_str("应为 Header 名称，例如 {\"sticky\": \"x-session-id\"}"),
        }
    }
}

/// A change in how an entry stands that is told when it happens.
pub struct Rested<'a> {
    /// The key of its route.
    pub route: &'a dyn Display,
    /// What it is.
    pub entry: Entry<'a>,
    /// What has changed.
    pub now: Stands,
    /// How many changes were not told before it.
    pub others: u32,
}

/// What rests.
#[derive(Clone, Copy)]
pub enum Entry<'a> {
    /// The key at this place of its list.
    Key(usize),
    /// The target of this name.
    Target(&'a dyn Display),
}

/// How it stands.
#[derive(Clone, Copy)]
pub enum Stands {
    /// It rests for so many seconds, since it was answered with 429.
    Limited(f64),
    /// It is refused with this status, and is tried again after so many seconds.
    Refused(u16, f64),
    /// It cannot be reached, and is tried again after so many seconds.
    Unreachable(f64),
    /// It works again.
    Good,
}

impl Speak for Rested<'_> {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if matches!(self.now, Stands::Good) { "✅" } else { "⏸️ " };
        match lang {
            Lang::En => {
                write!(f, "{mark} Route '{}', ", self.route)?;
                match self.entry {
                    Entry::Key(place) => write!(f, "key [{place}]: ")?,
                    Entry::Target(name) => write!(f, "target {name}: ")?,
                }
                match self.now {
                    Stands::Limited(pause) => write!(f, "rests for {pause} s (429)")?,
                    Stands::Refused(status, pause) => write!(f, "is out ({status}), tried again after {pause} s")?,
                    Stands::Unreachable(pause) => write!(f, "cannot be reached, tried again after {pause} s")?,
                    Stands::Good => f.write_str("works again")?,
                }
            }
            Lang::Zh => {
                write!(f, "{mark} 路由 '{}' 的", self.route)?;
                match self.entry {
                    Entry::Key(place) => write!(f, "密钥 [{place}]: ")?,
                    Entry::Target(name) => write!(f, "目标 {name}: ")?,
                }
                match self.now {
                    Stands::Limited(pause) => write!(f, "暂停使用 {pause} 秒 (429)")?,
                    Stands::Refused(status, pause) => write!(f, "已停用 ({status})，{pause} 秒后再试")?,
                    Stands::Unreachable(pause) => write!(f, "无法连接，{pause} 秒后再试")?,
                    Stands::Good => f.write_str("恢复正常")?,
                }
            }
        }
        match (self.others, lang) {
            (0, _) => Ok(()),
            (others, Lang::En) => write!(f, " ({others} changes before were not told)"),
            (others, Lang::Zh) => write!(f, "（此前另有 {others} 次变化未记录）"),
        }
    }
}
