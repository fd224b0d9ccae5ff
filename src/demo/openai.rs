//! The shapes of OpenAI: chat completions, responses, models, embeddings.

use serde_json::{Value, json};

use super::{Answer, Event, words};

const CREATED: u64 = 1_700_000_000;

pub(super) fn models() -> Value {
    json!({"object": "list", "data": [{"id": "demo", "object": "model", "created": CREATED, "owned_by": "aqueduct"}]})
}

pub(super) fn embeddings(body: &Value) -> Value {
    json!({
        "object": "list",
        "model": body["model"],
        "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5, 0.75]}],
        "usage": {"prompt_tokens": 3, "total_tokens": 3},
    })
}

pub(super) fn chat(body: &Value) -> Answer {
    let words = words(question(body));
    let usage = json!({"prompt_tokens": 7, "completion_tokens": words.len(), "total_tokens": 7 + words.len()});
    if body["stream"] != true {
        let message = json!({"role": "assistant", "content": words.concat(), "refusal": null});
        return Answer::Whole(
            200,
            json!({
                "id": "chatcmpl-demo",
                "object": "chat.completion",
                "created": CREATED,
                "model": body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop", "logprobs": null}],
                "usage": usage,
            }),
        );
    }
    let chunk = |delta: Value, finish: Value| {
        Event::unnamed(&json!({
            "id": "chatcmpl-demo",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": body["model"],
            "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
        }))
    };
    let mut events = vec![chunk(json!({"role": "assistant", "content": ""}), Value::Null)];
    events.extend(words.iter().map(|word| chunk(json!({"content": word}), Value::Null)));
    events.push(chunk(json!({}), json!("stop")));
    if body["stream_options"]["include_usage"] == true {
        events.push(Event::unnamed(&json!({
            "id": "chatcmpl-demo",
            "object": "chat.completion.chunk",
            "created": CREATED,
            "model": body["model"],
            "choices": [],
            "usage": usage,
        })));
    }
    events.push(Event { name: None, data: "[DONE]".to_owned() });
    Answer::Events(events)
}

pub(super) fn responses(body: &Value) -> Answer {
    let question = body["input"].as_str().unwrap_or_else(|| last_text(&body["input"]));
    let words = words(question);
    let item = |text: &str, status: &str| {
        json!({
            "type": "message",
            "id": "msg_demo",
            "status": status,
            "role": "assistant",
            "content": [{"type": "output_text", "text": text, "annotations": []}],
        })
    };
    let response = |status: &str, output: Value| {
        json!({
            "id": "resp_demo",
            "object": "response",
            "created_at": CREATED,
            "status": status,
            "model": body["model"],
            "output": output,
            "parallel_tool_calls": true,
            "tool_choice": "auto",
            "tools": [],
            "usage": {
                "input_tokens": 7,
                "input_tokens_details": {"cached_tokens": 0},
                "output_tokens": words.len(),
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": 7 + words.len(),
            },
        })
    };
    let whole = words.concat();
    if body["stream"] != true {
        return Answer::Whole(200, response("completed", json!([item(&whole, "completed")])));
    }
    let part = |text: &str| json!({"type": "output_text", "text": text, "annotations": []});
    let mut events = vec![
        ("response.created", json!({"response": response("in_progress", json!([]))})),
        ("response.output_item.added", json!({"output_index": 0, "item": item("", "in_progress")})),
        (
            "response.content_part.added",
            json!({"item_id": "msg_demo", "output_index": 0, "content_index": 0, "part": part("")}),
        ),
    ];
    events.extend(words.iter().map(|word| {
        let delta =
            json!({"item_id": "msg_demo", "output_index": 0, "content_index": 0, "delta": word, "logprobs": []});
        ("response.output_text.delta", delta)
    }));
    events.extend([
        (
            "response.output_text.done",
            json!({"item_id": "msg_demo", "output_index": 0, "content_index": 0, "text": whole, "logprobs": []}),
        ),
        (
            "response.content_part.done",
            json!({"item_id": "msg_demo", "output_index": 0, "content_index": 0, "part": part(&whole)}),
        ),
        ("response.output_item.done", json!({"output_index": 0, "item": item(&whole, "completed")})),
        ("response.completed", json!({"response": response("completed", json!([item(&whole, "completed")]))})),
    ]);
    let numbered = events.into_iter().enumerate().map(|(number, (name, mut data))| {
        data["type"] = json!(name);
        data["sequence_number"] = json!(number);
        Event::named(name, &data)
    });
    Answer::Events(numbered.collect())
}

/// The text of the last message.
pub(super) fn question(body: &Value) -> &str {
    last_text(&body["messages"])
}

/// The text of the last message of a list, whose content is a text or a list of parts.
fn last_text(messages: &Value) -> &str {
    let content = messages.as_array().and_then(|messages| messages.last()).map(|message| &message["content"]);
    match content {
        Some(Value::String(text)) => text,
        Some(Value::Array(parts)) => parts.iter().find_map(|part| part["text"].as_str()).unwrap_or_default(),
        _ => "",
    }
}
