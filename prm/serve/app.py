"""`prm serve`: a PRM behind HTTP for machines without vLLM, in the formats that trainers already speak.

    POST /pooling      vLLM's: a score a token (task token_classify), or the last token's (classify)
    POST /classify     vLLM's, as verl's reward model reads it: data[-1]["probs"][-1]
    POST /get_reward   OpenRLHF's remote reward: {"query", "prompts", "labels"} -> {"rewards", "scores", "extra_logs"}
    POST /score        {"rows": [{"problem", "steps"}]} -> {"scores", "reasons", "cut"}; cut: the steps, from 0,
                         that are too long and are scored by their last tokens alone
    GET  /health, /v1/models

Errors are {"error": {"message", "code"}}: 400 names the key that is wrong, 404 another model or path, 413 what is too large,
503 that too much waits already (Retry-After says when to come again). The requests of clients that hang up are dropped.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from prm.errors import PrmError
from prm.progress import say
from prm.serve import formats
from prm.serve.judge import Judge, Scored
from prm.serve.worker import Unavailable, Worker

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request

BODY = 32 << 20  # bytes of a request
WAITING = 4 * formats.ROWS  # inputs that may be unanswered at once
RETRY = 5  # seconds after which to come again when more wait


class NotServed(Exception):
    """A model that is not ours."""


STATUS = {PrmError: 400, NotServed: 404, formats.TooLarge: 413, Unavailable: 503}


def make_app(judge: Judge, name: str, unscored: float | None = None, names: Sequence[str] = ()) -> Starlette:
    """The ASGI application; its worker thread ends with it.

    name: the model's, as answers and /v1/models tell it; requests may also call it by `names`. unscored: /get_reward's for
    what has none.
    """
    from contextlib import asynccontextmanager

    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    worker = Worker(judge, WAITING)

    async def models(_):
        limit = judge.prm.config.max_tokens
        one = {"id": name, "object": "model", "created": int(time.time()), "owned_by": "prm", "max_model_len": limit}
        return JSONResponse({"object": "list", "data": [one]})

    async def health(_):
        return Response()

    @asynccontextmanager
    async def lifespan(_):
        yield
        await asyncio.to_thread(worker.close)

    def post(path: str, read: Callable, answer: Callable) -> Route:
        def asked(raw: bytes) -> formats.Request:
            body = _parsed(raw)
            request = read(body, judge)
            if body.get("model") not in (None, name, *names):
                raise NotServed(f"model: '{body['model']}' is not served here; this is '{name}'")
            return request

        async def route(request: Request) -> Response:
            wanted = await asyncio.to_thread(asked, await _body(request))
            scored = await _scored(worker, wanted, request)
            made = await asyncio.to_thread(lambda: _rendered(answer(wanted, scored)))
            return Response(made, media_type="application/json")

        return Route(path, route, methods=["POST"])

    routes = [
        Route("/health", health),
        Route("/v1/models", models),
        post("/pooling", formats.pooling, lambda asked, scored: formats.answer_pooling(asked, scored, name)),
        post("/classify", formats.classify, lambda asked, scored: formats.answer_classify(asked, scored, name)),
        post("/get_reward", formats.reward, lambda _, scored: formats.answer_reward(judge, scored, unscored)),
        post("/score", formats.score, lambda _, scored: formats.answer_score(scored)),
    ]
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=_handlers())
    app.state.worker = worker
    return app


def _handlers() -> dict:
    """Every error in one form; what is a bug of ours is raised again behind its answer, for the server's log."""
    from starlette.exceptions import HTTPException
    from starlette.requests import ClientDisconnect
    from starlette.responses import JSONResponse, Response

    def told(_, error: Exception) -> JSONResponse:
        status = next((code for kind, code in STATUS.items() if isinstance(error, kind)), 500)
        message, headers = str(error), {}
        if isinstance(error, HTTPException):
            status, message, headers = error.status_code, error.detail, error.headers
        elif status == 500:
            message = f"the server failed on this request ({type(error).__name__}); its log has the traceback"
        elif status == 503:
            headers = {"Retry-After": str(RETRY)}
        return JSONResponse({"error": {"message": message, "code": status}}, status, headers)

    gone = {ClientDisconnect: lambda _, error: Response(status_code=499)}  # nobody reads it
    return {**dict.fromkeys((*STATUS, HTTPException, Exception), told), **gone}


