//! The shapes of Gemini: generateContent and its stream.

use serde_json::{Value, json};

use super::{Answer, Event, words};

pub(super) fn models() -> Value {
    json!({"models": [{
        "name": "models/demo",
        "displayName": "Demo",
        "supportedGenerationMethods": ["generateContent", "streamGenerateContent"],
    }]})
}

/// `{model}:generateContent` or `{model}:streamGenerateContent`.
pub(super) fn generate(model_and_method: &str, body: &Value) -> Answer {
    let (model, method) = model_and_method.split_once(':').unwrap_or((model_and_method, ""));
    let contents = body["contents"].as_array().and_then(|contents| contents.last());
    let question = contents.and_then(|content| content["parts"][0]["text"].as_str()).unwrap_or_default();
    let words = words(question);
    let piece = |text: &str, finish: Option<&str>| {
        let mut candidate = json!({"index": 0, "content": {"role": "model", "parts": [{"text": text}]}});
        if let Some(finish) = finish {
            candidate["finishReason"] = json!(finish);
        }
        json!({
            "candidates": [candidate],
            "usageMetadata": {
                "promptTokenCount": 7,
                "candidatesTokenCount": words.len(),
                "totalTokenCount": 7 + words.len(),
            },
            "modelVersion": model,
        })
    };
    match method {
        "generateContent" => Answer::Whole(200, piece(&words.concat(), Some("STOP"))),
        "streamGenerateContent" => {
            let last = words.len() - 1;
            let pieces = words.iter().enumerate().map(|(place, word)| piece(word, (place == last).then_some("STOP")));
            Answer::Events(pieces.map(|piece| Event::unnamed(&piece)).collect())
        }
        _ => Answer::Whole(404, json!({"error": {"code": 404, "message": "Not found.", "status": "NOT_FOUND"}})),
    }
}
