"""HTTP/2 as httpx and the SDKs speak it. Arguments: the proxy's URL, and the certificate to trust."""
import asyncio
import ssl
import sys

import httpx
import openai

url, certificate = sys.argv[1:3]
trust = ssl.create_default_context(cafile=certificate)
client = httpx.Client(http2=True, verify=trust, timeout=20)


def same(what, expected):
    assert what == expected, (what, expected)


# Many at once, on one connection.
async def many():
    async with httpx.AsyncClient(http2=True, verify=trust, timeout=20) as client:

        async def one(number):
            body = bytes([number % 251]) * (number * 997)
            answer = await client.post(f"{url}/echo/{number}", content=body)
            same((answer.http_version, answer.status_code), ("HTTP/2", 200))
            same(answer.content, body)

        await asyncio.gather(*map(one, range(100)))


asyncio.run(many())

# A body of unknown length.
answer = client.post(f"{url}/echo/x", content=iter([b"a" * 70_000, b"b"]))
same((answer.http_version, len(answer.content)), ("HTTP/2", 70_001))

# An answer that is not read to its end is given up with its connection: httpx does not reset single streams.
with httpx.Client(http2=True, verify=trust, timeout=20) as other:
    with other.stream("GET", f"{url}/echo/endless") as answer:
        next(answer.iter_raw())
same(client.get(f"{url}/").json()["message"], "Python Proxy is running.")
same(client.get(f"{url}/nowhere").status_code, 404)

# An SDK over HTTP/2, streamed.
sdk = openai.OpenAI(base_url=f"{url}/openai/v1", api_key="unused", http_client=client)
stream = sdk.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}], stream=True)
text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
assert text, "no text"
print("all ok")
