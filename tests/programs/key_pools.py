"""The official SDKs over routes with several keys.

Usage: key_pools.py sessions BASE          several sessions, each named in a header
       key_pools.py clients BASE KEY...    several clients, each with a key of the proxy's own
       key_pools.py again BASE             SDKs that try again by themselves
"""

import sys

import anthropic
import openai
from google import genai
from google.genai import types

OWN_KEY = "placeholder-key"
QUESTION = [{"role": "user", "content": "hello"}]


def ask_all(base, key, headers, retries=0):
    """Every SDK asks, plain and streamed."""
    client = openai.OpenAI(base_url=f"{base}/openai/v1", api_key=key, max_retries=retries, default_headers=headers)
    assert client.chat.completions.create(model="demo", messages=QUESTION).choices[0].message.content
    stream = client.chat.completions.create(model="demo", messages=QUESTION, stream=True)
    assert "".join(piece.choices[0].delta.content or "" for piece in stream)

    client = anthropic.Anthropic(
        base_url=f"{base}/anthropic", api_key=key, max_retries=retries, default_headers=headers
    )
    question = {"model": "demo", "max_tokens": 100, "messages": QUESTION}
    assert client.messages.create(**question).content[0].text
    with client.messages.stream(**question) as stream:
        assert "".join(stream.text_stream)

    retry = types.HttpRetryOptions(attempts=retries + 1, initial_delay=0.01, http_status_codes=[429])
    options = types.HttpOptions(base_url=f"{base}/gemini", headers=headers, retry_options=retry)
    client = genai.Client(api_key=key, http_options=options)
    assert client.models.generate_content(model="demo", contents="hello").text
    words = client.models.generate_content_stream(model="demo", contents="hello")
    assert "".join(piece.text for piece in words)


match sys.argv[1:]:
    case ["sessions", base]:
        for session in range(5):
            ask_all(base, OWN_KEY, {"x-session-id": f"session-{session}"})
    case ["clients", base, *keys]:
        for number, key in enumerate(keys):
            ask_all(base, key, {"x-client": f"client-{number}"})
    case ["again", base]:
        ask_all(base, OWN_KEY, {}, retries=2)
    case _:
        sys.exit(__doc__)
print("all ok")
