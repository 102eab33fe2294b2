"""The search for options: a fixed number of trials by a tree-structured Parzen estimator.

Bergstra et al., NeurIPS 2011, by Optuna (Akiba et al., KDD 2019), which is imported here only.
"""

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
    """The best options of a search, the figure that they reached, and every trial: options and figure."""

    options: Options
    value: float
    trials: Sequence[tuple[Options, float]]


def search(
    space: Mapping[str, SearchRange],
    judge: Callable[[Options], float],
    trials: int,
    seed: int,
    first: Sequence[Options] = (),
    journal: Path | None = None,
) -> SearchResult:
    """Maximise over a fixed number of trials; same seed, same trials as long as `judge` answers the same.

    first: options to try before the search begins to guess
    journal: a file in which every trial is kept. A search that was cut goes on where it ends, if it looks in the same
    space and begins with the same options; what it guesses from there on is not what it would have guessed uncut.
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
            options = {name: _suggested(trial, name, span) for name, span in space.items()}
        value = judge(options)
        with _uninterrupted():
            study.tell(trial, value)
    ended = study.get_trials(states=[TrialState.COMPLETE])
    told = [(one.params, float(one.values[0])) for one in ended]
    return SearchResult(study.best_params, float(study.best_value), told)


def brief(options: Options) -> str:
    """Options as a person reads them."""
    short = {name: f"{one:.4g}" if isinstance(one, float) else one for name, one in options.items()}
    return ", ".join(f"{name} {one}" for name, one in short.items())


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C waits until the journal is written: half a line, or its lock left behind, would stop the next search."""
    usual, came = signal.getsignal(signal.SIGINT), False

    def remember(*_: object) -> None:
        nonlocal came
        came = True

    if not callable(usual) or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if came:
        raise KeyboardInterrupt


def _suggested(trial: optuna.Trial, name: str, span: SearchRange) -> Any:
    if span.choices:
        return trial.suggest_categorical(name, span.choices)
    if isinstance(span.low, int) and isinstance(span.high, int):
        return trial.suggest_int(name, span.low, span.high, log=span.log)
    return trial.suggest_float(name, span.low, span.high, log=span.log)
