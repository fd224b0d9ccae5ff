"""The official SDKs of OpenAI, Anthropic and Google, through the proxy.

Usage: sdks.py BASE. Routes `openai`, `anthropic` and `gemini` lead to the fake provider and add its key; the SDKs are
given a key of their own, which the routes overwrite.
"""

import asyncio
import sys

import anthropic
import openai
from google import genai
from google.genai import types

BASE = sys.argv[1]
KEY = "placeholder-key"
HELLO = "Hello from the fake provider! You said: "


def expect(name, seen, wanted):
    assert seen == wanted, f"{name}: {seen!r} is not {wanted!r}"
    print(f"ok {name}")


def openai_sdk():
    client = openai.OpenAI(base_url=f"{BASE}/openai/v1", api_key=KEY, max_retries=0)
    question = [{"role": "user", "content": "plain 你好"}]

    expect("openai models", [model.id for model in client.models.list()], ["demo"])
    answer = client.chat.completions.create(model="demo", messages=question)
    expect("openai chat", answer.choices[0].message.content, HELLO + "plain 你好")
    expect("openai usage", answer.usage.prompt_tokens, 7)

    pieces = client.chat.completions.create(model="demo", messages=question, stream=True)
    words = [piece.choices[0].delta.content or "" for piece in pieces]
    expect("openai chat stream", "".join(words), HELLO + "plain 你好")
    assert len(words) > 5, words

    answer = client.responses.create(model="demo", input="respond")
    expect("openai responses", answer.output_text, HELLO + "respond")
    deltas = [
        event.delta
        for event in client.responses.create(model="demo", input="respond", stream=True)
        if event.type == "response.output_text.delta"
    ]
    expect("openai responses stream", "".join(deltas), HELLO + "respond")

    vector = client.embeddings.create(model="demo", input="x", encoding_format="float")
    expect("openai embeddings", vector.data[0].embedding, [0.25, -0.5, 0.75])

    raw = client.chat.completions.with_raw_response.create(model="demo", messages=question)
    expect("openai request id", raw.headers["x-request-id"], "req_demo")

    try:
        openai.OpenAI(base_url=f"{BASE}/none/v1", api_key=KEY, max_retries=0).models.list()
        raise AssertionError("no route, and no error")
    except openai.NotFoundError as error:
        expect("openai error", error.response.json()["code"], "route_not_found")


async def openai_async():
    async with openai.AsyncOpenAI(base_url=f"{BASE}/openai/v1", api_key=KEY, max_retries=0) as client:

        async def ask(number):
            question = [{"role": "user", "content": f"number {number}"}]
            stream = await client.chat.completions.create(model="demo", messages=question, stream=True)
            return "".join([piece.choices[0].delta.content or "" async for piece in stream])

        answers = await asyncio.gather(*(ask(number) for number in range(20)))
        expect("openai 20 streams at once", answers, [f"{HELLO}number {number}" for number in range(20)])


def anthropic_sdk():
    client = anthropic.Anthropic(base_url=f"{BASE}/anthropic", api_key=KEY, max_retries=0)
    question = {"model": "demo", "max_tokens": 100, "messages": [{"role": "user", "content": "plain 你好"}]}

    answer = client.messages.create(**question)
    expect("anthropic messages", answer.content[0].text, HELLO + "plain 你好")
    with client.messages.stream(**question) as stream:
        words = list(stream.text_stream)
        expect("anthropic stream", "".join(words), HELLO + "plain 你好")
        expect("anthropic stop", stream.get_final_message().stop_reason, "end_turn")
    count = client.messages.count_tokens(model="demo", messages=question["messages"])
    expect("anthropic count", count.input_tokens, 7)


def google_sdk():
    options = types.HttpOptions(base_url=f"{BASE}/gemini")
    client = genai.Client(api_key=KEY, http_options=options)

    answer = client.models.generate_content(model="demo", contents="plain 你好")
    expect("google generate", answer.text, HELLO + "plain 你好")
    words = [piece.text for piece in client.models.generate_content_stream(model="demo", contents="plain 你好")]
    expect("google stream", "".join(words), HELLO + "plain 你好")
    assert len(words) > 5, words
    expect("google models", [model.name for model in client.models.list()], ["models/demo"])


openai_sdk()
asyncio.run(openai_async())
anthropic_sdk()
google_sdk()
print("all ok")
