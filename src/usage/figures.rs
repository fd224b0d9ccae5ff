//! What providers say of an exchange, each in words of its own, and what that means.

use serde_json::Value;

use super::json::{Finds, Wanted};
use crate::spending::Spending;

/// The longest name of a model that is believed to be one, in bytes.
const MAX_MODEL: usize = 256;

/// The figures as they are said, over all events of an answer. Each event says how much it is by then.
#[derive(Debug, Default)]
pub(super) struct Figures {
    model: Option<Box<str>>,
    said: Said,
    /// What was said last, and not looked at yet: of many that follow one another only the last counts.
    last: Vec<u8>,
    is_first_read: bool,
    /// Whether better ones were announced.
    awaits_more: bool,
}

/// The words of all providers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Said {
    /// `prompt_tokens`, `input_tokens`, `promptTokenCount`, `prompt_eval_count`
    input: Option<u64>,
    /// `completion_tokens`, `output_tokens`, `candidatesTokenCount`, `eval_count`
    output: Option<u64>,
    /// `total_tokens`, `totalTokenCount`
    total: Option<u64>,
    /// What a cache has saved, where it is part of the input.
    cached: Option<u64>,
    /// What was thought, where it is part of the output.
    reasoning: Option<u64>,
    /// Anthropic: beside the input.
    cache_read: Option<u64>,
    /// Anthropic: beside the input.
    cache_written: Option<u64>,
    /// Anthropic: part of what was written.
    cache_written_long: Option<u64>,
    /// Gemini: beside the output.
    thoughts: Option<u64>,
    /// Gemini: beside the input.
    tool_input: Option<u64>,
}

impl Figures {
    /// Whether the model is known.
    pub(super) fn has_model(&self) -> bool {
        self.model.is_some()
    }

    /// The model alone.
    pub(super) fn into_model(self) -> Option<Box<str>> {
        self.model
    }

    /// What all of it means.
    pub(super) fn spending(mut self) -> Spending {
        self.read_last();
        let partial = self.awaits_more;
        Spending { partial, model: self.model.take(), ..self.said.meant() }
    }

    fn read_last(&mut self) {
        if self.last.is_empty() {
            return;
        }
        let said = serde_json::from_slice(&self.last).map(|usage| Said::of(&usage)).unwrap_or_default();
        self.said.update(said);
        self.last.clear();
    }
}

impl Finds for Figures {
    fn found(&mut self, wanted: Wanted, value: &[u8]) {
        match wanted {
            Wanted::Model if self.model.is_none() => {
                let model = serde_json::from_slice::<Box<str>>(value).ok();
                self.model = model.filter(|model| (1..=MAX_MODEL).contains(&model.len()));
            }
            Wanted::Model => {}
            Wanted::Usage { first } => {
                // An empty object says nothing, and takes nothing back.
                if value.len() > 2 {
                    self.awaits_more = first;
                    self.last.clear();
                    self.last.extend_from_slice(value);
                    // The first may say what no other does.
                    if !std::mem::replace(&mut self.is_first_read, true) {
                        self.read_last();
                    }
                }
            }
            Wanted::EvaluatedIn => self.said.input = serde_json::from_slice(value).ok().or(self.said.input),
            Wanted::EvaluatedOut => self.said.output = serde_json::from_slice(value).ok().or(self.said.output),
        }
    }
}

impl Said {
    fn of(usage: &Value) -> Self {
        let count = |names: &[&str]| names.iter().find_map(|name| usage[*name].as_u64());
        let detail = |groups: &[&str], name: &str| groups.iter().find_map(|group| usage[*group][name].as_u64());
        let cached = detail(&["prompt_tokens_details", "input_tokens_details"], "cached_tokens");
        let reasoning = detail(&["completion_tokens_details", "output_tokens_details"], "reasoning_tokens");
        // Only where the input is called so do these stand beside it: others repeat them inside of OpenAI's shape.
        let is_beside = usage["input_tokens"].is_u64();
        let beside = |name| if is_beside { count(&[name]) } else { None };
        Self {
            input: count(&["prompt_tokens", "input_tokens", "promptTokenCount"]),
            output: count(&["completion_tokens", "output_tokens", "candidatesTokenCount", "responseTokenCount"]),
            total: count(&["total_tokens", "totalTokenCount"]),
            cached: cached.or_else(|| count(&["prompt_cache_hit_tokens", "cached_tokens", "cachedContentTokenCount"])),
            reasoning: reasoning.or_else(|| count(&["reasoning_tokens"])),
            cache_read: beside("cache_read_input_tokens"),
            cache_written: beside("cache_creation_input_tokens"),
            cache_written_long: detail(&["cache_creation"], "ephemeral_1h_input_tokens"),
            thoughts: count(&["thoughtsTokenCount"]),
            tool_input: count(&["toolUsePromptTokenCount"]),
        }
    }

