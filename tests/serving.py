"""What tests of serving share: a small PRM that says how it is used, the judge on it, and requests without a socket."""

import asyncio
import json
import time

import httpx
import tiny
import torch

from prm.model import PRM
from prm.serve import app

PROBLEM = "what is one ?"
STEPS = ["so one then two .\n", "it makes right .\n", "wrong ."]
USAGE = {"reduce": "min", "segmenter": {"name": "delimiter", "by": "lines"}}


def saved(folder):
    """The PRM's folder."""
    torch.manual_seed(1)
    prm = PRM.create(tiny.config(tiny.backbone(folder / "llama", pad=False)), "cpu")
    torch.nn.init.normal_(prm.network.head.weight, std=0.3)
    prm.save(folder / "prm")
    (folder / "prm" / "usage.json").write_text(json.dumps(USAGE))
    return folder / "prm"


def asked(judge, *requests, **options):
    """Sends requests (method, path, body) at the same time; their responses."""
    made = app.make_app(judge, "my-prm", **options)

    async def run():
        transport = httpx.ASGITransport(made, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://prm") as client:
            sent = (client.request(method, path, **_content(body)) for method, path, body in requests)
            return await asyncio.gather(*sent)

    try:
        return asyncio.run(run())
    finally:
        made.state.worker.close()


def _content(body):
    return {"content": body} if isinstance(body, (bytes, type(None))) else {"json": body}


def post(judge, path, body, **options):
    [response] = asked(judge, ("POST", path, body), **options)
    return response.json()


def until(condition):
    for _ in range(2000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("in vain")
