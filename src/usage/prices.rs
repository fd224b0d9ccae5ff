//! What tokens cost: a list of prices in the shape that `LiteLLM` keeps (`model_prices_and_context_window.json`).

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::spending::{Money, Spending};

/// Prices by the names of models.
#[derive(Debug, Default)]
pub struct Prices {
    models: HashMap<Box<str>, Price>,
    /// The places in `models` of those that stand behind a provider's name (`azure/gpt-4o`), by what they are called
    /// without it; `None` where they do not agree.
    short: HashMap<Box<str>, Option<Price>>,
}

/// What is wrong with a list of prices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadPrices {
    /// It is no JSON; what the library says of it.
    Syntax(String),
    /// It is no object of objects.
    Shape,
    /// A price that is none.
    Price {
        /// The model.
        model: String,
        /// The member.
        field: String,
    },
}

/// What a token costs, of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Rates {
    went_in: Option<Money>,
    came_out: Option<Money>,
    cached: Option<Money>,
    stored: Option<Money>,
    stored_long: Option<Money>,
    reasoning: Option<Money>,
}

/// The prices of one model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Price {
    rates: Rates,
    /// What holds instead as soon as more than so many tokens go in, the most first.
    above: Vec<(u64, Rates)>,
}

impl Prices {
    /// Reads a list.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, BadPrices> {
        let list: Value = serde_json::from_slice(text).map_err(|error| BadPrices::Syntax(error.to_string()))?;
        let Value::Object(list) = list else { return Err(BadPrices::Shape) };
        let mut prices = Self::default();
        // The list shows its own shape in an entry that is no model.
        for (model, entry) in list.iter().filter(|(model, _)| *model != "sample_spec") {
            let Value::Object(entry) = entry else { return Err(BadPrices::Shape) };
            let price = Price::of(entry).map_err(|field| BadPrices::Price { model: model.clone(), field })?;
            // What is paid for by the image or by the second has no price here.
            if price.rates == Rates::default() {
                continue;
            }
            if let Some((_, short)) = model.rsplit_once('/') {
                let agreed = prices.short.entry(short.into()).or_insert_with(|| Some(price.clone()));
                if agreed.as_ref() != Some(&price) {
                    *agreed = None;
                }
            }
            prices.models.insert(model.as_str().into(), price);
        }
        Ok(prices)
    }

    /// How many models have a price.
    #[must_use]
    pub fn len(&self) -> usize {
        self.models.len()
    }

    /// Whether no model has a price.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// What this costs, if both the figures and the prices are known.
    #[must_use]
    pub fn cost(&self, spending: &Spending) -> Option<Money> {
        self.price(spending.model.as_deref()?)?.cost(spending)
    }

    /// The price of a model: under its name as it is, without what names a provider in front of it, behind the name of
    /// any provider if all agree, and then all of this without what says which release of it.
    fn price(&self, model: &str) -> Option<&Price> {
        let known = |model: &str| {
            let short = model.rsplit('/').next().unwrap_or(model);
            let listed = self.models.get(model).or_else(|| self.models.get(short));
            listed.or_else(|| self.short.get(short).and_then(Option::as_ref))
        };
        known(model).or_else(|| known(without_release(model)?))
    }
}

impl Price {
    /// Gives the member that is wrong otherwise.
    fn of(entry: &Map<String, Value>) -> Result<Self, String> {
        let mut price = Self::default();
        for (field, value) in entry {
            let (name, above) = match field.split_once("_above_") {
                // An hour in the cache is a kind of its own, and not an amount.
                Some((name, "1hr")) => (Name::Long(name), None),
                Some((name, rest)) => match thousands(rest) {
                    Some(count) => (Name::Plain(name), Some(count)),
                    None => continue,
                },
                None => (Name::Plain(field), None),
            };
            let mut rates = Rates::default();
            let Some(rate) = rates.named(name) else { continue };
            if value.is_null() {
                continue;
            }
            *rate = Some(value.as_f64().and_then(Money::of_dollars).ok_or_else(|| field.clone())?);
            match above {
                None => price.rates.add(rates),
                Some(count) => match price.above.iter_mut().find(|(known, _)| *known == count) {
                    Some((_, known)) => known.add(rates),
                    None => price.above.push((count, rates)),
                },
            }
        }
        price.above.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        Ok(price)
    }

