"""The command line: caffe-fillers, over the public names alone. A command is a module here that has a `command`."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from typing import Any

import click

import caffe_fillers as cf

from .output import DIFFERS, FINE

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

    def main(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().main(*args, **kwargs)
        except BrokenPipeError:
            # whoever read our output has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(FINE)

    def invoke(self, ctx: click.Context) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("always", cf.CaffeWarning)
            warnings.showwarning = _show_warning
            try:
                return super().invoke(ctx)
            except cf.CaffeError as error:
                _fail(str(error))
            except MemoryError:
                _fail("out of memory")
            except OSError as error:
                if isinstance(error, BrokenPipeError):
                    raise
                _fail(str(error))


def _fail(text: str) -> None:
    click.echo(f"{click.style('error:', fg='red')} {text}", err=True)
    sys.exit(DIFFERS)


def _show_warning(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    click.echo(f"{click.style('warning:', fg='yellow')} {message}", err=True)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(cf.__version__, prog_name="caffe-fillers")
def main() -> None:
    """The weights Caffe would have started training from, bit for bit.

    Exit codes: 0 fine, 1 the files differ or the input is refused, 2 wrong usage, 130 stopped by Ctrl-C.

    Shell completion: eval "$(_CAFFE_FILLERS_COMPLETE=bash_source caffe-fillers)", or zsh_source, fish_source.
    """
