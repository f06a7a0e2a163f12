"""The command `prm serve`: what it refuses at once, what it passes on, and how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import httpx
import pytest
from serving import PROBLEM, STEPS, saved

from prm import cli
from prm.apply import Usage
from prm.errors import PrmError
from prm.model import PRM
from prm.serve import app


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("serve"))


@pytest.mark.parametrize(
    "options, said",
    [
        (["--reduce", "best"], "--reduce: 'best' is not known"),
        (["--prompt", "no place"], "prompt: 'no place' must hold"),
        (["--unscored", "nan"], "--unscored: nan is not finite"),
        (["--host", "999.1.2.3"], "--host: '999.1.2.3' is no address"),
        (["--host", "192.0.2.1"], "--host: '192.0.2.1' is no address of this machine"),
        (["--port", "70000"], "--port: 127.0.0.1:70000 cannot be had"),
    ],
)
def test_what_the_command_refuses_before_a_model_is_loaded(folder, options, said, capsys, monkeypatch):
    monkeypatch.setattr(PRM, "load", lambda *_: 1 / 0)
    assert cli.main(["serve", str(folder), "--port", "0", *options]) == 2
    assert said in capsys.readouterr().err


def test_the_command_passes_on_what_it_was_given(folder, monkeypatch, capsys):
    """Line breaks as a shell writes them, names, and at the start a word on what cannot be answered."""
    import uvicorn

    loaded = []
    monkeypatch.delenv("PRM_QUIET", raising=False)
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: loaded.append(self.config.app))
    monkeypatch.setattr(app, "make_app", lambda judge, *names: loaded.append((judge, names)))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    command = [
        "serve",
        str(folder),
        "--host",
        "::1",
        "--port",
        "0",
        "--device",
        "cpu",
        "--prompt",
        "A:\\t{problem}\\nB:",
    ]
    assert cli.main(command) == 0
    (judge, names), _ = loaded
    assert judge.prompt == "A:\t{problem}\nB:" and names == ("prm", None, (str(folder), str(folder.resolve())))
    error = capsys.readouterr().err
    assert "serving prm on http://[::1]:" in error and "/get_reward will" not in error
    monkeypatch.setattr("prm.apply.read_usage", lambda _: Usage())
    assert cli.main([*command, "--name", "ours"]) == 0
    assert loaded[-2][1][0] == "ours" and "/get_reward will be refused: this PRM does not" in capsys.readouterr().err


@contextmanager
def taken():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()
        yield one.getsockname()[1]


def test_a_port_in_use_is_one_line(folder, capsys):
    with taken() as port:
        assert cli.main(["serve", str(folder), "--port", str(port)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"prm: error: --port: 127.0.0.1:{port} cannot be had") and error.count("\n") == 1


def test_a_port_is_had_at_once():
    """Another process may bind it until we listen, not only until requests are read."""
    with app.listen("127.0.0.1", 0) as found, pytest.raises(PrmError, match="--port: .* cannot be had"):
        app.listen("127.0.0.1", found.getsockname()[1])


def test_the_command_answers_what_is_in_flight_and_ends_cleanly(folder):
    with taken() as port:
        pass
    expected = PRM.load(folder, "cpu").score(PROBLEM, STEPS)
    sent = json.dumps({"rows": [{"problem": PROBLEM, "steps": STEPS}]}).encode()

    def stopped_halfway():
        yield sent[:10]
        client.get("/health")  # the server has seen the first half when it answers this
        server.send_signal(signal.SIGTERM)
        time.sleep(0.5)  # it has turned to ending
        yield sent[10:]

    command = [sys.executable, "-m", "prm", "serve", str(folder), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ})
    try:
        client = httpx.Client(transport=httpx.HTTPTransport(retries=0), base_url=f"http://127.0.0.1:{port}", timeout=60)
        for _ in range(600):
            try:
                client.get("/health")
                break
            except httpx.ConnectError:
                assert server.poll() is None, server.stderr.read()
                time.sleep(0.1)
        response = client.post("/score", content=stopped_halfway())
        assert response.json()["scores"] == [pytest.approx(expected, abs=1e-5)]
        client.close()
    finally:
        server.terminate()
        out, error = server.communicate(timeout=60)
    assert "Traceback" not in error and server.returncode == 0
