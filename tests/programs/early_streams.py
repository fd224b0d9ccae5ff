"""Streams that begin before their upstreams have answered, and errors in them, as the official SDKs hear them.

Usage: early_streams.py BASE. Below BASE, `good` leads to good streams, `*-says` to failures of which the provider says
something, and `bad` to such of which only the status is known.
"""

import sys

import anthropic
import openai
from google import genai
from google.genai import errors, types

BASE = sys.argv[1]
QUESTION = [{"role": "user", "content": "hi"}]


def expect(name, seen, wanted):
    assert seen == wanted, f"{name}: {seen!r} is not {wanted!r}"
    print(f"ok {name}")


def chat(where):
    client = openai.OpenAI(base_url=f"{BASE}/{where}/v1", api_key="sk-none", max_retries=0)
    stream = client.chat.completions.create(model="m", messages=QUESTION, stream=True)
    return "".join(piece.choices[0].delta.content or "" for piece in stream)


def responses(where):
    client = openai.OpenAI(base_url=f"{BASE}/{where}/v1", api_key="sk-none", max_retries=0)
    return "".join(event.delta for event in client.responses.create(model="m", input="hi", stream=True))


def messages(where):
    client = anthropic.Anthropic(base_url=f"{BASE}/{where}", api_key="sk-none", max_retries=0)
    stream = client.messages.create(model="m", max_tokens=9, messages=QUESTION, stream=True)
    return "".join(event.delta.text for event in stream)


def gemini(where):
    options = types.HttpOptions(base_url=f"{BASE}/{where}", retry_options=types.HttpRetryOptions(attempts=1))
    client = genai.Client(api_key="none", http_options=options)
    return "".join(piece.text for piece in client.models.generate_content_stream(model="m", contents="hi"))


def failure(ask, where, kind):
    try:
        ask(where)
    except kind as error:
        return error
    raise AssertionError(f"{where}: no error")


for ask in [chat, responses, messages, gemini]:
    expect(f"{ask.__name__}", ask("good"), "one two")

for ask in [chat, responses]:
    error = failure(ask, "openai-says", openai.APIError)
    expect(f"{ask.__name__} failure", (error.message, error.type, error.code), ("slow down", "requests", "rate_limit_exceeded"))
error = failure(messages, "anthropic-says", anthropic.APIStatusError)
expect("messages failure", error.body["error"], {"type": "overloaded_error", "message": "Overloaded"})
error = failure(gemini, "gemini-says", errors.ServerError)
expect("gemini failure", (error.code, error.status, error.message), (503, "UNAVAILABLE", "Busy"))

TEXT = "The target server answered with status 429."
for ask in [chat, responses]:
    error = failure(ask, "bad", openai.APIError)
    expect(f"{ask.__name__} status", (error.message, error.type, error.code), (TEXT, "rate_limit_error", "upstream_status"))
error = failure(messages, "bad", anthropic.APIStatusError)
expect("messages status", error.body["error"], {"type": "rate_limit_error", "message": TEXT})
error = failure(gemini, "bad", errors.ClientError)
expect("gemini status", (error.code, error.status, error.message), (429, "RESOURCE_EXHAUSTED", TEXT))
print("all ok")
