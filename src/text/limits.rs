//! What limits allow, and what can be wrong with how they are written.

use std::fmt;

use super::{Lang, Speak};

/// What somebody may use, in words.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allowed {
    /// So many requests in a minute.
    pub requests: Option<u64>,
    /// So many tokens in a minute.
    pub tokens: Option<u64>,
    /// So many requests at once.
    pub at_once: Option<usize>,
    /// So many tokens in a day or a month.
    pub budget_tokens: Option<u64>,
    /// So many dollars in a day or a month.
    pub budget_dollars: Option<f64>,
    /// Whether it is a month.
    pub by_month: bool,
}

/// One thing that is wrong, or odd, with limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LimitProblem {
    /// A budget of neither tokens nor money.
    EmptyBudget,
    /// A budget that does not say for how long it has to do.
    BudgetWithoutPer,
    /// No amount of money.
    BadAmount,
}

impl Speak for Allowed {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = match lang {
            Lang::En => self.en(),
            Lang::Zh => self.zh(),
        };
        match lang {
            _ if parts.is_empty() => f.write_str("-"),
            Lang::En => f.write_str(&parts.join(", ")),
            Lang::Zh => f.write_str(&parts.join("，")),
        }
    }
}

impl Allowed {
    fn en(&self) -> Vec<String> {
        let per = if self.by_month { "a month" } else { "a day" };
        let parts = [
            self.requests.map(|count| format!("{count} requests a minute")),
            self.tokens.map(|count| format!("{count} tokens a minute")),
            self.at_once.map(|count| format!("{count} at once")),
            self.budget_tokens.map(|count| format!("{count} tokens {per}")),
            self.budget_dollars.map(|dollars| format!("${dollars} {per}")),
        ];
        parts.into_iter().flatten().collect()
    }

    fn zh(&self) -> Vec<String> {
        let per = if self.by_month { "每月" } else { "每天" };
        let parts = [
            self.requests.map(|count| format!("每分钟 {count} 个请求")),
            self.tokens.map(|count| format!("每分钟 {count} 个 token")),
            self.at_once.map(|count| format!("同时 {count} 个")),
            self.budget_tokens.map(|count| format!("{per} {count} 个 token")),
            self.budget_dollars.map(|dollars| format!("{per} {dollars} 美元")),
        ];
        parts.into_iter().flatten().collect()
    }
}

impl Speak for LimitProblem {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match lang {
            Lang::En => self.en(),
            Lang::Zh => self.zh(),
        })
    }
}

impl LimitProblem {
    fn en(&self) -> &'static str {
        match self {
            Self::EmptyBudget => "a budget needs 'tokens' or 'usd', or both",
            Self::BudgetWithoutPer => "a budget has to say for how long it is: set 'per' to \"day\" or \"month\"",
            Self::BadAmount => "expected an amount in dollars: more than 0, and at most 1000000",
        }
    }

    fn zh(&self) -> &'static str {
        match self {
            Self::EmptyBudget => "预算需要 'tokens' 或 'usd'，或两者都有",
            Self::BudgetWithoutPer => "预算需要写明周期: 请将 'per' 设为 \"day\" 或 \"month\"",
            Self::BadAmount => "应为美元金额: 大于 0，且不超过 1000000",
        }
    }
}
