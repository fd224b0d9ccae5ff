"""The official SDKs with a key of the proxy's own, in every place in which their options let them put it.

Usage: client_keys.py sdks BASE KEY PROVIDER_KEY    routes `openai`, `anthropic` and `gemini` add the provider's key; those
                                                    that begin with `own-` leave that to the client
       client_keys.py sockets BASE KEY              route `openai` leads to the upstream of websocket.py
"""

import asyncio
import sys

import anthropic
import httpx
import openai
from google import genai
from google.genai import types
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

HELLO = "Hello from the fake provider! You said: "


def expect(name, seen, wanted):
    assert seen == wanted, f"{name}: {seen!r} is not {wanted!r}"
    print(f"ok {name}")


def openai_sdk(base, key, provider_key):
    def ask(name, client):
        question = [{"role": "user", "content": "plain"}]
        answer = client.chat.completions.create(model="demo", messages=question)
        expect(name, answer.choices[0].message.content, HELLO + "plain")
        pieces = client.chat.completions.create(model="demo", messages=question, stream=True)
        expect(f"{name}, streamed", "".join(piece.choices[0].delta.content or "" for piece in pieces), HELLO + "plain")

    def client(route, **options):
        return openai.OpenAI(base_url=f"{base}/{route}/v1", max_retries=0, **options)

    own = {"x-aqueduct-key": key}
    ask("openai api_key", client("openai", api_key=key))
    ask("openai default_headers", client("own-openai", api_key=provider_key, default_headers=own))
    ask("openai default_query", client("own-openai", api_key=provider_key, default_query={"key": key}))
    ask("openai other header", client("own-openai", api_key=provider_key, default_headers={"x-api-key": key}))
    azure = openai.AzureOpenAI(base_url=f"{base}/openai/v1", api_key=key, api_version="2024-10-21", max_retries=0)
    expect("azure api-key", [model.id for model in azure.models.list()], ["demo"])
    azure = openai.AzureOpenAI(
        base_url=f"{base}/openai/v1", azure_ad_token=key, api_version="2024-10-21", max_retries=0
    )
    expect("azure token", [model.id for model in azure.models.list()], ["demo"])
    for wrong in ["nobody-has-such-a-key", "short"]:
        try:
            client("openai", api_key=wrong).models.list()
            raise AssertionError("a wrong key, and no error")
        except openai.AuthenticationError as error:
            expect("openai refusal", error.response.json()["code"], "unauthorized")
    try:
        client("other", api_key=key).models.list()
        raise AssertionError("not his route, and no error")
    except openai.PermissionDeniedError as error:
        expect("openai other route", error.response.json()["code"], "forbidden")


def anthropic_sdk(base, key, provider_key):
    def ask(name, route, **options):
        client = anthropic.Anthropic(base_url=f"{base}/{route}", max_retries=0, **options)
        question = {"model": "demo", "max_tokens": 100, "messages": [{"role": "user", "content": "plain"}]}
        expect(name, client.messages.create(**question).content[0].text, HELLO + "plain")
        with client.messages.stream(**question) as stream:
            expect(f"{name}, streamed", "".join(stream.text_stream), HELLO + "plain")

    ask("anthropic api_key", "anthropic", api_key=key)
    # As it is with the tokens of subscriptions.
    ask("anthropic auth_token", "anthropic", auth_token=key)
    ask("anthropic x-api-key", "anthropic", api_key="unused", default_headers={"x-api-key": key, "Authorization": ""})
    theirs = {"x-api-key": provider_key}
    ask("anthropic both", "own-anthropic", auth_token=key, default_headers=theirs)
    ask("anthropic own field", "own-anthropic", api_key="unused", default_headers={"x-aqueduct-key": key, **theirs})
    ask("anthropic query", "own-anthropic", api_key="unused", default_query={"key": key}, default_headers=theirs)
    try:
        anthropic.Anthropic(base_url=f"{base}/anthropic", api_key="nobody-has-such-a-key", max_retries=0).models.list()
        raise AssertionError("a wrong key, and no error")
    except anthropic.AuthenticationError as error:
        expect("anthropic refusal", error.response.json()["code"], "unauthorized")


def google_sdk(base, key, provider_key):
    def ask(name, route, api_key, **headers):
        options = types.HttpOptions(base_url=f"{base}/{route}", headers=headers)
        client = genai.Client(api_key=api_key, http_options=options)
        expect(name, client.models.generate_content(model="demo", contents="plain").text, HELLO + "plain")
        pieces = client.models.generate_content_stream(model="demo", contents="plain")
        expect(f"{name}, streamed", "".join(piece.text for piece in pieces), HELLO + "plain")

    ask("google api_key", "gemini", key)
    ask("google headers", "own-gemini", provider_key, **{"x-aqueduct-key": key})
    ask("google token", "own-gemini", provider_key, Authorization=f"Bearer {key}")
    # As the manual of the API has it for curl.
    body = {"contents": [{"parts": [{"text": "plain"}]}]}
    url = f"{base}/gemini/v1beta/models/demo:generateContent"
    answer = httpx.post(url, params={"key": key}, json=body, trust_env=False).json()
    expect("google query", answer["candidates"][0]["content"]["parts"][0]["text"], HELLO + "plain")


async def sockets(base, key):
    client = openai.AsyncOpenAI(base_url=f"{base}/openai/v1", api_key=key, max_retries=0)
    async with client.realtime.connect(model="demo") as connection:
        expect("realtime api_key", (await connection.recv()).type, "session.created")
    address = base.replace("http", "ws", 1) + "/openai/v1/realtime?model=demo"
    offered = ["realtime", f"openai-insecure-api-key.{key}", "openai-beta.realtime-v1"]
    async with connect(address, subprotocols=offered, proxy=None) as socket:
        expect("a page's subprotocols", socket.subprotocol, "realtime")
    async with connect(address, subprotocols=offered[1:2], proxy=None) as socket:
        expect("a page that offers a key alone", socket.subprotocol, offered[1])
    async with connect(f"{address}&key={key}", proxy=None) as socket:
        expect("a query", "session.created" in await socket.recv(), True)
    try:
        async with connect(address, subprotocols=["realtime", "openai-insecure-api-key.nobodys-key-0123"], proxy=None):
            raise AssertionError("a wrong key, and no refusal")
    except InvalidStatus as error:
        expect("a refusal", error.response.status_code, 401)


match sys.argv[1:]:
    case ["sdks", *given]:
        openai_sdk(*given)
        anthropic_sdk(*given)
        google_sdk(*given)
    case ["sockets", *given]:
        asyncio.run(sockets(*given))
    case _:
        sys.exit(__doc__)
print("all ok")
