"""The command line ``anonbench``. Nothing heavy is imported until a command needs it."""

from __future__ import annotations

import io
import sys

import click

from benchmark import __version__
from benchmark.cli.entering import check, new
from benchmark.cli.exchange import export, pack
from benchmark.cli.group import HelpfulGroup
from benchmark.cli.look import data, list_, show
from benchmark.cli.street import anonymize, leaderboard, run, score
from benchmark.cli.submitting import reproduce, submit, validate
from benchmark.cli.tuning import tune
from benchmark.cli.weights import weights
from benchmark.machine import prepare_environment


@click.group(cls=HelpfulGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="anonbench")
def cli() -> None:
    """Benchmark and leaderboard for image anonymization.

    A suite's images go through anonymizers; what they release is attacked, measured, recorded and put on a board.

    \b
    anonbench run portraits-smoke            everything, in a few minutes, without network
    anonbench run folder --data DIR          the same on your own photographs
    anonbench list anonymizers               what can be compared
    """


for command in (
    run, anonymize, score, leaderboard, tune, list_, show, data, weights, export, pack, new, check, validate, submit, reproduce,
):  # fmt: skip
    cli.add_command(command)


def main() -> None:
    """Runs the command line."""
    prepare_environment()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows no ² still gets its answer
    cli()
