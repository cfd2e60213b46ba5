"""Commands that leave no word of the command line without effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand

__all__ = ["StrictTyper", "with_global_options_first"]

_GLOBAL = frozenset({"-q", "--quiet", "-v", "--verbose"})


class _StrictCommand(TyperCommand):
    """Refuses an option that is given twice where only the last would count."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _, _, given = self.make_parser(ctx).parse_args(list(args))
        for option in {id(option): option for option in given}.values():
            flag = getattr(option, "is_flag", False)
            single = option.param_type_name == "option" and not (option.multiple or flag)
            if single and sum(other is option for other in given) > 1:
                raise typer.BadParameter(f"{option.opts[0]} is given more than once; give it once", ctx=ctx)
        rest: list[str] = super().parse_args(ctx, args)
        return rest


class StrictTyper(typer.Typer):
    """A group of such commands."""

    def command(self, *words: Any, **settings: Any) -> Callable[[Any], Any]:
        """As :meth:`typer.Typer.command`; lists of commands show the first paragraph, uncut."""
        register = super().command

        def decorate(function: Any) -> Any:
            summary = " ".join((function.__doc__ or "").split("\n\n")[0].split())
            return register(*words, **{"cls": _StrictCommand, "short_help": summary, **settings})(function)

        return decorate


def with_global_options_first(words: list[str]) -> list[str]:
    """The words with ``-q`` and ``-v`` moved before the command, so that they may stand anywhere."""
    end = words.index("--") if "--" in words else len(words)
    found = [word for word in words[:end] if word in _GLOBAL]
    return found + [word for word in words[:end] if word not in _GLOBAL] + words[end:]