    /// Takes over what is said later. What is not said again stays; nothing that was counted is taken back to 0, which
    /// some say in the event that has only the output to tell.
    fn update(&mut self, later: Self) {
        let update = |now: &mut Option<u64>, later: Option<u64>| {
            if later.is_some_and(|later| later > 0 || now.is_none()) {
                *now = later;
            }
        };
        update(&mut self.input, later.input);
        update(&mut self.output, later.output);
        update(&mut self.total, later.total);
        update(&mut self.cached, later.cached);
        update(&mut self.reasoning, later.reasoning);
        update(&mut self.cache_read, later.cache_read);
        update(&mut self.cache_written, later.cache_written);
        update(&mut self.cache_written_long, later.cache_written_long);
        update(&mut self.thoughts, later.thoughts);
        update(&mut self.tool_input, later.tool_input);
    }

    fn meant(self) -> Spending {
        let tokens_in = self.input.map(|input| sum(input, [self.cache_read, self.cache_written, self.tool_input]));
        let mut tokens_out = match (self.output, self.thoughts) {
            (None, None) => None,
            (output, thoughts) => Some(sum(output.unwrap_or(0), [thoughts])),
        };
        let mut tokens_reasoning = self.reasoning.or(self.thoughts);
        if let (Some(all), Some(went_in)) = (self.total, tokens_in)
            && let Some(rest) = all.checked_sub(went_in)
        {
            // What is in the sum and nowhere else was thought: so says Gemini in OpenAI's words, and xAI. And whoever
            // says of the output nothing at all, as of embeddings, says it here.
            match tokens_out {
                Some(said) if rest > said => {
                    tokens_reasoning = tokens_reasoning.filter(|reasoning| *reasoning > 0).or(Some(rest - said));
                    tokens_out = Some(rest);
                }
                Some(_) => {}
                None => tokens_out = Some(rest),
            }
        }
        Spending {
            model: None,
            tokens_in,
            tokens_out,
            tokens_cached: self.cached.or(self.cache_read),
            tokens_stored: self.cache_written,
            tokens_stored_long: self.cache_written_long,
            tokens_reasoning,
            partial: false,
            cost: None,
        }
    }
}

