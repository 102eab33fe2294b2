"""`tierrec tune`: better options for a model or a blend, found on the validation window."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tierrec_core.base.paths import Layout

if TYPE_CHECKING:
    from flows.project.tuning import TuningResult

_INTERRUPTED = 130


def tune(
    model: Annotated[str, typer.Argument(help="A model of params.yaml, or blend.")],
    trials: Annotated[int, typer.Option(min=1, help="Sets of options, earlier calls' included.")] = 30,
    task: Annotated[
        str | None, typer.Option(help="What it is to be good at (default: package.task).")
    ] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Write what is better into params.yaml.")] = False,
) -> None:
    """Search a model's options on the validation window; interrupted, the same command goes on.

    Example: tierrec tune ease --task discovery --trials 30
    """
    from flows.project.params import set_values, write_patch
    from flows.project.tuning import tune as find
    from tierrec_core.settings import read_settings

    layout = Layout(Path.cwd())
    asked = task or read_settings(layout.params).package.task
    try:
        found = find(layout, model, asked, trials, lambda line: print(line, flush=True))
    except KeyboardInterrupt:
        print("stopped; the same command goes on where it was", file=sys.stderr)
        sys.exit(_INTERRUPTED)
    print(_told(found))
    if not found.patch:
        return
    patch = layout.tuning / f"{model}-{asked}.yaml"
    write_patch(patch, found.patch)
    if apply:
        set_values(layout.params, found.assignments)
        print(f"params.yaml is written, {patch} holds the patch. Next: tierrec run")
    else:
        print(f"{patch} holds the patch. Next: {_next(found)}")


def _told(found: "TuningResult") -> str:
    from tierrec_core.tuning.study import brief

    gain = found.gain
    difference = f"{gain.value:+.5f} [{gain.low:+.5f}, {gain.high:+.5f}]"
    if not found.patch:
        return f"nothing better than params.yaml: {found.present.value:.5f}, best other {difference}"
    doubt = "" if gain.low > 0 else "; the difference may be chance"
    figures = f"ndcg@10 {found.present.value:.5f} -> {found.best.value:.5f}, {difference}{doubt}"
    return f"{'.'.join(found.block)}: {brief(found.options)}\n{figures}"


def _next(found: "TuningResult") -> str:
    return " ".join(["tierrec run", *(f"--set {one}" for one in found.assignments)])
