"""Impressions and purchases of a real store become verdicts that `tierrec experiments` prints."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli.shop import app
from services.experiments import Experiments, VariantResult, all_results
from services.store import Impression, NewEvent, Store

NOW = datetime(2024, 6, 1, tzinfo=UTC)
YAML = """
novelty:
  surfaces: [products]
  variants:
    control: {share: 0.5}
    novelty: {share: 0.5, policy: {novelty: 0.3}}
cap:
  surfaces: [products, search]
  expected_users: 2000
  variants:
    control: {share: 0.5}
    capped: {share: 0.5, policy: {max_per_category: 2}}
"""
NUM_USERS = 1500
RATES = {"control": 0.05, "capped": 0.25}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop in which capped lists sell five times as well; half of the users are met on both surfaces."""
    folder = tmp_path_factory.mktemp("serving")
    (folder / "experiments.yaml").write_text(YAML)
    known, store = Experiments.read(folder / "experiments.yaml"), Store.open(url(folder))
    rng, impressions, events = np.random.default_rng(0), [], []
    for number in range(NUM_USERS):
        user = f"u{number}"
        for surface in ("products", "search")[: 1 + number % 2]:
            seen = known.assign(user, surface, NOW)
            impressions.append(
                Impression(
                    request_id=f"{user} {surface}",
                    user_id=user,
                    surface=surface,
                    items=("i1", "i2"),
                    path="blend",
                    model_version="1",
                    at=NOW,
                    variant=seen.variant,
                    experiment=seen.experiment,
                    propensity=seen.propensity,
                )
            )
        cap = known.assign(user, "search", NOW).variant
        if rng.random() < RATES[cap]:
            events.append(bought(user, "i2", NOW + timedelta(hours=1)))
        events.append(bought(user, "i3", NOW + timedelta(hours=1)))  # was never shown
        events.append(bought(user, "i1", NOW + timedelta(hours=73)))  # too late
    store.add_impressions(impressions)
    store.add_events(events)
    store.close()
    return folder


def url(folder: Path) -> str:
    return f"sqlite:///{folder / 'feedback.db'}"


def bought(user: str, item: str, at: datetime) -> NewEvent:
    return NewEvent(key=f"{user} {item}", user_id=user, item_id=item, event="purchase", timestamp=at)


@pytest.fixture(scope="module")
def tallied(folder: Path) -> dict[str, list[VariantResult]]:
    store = Store.open(url(folder))
    try:
        return dict(all_results(Experiments.read(folder / "experiments.yaml"), store))
    finally:
        store.close()


def test_each_experiment_counts_every_user_once_whatever_else_held(tallied) -> None:
    assert {name: sum(one.users for one in found) for name, found in tallied.items()} == {
        "novelty": NUM_USERS,
        "cap": NUM_USERS,
    }
    assert sum(one.impressions for one in tallied["novelty"]) == NUM_USERS
    assert sum(one.impressions for one in tallied["cap"]) == NUM_USERS * 3 / 2


def test_the_variant_that_sells_is_better_and_the_other_undecided(tallied) -> None:
    assert [one.verdict for one in tallied["cap"]] == ["baseline", "better"]
    assert [one.verdict for one in tallied["novelty"]] == ["baseline", "undecided"]
    for one in tallied["cap"]:
        assert one.rate.low < RATES[one.variant] < one.rate.high


def run(*arguments: str) -> str:
    answer = CliRunner().invoke(app, list(arguments), env={"COLUMNS": "200"}, catch_exceptions=False)
    assert answer.exit_code == 0
    return answer.output


def test_the_command_prints_them(folder: Path, tallied) -> None:
    shown = run("--folder", str(folder))
    assert "cap: purchase within 72 h" in shown
    capped = next(line for line in shown.splitlines() if line.strip(" │┃").startswith("capped"))
    assert f"{100 * tallied['cap'][1].difference.value:+.2f}" in capped
    assert "better" in capped
    assert "planned shares" not in shown


def test_the_command_names_another_store_and_tells_of_a_wrong_split(folder: Path, tmp_path: Path) -> None:
    text = YAML.replace("capped: {share: 0.5", "capped: {share: 0.25")
    (tmp_path / "experiments.yaml").write_text(text)
    assert "cap: users did not arrive in the planned shares" in run("--folder", str(tmp_path), "--store", url(folder))


def test_without_experiments_it_says_so(tmp_path: Path) -> None:
    assert "has none" in run("--folder", str(tmp_path))
    assert list(tmp_path.iterdir()) == []
