"""WebSocket through the proxy, with the library that most programs use, and as the SDKs of OpenAI and Google speak it.

Usage: websocket.py serve [CERTIFICATE KEY]   an upstream: prints `host:port`, and serves until its input ends
       websocket.py talk BASE                 clients of it, below BASE (ws:// or wss://)
       websocket.py realtime BASE             the OpenAI SDK's realtime client, below BASE (http:// or https://)
       websocket.py live BASE                 the Google SDK's live client, below BASE (https://)
"""

import asyncio
import contextlib
import json
import os
import ssl
import sys

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

ROUTE_KEY = "key-of-the-route"
OWN_KEY = "placeholder-key"
PROTOCOLS = ["realtime", "openai-beta.realtime-v1"]


def expect(name, seen, wanted):
    assert seen == wanted, f"{name}: {seen!r} is not {wanted!r}"
    print(f"ok {name}")


# The upstream.


async def echo(socket):
    async for message in socket:
        await socket.send(message)


async def close(socket):
    """Closes as it is told to, or says how it was closed."""
    code, _, reason = (await socket.recv()).partition(" ")
    await socket.close(int(code), reason)


async def openai(socket):
    """As much of the Realtime API as shows that words go both ways."""
    events = iter(range(1_000_000))

    async def say(kind, **more):
        await socket.send(json.dumps({"type": kind, "event_id": f"event_{next(events)}", **more}))

    await say("session.created", session={"type": "realtime", "model": "demo"})
    async for message in socket:
        event = json.loads(message)
        if event["type"] == "session.update":
            await say("session.updated", session=event["session"])
        elif event["type"] == "response.create":
            place = {"response_id": "r", "item_id": "i", "output_index": 0, "content_index": 0}
            for word in ["one ", "two ", "three"]:
                await say("response.output_text.delta", delta=word, **place)
            await say("response.done", response={"id": "r", "object": "realtime.response", "status": "completed"})


async def google(socket):
    """As much of the Live API as shows that words go both ways."""
    assert json.loads(await socket.recv())["setup"]["model"] == "models/demo"
    await socket.send(json.dumps({"setupComplete": {}}).encode())
    async for message in socket:
        said = json.loads(message)["client_content"]["turns"][0]["parts"][0]["text"]
        parts = [{"text": f"you said {said}"}]
        await socket.send(json.dumps({"serverContent": {"modelTurn": {"role": "model", "parts": parts}}}).encode())
        await socket.send(json.dumps({"serverContent": {"turnComplete": True}}).encode())


async def upstream(socket):
    path = socket.request.path.partition("?")[0]
    places = {"/echo": echo, "/close": close, "/v1/realtime": openai}
    # The version in its name is that of the SDK.
    play = google if path.endswith(".GenerativeService.BidiGenerateContent") else places[path]
    with contextlib.suppress(ConnectionClosed):
        await play(socket)


def admit(connection, request):
    """Only the route's key opens the doors of the providers."""
    needed = {"/v1": ("Authorization", f"Bearer {ROUTE_KEY}"), "/ws": ("x-goog-api-key", ROUTE_KEY)}
    for start, (name, value) in needed.items():
        if request.path.startswith(start) and request.headers.get_all(name) != [value]:
            return connection.respond(401, "not with this key\n")
    if request.path == "/nowhere":
        return connection.respond(404, "nobody here\n")
    return None


def agree(_, offered):
    """Many clients offer no subprotocol, which is no reason to refuse them."""
    return next((protocol for protocol in PROTOCOLS if protocol in offered), None)


async def serve_until_the_end(certificate=None, key=None):
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
    checks = {"process_request": admit, "select_subprotocol": agree}
    async with serve(upstream, "127.0.0.1", 0, ssl=context, max_size=None, **checks) as server:
        host, port = server.sockets[0].getsockname()
        print(f"{host}:{port}", flush=True)
        await asyncio.to_thread(sys.stdin.read)


# Its clients.