fn sum<const N: usize>(first: u64, others: [Option<u64>; N]) -> u64 {
    others.into_iter().flatten().fold(first, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// In, out, cached, reasoning.
    fn meant(usage: &Value) -> [Option<u64>; 4] {
        let spending = Said::of(usage).meant();
        [spending.tokens_in, spending.tokens_out, spending.tokens_cached, spending.tokens_reasoning]
    }

    #[test]
    fn the_words_of_each_provider_mean_the_same() {
        for (usage, expected) in [
            // OpenAI: chat, responses, embeddings.
            (
                json!({"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
                    "prompt_tokens_details": {"cached_tokens": 64, "audio_tokens": 0},
                    "completion_tokens_details": {"reasoning_tokens": 32}}),
                [Some(100), Some(50), Some(64), Some(32)],
            ),
            (
                json!({"input_tokens": 36, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 87,
                    "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 123}),
                [Some(36), Some(87), Some(0), Some(0)],
            ),
            (json!({"prompt_tokens": 8, "total_tokens": 8}), [Some(8), Some(0), None, None]),
            // Anthropic.
            (
                json!({"input_tokens": 10, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 3000,
                    "cache_creation": {"ephemeral_5m_input_tokens": 150, "ephemeral_1h_input_tokens": 50},
                    "output_tokens": 5, "service_tier": "standard"}),
                [Some(3210), Some(5), Some(3000), None],
            ),
            // Gemini, in its own words and in OpenAI's.
            (
                json!({"promptTokenCount": 20, "candidatesTokenCount": 198, "thoughtsTokenCount": 405,
                    "totalTokenCount": 623, "cachedContentTokenCount": 12}),
                [Some(20), Some(603), Some(12), Some(405)],
            ),
            // Without the sum of all.
            (
                json!({"promptTokenCount": 20, "candidatesTokenCount": 198, "thoughtsTokenCount": 405}),
                [Some(20), Some(603), None, Some(405)],
            ),
            (
                json!({"promptTokenCount": 21, "thoughtsTokenCount": 60, "totalTokenCount": 81}),
                [Some(21), Some(60), None, Some(60)],
            ),
            (
                json!({"promptTokenCount": 5, "toolUsePromptTokenCount": 95, "candidatesTokenCount": 1, "totalTokenCount": 101}),
                [Some(100), Some(1), None, None],
            ),
            (
                json!({"prompt_tokens": 758, "completion_tokens": 102, "total_tokens": 1725}),
                [Some(758), Some(967), None, Some(865)],
            ),
            // xAI does not count what was thought into the output.
            (
                json!({"prompt_tokens": 32, "completion_tokens": 9, "total_tokens": 135,
                    "completion_tokens_details": {"reasoning_tokens": 94}}),
                [Some(32), Some(103), None, Some(94)],
            ),
            // DeepSeek, Moonshot, Perplexity, and gateways that repeat Anthropic's words inside of OpenAI's.
            (
                json!({"prompt_tokens": 16, "completion_tokens": 10, "total_tokens": 26,
                    "prompt_cache_hit_tokens": 15, "prompt_cache_miss_tokens": 1}),
                [Some(16), Some(10), Some(15), None],
            ),
            (
                json!({"prompt_tokens": 16, "completion_tokens": 10, "total_tokens": 26, "cached_tokens": 4, "reasoning_tokens": 3}),
                [Some(16), Some(10), Some(4), Some(3)],
            ),
            (
                json!({"prompt_tokens": 16, "completion_tokens": 10, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 2}),
                [Some(16), Some(10), None, None],
            ),
            // Nothing, or nothing that could be one.
            (json!({}), [None; 4]),
            (json!({"prompt_tokens": -1, "completion_tokens": "7", "total_tokens": null}), [None; 4]),
            (
                json!({"prompt_tokens": 7, "prompt_tokens_details": [1], "completion_tokens": 1.5}),
                [Some(7), None, None, None],
            ),
            (json!({"output_tokens": 7, "total_tokens": 9}), [None, Some(7), None, None]),
        ] {
            assert_eq!(meant(&usage), expected, "{usage}");
        }
    }

    #[test]
    fn what_is_said_later_counts_and_nothing_is_taken_back() {
        let mut figures = Figures::default();
        let said = |figures: &mut Figures, first, usage: Value| {
            figures.found(Wanted::Usage { first }, usage.to_string().as_bytes());
        };
        said(&mut figures, true, json!({"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 1}));
        assert!(figures.awaits_more);
        said(&mut figures, false, json!({"output_tokens": 20}));
        said(&mut figures, false, json!({}));
        said(&mut figures, false, json!({"input_tokens": 0, "output_tokens": 30}));
        let spending = figures.spending();
        assert_eq!((spending.tokens_in, spending.tokens_out, spending.partial), (Some(15), Some(30), false));
    }

    #[test]
    fn names_of_models_are_texts_of_some_length() {
        let mut figures = Figures::default();
        for value in ["\"\"", "7", &format!("\"{}\"", "m".repeat(MAX_MODEL + 1)), "\"gpt-\\u0034o\"", "\"other\""] {
            figures.found(Wanted::Model, value.as_bytes());
        }
        assert_eq!(figures.into_model().as_deref(), Some("gpt-4o"));
    }
}
