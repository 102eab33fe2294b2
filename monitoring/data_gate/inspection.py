"""Evaluation of rules with Great Expectations, and its Data Docs.

Great Expectations takes seconds to import, so it is imported inside the functions that need it.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pandas as pd

from monitoring.data_gate.expectations import DataRule
from tierrec_core.base.contracts import IntArray

_RESULT_FORMAT = {"result_format": "COMPLETE", "return_unexpected_index_query": False}
_SEVERITY = {"row": "warning", "table": "critical"}
_NUM_EXAMPLES = 3
_EXAMPLE_LENGTH = 60


@dataclass(frozen=True)
class RuleOutcome:
    """Result of one rule.

    status: ERROR when the expectation crashed, so that nothing is known about the data
    rows: positions of the rows that break it, ascending, [K]; empty for a table rule
    found: the observed value, or the number of invalid rows K
    examples: some of the invalid values, each with its row
    error: message of the exception for status ERROR
    """

    rule: DataRule
    status: Literal["PASS", "FAIL", "ERROR"]
    rows: IntArray
    found: float | str
    examples: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Inspection:
    """An in-memory Great Expectations context for pandas frames."""

    context: Any

    @classmethod
    def begin(cls) -> Self:
        """Open a context without files and telemetry."""
        os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
        import great_expectations as gx
        from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults

        memory = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
        context = gx.get_context(mode="ephemeral", project_config=DataContextConfig(store_backend_defaults=memory))
        context.variables.progress_bars = {"globally": False}
        return cls(context)

    def evaluate(self, name: str, frame: pd.DataFrame, rules: Sequence[DataRule]) -> list[RuleOutcome]:
        """Evaluate the rules on a frame as a suite of this name; one outcome per rule, in order."""
        import great_expectations as gx

        source = self.context.data_sources.add_pandas(name)
        definition = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
        batch = definition.get_batch(batch_parameters={"dataframe": frame.reset_index(drop=True)})
        expectations = [
            getattr(gx.expectations, rule.expectation)(
                **rule.kwargs, severity=_SEVERITY[rule.scope], meta={"rule": rule.name, "wanted": rule.wanted}
            )
            for rule in rules
        ]
        suite = self.context.suites.add(gx.ExpectationSuite(name=name, expectations=expectations))
        result = batch.validate(suite, result_format=_RESULT_FORMAT)
        by_name = {part.expectation_config.meta["rule"]: part for part in result.results}
        outcomes = [_outcome(rule, by_name[rule.name]) for rule in rules]
        self._store_for_docs(name, result)
        return outcomes

    def write_docs(self, folder: Path) -> None:
        """Write Data Docs of all evaluations so far; the entry page is index.html."""
        site = {
            "class_name": "SiteBuilder",
            "store_backend": {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder.absolute())},
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        }
        self.context.add_data_docs_site(site_name="data_docs", site_config=site)
        self.context.build_data_docs(site_names=["data_docs"])

    def _store_for_docs(self, name: str, result: Any) -> None:
        """Store the result without its lists of unexpected rows, whose copy takes a minute."""
        from great_expectations.core import RunIdentifier
        from great_expectations.data_context.types.resource_identifiers import (
            ExpectationSuiteIdentifier,
            ValidationResultIdentifier,
        )

        for part in result.results:
            for lists in ("unexpected_list", "unexpected_index_list"):
                part.result.pop(lists, None)
        run = RunIdentifier(run_name=name)
        result.meta["run_id"] = run
        key = ValidationResultIdentifier(ExpectationSuiteIdentifier(name), run, batch_identifier=name)
        self.context.validation_results_store.store_validation_results(result, key)


def _outcome(rule: DataRule, result: Any) -> RuleOutcome:
    message = next(_exception_messages(result.exception_info), None)
    if message is not None:
        return RuleOutcome(rule, "ERROR", np.empty(0, np.int64), "", error=message)
    details = result.result
    rows = np.asarray(details.get("unexpected_index_list") or [], dtype=np.int64)
    values = details.get("unexpected_list") or []
    examples = [f"row {row}: {_shorten(value)}" for row, value in zip(rows[:_NUM_EXAMPLES], values, strict=False)]
    found = _scalar(details["observed_value"]) if "observed_value" in details else len(rows)
    return RuleOutcome(rule, "PASS" if result.success else "FAIL", rows, found, tuple(examples))


def _exception_messages(info: Mapping[str, Any]) -> Iterator[str]:
    """Exception messages, from one such mapping or from one mapping per metric."""
    if info.get("raised_exception"):
        yield str(info["exception_message"])
    for part in info.values():
        if isinstance(part, Mapping):
            yield from _exception_messages(part)


def _scalar(value: Any) -> float | str:
    if isinstance(value, np.number):
        return value.item()  # type: ignore[no-any-return]
    return value if isinstance(value, int | float) else str(value)


def _shorten(value: Any) -> str:
    missing = value is pd.NA or value is None
    text = "null" if missing else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _EXAMPLE_LENGTH else text[: _EXAMPLE_LENGTH - 1] + "…"
