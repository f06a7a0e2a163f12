"""`prm serve`: a PRM behind HTTP for machines without vLLM, in the formats that trainers already speak.

    POST /pooling      vLLM's: a score a token (task token_classify), or the last token's (classify)
    POST /classify     vLLM's, as verl's reward model reads it: data[-1]["probs"][-1]
    POST /get_reward   OpenRLHF's remote reward: {"query", "prompts", "labels"} -> {"rewards", "scores", "extra_logs"}
    POST /score        {"rows": [{"problem", "steps"}]} -> {"scores", "reasons"}
    GET  /health, /v1/models

Errors are {"error": {"message", "code"}}: 400 names the key that is wrong, 404 another model, 413 what is too large.
"""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prm.errors import PrmError
from prm.progress import say
from prm.serve import formats
from prm.serve.judge import Judge
from prm.serve.worker import Worker

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request

BODY = 32 << 20  # bytes of a request
ROWS = 4096  # inputs of a request


class TooLarge(Exception):
    """What a request has too much of."""


@dataclass(frozen=True)
class Server:
    """What the routes share. name: the model's, as answers and /v1/models tell it. unscored: reward of what has none."""

    judge: Judge
    worker: Worker
    name: str
    unscored: float | None = None


def make_app(judge: Judge, name: str, unscored: float | None = None) -> Starlette:
    """The ASGI application; its worker thread ends with it."""
    from contextlib import asynccontextmanager

    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    server = Server(judge, Worker(judge), name, unscored)
    limit = judge.prm.config.max_tokens

    def as_vllm(answer):
        def made(asked, scored):
            formats.refuse_unscored(asked, scored, limit)
            return answer(asked, scored, name)

        return made

    async def models(_):
        one = {"id": name, "object": "model", "created": int(time.time()), "owned_by": "prm", "max_model_len": limit}
        return JSONResponse({"object": "list", "data": [one]})

    async def health(_):
        return Response()

    @asynccontextmanager
    async def lifespan(_):
        yield
        await asyncio.to_thread(server.worker.close)

    routes = [
        Route("/health", health),
        Route("/v1/models", models),
        _post(server, "/pooling", formats.pooling, as_vllm(formats.answer_pooling)),
        _post(server, "/classify", formats.classify, as_vllm(formats.answer_classify)),
        _post(server, "/get_reward", formats.reward, lambda _, scored: formats.answer_reward(judge, scored, unscored)),
        _post(server, "/score", formats.score, lambda _, scored: formats.answer_score(scored)),
    ]
    app = Starlette(routes=routes, lifespan=lifespan)
    app.state.server = server
    return app


def _post(server: Server, path: str, read: Callable, answer: Callable):
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    def failed(status: int, message: str) -> JSONResponse:
        return JSONResponse({"error": {"message": message, "code": status}}, status)

    async def route(request: Request) -> JSONResponse:
        try:
            body = await _body(request)
            asked = read(body, server.judge)
            if isinstance(body, dict) and body.get("model") not in (None, server.name):
                return failed(404, f"model: '{body['model']}' is not served here; this is '{server.name}'")
            if len(asked.items) > ROWS:
                raise TooLarge(f"{len(asked.items)} inputs, {ROWS} a request are allowed; send several")
            return JSONResponse(answer(asked, await server.worker.score(asked.items)))
        except PrmError as error:
            return failed(400, str(error))
        except TooLarge as error:
            return failed(413, str(error))

    return Route(path, route, methods=["POST"])


async def _body(request: Request) -> Any:
    """The JSON of a request, refused as soon as it is too long."""
    raw = bytearray()
    async for part in request.stream():
        raw += part
        if len(raw) > BODY:
            raise TooLarge(f"the body is longer than {BODY} bytes; send several requests")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise PrmError(f"the body is not JSON ({error})") from None


def listen(host: str, port: int) -> socket.socket:
    """The server's socket, bound before a model is loaded. PrmError where the port is taken or may not be had."""
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
    except (OSError, OverflowError) as error:
        found.close()
        raise PrmError(f"--port: {host}:{port} cannot be had ({error}); give another") from None
    return found


def serve(judge: Judge, name: str, found: socket.socket, unscored: float | None = None) -> None:
    """Answers requests until SIGINT or SIGTERM; what is being scored then is still answered."""
    import uvicorn

    host, port = found.getsockname()[:2]
    say(f"serving {name} on http://{host}:{port} (POST /score /pooling /classify /get_reward, GET /health /v1/models)")
    config = uvicorn.Config(make_app(judge, name, unscored), log_level="warning", timeout_graceful_shutdown=30)
    uvicorn.Server(config).run(sockets=[found])
