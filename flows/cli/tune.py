"""tierrec tune: search better options for a model or a blend on the validation window."""

from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.common import interruptible, project_layout

if TYPE_CHECKING:
    from flows.project.tuning import TuningResult

app = typer.Typer()


@app.command("tune", epilog="Example: tierrec tune ease --task discovery --trials 30")
def _tune(
    model: Annotated[str, typer.Argument(help="A model of params.yaml, or blend.")],
    trials: Annotated[int, typer.Option(min=1, help="Number of trials, including those of earlier runs.")] = 30,
    task: Annotated[str | None, typer.Option(help="Task to optimise (default: package.task).")] = None,
    apply: Annotated[bool, typer.Option("--apply", help="Write better options into params.yaml.")] = False,
) -> None:
    """Search a model's options on the validation window; after an interrupt the same command resumes."""
    from flows.project.params import set_values, write_patch
    from flows.project.tuning import tune
    from tierrec_core.settings import read_settings

    layout = project_layout()
    task = task or read_settings(layout.params).default_task
    with interruptible("stopped; the same command resumes the search"):
        result = tune(layout, model, task, trials, typer.echo)
    print(_describe(result))
    if not result.patch:
        return
    patch = layout.tuning / f"{model}-{task}.yaml"
    write_patch(patch, result.patch)
    if apply:
        set_values(layout.params, result.assignments)
        print(f"params.yaml is written, {patch} holds the patch. Next: tierrec run")
    else:
        assignments = (f"--set {assignment}" for assignment in result.assignments)
        print(f"{patch} holds the patch. Next: {' '.join(['tierrec run', *assignments])}")


def _describe(result: "TuningResult") -> str:
    from tierrec_core.tuning.study import format_options

    gain = result.gain
    difference = f"{gain.value:+.5f} [{gain.low:+.5f}, {gain.high:+.5f}]"
    if not result.patch:
        return f"nothing better than params.yaml: {result.present.value:.5f}, best other {difference}"
    doubt = "" if gain.low > 0 else "; the difference may be chance"
    metrics = f"ndcg@10 {result.present.value:.5f} -> {result.best.value:.5f}, {difference}{doubt}"
    return f"{'.'.join(result.block)}: {format_options(result.options)}\n{metrics}"
