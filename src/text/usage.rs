//! What can be wrong with how usage is read along, and how to mend it.

use std::fmt;

use super::{Lang, Speak, shown, system_words};

/// One thing that is wrong, or odd, with how it is to be read along what exchanges use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsageProblem {
    /// Prices, and nothing that they are for.
    UnusedPrices,
    /// Answers are read on for figures that nobody reads.
    UnusedDrain,
    /// A budget of money, and no prices.
    UnpricedBudget,
    /// The file of prices is no JSON; what the library says of it.
    PricesSyntax(String),
    /// The file of prices is something else.
    PricesShape,
    /// A price that is none.
    BadPrice {
        /// The model.
        model: String,
        /// The member.
        field: String,
    },
}

impl Speak for UsageProblem {
    fn speak(&self, lang: Lang, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match lang {
            Lang::En => self.en(f),
            Lang::Zh => self.zh(f),
        }
    }
}

impl UsageProblem {
    fn en(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnusedPrices => f.write_str("no route reads usage along, so that nothing has a price: set \"usage\": true"),
            Self::UnusedDrain => f.write_str(
                "answers are read on for their usage figures, which nobody reads here, so they are cancelled: set \"usage\": true",
            ),
            Self::UnpricedBudget => f.write_str("without prices nothing is known to cost anything, so that this budget in dollars is never used up: name a file of prices in 'prices'"),
            Self::PricesSyntax(why) => write!(f, "the file of prices is not valid JSON: {}", shown(&**why)),
            Self::PricesShape => f.write_str(
                "the file of prices is not an object of models, each of them an object with members such as input_cost_per_token",
            ),
            Self::BadPrice { model, field } => write!(
                f,
                "in the file of prices: '{}' of '{}' is not an amount of dollars, such as 2.5e-06",
                shown(&**field),
                shown(&**model)
            ),
        }
    }

    fn zh(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnusedPrices => f.write_str("没有任何路由读取用量，价格不起作用: 请设置 \"usage\": true"),
            Self::UnusedDrain => {
                f.write_str("继续读取响应是为了获得用量，但这里没有读取用量，因此仍会取消: 请设置 \"usage\": true")
            }
            Self::UnpricedBudget => {
                f.write_str("没有价格就不知道费用，这个美元预算永远不会用完: 请用 'prices' 指定价格文件")
            }
            Self::PricesSyntax(why) => {
                write!(f, "价格文件不是有效的 JSON: {}", shown(&*system_words(why, Lang::Zh)))
            }
            Self::PricesShape => {
                f.write_str("价格文件应为一个对象，每个模型各是一个带有 input_cost_per_token 等成员的对象")
            }
            Self::BadPrice { model, field } => {
                write!(f, "价格文件中 '{}' 的 '{}' 不是美元金额，例如 2.5e-06", shown(&**model), shown(&**field))
            }
        }
    }
}
