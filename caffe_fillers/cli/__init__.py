"""The command line, `caffe-fillers`. It uses public names only. Each module here with a `command` is a command."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

import click

import caffe_fillers as cf

from .output import CLOSED, DIFFERS, STOPPED, print_json

__all__ = ["main"]

# in the order in which --help lists them; each is imported when it is asked for
COMMANDS = (
    *("init", "show", "signal", "convert", "compare", "upgrade", "deploy", "draw", "seed"),
    *("dataset", "train", "test", "run", "curves", "time", "export"),
)


class _Commands(click.Group):
    """A group whose commands turn what a user can cause into one message and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = importlib.import_module(f"{__name__}.{cmd_name}").command
        return found

    as_json = False

    def main(self, args: Sequence[str] | None = None, *rest: Any, **kwargs: Any) -> Any:
        given = [*(sys.argv[1:] if args is None else args)]
        # train writes its JSON to a file
        self.as_json = "--json" in given and given[0] != "train"
        return super().main(args, *rest, **kwargs)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _while_written(self.as_json):  # it prints the help and the version
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> object:
        as_json = self.as_json
        with warnings.catch_warnings():
            warnings.simplefilter("always", cf.CaffeWarning)
            warnings.showwarning = _show_warning
            try:
                with _while_written(as_json):
                    result = super().invoke(ctx)
                    if sys.stdout is not None:
                        sys.stdout.flush()  # at the end of the interpreter an error would have no message
                    return result
            except KeyboardInterrupt:
                click.echo("stopped", err=True)
                sys.exit(STOPPED)
            except click.UsageError as error:
                if as_json:
                    print_json({"error": error.format_message(), "exit_code": error.exit_code})
                raise
            except cf.CaffeError as error:
                _fail(str(error), as_json)
            except MemoryError:
                _fail("out of memory", as_json)
            except OSError as error:
                _fail(str(error), as_json)


@contextmanager
def _while_written(as_json: bool) -> Iterator[None]:
    """End the program where standard output can't be written: as the signal does, if its reader closed the pipe."""
    try:
        yield
    except BrokenPipeError:
        _discard_output()
        sys.exit(CLOSED)
    except OSError as error:
        if error.errno != errno.ENOSPC or error.filename is not None:
            raise
        _discard_output()
        _fail(f"standard output cannot be written: {error.strerror}", as_json)


def _discard_output() -> None:
    """Send nowhere what standard output still buffers, which the interpreter writes when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(text: str, as_json: bool) -> NoReturn:
    _say("error:", "red", text)
    if as_json:  # for the script that reads standard output; the line above is for people
        print_json({"error": text, "exit_code": DIFFERS})
    sys.exit(DIFFERS)


def _say(word: str, colour: str, text: object) -> None:
    plain = False if os.environ.get("NO_COLOR") else None
    click.echo(f"{click.style(word, fg=colour)} {text}", err=True, color=plain)


def _show_warning(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    _say("warning:", "yellow", message)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(cf.__version__, prog_name="caffe-fillers")
def main() -> None:
    """Fill, run, train and export Caffe's nets without Caffe. The filled weights are Caffe's, bit for bit.

    Exit codes: 0 fine, 1 the files differ or the input is refused, 2 wrong usage, 130 stopped by Ctrl-C,
    141 the reader of a pipe has gone.

    \b
    Shell completion (for other shells zsh_source or fish_source):
    eval "$(_CAFFE_FILLERS_COMPLETE=bash_source caffe-fillers)"
    """
