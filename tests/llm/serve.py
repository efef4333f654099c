"""Serves a model under an API like OpenAI's, on a free port of the loopback, for `cargo xtask llm`.

    serve.py MODEL.gguf NAME SECONDS

prints the base URL once it listens, and ends when its standard input does, or after SECONDS.
"""

import json
import os
import socket
import sys
import threading

import uvicorn
from llama_cpp.server.app import create_app
from llama_cpp.server.settings import ModelSettings, ServerSettings


class Dialect:
    """Takes `response_format` as OpenAI has it: this server knows an earlier form only."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["method"] != "POST":
            return await self.app(scope, receive, send)
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        try:
            request = json.loads(body)
            form = request.get("response_format") or {}
            if form.get("type") == "json_schema":
                schema = form["json_schema"]["schema"]
                request["response_format"] = {"type": "json_object", "schema": schema}
                body = json.dumps(request).encode()
        except (ValueError, AttributeError, KeyError):
            pass  # the server itself says what is wrong with it
        headers = [(k, v) for k, v in scope["headers"] if k != b"content-length"]
        scope = {**scope, "headers": headers + [(b"content-length", str(len(body)).encode())]}
        replayed = False

        async def replay():
            nonlocal replayed
            if replayed:
                return await receive()  # tells when the client goes
            replayed = True
            return {"type": "http.request", "body": body, "more_body": False}

        return await self.app(scope, replay, send)


def end_with_parent():
    sys.stdin.buffer.read()
    os._exit(0)


def main():
    model, name, seconds = sys.argv[1:]
    threading.Thread(target=end_with_parent, daemon=True).start()
    limit = threading.Timer(float(seconds), os._exit, [1])
    limit.daemon = True
    limit.start()
    app = create_app(
        server_settings=ServerSettings(interrupt_requests=False),
        # One thread: with more, they spin while they wait for each other on a busy machine.
        model_settings=[
            ModelSettings(
                model=model,
                model_alias=name,
                n_ctx=2048,
                n_threads=1,
                n_threads_batch=1,
                chat_format="chatml-function-calling",
                verbose=False,
            )
        ],
    )
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(64)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", flush=True)
    sys.stdout = sys.stderr  # nobody reads further, and libraries print
    config = uvicorn.Config(Dialect(app), log_level="warning", timeout_keep_alive=1)
    uvicorn.Server(config).run(sockets=[listener])


main()
