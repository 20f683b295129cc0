"""`hx models`: the models that are built in, with their parameters."""

from __future__ import annotations

from typing import Annotated

import typer


def models(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[show NAME]",
            help="show NAME prints a model's file, of states its table.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """List the models, their parameters, supports and sources; or show the file of one.

    A model's file runs unchanged as a model of one's own; so does the table of a model of states, with your states.

    \b
    Example:
      hx models show ou > my_ou.py
    """
    from hxcli.models.listing import model_lines, model_text

    if not what:
        print("\n".join(model_lines()))
    elif what[0] == "show" and len(what) == 2:
        print(model_text(what[1]), end="")
    else:
        from hxcli.errors import OptionError

        raise OptionError(f"hx models {' '.join(what)}: not understood (hx models, or hx models show NAME)")