    fn cost(&self, spending: &Spending) -> Option<Money> {
        let went_in = spending.tokens_in?;
        let came_out = spending.tokens_out?;
        let mut rates = self.rates;
        if let Some((_, above)) = self.above.iter().find(|(count, _)| went_in > *count) {
            rates.add(*above);
        }
        let cached = spending.tokens_cached.unwrap_or(0).min(went_in);
        let stored = spending.tokens_stored.unwrap_or(0).min(went_in - cached);
        let long = spending.tokens_stored_long.unwrap_or(0).min(stored);
        let reasoning =
            if rates.reasoning.is_some() { spending.tokens_reasoning.unwrap_or(0).min(came_out) } else { 0 };
        let parts = [
            (went_in - cached - stored, rates.went_in),
            // Where no price is known of what a cache does, it costs what it costs without one.
            (cached, rates.cached.or(rates.went_in)),
            (stored - long, rates.stored.or(rates.went_in)),
            (long, rates.stored_long.or(rates.stored).or(rates.went_in)),
            (came_out - reasoning, rates.came_out),
            (reasoning, rates.reasoning),
        ];
        parts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .try_fold(Money::default(), |sum, (count, rate)| rate.map(|rate| sum + rate.times(count)))
    }
}

/// The name of a member, without what it holds for.
#[derive(Clone, Copy)]
enum Name<'a> {
    Plain(&'a str),
    Long(&'a str),
}

impl Rates {
    fn named(&mut self, name: Name<'_>) -> Option<&mut Option<Money>> {
        Some(match name {
            Name::Plain("input_cost_per_token") => &mut self.went_in,
            Name::Plain("output_cost_per_token") => &mut self.came_out,
            Name::Plain("cache_read_input_token_cost") => &mut self.cached,
            Name::Plain("cache_creation_input_token_cost") => &mut self.stored,
            Name::Long("cache_creation_input_token_cost") => &mut self.stored_long,
            Name::Plain("output_cost_per_reasoning_token") => &mut self.reasoning,
            Name::Plain(_) | Name::Long(_) => return None,
        })
    }

    /// Takes over what is known of others.
    fn add(&mut self, others: Self) {
        self.went_in = others.went_in.or(self.went_in);
        self.came_out = others.came_out.or(self.came_out);
        self.cached = others.cached.or(self.cached);
        self.stored = others.stored.or(self.stored);
        self.stored_long = others.stored_long.or(self.stored_long);
        self.reasoning = others.reasoning.or(self.reasoning);
    }
}

/// `200k_tokens`, and nothing behind it: what holds for a tier of service is not known to hold here.
fn thousands(text: &str) -> Option<u64> {
    text.strip_suffix("k_tokens")?.parse::<u64>().ok()?.checked_mul(1000)
}

/// A name without the date or number of its release: `gpt-4o-2024-08-06`, `claude-sonnet-4-20250514`,
/// `claude-3-5-sonnet@20240620`, `gemini-2.0-flash-001`, `claude-sonnet-4-0-latest`.
fn without_release(model: &str) -> Option<&str> {
    let is_date = |text: &str| match text.len() {
        3 | 8 => text.bytes().all(|byte| byte.is_ascii_digit()),
        10 => text.bytes().enumerate().all(|(place, byte)| match place {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        }),
        _ => text == "latest",
    };
    [11, 9, 7, 4].into_iter().find_map(|length| {
        let at = model.len().checked_sub(length).filter(|at| *at > 0 && model.is_char_boundary(*at))?;
        let (name, release) = model.split_at(at);
        release.strip_prefix(['-', '@']).filter(|release| is_date(release)).map(|_| name)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn prices() -> Prices {
        let list = json!({
            "sample_spec": {"max_tokens": "LEGACY parameter", "input_cost_per_token": "a number"},
            "gpt-4o": {"input_cost_per_token": 2.5e-06, "output_cost_per_token": 1e-05, "cache_read_input_token_cost": 1.25e-06,
                "input_cost_per_token_batches": 1.25e-06, "mode": "chat", "supports_vision": true},
            "claude-sonnet-4-20250514": {"input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05,
                "cache_read_input_token_cost": 3e-07, "cache_creation_input_token_cost": 3.75e-06,
                "cache_creation_input_token_cost_above_1hr": 6e-06, "input_cost_per_token_above_200k_tokens": 6e-06,
                "output_cost_per_token_above_200k_tokens": 2.25e-05, "cache_read_input_token_cost_above_200k_tokens": 6e-07,
                "input_cost_per_token_above_200k_tokens_priority": 1},
            "gemini/gemini-2.5-flash": {"input_cost_per_token": 3e-07, "output_cost_per_token": 2.5e-06, "output_cost_per_reasoning_token": 3.5e-06},
            "azure/x": {"input_cost_per_token": 1e-06, "output_cost_per_token": 1e-06},
            "bedrock/eu/x": {"input_cost_per_token": 2e-06, "output_cost_per_token": 1e-06},
            "a/free": {"input_cost_per_token": 0, "output_cost_per_token": 0.0},
            "b/free": {"input_cost_per_token": 0, "output_cost_per_token": 0.0},
            "half": {"input_cost_per_token": 1e-06, "output_cost_per_token": null},
            "dall-e-3": {"input_cost_per_image": 0.04},
        });
        Prices::parse(list.to_string().as_bytes()).expect("a list")
    }

    fn cost(model: &str, tokens_in: u64, tokens_out: u64) -> Option<String> {
        let (tokens_in, tokens_out) = (Some(tokens_in), Some(tokens_out));
        let spending = Spending { model: Some(model.into()), tokens_in, tokens_out, ..Spending::default() };
        prices().cost(&spending).map(|cost| cost.to_string())
    }

    #[test]
    fn models_are_found_by_their_names() {
        let gpt = Some("0.0125".to_owned());
        for model in
            ["gpt-4o", "gpt-4o-2024-08-06", "openai/gpt-4o", "openrouter/openai/gpt-4o-2024-11-20", "gpt-4o-latest"]
        {
            assert_eq!(cost(model, 1000, 1000), gpt, "{model}");
        }
        assert_eq!(cost("models/gemini-2.5-flash-001", 10, 0).as_deref(), Some("0.000003"));
        assert_eq!(cost("claude-sonnet-4-20250514", 10, 0).as_deref(), Some("0.00003"));
        // What is said to cost nothing costs nothing.
        assert_eq!(cost("free", 10, 10).as_deref(), Some("0.00"));
        for unknown in ["gpt-4o-mini", "gpt-4", "x", "dall-e-3", "sample_spec", "", "-latest", "é-2024-08-06"] {
            assert_eq!(cost(unknown, 10, 10), None, "{unknown}");
        }
        assert_eq!(prices().len(), 8);
    }

    #[test]
    fn each_kind_of_token_has_its_price() {
        let all = Spending {
            model: Some("claude-sonnet-4".into()),
            tokens_in: Some(100_000),
            tokens_out: Some(1_000),
            tokens_cached: Some(50_000),
            tokens_stored: Some(20_000),
            tokens_stored_long: Some(5_000),
            tokens_reasoning: Some(100),
            ..Spending::default()
        };
        let known = |spending: Spending| {
            prices().cost(&Spending { model: Some("claude-sonnet-4-20250514".into()), ..spending })
        };
        // 30,000 × 3 + 50,000 × 0.3 + 15,000 × 3.75 + 5,000 × 6 + 1,000 × 15, in millionths
        assert_eq!(known(all.clone()).map(|cost| cost.to_string()).as_deref(), Some("0.20625"));
        // Above 200,000 in: 190,000 × 6 + 50,000 × 0.6 + 1,000 × 22.5
        let many = Spending { tokens_in: Some(240_000), tokens_stored: None, ..all.clone() };
        assert_eq!(known(many).map(|cost| cost.to_string()).as_deref(), Some("1.1925"));
        let thought = Spending {
            model: Some("gemini-2.5-flash".into()),
            tokens_cached: Some(0),
            tokens_stored: None,
            ..all.clone()
        };
        // 100,000 × 0.3 + 900 × 2.5 + 100 × 3.5
        assert_eq!(prices().cost(&thought).map(|cost| cost.to_string()).as_deref(), Some("0.0326"));
        // Not under this name: the list has no entry without the date.
        assert_eq!(prices().cost(&all), None);
    }

    #[test]
    fn what_is_unknown_costs_nobody_knows_what() {
        assert_eq!(cost("half", 10, 0).as_deref(), Some("0.00001"));
        assert_eq!(cost("half", 10, 1), None);
        let spending = Spending { model: Some("gpt-4o".into()), tokens_in: Some(7), ..Spending::default() };
        assert_eq!(prices().cost(&spending), None);
        assert_eq!(prices().cost(&Spending { model: None, tokens_out: Some(7), ..spending }), None);
        // More in the cache than there was: an odd provider is believed the sum.
        let odd = Spending {
            model: Some("gpt-4o".into()),
            tokens_in: Some(10),
            tokens_out: Some(0),
            tokens_cached: Some(99),
            tokens_stored: Some(99),
            ..Spending::default()
        };
        assert_eq!(prices().cost(&odd).map(|cost| cost.to_string()).as_deref(), Some("0.0000125"));
    }

    #[test]
    fn lists_that_are_none_are_refused() {
        assert!(matches!(Prices::parse(b"{"), Err(BadPrices::Syntax(_))));
        for text in ["[]", "5", r#"{"a": 5}"#] {
            assert_eq!(Prices::parse(text.as_bytes()).err(), Some(BadPrices::Shape), "{text}");
        }
        for bad in ["-1", "\"3e-06\"", "true", "1e99"] {
            let text = format!("{{\"m\": {{\"cache_read_input_token_cost\": {bad}}}}}");
            let (model, field) = ("m".to_owned(), "cache_read_input_token_cost".to_owned());
            assert_eq!(Prices::parse(text.as_bytes()).err(), Some(BadPrices::Price { model, field }), "{bad}");
        }
        assert!(Prices::parse(b"{}").expect("a list").is_empty());
    }
}
