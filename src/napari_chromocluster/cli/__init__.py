"""The command line ``chromocluster``, with one module per command.

The commands import their dependencies when they run, so that ``--help`` is fast.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Sequence

import typer

from napari_chromocluster.cli.batch import batch
from napari_chromocluster.cli.classify import classify
from napari_chromocluster.cli.demo import demo
from napari_chromocluster.cli.evaluate import evaluate
from napari_chromocluster.cli.models import models
from napari_chromocluster.cli.options import Stopped
from napari_chromocluster.cli.segment import segment
from napari_chromocluster.cli.train import train
from napari_chromocluster.models.torch_setup import prepare_torch

#: Exit status for invalid input, and after Ctrl+C.
BAD_INPUT, INTERRUPTED = 2, 130

#: Loggers whose warnings add nothing to our own one-line messages.
_CHATTER = ("tifffile", "torch.utils.flop_counter")

#: Former names of options, which still work but are not shown in the help.
_FORMER_NAMES = {
    "train": {"--out": "--output"},
    "segment": {"--threshold": "--threshold-factor"},
}

app = typer.Typer(
    add_completion=False,
    help="Find the regions of metaphase images and tell single chromosomes from clusters.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (demo, segment, classify, train, evaluate, batch, models):
    app.command()(command)


@app.callback(invoke_without_command=True)
def _without_command(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Show the version and exit."),
) -> None:
    from napari_chromocluster import __version__

    if version:
        print(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(BAD_INPUT)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; bad input prints one line on standard error and returns status 2.

    Parameters
    ----------
    arguments : sequence of str, optional
        Instead of those of the process.

    Returns
    -------
    int
        Exit status.
    """
    prepare_torch()
    for name in _CHATTER:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    for stream in (sys.stdout, sys.stderr):
        # A name that the console cannot show must not turn a success into a failure.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        given = list(sys.argv[1:] if arguments is None else arguments)
        status = app(args=_present_names(given), prog_name="chromocluster", standalone_mode=False)
        if status == INTERRUPTED:  # typer returns a status for Ctrl+C
            return _say("Interrupted.", INTERRUPTED)
        return status if isinstance(status, int) else 0
    except Stopped as stopped:
        return _say(str(stopped), INTERRUPTED)
    except (typer.Abort, KeyboardInterrupt):
        return _say("Interrupted.", INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has closed the pipe; avoid an error when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        return _say("The memory is too small for this image: close other programs or crop it.")
    except (ValueError, OSError) as error:
        from napari_chromocluster.imaging.files import is_full_disk

        if isinstance(error, OSError) and is_full_disk(error):
            return _say("The disk is full: free some space and run the command again.")
        return _say(str(error))
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error of the command line itself
            command = getattr(getattr(error, "ctx", None), "command_path", "chromocluster")
            return _say(f"{error.format_message()} See '{command} --help'.")
        raise


def _present_names(arguments: list[str]) -> list[str]:
    """Replace former names of options by current ones."""
    command = arguments[0] if arguments else ""
    former = _FORMER_NAMES.get(command, {})
    found = []
    for place, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if command == "evaluate" and name == "--json":
            # Formerly it took a file; now it prints, as in all commands.
            value = value or next(iter(arguments[place + 1 :]), "")
            if value.lower().endswith(".json"):
                name = "--json-file"
        found.append(former.get(name, name) + equals + argument.partition("=")[2])
    return found


def _say(message: str, status: int = BAD_INPUT) -> int:
    line = " ".join(message.split()) or "The input cannot be used."
    print(f"chromocluster: {line}", file=sys.stderr)
    return status
