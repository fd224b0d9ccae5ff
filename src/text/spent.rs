//! What an exchange has used, in one line.

use std::fmt::{self, Display};

use super::Lang;
use crate::spending::Spending;

struct Words {
    title: &'static str,
    went_in: &'static str,
    came_out: &'static str,
    cached: &'static str,
    reasoning: &'static str,
    partial: &'static str,
}

const ENGLISH: Words = Words {
    title: "📊 Tokens:           ",
    went_in: "in",
    came_out: "out",
    cached: "cached",
    reasoning: "reasoning",
    partial: "partial",
};
const CHINESE: Words = Words {
    title: "📊 用量:          ",
    went_in: "输入",
    came_out: "输出",
    cached: "缓存",
    reasoning: "推理",
    partial: "不完整",
};

/// `in 1200 (cached 1000), out 87 (reasoning 64), $0.0021, gpt-5`: what is unknown is a question mark, and what is none
/// of either is left out.
pub(super) fn spent(
    spending: &Spending,
    model: Option<&dyn Display>,
    lang: Lang,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let words = match lang {
        Lang::En => &ENGLISH,
        Lang::Zh => &CHINESE,
    };
    f.write_str(words.title)?;
    count(f, words.went_in, spending.tokens_in, words.cached, spending.tokens_cached)?;
    f.write_str(", ")?;
    count(f, words.came_out, spending.tokens_out, words.reasoning, spending.tokens_reasoning)?;
    if spending.partial {
        write!(f, ", {}", words.partial)?;
    }
    if let Some(cost) = spending.cost {
        write!(f, ", ${cost}")?;
    }
    model.map_or(Ok(()), |model| write!(f, ", {model}"))
}

fn count(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    count: Option<u64>,
    part_name: &str,
    part: Option<u64>,
) -> fmt::Result {
    match count {
        Some(count) => write!(f, "{name} {count}")?,
        None => write!(f, "{name} ?")?,
    }
    match part {
        Some(part) if part > 0 => write!(f, " ({part_name} {part})"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Say, Speak};
    use super::*;
    use crate::spending::Money;

    #[test]
    fn one_line_says_what_is_known() {
        let mut spending = Spending {
            tokens_in: Some(1200),
            tokens_out: Some(87),
            tokens_cached: Some(1000),
            tokens_reasoning: Some(0),
            cost: Some(Money::of_picodollars(2_100_000_000)),
            ..Spending::default()
        };
        let model: &dyn Display = &"gpt-5";
        let say = Say::Spent { spending: &spending, model: Some(model) };
        assert_eq!(
            say.in_lang(Lang::En).to_string(),
            "📊 Tokens:           in 1200 (cached 1000), out 87, $0.0021, gpt-5"
        );
        spending = Spending { tokens_out: None, partial: true, cost: None, ..spending };
        let say = Say::Spent { spending: &spending, model: None };
        assert_eq!(say.in_lang(Lang::Zh).to_string(), "📊 用量:          输入 1200 (缓存 1000), 输出 ?, 不完整");
    }
}
