//! What an exchange has used, as programs read it.

use serde::Serialize;

use crate::spending::{Money, Spending};

/// The fields. They are there where usage is read along; `null` is what nobody has said.
#[derive(Serialize)]
pub(super) struct Spent<'a> {
    model: Option<&'a str>,
    tokens_in: Option<u64>,
    tokens_out: Option<u64>,
    tokens_cached: Option<u64>,
    tokens_reasoning: Option<u64>,
    usage_partial: bool,
    cost_usd: Option<f64>,
}

impl<'a> Spent<'a> {
    pub(super) fn of(spending: &'a Spending) -> Self {
        Self {
            model: spending.model.as_deref(),
            tokens_in: spending.tokens_in,
            tokens_out: spending.tokens_out,
            tokens_cached: spending.tokens_cached,
            tokens_reasoning: spending.tokens_reasoning,
            usage_partial: spending.partial,
            cost_usd: spending.cost.map(Money::dollars),
        }
    }
}
