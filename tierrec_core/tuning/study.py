"""Hyperparameter search with a tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), by Optuna."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tierrec_core.settings import SearchRange

Options = Mapping[str, Any]


@dataclass(frozen=True)
class SearchResult:
    """The best options, their value, and every trial as options and value."""

    options: Options
    value: float
    trials: Sequence[tuple[Options, float]]


def search_options(
    space: Mapping[str, SearchRange],
    objective: Callable[[Options], float],
    trials: int,
    seed: int,
    first: Sequence[Options] = (),
    journal: Path | None = None,
) -> SearchResult:
    """Maximise a deterministic objective over a fixed number of trials; the same seed gives the same trials.

    first: options to try before the sampler proposes any
    journal: a file that stores every trial. An interrupted search with the same space, first options and seed resumes
    from it; the sampler's proposals then differ from those of an uninterrupted search.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize",
        study_name=sha256(repr((space, first, seed)).encode()).hexdigest(),
        storage=JournalStorage(JournalFileBackend(str(journal))) if journal else None,
        load_if_exists=True,
    )
    done = len(study.get_trials(states=[TrialState.COMPLETE]))
    startup = min(10, max(trials // 3, 1))
    study.sampler = optuna.samplers.TPESampler(seed=seed + done, n_startup_trials=startup)
    for options in first[done:]:
        study.enqueue_trial(dict(options))
    for _ in range(max(trials - done, 0)):
        with _uninterrupted():
            trial = study.ask()
            options = {name: _suggest(trial, name, span) for name, span in space.items()}
        value = objective(options)
        with _uninterrupted():
            study.tell(trial, value)
    completed = study.get_trials(states=[TrialState.COMPLETE])
    results = [(trial.params, float(trial.values[0])) for trial in completed]
    return SearchResult(study.best_params, float(study.best_value), results)


def format_options(options: Options) -> str:
    """Options on one line, numbers with four digits."""
    texts = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in options.items()}
    return ", ".join(f"{name} {text}" for name, text in texts.items())


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C until the journal is written: a partial line or a stale lock would break the next search."""
    handler, interrupted = signal.getsignal(signal.SIGINT), False

    def record_interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True

    if not callable(handler) or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, record_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if interrupted:
        raise KeyboardInterrupt


def _suggest(trial: optuna.Trial, name: str, span: SearchRange) -> Any:
    if span.choices:
        return trial.suggest_categorical(name, span.choices)
    if isinstance(span.low, int) and isinstance(span.high, int):
        return trial.suggest_int(name, span.low, span.high, log=span.log)
    return trial.suggest_float(name, span.low, span.high, log=span.log)
