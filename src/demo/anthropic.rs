//! The shapes of Anthropic: messages.

use serde_json::{Value, json};

use super::{Answer, Event, openai, words};

pub(super) fn messages(body: &Value) -> Answer {
    let words = words(openai::question(body));
    let message = |content: Value, stop: Value, output_tokens: usize| {
        json!({
            "id": "msg_demo",
            "type": "message",
            "role": "assistant",
            "model": body["model"],
            "content": content,
            "stop_reason": stop,
            "stop_sequence": null,
            "usage": {"input_tokens": 7, "output_tokens": output_tokens},
        })
    };
    if body["stream"] != true {
        let content = json!([{"type": "text", "text": words.concat()}]);
        return Answer::Whole(200, message(content, json!("end_turn"), words.len()));
    }
    let mut events = vec![
        ("message_start", json!({"message": message(json!([]), Value::Null, 1)})),
        ("content_block_start", json!({"index": 0, "content_block": {"type": "text", "text": ""}})),
        ("ping", json!({})),
    ];
    events.extend(
        words
            .iter()
            .map(|word| ("content_block_delta", json!({"index": 0, "delta": {"type": "text_delta", "text": word}}))),
    );
    events.extend([
        ("content_block_stop", json!({"index": 0})),
        (
            "message_delta",
            json!({"delta": {"stop_reason": "end_turn", "stop_sequence": null}, "usage": {"output_tokens": words.len()}}),
        ),
        ("message_stop", json!({})),
    ]);
    let typed = events.into_iter().map(|(name, mut data)| {
        data["type"] = json!(name);
        Event::named(name, &data)
    });
    Answer::Events(typed.collect())
}
