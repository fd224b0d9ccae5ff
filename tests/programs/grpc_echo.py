"""A gRPC service that echoes, and a client that asks it everything. Without arguments it serves."""
import sys
import threading
from concurrent import futures

import grpc

SERVICE = "test.Echo"


def same(what, expected):
    assert what == expected, (what, expected)


def unary(request, context):
    told = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-told", told.get("x-said", "")),))
    context.set_trailing_metadata((("x-last-bin", b"\x00\xff"),))
    if request == b"fail":
        context.abort(grpc.StatusCode.NOT_FOUND, "no such thing: ä")
    return request


def stream_out(request, context):
    for number in range(int(request)):
        yield b"%d" % number


def stream_in(requests, context):
    return b"".join(requests)


def both(requests, context):
    for request in requests:
        yield request


def endless(request, context):
    CANCELLED.clear()
    context.add_callback(CANCELLED.set)
    while context.is_active():
        yield b"more"


def cancelled(request, context):
    return b"yes" if CANCELLED.wait(20) else b"no"


CANCELLED = threading.Event()
METHODS = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Out": grpc.unary_stream_rpc_method_handler(stream_out),
    "In": grpc.stream_unary_rpc_method_handler(stream_in),
    "Both": grpc.stream_stream_rpc_method_handler(both),
    "Endless": grpc.unary_stream_rpc_method_handler(endless),
    "Cancelled": grpc.unary_unary_rpc_method_handler(cancelled),
}


def serve():
    server = grpc.server(futures.ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, METHODS),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(f"127.0.0.1:{port}", flush=True)
    server.wait_for_termination()


def ask(address):
    channel = grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
    unary = channel.unary_unary(f"/{SERVICE}/Unary")
    answer, call = unary.with_call(b"hello", metadata=(("x-said", "this"),), timeout=20)
    same((answer, call.code()), (b"hello", grpc.StatusCode.OK))
    same(dict(call.initial_metadata())["x-told"], "this")
    same(dict(call.trailing_metadata())["x-last-bin"], b"\x00\xff")
    large = bytes(range(256)) * 8_000
    same(unary(large, timeout=20), large)
    try:
        unary(b"fail", timeout=20)
        raise AssertionError("it should have failed")
    except grpc.RpcError as error:
        same((error.code(), error.details()), (grpc.StatusCode.NOT_FOUND, "no such thing: ä"))
    try:
        channel.unary_unary(f"/{SERVICE}/Nothing")(b"", timeout=20)
        raise AssertionError("it should have failed")
    except grpc.RpcError as error:
        same(error.code(), grpc.StatusCode.UNIMPLEMENTED)
    same(list(channel.unary_stream(f"/{SERVICE}/Out")(b"200", timeout=20)), [b"%d" % n for n in range(200)])
    same(channel.stream_unary(f"/{SERVICE}/In")(iter([b"a" * 100_000, b"b"]), timeout=20), b"a" * 100_000 + b"b")

    # One word after another: each is answered before the next is said.
    said, heard = threading.Semaphore(1), []

    def words():
        for number in range(20):
            said.acquire()
            yield b"%d" % number

    for word in channel.stream_stream(f"/{SERVICE}/Both")(words(), timeout=20):
        heard.append(word)
        said.release()
    same(heard, [b"%d" % n for n in range(20)])

    # A call that is given up ends at the server, too.
    call = channel.unary_stream(f"/{SERVICE}/Endless")(b"", timeout=20)
    same(next(call), b"more")
    call.cancel()
    same(channel.unary_unary(f"/{SERVICE}/Cancelled")(b"", timeout=30), b"yes")
    print("all ok")


if len(sys.argv) > 1:
    ask(sys.argv[1])
else:
    serve()
