//! Answers as providers give them, whole and in pieces of any size.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Reads an answer in pieces.
fn read(answer: &[u8], piece: usize, whole: bool) -> Spending {
    let mut reader = Reader::of(None).expect("plain");
    answer.chunks(piece).for_each(|piece| reader.read(piece));
    reader.finish(whole)
}

/// What is read of an answer, which must not depend on how it comes.
fn told(answer: &str) -> Spending {
    let all = read(answer.as_bytes(), answer.len().max(1), true);
    for piece in (1..answer.len().min(130)).chain([200, 500, 1000]) {
        assert_eq!(read(answer.as_bytes(), piece, true), all, "in pieces of {piece}: {answer}");
    }
    all
}

/// Model, in, out, cached, reasoning.
fn figures(spending: &Spending) -> (Option<&str>, [Option<u64>; 4]) {
    let Spending { tokens_in, tokens_out, tokens_cached, tokens_reasoning, .. } = spending;
    (spending.model.as_deref(), [*tokens_in, *tokens_out, *tokens_cached, *tokens_reasoning])
}

fn events(events: &[Value]) -> String {
    events.iter().map(|event| format!("data: {event}\n\n")).collect()
}

fn chat_chunk(content: &str, usage: &Value) -> Value {
    json!({"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "delta": {"content": content}, "finish_reason": null}], "usage": usage})
}

const CHAT: fn() -> Value = || json!({"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21});
const CHAT_FIGURES: [Option<u64>; 4] = [Some(9), Some(12), None, None];

#[test]
fn openai_chat() {
    let plain = json!({"id": "1", "model": "gpt-4o-2024-08-06", "usage": CHAT(),
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "\"usage\": {\"prompt_tokens\": 1}"}}]});
    assert_eq!(figures(&told(&plain.to_string())), (Some("gpt-4o-2024-08-06"), CHAT_FIGURES));
    let pretty = serde_json::to_string_pretty(&plain).expect("JSON");
    assert_eq!(figures(&told(&pretty)), (Some("gpt-4o-2024-08-06"), CHAT_FIGURES));

    // As streams come with `include_usage`: null in each event, the figures in the last one, which has no choices.
    let words = ["a", "\"usage\": {\"prompt_tokens\": 1}", "usage", "\\\"usage\":{", "usageMetadata"];
    let mut chunks: Vec<Value> = words.iter().map(|word| chat_chunk(word, &Value::Null)).collect();
    let without = events(&chunks) + "data: [DONE]\n\n";
    assert_eq!(figures(&told(&without)), (Some("gpt-4o-2024-08-06"), [None; 4]));
    let mut last = chat_chunk("", &CHAT());
    last["choices"] = json!([]);
    chunks.push(last);
    for stream in [
        events(&chunks) + "data: [DONE]\n\n",
        format!(": ping\n\n{}: ping\n\n", events(&chunks)),
        events(&chunks).replace('\n', "\r\n"),
        events(&chunks).replace("data: ", "data:"),
        // The connection may end with the last event.
        events(&chunks).trim_end().to_owned(),
    ] {
        let spending = told(&stream);
        assert_eq!((figures(&spending), spending.partial), ((Some("gpt-4o-2024-08-06"), CHAT_FIGURES), false));
    }
    // Azure begins with an event without a model; Groq and Moonshot put the figures elsewhere.
    let first = json!({"choices": [], "model": "", "prompt_filter_results": [{"prompt_index": 0}]});
    for last in [
        json!({"model": "m", "choices": [], "x_groq": {"id": "req_1", "usage": CHAT()}}),
        json!({"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": CHAT()}]}),
    ] {
        let stream = events(&[first.clone(), json!({"model": "m", "choices": [], "usage": null}), last]);
        assert_eq!(figures(&told(&stream)), (Some("m"), CHAT_FIGURES));
    }
}

