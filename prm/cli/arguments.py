"""Arguments that several verbs take."""

from __future__ import annotations

import argparse

from prm import plugins


def formats(written: bool = False) -> str:
    """The names of the formats that are read, or of those that are written too."""
    names = plugins.names("formats")
    return ", ".join(n for n in names if not written or hasattr(plugins.load("formats", n), "write"))


def add_verb(made, name: str, function, what: str, example: str) -> argparse.ArgumentParser:
    lines = "\n".join(f"  {line}" for line in example.splitlines())
    verb = made.add_parser(
        name,
        help=what,
        description=what[0].upper() + what[1:] + ".",
        epilog=f"examples:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.set_defaults(verb=function)
    return verb


def corpus(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "corpus",
        metavar="CORPUS",
        help="JSONL(.gz) or Parquet file, folder of data files, or a data set's hub id, read as a stream",
    )


def overrides(verb: argparse.ArgumentParser, what: str) -> None:
    verb.add_argument("overrides", nargs="*", metavar="key=value", help=what)


def prm_folder(verb: argparse.ArgumentParser, required: bool = True) -> None:
    verb.add_argument("--prm", required=required, metavar="FOLDER", help="a PRM's folder, or a run's")
    arm(verb)


def arm(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--arm", help="which PRM of a run's folder, an arm of its recipe; needed where it has several")


def out(verb: argparse.ArgumentParser, row: str) -> None:
    verb.add_argument("-o", "--out", required=True, metavar="OUT", help=f"JSONL(.gz) to write: {row}")


def labelled(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "data",
        metavar="DATA",
        help="step-labelled rows: a JSONL(.gz) or Parquet file, folder of data files, or a data set's hub id",
    )
