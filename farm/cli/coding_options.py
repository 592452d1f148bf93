"""The options of `farm transcode` that say what is to be coded, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from farm.codecs import registry
from farm.errors import BadRecipe, Reason
from farm.frames.codec import Options, Rewriter
from farm.recipe.refusals import nearest
from farm.transcoding.targets import NAMES, TARGETS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from farm.cli.statuses import Status

_HOW = {
    "near": ("jpeg-ls-near", click.IntRange(1, 255), "The greatest error of a sample"),
    "quality": ("jpeg-baseline jpeg-extended", click.IntRange(1, 100), "The quality, 1 to 100"),
    "psnr": ("j2k", click.IntRange(20, 200), "The signal to noise ratio in decibels"),
    "step": ("htj2k", click.FloatRange(1e-6, 0.5), "The quantisation step as a part of the full scale"),
    "distance": ("jpeg-xl", click.FloatRange(0.01, 25), "The distance from the original"),
}
"""For which transfer syntaxes each option is, what it may be, and what it says."""


def _syntax(_context: click.Context, _parameter: click.Parameter, text: str) -> str:
    """Return the UID of a transfer syntax; tell the nearest name where there is none of this name."""
    uid = TARGETS.get(text, text)
    if uid not in NAMES:
        hint = nearest(text, TARGETS, f"the names are {', '.join(TARGETS)}.")
        raise click.BadParameter(f"there is no such transfer syntax to ask for: {hint}")
    return uid


syntax_option = click.option(
    "--to",
    "syntax",
    metavar="NAME",
    required=True,
    callback=_syntax,
    help="The transfer syntax, by its name or UID.",
)


def how_options(command: Callable[..., Status]) -> Callable[..., Status]:
    """Take the options of lossy coding; what is not given is None."""
    for name, (targets, kind, text) in reversed(_HOW.items()):
        default = getattr(Options(syntax=""), name)
        told = f"{text}, for {' and '.join(targets.split())}.  [default: {default}]"
        command = click.option(f"--{name}", type=kind, metavar="N", help=told)(command)
    return command


def options_of(syntax: str, how: Mapping[str, float | None]) -> Options:
    """Return how to encode; an option that would do nothing is a mistake."""
    given = {name: value for name, value in how.items() if value is not None}
    for name in given:
        targets = _HOW[name][0].split()
        if NAMES[syntax] not in targets:
            raise click.UsageError(f"--{name} does nothing for {NAMES[syntax]}: it is for {' and '.join(targets)}.")
    return Options(syntax=syntax, **given)  # type: ignore[arg-type]  # click has checked them


def check_written(syntax: str) -> None:
    """Raise `BadRecipe` where nothing that is installed writes a transfer syntax."""
    for codec in registry.CODECS:
        rewritten = codec.rewrites if isinstance(codec, Rewriter) else ()
        if syntax in codec.encodes or syntax in (target for _, target in rewritten):
            return
    raise BadRecipe(Reason.BAD_OPTION, f"no codec that is installed writes {NAMES[syntax]}")
