"""results.md from results.json: sources, targets, figures against peers, and attempts."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.families.family import sections
from benchmarks.models.datasets.public import DATASETS
from benchmarks.models.task import Dataset
from tierrec_core.base import artifacts
from tierrec_core.tuning.study import format_options

_ATTEMPTS = Path(__file__).parent / "attempts"
_HEAD = """# Models on public data sets

Written by `python -m benchmarks.models`. Options are chosen on a validation part of the train data, never on the
test part, on which each model is evaluated once. Means over users with 95% bootstrap intervals over users; the paired
column is the difference to the strongest peer measured in the same run, by user. Rows marked * are peers: published
methods, or models of other libraries. CPU seconds are of all threads, on a machine that is not idle.

## Data

The data sets are not part of the project. Get them from their publishers, convert them to Parquet files in one folder
and set `TIERREC_BENCH_DATA` to it (default `../shared/data`). Ids may be of any type.

| data set | source | expected form |
|---|---|---|
"""
Lines = Mapping[str, Mapping[str, Any]]


def write_results_page(path: Path, results: Mapping[str, Lines]) -> None:
    """Write the whole page."""
    sources = [
        f"| {dataset.name} | {dataset.notes.source} | {dataset.notes.expects} |" for dataset in DATASETS.values()
    ]
    parts = [_HEAD + "\n".join(sources) + "\n"]
    for name, lines in results.items():
        parts += dataset_section(DATASETS[name], lines) if name in DATASETS else []
    parts += sections()
    with artifacts.replacing_file(path) as file:
        file.write_text("\n".join(parts))


def dataset_section(dataset: Dataset, lines: Lines) -> Iterator[str]:
    """The page's section of one data set; models that are comparable with the published ones come first."""
    yield f"\n## {dataset.name}\n"
    first = dataset.metrics[0]
    order = sorted(lines, key=lambda name: (not dataset.notes.is_comparable(name), -lines[name][first]["value"]))
    ranked = {name: lines[name] for name in order}
    yield from _targets(dataset, ranked)
    yield from _accuracy(dataset, ranked)
    if dataset.notes.comparable is not None:
        yield f"\n† also fitted to {dataset.notes.extra_data}, unlike the published models."
    yield "\nPublished on this split: " + "; ".join(_published(dataset)) + ".\n"
    yield from _costs(ranked)
    attempts = _ATTEMPTS / f"{dataset.name}.md"
    if attempts.exists():
        yield "\n" + attempts.read_text()


def _targets(dataset: Dataset, lines: Lines) -> Iterator[str]:
    """Each target with the best comparable model, then the best model that uses more data."""
    notes = dataset.notes
    own = {name: line for name, line in lines.items() if not line["is_peer"]}
    comparable = {name: line for name, line in own.items() if notes.is_comparable(name)}
    details = [notes.caveat] if notes.caveat else []
    if notes.comparable is not None:
        details.append("fitted to the same data as the published models")
    for target in dataset.targets if comparable else ():
        name, value = _best(comparable, target.metric)
        verdict = "reached" if value >= target.bound else "missed"
        yield "; ".join([f"- {target.metric} >= {target.bound:.3f}: {verdict}, {value:.4f} by {name}", *details])
    others = {name: line for name, line in own.items() if name not in comparable}
    if others:
        bests = [(metric, *_best(others, metric)) for metric in dataset.metrics]
        figures = ", ".join(f"{metric} {value:.4f} by {name}" for metric, name, value in bests)
        yield f"- Not comparable with the published figures, since also fitted to {notes.extra_data}: {figures}"
    yield ""


def _best(lines: Lines, metric: str) -> tuple[str, float]:
    """Name and value of the best model."""
    name = max(lines, key=lambda one: lines[one][metric]["value"])
    return name, lines[name][metric]["value"]


def _accuracy(dataset: Dataset, lines: Lines) -> Iterator[str]:
    peer = next((line["against"]["peer"] for line in lines.values() if "against" in line), "peer")
    heads = [f"{metric} | - {peer}" for metric in dataset.metrics]
    yield "| model | " + " | ".join(heads) + " |"
    yield "|---" * (1 + 2 * len(heads)) + "|"
    for name, line in lines.items():
        marks = (" *" if line["is_peer"] else "") + ("" if dataset.notes.is_comparable(name) else " †")
        cells = [name + marks]
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
        values = [f"{figures[metric]:.4f}" for metric in dataset.metrics if metric in figures]
        yield f"{name} " + " / ".join(values)


def _costs(lines: Lines) -> Iterator[str]:
    yield "| model | fit CPU s | users per CPU s | peak MB | model MB | valid (trials) | seed | revision | options |"
    yield "|---" * 9 + "|"
    for name, line in lines.items():
        valid = f"{line['valid']:.4f} ({line['trials']})" if "valid" in line else "untuned"
        cells = [f"{line['fit_cpu_s']:.1f}", f"{line['users_per_cpu_s']:.0f}", line["peak_mb"], line["model_mb"]]
        cells += [valid, line["seed"], line["revision"][:9], format_options(line["params"])]
        yield f"| {name} | " + " | ".join(map(str, cells)) + " |"