#[test]
fn openai_responses() {
    let usage = json!({"input_tokens": 36, "input_tokens_details": {"cached_tokens": 30}, "output_tokens": 87,
        "output_tokens_details": {"reasoning_tokens": 64}, "total_tokens": 123});
    let expected = (Some("gpt-5"), [Some(36), Some(87), Some(30), Some(64)]);
    let output = json!([{"type": "function_call", "arguments": "{\"usage\": {\"input_tokens\": 1}}"}]);
    let plain = json!({"id": "resp_1", "object": "response", "model": "gpt-5", "output": output, "usage": usage});
    assert_eq!(figures(&told(&plain.to_string())), expected);
    for end in ["completed", "incomplete", "failed"] {
        // The last event holds all that was said, and is as long as that.
        for length in [10, 40_000, 400_000] {
            let mut stream = String::new();
            for (kind, usage, text) in [
                ("created", Value::Null, String::new()),
                ("in_progress", Value::Null, String::new()),
                (end, usage.clone(), "\\\"usage ".repeat(length / 8)),
            ] {
                let event = json!({"type": format!("response.{kind}"), "response": {
                    "id": "resp_1", "model": "gpt-5", "output": [{"text": text}], "tools": [{"usage": {"input_tokens": 2}}],
                    "usage": usage, "user": null, "metadata": {}}});
                stream.push_str(&format!("event: response.{kind}\ndata: {event}\n\n"));
            }
            let spending = if length < 100 { told(&stream) } else { read(stream.as_bytes(), 1400, true) };
            assert_eq!(figures(&spending), expected, "{end} {length}");
            assert_eq!(figures(&read(stream.as_bytes(), 64 * 1024, true)), expected, "{end} {length}");
        }
    }
}

#[test]
fn openai_embeddings() {
    let vector: Vec<f64> = (0..3000).map(|number| f64::from(number) / 7.0).collect();
    let answer =
        json!({"object": "list", "data": [{"embedding": vector, "index": 0}], "model": "text-embedding-3-small",
        "usage": {"prompt_tokens": 8, "total_tokens": 8}})
        .to_string();
    let expected = (Some("text-embedding-3-small"), [Some(8), Some(0), None, None]);
    for piece in [1, 100, 4096, 1 << 20] {
        assert_eq!(figures(&read(answer.as_bytes(), piece, true)), expected);
    }
}

fn anthropic_stream(last: &Value) -> Vec<Value> {
    vec![
        json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "content": [],
            "model": "claude-sonnet-4-20250514", "stop_reason": null, "usage": {"input_tokens": 25,
                "cache_creation_input_tokens": 100, "cache_read_input_tokens": 1000, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use", "name": "usage", "input": {}}}),
        json!({"type": "ping"}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{\"usage\": {\"output_tokens\": 7}"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": last}),
        json!({"type": "message_stop"}),
    ]
}

fn named(events: &[Value]) -> String {
    let line = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().expect("a type"));
    events.iter().map(line).collect()
}

#[test]
fn anthropic_messages() {
    let expected = (Some("claude-sonnet-4-20250514"), [Some(1125), Some(15), Some(1000), None]);
    let plain = json!({"id": "msg_1", "type": "message", "model": "claude-sonnet-4-20250514",
        "content": [{"type": "tool_use", "input": {"usage": {"input_tokens": 1, "output_tokens": 2}, "model": "no"}}],
        "usage": {"input_tokens": 25, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 1000, "output_tokens": 15}});
    let spending = told(&plain.to_string());
    assert_eq!((figures(&spending), spending.tokens_stored), (expected, Some(100)));
    for last in [
        json!({"output_tokens": 15}),
        json!({"input_tokens": 25, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 1000, "output_tokens": 15}),
        json!({"input_tokens": 0, "output_tokens": 15, "server_tool_use": {"web_search_requests": 0}}),
    ] {
        let spending = told(&named(&anthropic_stream(&last)));
        assert_eq!((figures(&spending), spending.partial), (expected, false), "{last}");
    }
    // One that ends early has told what went in.
    let cut = named(&anthropic_stream(&Value::Null)[..3]);
    let spending = read(cut.as_bytes(), 50, true);
    assert_eq!((figures(&spending).1, spending.partial), ([Some(1125), Some(1), Some(1000), None], true));
}

fn gemini_piece(text: &str, output: u64, thoughts: u64) -> Value {
    json!({"candidates": [{"content": {"parts": [{"text": text}, {"functionCall": {"args": {"usageMetadata": {"promptTokenCount": 1}}}}]}}],
        "usageMetadata": {"promptTokenCount": 20, "candidatesTokenCount": output, "thoughtsTokenCount": thoughts,
            "totalTokenCount": 20 + output + thoughts, "cachedContentTokenCount": 8,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 20}]},
        "modelVersion": "gemini-2.5-pro"})
}

