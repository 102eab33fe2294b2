"""results.md: the figures of results.json as tables, peers beside them, and what was tried on the way."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.families.family import sections
from benchmarks.models.datasets.public import DATASETS
from benchmarks.models.task import Dataset
from tierrec_core.base import artifacts
from tierrec_core.tuning.study import brief

_ATTEMPTS = Path(__file__).parent / "attempts"
_HEAD = """# Models on public data sets

Written by `python -m benchmarks.models`. Options are chosen on a validation part cut out of train, never on the
test, on which each model is judged once. Means over users with 95% bootstrap intervals over users; the paired column
is the difference from the strongest peer measured in the same run, user by user. Rows marked * are peers as published
or as their library fits them. CPU seconds are of all threads together, on a machine that others may load.
"""


def write(path: Path, results: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    """Write the whole page anew."""
    parts = [_HEAD]
    for name, lines in results.items():
        parts += section(DATASETS[name], lines) if name in DATASETS else []
    parts += sections()
    with artifacts.replacing_file(path) as fresh:
        fresh.write_text("\n".join(parts))


def section(dataset: Dataset, lines: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """All that is told of one data set."""
    yield f"\n## {dataset.name}\n"
    first = dataset.metrics[0]
    ranked = dict(sorted(lines.items(), key=lambda one: -one[1][first]["value"]))
    yield from _targets(dataset, ranked)
    yield from _accuracy(dataset, ranked)
    yield "\nPublished on this split: " + "; ".join(_published(dataset)) + ".\n"
    yield from _costs(ranked)
    attempts = _ATTEMPTS / f"{dataset.name}.md"
    if attempts.exists():
        yield "\n" + attempts.read_text()


def _targets(dataset: Dataset, lines: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    own = {name: line for name, line in lines.items() if not line["is_peer"]}
    for target in dataset.targets if own else ():
        name, line = max(own.items(), key=lambda one: one[1][target.metric]["value"])
        value = line[target.metric]["value"]
        verdict = "reached" if value >= target.bound else "missed"
        yield f"- {target.metric} >= {target.bound:.3f}: {verdict}, {value:.4f} by {name}"
    yield ""


def _accuracy(dataset: Dataset, lines: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    peer = next((line["against"]["peer"] for line in lines.values() if "against" in line), "peer")
    heads = [f"{metric} | - {peer}" for metric in dataset.metrics]
    yield "| model | " + " | ".join(heads) + " |"
    yield "|---" * (1 + 2 * len(heads)) + "|"
    for name, line in lines.items():
        cells = [f"{name}{' *' if line['is_peer'] else ''}"]
        for metric in dataset.metrics:
            cells += [_interval(line[metric]), _interval(line.get("against", {}).get(metric), "+")]
        yield "| " + " | ".join(cells) + " |"


def _interval(figure: Mapping[str, Any] | None, sign: str = "") -> str:
    if figure is None:
        return ""
    low, high = figure["ci"]
    return f"{figure['value']:{sign}.4f} [{low:{sign}.4f}, {high:{sign}.4f}]"


def _published(dataset: Dataset) -> Iterator[str]:
    for name, figures in dataset.published.items():
        yield f"{name} " + " / ".join(
            f"{figures[metric]:.4f}" for metric in dataset.metrics if metric in figures
        )


def _costs(lines: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield "| model | fit CPU s | users a CPU s | peak MB | model MB | valid (trials) | seed | revision | options |"
    yield "|---" * 9 + "|"
    for name, line in lines.items():
        valid = f"{line['valid']:.4f} ({line['trials']})" if "valid" in line else "untuned"
        cells = [
            f"{line['fit_cpu_s']:.1f}",
            f"{line['users_per_cpu_s']:.0f}",
            line["peak_mb"],
            line["model_mb"],
        ]
        cells += [valid, line["seed"], line["revision"][:9], brief(line["params"])]
        yield f"| {name} | " + " | ".join(map(str, cells)) + " |"
