"""What is tuned: spans of options, and a search of a fixed number of trials by Optuna (Akiba et al., KDD 2019)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState


@dataclass(frozen=True)
class Span:
    """An option's range, a whole number where both ends are, on a log scale if so wished; or the given choices."""

    low: float = 0.0
    high: float = 1.0
    log: bool = False
    choices: tuple[Any, ...] = ()

    def suggest(self, trial: optuna.Trial, name: str) -> Any:
        """Where the search looks next."""
        if self.choices:
            return trial.suggest_categorical(name, self.choices)
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(name, self.low, self.high, log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)


@dataclass(frozen=True)
class Found:
    """The best options of a search, the figure that they reached, and every trial: options and figure."""

    options: Mapping[str, Any]
    value: float
    trials: Sequence[tuple[Mapping[str, Any], float]]


def search(
    space: Mapping[str, Span],
    judge: Callable[[Mapping[str, Any]], float],
    trials: int,
    seed: int,
    first: Sequence[Mapping[str, Any]] = (),
    journal: Path | None = None,
) -> Found:
    """Maximise over a fixed number of trials; same seed, same trials as long as `judge` answers the same.

    A search that was cut goes on where its journal ends, if it looks in the same space and begins with the same
    options; what it guesses from there on is not what it would have guessed uncut.
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
    study.optimize(
        lambda trial: judge({name: span.suggest(trial, name) for name, span in space.items()}),
        max(trials - done, 0),
    )
    ended = study.get_trials(states=[TrialState.COMPLETE])
    return Found(
        study.best_params, float(study.best_value), [(one.params, float(one.value)) for one in ended]
    )