async def talk(base):
    async with connect(f"{base}/echo", max_size=None, proxy=None) as socket:
        await socket.send("你好")
        expect("text", await socket.recv(), "你好")
        large = os.urandom(5_000_000)
        await socket.send(large)
        expect("a large message", await socket.recv() == large, True)
        await socket.send(["in ", "many ", "fragments"])
        expect("fragments", await socket.recv(), "in many fragments")
        expect("ping and pong", await (await socket.ping(b"x")) >= 0, True)
        expect("what the ends agreed upon", [str(one) for one in socket.protocol.extensions] != [], True)
    expect("an orderly end", (socket.close_code, socket.close_reason), (1000, ""))

    async with connect(f"{base}/echo", compression=None, proxy=None) as socket:
        await asyncio.gather(*(socket.send(str(number)) for number in range(500)))
        heard = [await socket.recv() for _ in range(500)]
        expect("many messages in order", heard, [str(number) for number in range(500)])
        await socket.close(4000, "enough")
    expect("a client's own code", (socket.close_code, socket.close_reason), (4000, "enough"))

    async with connect(f"{base}/close", proxy=None) as socket:
        await socket.send("4321 because")
        try:
            await socket.recv()
            raise AssertionError("no end")
        except ConnectionClosed as error:
            expect("an upstream's own code", (error.rcvd.code, error.rcvd.reason), (4321, "because"))

    offered = ["other", f"openai-insecure-api-key.{OWN_KEY}", "openai-beta.realtime-v1"]
    async with connect(f"{base}/echo", subprotocols=offered, proxy=None) as socket:
        expect("a subprotocol", socket.subprotocol, "openai-beta.realtime-v1")

    try:
        async with connect(f"{base}/nowhere", proxy=None):
            raise AssertionError("no refusal")
    except InvalidStatus as error:
        response = error.response
        expect("a refusal", (response.status_code, response.body), (404, b"nobody here\n"))

    async def one(number):
        async with connect(f"{base}/echo", proxy=None) as socket:
            await socket.send(f"number {number}")
            return await socket.recv()

    answers = await asyncio.gather(*(one(number) for number in range(50)))
    expect("50 at once", answers, [f"number {number}" for number in range(50)])


def realtime(base):
    import openai

    options = {"base_url": f"{base}/openai/v1", "api_key": OWN_KEY, "max_retries": 0}

    def synchronous():
        with openai.OpenAI(**options).realtime.connect(model="demo") as connection:
            expect("realtime: the session", connection.recv().type, "session.created")
            connection.session.update(session={"type": "realtime", "instructions": "be brief"})
            expect("realtime: an update", connection.recv().session.instructions, "be brief")
            connection.response.create()
            words = ""
            for event in connection:
                if event.type == "response.output_text.delta":
                    words += event.delta
                if event.type == "response.done":
                    break
            expect("realtime: an answer", words, "one two three")

    async def asynchronous():
        async with openai.AsyncOpenAI(**options).realtime.connect(model="demo") as connection:
            expect("realtime: the session, asynchronous", (await connection.recv()).type, "session.created")
            await connection.response.create()
            words = [(await connection.recv()).delta for _ in range(3)]
            expect("realtime: an answer, asynchronous", "".join(words), "one two three")

    # It reads and writes in two threads, which Python's ssl does not always survive: over TLS it hangs now and then,
    # whatever the server.
    if base.startswith("http:"):
        synchronous()
    asyncio.run(asynchronous())


async def live(base):
    from google import genai
    from google.genai import types

    client = genai.Client(api_key=OWN_KEY, http_options=types.HttpOptions(base_url=f"{base}/gemini"))
    async with client.aio.live.connect(model="demo", config={"response_modalities": ["TEXT"]}) as session:
        for said in ["hello", "and goodbye"]:
            turn = types.Content(role="user", parts=[types.Part(text=said)])
            await session.send_client_content(turns=turn, turn_complete=True)
            words = "".join([message.text or "" async for message in session.receive()])
            expect("live: an answer", words, f"you said {said}")


match sys.argv[1:]:
    case ["serve", *certificate]:
        asyncio.run(serve_until_the_end(*certificate))
    case ["talk", base]:
        asyncio.run(talk(base))
    case ["realtime", base]:
        realtime(base)
    case ["live", base]:
        asyncio.run(live(base))
    case _:
        sys.exit(__doc__)
if sys.argv[1] != "serve":
    print("all ok")