async def _body(request: Request) -> bytes:
    """The bytes of a request, refused as soon as they are too many."""
    raw = bytearray()
    async for part in request.stream():
        raw += part
        if len(raw) > BODY:
            raise formats.TooLarge(f"the body is longer than {BODY} bytes; send several requests")
    return bytes(raw)


def _parsed(raw: bytes) -> Any:
    """The JSON of a body. PrmError where it is none, or names the key whose text holds half a character."""
    try:
        text = raw.decode("utf-8-sig")
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PrmError(f"the body is not JSON ({error})") from None
    if "\\ud" in text.lower() and isinstance(body, dict):
        for key, value in body.items():
            for i, one in enumerate(value) if isinstance(value, list) else [("", value)]:
                try:
                    json.dumps([key, one], ensure_ascii=False).encode()
                except UnicodeEncodeError as error:
                    half = f"a lone \\u{ord(error.object[error.start]):04x}"
                    where = f"{ascii(key)[1:-1]} {i}".rstrip()
                    raise PrmError(f"{where}: holds half a character ({half}); mend the text") from None
    return body


async def _scored(worker: Worker, wanted: formats.Request, request: Request) -> list[Scored]:
    """The items' scores; given up where the client hangs up before their batch begins."""
    from starlette.requests import ClientDisconnect

    scored, gone = asyncio.wrap_future(worker.submit(wanted.items)), asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait([scored, gone], return_when=asyncio.FIRST_COMPLETED)
        if not scored.done():
            raise ClientDisconnect
        return scored.result()
    finally:
        scored.cancel()
        gone.cancel()


def _rendered(answer: dict[str, Any]) -> bytes:
    """JSON, a row at a time: the encoder lets no other thread run while it works, and an answer may hold millions of scores."""

    def dumped(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))

    def rows(value: Any) -> str:
        return f"[{','.join(map(dumped, value))}]" if isinstance(value, list) else dumped(value)

    return f"{{{','.join(f'{dumped(key)}:{rows(value)}' for key, value in answer.items())}}}".encode()


def listen(host: str, port: int) -> socket.socket:
    """The server's socket, had before a model is loaded. PrmError that names the host or the port that cannot be."""
    try:
        socket.getaddrinfo(host, None)
        found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, UnicodeError) as error:
        raise PrmError(f"--host: '{host}' is no address ({error}); give one of this machine's") from None
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        found.listen()  # only now is it ours alone: another process may bind the port of a socket that does not listen
    except (OSError, OverflowError) as error:
        found.close()
        if getattr(error, "errno", 0) == errno.EADDRNOTAVAIL:
            raise PrmError(f"--host: '{host}' is no address of this machine; give one that is") from None
        raise PrmError(f"--port: {host}:{port} cannot be had ({error}); give another") from None
    return found


def serve(
    judge: Judge, name: str, found: socket.socket, unscored: float | None = None, names: Sequence[str] = ()
) -> None:
    """Answers requests until SIGINT or SIGTERM; what was asked until then is still answered. See `make_app`."""
    import uvicorn

    host, port = found.getsockname()[:2]
    host = f"[{host}]" if ":" in host else host
    say(f"serving {name} on http://{host}:{port} (POST /score /pooling /classify /get_reward, GET /health /v1/models)")
    try:
        judge.check_rewarding()
    except PrmError as error:
        say(f"/get_reward will be refused: {error}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # uvicorn raises it again when all is answered: no failure
    app = make_app(judge, name, unscored, names)
    gc.freeze()  # the garbage of big answers is looked for without the libraries' objects, where that stops all threads
    try:
        uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=30)).run(sockets=[found])
    finally:
        gc.unfreeze()
