"""Sampling from any server with OpenAI's HTTP interface: /completions, or /chat/completions with `chat`.

One request a sample, each with its own seed; samples repeat as far as the server honours seeds. A request that fails is
asked again, then becomes a row with the reason "error: ..."; a server that is gone, or that refuses the key or the
model, ends the run with PrmError, and the same command goes on from there.

A prefix is joined to the prompt as text, and the server tokenises the two together. With `chat` it is an assistant's
message that the server goes on with: vLLM's own, as far as the model's chat template keeps the message's last white
space; the standard has no such thing.
"""

from __future__ import annotations

import ipaddress
import os
import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

from prm.engines import Sampling, _common
from prm.errors import PrmError
from prm.records import Problem, Sample

# What vLLM adds to the interface: the drawn ids, and its defaults undone that it would take from the model's folder.
_VLLM = {"return_token_ids": True, "top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}
_AGAIN = {408, 409, 425, 429}
_TOO_LONG = re.compile(r"context[ _-](length|size|window)", re.IGNORECASE)
_LONGEST_WAIT = 60.0


@dataclass(frozen=True)
class Config:
    """base_url: with its /v1. model: the name it is served under; "" takes the one that the server has.

    server: "vllm" also asks for token ids and switches off the sampling defaults of the model's folder; "openai" sends
    the standard's keys only. api_key_env: the environment variable that holds the key, "" for none. timeout, backoff:
    seconds; the wait before a retry doubles each time.
    """

    base_url: str = "http://localhost:8000/v1"
    model: str = ""
    template: str = _common.PROBLEM
    chat: bool = False
    server: str = "vllm"
    api_key_env: str = ""
    concurrency: int = 64
    timeout: float = 600.0
    retries: int = 4
    backoff: float = 1.0

    def __post_init__(self):
        _common.check_template(self.template)
        if not re.match(r"https?://[^/]", self.base_url):
            raise ValueError(f"base_url: '{self.base_url}' is no address; http://localhost:8000/v1 is one")
        if self.server not in ("vllm", "openai"):
            raise ValueError(f"server: '{self.server}' is unknown; vllm or openai")
        for name, least in (("concurrency", 1), ("timeout", 1e-3), ("retries", 0), ("backoff", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: {getattr(self, name)} is below {least}; remove it for the default")


def check(config: Config) -> None:
    if config.api_key_env and not os.environ.get(config.api_key_env):
        raise PrmError(f"engine.api_key_env: the environment has no {config.api_key_env}; export it before the run")


def open_engine(config: Config) -> OpenAIEngine:
    """Asks the server what it serves. Raises PrmError if it cannot be reached, refuses the key or lacks the model."""
    import httpx

    check(config)
    headers = {"Authorization": f"Bearer {os.environ[config.api_key_env]}"} if config.api_key_env else {}
    limits = httpx.Limits(max_connections=config.concurrency, max_keepalive_connections=config.concurrency)
    # A proxy does not know this machine's localhost.
    client = httpx.Client(
        base_url=config.base_url.rstrip("/") + "/",
        headers=headers,
        timeout=config.timeout,
        limits=limits,
        trust_env=not _is_local(config.base_url),
    )
    try:
        return OpenAIEngine(config, client, _served(config, client))
    except BaseException:
        client.close()
        raise


class OpenAIEngine:
    def __init__(self, config: Config, client, model: str):
        self.config, self.client, self.model = config, client, model

    def sample(
        self, problems: Sequence[Problem], sampling: Sampling, prefixes: Sequence[str] | None = None
    ) -> list[Sample]:
        _common.check_prefixes(problems, prefixes)
        if prefixes and self.config.chat and self.config.server != "vllm":
            raise PrmError(
                f"engine.chat: a chat of an {self.config.server} server cannot go on with a solution that has been "
                "begun; set engine.chat: false, or engine.server: vllm if it is one"
            )
        begun = prefixes or [""] * len(problems)
        pool = ThreadPoolExecutor(self.config.concurrency)
        try:
            rows = [(p, b, i) for p, b in zip(problems, begun) for i in range(sampling.samples)]
            asked = [pool.submit(self._sample, p, b, i, sampling) for p, b, i in rows]
            return [answer.result() for answer in asked]
        finally:
            pool.shutdown(cancel_futures=True)

    def close(self) -> None:
        self.client.close()

    def _sample(self, problem: Problem, prefix: str, index: int, sampling: Sampling) -> Sample:
        prompt = _common.prompt(self.config.template, problem)
        if not prompt:
            return _common.refused(problem, sampling, "empty_prompt")[index]
        path, body = self._request(prompt, prefix, sampling)
        body["seed"] = _common.row_seed(sampling.seed, problem.id, index)
        try:
            return _common.row(problem, index, *self._ask(path, body))
        except _Refused as error:
            reason = "prompt_too_long" if _TOO_LONG.search(str(error)) else f"error: {error}"
            return _common.refused(problem, sampling, reason)[index]

    def _request(self, prompt: str, prefix: str, sampling: Sampling) -> tuple[str, dict]:
        body = {
            "model": self.model,
            "max_tokens": sampling.max_tokens,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "n": 1,
        }
        body |= {"stop": list(sampling.stop)} if sampling.stop else {}
        body |= _VLLM if self.config.server == "vllm" else {}
        if not self.config.chat:
            return "completions", body | {"prompt": prompt + prefix, "logprobs": 1}
        messages = [{"role": "user", "content": prompt}]
        if prefix:
            messages.append({"role": "assistant", "content": prefix})
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        return "chat/completions", body | {"messages": messages, "logprobs": True}

    def _ask(self, path: str, body: dict) -> tuple:
        """(text, token ids, log-probabilities, finish, tokens). Raises _Refused when this request is hopeless, PrmError when
        all are."""
        import httpx

        for attempt in range(self.config.retries + 1):
            wait = min(_LONGEST_WAIT, self.config.backoff * 2**attempt)
            try:
                response = self.client.post(path, json=body)
                if response.is_success:
                    return _completion(response.json())
                problem = _told(response)
                if response.status_code in (401, 403, 404):
                    raise PrmError(
                        f"engine.base_url: {self.client.base_url} refuses all requests "
                        f"({_about(response)}); check engine.api_key_env, engine.model and engine.chat"
                    )
                if response.status_code not in _AGAIN and response.status_code < 500:
                    raise _Refused(problem)  # asked again it would say the same
                wait = _retry_after(response, wait)
            except httpx.TransportError as error:
                problem, gone = f"{type(error).__name__}: {error}", isinstance(error, httpx.ConnectError)
                if gone and attempt == self.config.retries:
                    raise PrmError(
                        f"engine.base_url: no server at {self.client.base_url} any more ({error}); start it "
                        "and run the same command again, it goes on"
                    ) from error
            except (ValueError, KeyError, IndexError, TypeError) as error:  # not JSON, or not the interface's shape
                problem = f"malformed reply ({type(error).__name__}: {error})"
            if attempt < self.config.retries:
                time.sleep(wait)
        raise _Refused(f"{problem}, {self.config.retries + 1} times")


class _Refused(Exception):
    """The server does not answer this request."""


def _completion(reply: dict) -> tuple:
    choice = reply["choices"][0]
    text = choice["message"]["content"] or "" if "message" in choice else choice["text"]
    if not isinstance(text, str) or choice["finish_reason"] not in ("stop", "length"):
        raise ValueError(f"finish_reason {choice['finish_reason']!r}, text {type(text).__name__}")
    told = choice.get("logprobs") or {}
    logprobs = [entry["logprob"] for entry in told.get("content") or ()] or told.get("token_logprobs") or ()
    token_ids = choice.get("token_ids") or ()
    if token_ids and logprobs and len(token_ids) != len(logprobs):
        raise ValueError(f"{len(token_ids)} token ids but {len(logprobs)} log-probabilities")
    return text, tuple(map(int, token_ids)), tuple(map(float, logprobs)), choice["finish_reason"], _tokens(reply)


def _tokens(reply: dict) -> int:
    """What the server says it drew for the one choice that is asked for, the end included; 0 where it says nothing."""
    usage = reply.get("usage")
    told = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return max(told, 0) if isinstance(told, int) else 0


def _served(config: Config, client) -> str:
    import httpx

    try:
        response = client.get("models")
    except httpx.TransportError as error:
        raise PrmError(
            f"engine.base_url: no server at {config.base_url} ({error}); start one (vLLM: python -m "
            "vllm.entrypoints.openai.api_server --model ...) or correct the address"
        ) from error
    if response.status_code in (401, 403):
        raise PrmError(
            f"engine.base_url: {config.base_url} refuses the key (HTTP {response.status_code}); check "
            "engine.api_key_env"
        )
    try:
        names = [entry["id"] for entry in response.json()["data"]] if response.is_success else []
    except (ValueError, KeyError, TypeError):
        names = []
    if config.model and (not names or config.model in names):
        return config.model  # a server without a list of models is taken at the user's word
    if not config.model and len(names) == 1:
        return names[0]
    listed = ", ".join(names[:8]) or "it lists none"
    raise PrmError(
        f"engine.model: '{config.model}' is not what {config.base_url} serves ({listed}); name one of its models"
    )


def _told(response) -> str:
    """The server's own words, on one line."""
    return f"HTTP {response.status_code} {' '.join(response.text.split())[:200]}".strip()


def _about(response) -> str:
    """Like _told, but not of a refused key: some servers print it back."""
    return f"HTTP {response.status_code}" if response.status_code in (401, 403) else _told(response)


def _retry_after(response, wait: float) -> float:
    told = response.headers.get("retry-after", "")
    return min(_LONGEST_WAIT, max(wait, float(told))) if re.fullmatch(r"\d+(\.\d+)?", told) else wait


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"
