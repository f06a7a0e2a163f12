"""Runs the ablation's worlds, several at a time, and writes summary.json and its table. See eval/ablation/__init__.py."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from eval import command
from eval.ablation import measure, summary, table, world
from prm import recipe
from prm.errors import PrmError
from prm.progress import say
from prm.store import write_file


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m eval.ablation", description=__doc__.split("\n")[0])
    parser.add_argument("recipe", type=Path, nargs="?", default=Path("recipes/ablation.yaml"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="one world each (default 1 to 5)")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"), help="default runs/ablation")
    parser.add_argument(
        "--at-once", type=int, default=os.cpu_count() or 1, help="worlds at a time, a core each (default: all cores)"
    )
    parser.add_argument(
        "--controls", type=int, default=2, help="how many of the worlds run the controls too (default 2)"
    )
    parser.add_argument("--world", type=int, help="make this world alone, and no summary")
    parser.add_argument(
        "--so-far", action="store_true", help="train nothing: the table of what is finished, rows may have fewer worlds"
    )
    options = parser.parse_args(arguments)
    # A world's policy trains for minutes before its recipe is read.
    recipe.load(options.recipe, world.overrides(options.out, options.out, options.seeds[0]))
    if options.at_once < 1:
        raise PrmError(f"--at-once: {options.at_once} is not positive; 1 makes one world after another")
    if options.world is not None:
        _one(options, options.world)
        return
    if len(set(options.seeds)) < len(options.seeds):
        raise PrmError(f"--seeds: {options.seeds} names a world twice; each is one piece of evidence, give others")
    failed = _all(options)
    done = [seed for seed in options.seeds if seed not in failed]
    if not done:
        raise PrmError(
            f"{options.out}: no world has anything to show yet; without --so-far the same command makes them"
        )
    found = summary.summarise(
        [json.loads((options.out / f"seed-{seed}" / "measured.json").read_text()) for seed in done]
    )
    write_file(options.out / "summary.json", (json.dumps({"name": "ablation", **found}, indent=1) + "\n").encode())
    print(table.markdown(found))


def _one(options: argparse.Namespace, seed: int) -> None:
    if options.so_far:
        run = world.so_far(options.recipe, options.out, seed)
    else:
        run = world.make(options.recipe, options.out, seed, options.controls > 0)
    write_file(options.out / f"seed-{seed}" / "measured.json", json.dumps(measure.measure(run)).encode())


def _all(options: argparse.Namespace) -> list[int]:
    """The worlds that failed, which are left out --so-far and else end the command. Each world is a process with one thread: two that
    share cores would wait for each other at every matrix product."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the worlds are stopped below
    waiting, running, failed = list(options.seeds), {}, []
    try:
        while waiting or running:
            while waiting and len(running) < options.at_once:
                seed = waiting.pop(0)
                running[seed] = _start(options, seed)
                say(f"world {seed}: begun; its progress is in {_log(options, seed)}")
            seed = _first_to_end(running)
            code = running.pop(seed).returncode
            say(f"world {seed}: " + ("done" if code == 0 else f"failed, see the end of {_log(options, seed)}"))
            failed += [seed] * (code != 0)
    finally:
        for process in running.values():
            process.terminate()
    if failed and not options.so_far:
        raise PrmError(
            f"worlds {sorted(failed)} failed; mend what their logs say and give the same command again, what is done is kept"
        )
    return failed


def _log(options: argparse.Namespace, seed: int) -> Path:
    return options.out / f"seed-{seed}" / "log.txt"


def _start(options: argparse.Namespace, seed: int) -> subprocess.Popen:
    try:
        _log(options, seed).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PrmError(f"--out: {error.filename} cannot be made ({error.strerror}); name a folder") from None
    controls = options.seeds.index(seed) < options.controls
    command_line = [sys.executable, "-m", "eval.ablation", str(options.recipe), "--out", str(options.out)]
    command_line += ["--world", str(seed), "--controls", str(int(controls)), *(["--so-far"] if options.so_far else [])]
    with open(_log(options, seed), "a") as log:
        return subprocess.Popen(command_line, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})


def _first_to_end(running: dict[int, subprocess.Popen]) -> int:
    """The first process to end, whichever it is."""
    while True:
        for seed, process in running.items():
            try:
                process.wait(timeout=0.5)
                return seed
            except subprocess.TimeoutExpired:
                continue


if __name__ == "__main__":
    command(main)