#[test]
fn gemini_generate_content() {
    let expected = (Some("gemini-2.5-pro"), [Some(20), Some(65), Some(8), Some(60)]);
    assert_eq!(figures(&told(&gemini_piece("usageMetadata", 5, 60).to_string())), expected);
    let pieces: Vec<Value> = (1..=5).map(|number| gemini_piece("\"usage\"", number, 12 * number)).collect();
    assert_eq!(figures(&told(&events(&pieces))), expected);
    let list = serde_json::to_string_pretty(&pieces).expect("JSON").replace('\n', "\r\n");
    for piece in [1, 2, 3, 100, 1000, 100_000] {
        let spending = read(list.as_bytes(), piece, true);
        assert_eq!((figures(&spending), spending.partial), (expected, false));
    }
    // Cut off: what was said last is known, and that it may not be all.
    let spending = read(&list.as_bytes()[..list.len() * 7 / 10], 100, false);
    assert_eq!((figures(&spending).1, spending.partial), ([Some(20), Some(39), Some(8), Some(36)], true));
    assert!(read(&list.as_bytes()[..list.len() * 7 / 10], 100, true).partial, "the list has no end");
    // The tools of Google's command line wrap each event.
    let wrapped: Vec<Value> = pieces.iter().map(|piece| json!({"response": piece, "traceId": "1"})).collect();
    assert_eq!(figures(&told(&events(&wrapped))), expected);
}

#[test]
fn ollama() {
    let last = json!({"model": "llama3.2", "message": {"role": "assistant", "content": ""}, "done": true,
        "total_duration": 1, "prompt_eval_count": 26, "prompt_eval_duration": 2, "eval_count": 298, "eval_duration": 3});
    let expected = (Some("llama3.2"), [Some(26), Some(298), None, None]);
    assert_eq!(figures(&told(&last.to_string())), expected);
    let word = |word: &str| json!({"model": "llama3.2", "message": {"role": "assistant", "content": word}, "response": word, "done": false});
    for words in [&[][..], &["\"eval_count\": 1"], &["a", "b", "\"usage\": {}", "eval_count"]] {
        let lines: String =
            words.iter().map(|text| word(text)).chain([last.clone()]).map(|line| format!("{line}\n")).collect();
        assert_eq!(figures(&told(&lines)), expected);
    }
}

#[test]
fn what_says_nothing_is_unknown() {
    for answer in [
        "",
        "  \n",
        "OK",
        "ID3\u{4}binary",
        "<html>\"usage\": {\"prompt_tokens\": 1}</html>",
        "{\"error\": {\"message\": \"no\", \"type\": \"authentication_error\"}}",
        "{\"input_tokens\": 7}",
        "[]",
        "null",
        "data: \"usage\": {\"prompt_tokens\": 1}\n\n",
        "data: [{\"usage\": {\"prompt_tokens\": 1}}]\n\n",
        "event: \"usage\": {\"prompt_tokens\": 1}\n\n",
        "{\"usage\": {\"prompt_tokens\": 1",
        "{\"usage\": [{\"prompt_tokens\": 1}]}",
        "{\"usage\": {\"prompt_tokens\" 1}}",
    ] {
        assert_eq!(figures(&told(answer)).1, [None; 4], "{answer}");
    }
}

#[test]
fn a_line_without_end_is_read_to_its_end() {
    let mut stream = events(&[chat_chunk("a", &Value::Null)]).into_bytes();
    for _ in 0..3 {
        let mut chunk = chat_chunk(&"\\\"usage\\\": {".repeat(20_000), &json!({"prompt_tokens": 1}));
        chunk["usage"] = CHAT();
        stream.extend_from_slice(format!(": {}\ndata: {chunk}\n\n", "x".repeat(70_000)).as_bytes());
    }
    for piece in [100, 4096, 16_384, 65_536, 1 << 20] {
        let mut reader = Reader::of(None).expect("plain");
        for piece in stream.chunks(piece) {
            reader.read(piece);
        }
        assert_eq!(figures(&reader.finish(true)), (Some("gpt-4o-2024-08-06"), CHAT_FIGURES), "{piece}");
    }
}

proptest! {
    /// Words that look like figures are words: whatever a model says, the figures are those of the provider.
    #[test]
    fn what_a_model_says_fools_nobody(
        words in prop::collection::vec("(\"usage\"|usage|: ?|\\{|\\}|\"|\\\\|\n|data: |prompt_tokens|[0-9]|,|a){0,12}", 0..6),
        nulls: bool,
        piece in 1_usize..300,
    ) {
        let usage = if nulls { Value::Null } else { json!({}) };
        let mut chunks: Vec<Value> = words.iter().map(|word| chat_chunk(word, &usage)).collect();
        let told = figures(&read(events(&chunks).as_bytes(), piece, true)).1;
        prop_assert_eq!(told, [None; 4]);
        chunks.push(chat_chunk("", &CHAT()));
        let stream = events(&chunks) + "data: [DONE]\n\n";
        prop_assert_eq!(figures(&read(stream.as_bytes(), piece, true)).1, CHAT_FIGURES);
    }
}
