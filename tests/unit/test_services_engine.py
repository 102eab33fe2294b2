"""Answers for everybody, against the judged lists and a count by hand."""

from collections import Counter
from dataclasses import replace

import pandas as pd
import pytest

from services.engine import Engine
from services.release import Release
from services.schemas import AnswerPath, RecommendRequest
from tests.served import judged_project
from tierrec_core.errors import DataError
from tierrec_core.stages.assembly import assemble

BLOCKED = "i00"  # one of the most bought
TASKS = ("next", "discovery")


@pytest.fixture(scope="module")
def judged(
    tmp_path_factory: pytest.TempPathFactory, items: pd.DataFrame
) -> tuple[Engine, dict[str, dict[str, list[str]]]]:
    """An engine, and the lists that the evaluate stage wrote, by task and user."""
    folder = tmp_path_factory.mktemp("project")
    layout, settings = judged_project(folder, items, policy={"blocked_items": [BLOCKED]})
    release = Release(bento="tiny:1", model="tiny-bundle:2", default_task="next", labels={"a": "b"})
    lists = {}
    for task in TASKS:
        frame = pd.read_parquet(layout.lists(task, "blend")).sort_values("rank")
        lists[task] = {str(user): list(one) for user, one in frame.groupby("user_id")["item_id"]}
    return Engine(assemble(layout, settings), release), lists


@pytest.fixture(scope="module")
def engine(judged: tuple[Engine, dict[str, dict[str, list[str]]]]) -> Engine:
    return judged[0]


def ask(engine: Engine, **body: object) -> list[str]:
    return [item.item_id for item in engine.answer(RecommendRequest.model_validate(body)).items]


def test_known_users_get_the_judged_lists(judged: tuple[Engine, dict[str, dict[str, list[str]]]]) -> None:
    engine, lists = judged
    for task in TASKS:
        served = {user: ask(engine, user_id=user, task=task, k=20) for user in lists[task]}
        assert served == lists[task]


def test_empty_history_gets_what_most_bought_lately(engine: Engine) -> None:
    history = engine.bundle.history
    recent = history.item[history.age <= 14.0]
    count = Counter(str(history.items[column]) for column in recent)
    allowed = [str(item) for item in history.items if item != BLOCKED]
    by_hand = sorted(allowed, key=lambda item: (-count[item], item))
    assert ask(engine, k=30) == by_hand[:30]
    assert ask(engine, k=30, history=[]) == by_hand[:30]
    assert ask(engine, k=30, user_id="nobody") == by_hand[:30]
    assert ask(engine, k=30, history=["nothing"]) == by_hand[:30]


def test_answer_says_how_it_came_to_be(engine: Engine) -> None:
    known, visitor, nobody = (
        engine.answer(RecommendRequest.model_validate(body))
        for body in ({"user_id": "u59"}, {"history": ["i01"]}, {"user_id": "nobody"})
    )
    assert (known.path, visitor.path, nobody.path) == (AnswerPath.BLEND, AnswerPath.BLEND, AnswerPath.COLD)
    assert (known.known_user, visitor.known_user, nobody.known_user) == (True, False, False)
    assert (known.tier, nobody.tier) == ("heavy", "light")
    assert {one.model_version for one in (known, visitor, nobody)} == {"2"}
    assert len({one.request_id for one in (known, visitor, nobody)}) == 3
    assert known.items[0].title == engine.bundle.items.set_index("item_id")["title"][known.items[0].item_id]


def test_visitors_taste_shows(engine: Engine) -> None:
    listed = ask(engine, history=["i21", "i22", "i23", "i21", "i24"], task="discovery", k=3)
    assert all(item.startswith("i2") for item in listed)


def test_discovery_shows_nothing_that_was_met(engine: Engine) -> None:
    history = ["i10", "i11", "i12"]
    assert not set(ask(engine, history=history, task="discovery", k=40)) & set(history)


@pytest.mark.parametrize("who", [{"user_id": "u40"}, {"history": ["i03"]}, {}])
def test_excluded_and_blocked_items_never_come(engine: Engine, who: dict[str, object]) -> None:
    full = ask(engine, **who, k=40)
    assert BLOCKED not in full
    excluded = [*full[1:4], "no such item"]
    assert ask(engine, **who, k=10, exclude=excluded) == [item for item in full if item not in excluded][:10]


@pytest.mark.parametrize("who", [{"user_id": "u40"}, {"history": ["i03"]}, {}])
def test_reasons_add_up_to_the_score(engine: Engine, who: dict[str, object]) -> None:
    answer = engine.answer(RecommendRequest.model_validate(who | {"explain": True}))
    for item in answer.items:
        assert item.reasons is not None
        assert sum(item.reasons.values()) == pytest.approx(item.score, abs=1e-5)
    silent = engine.answer(RecommendRequest.model_validate(who))
    assert [item.reasons for item in silent.items] == [None] * len(silent.items)


def test_task_that_is_not_served_is_told(engine: Engine) -> None:
    surfaces = {"next": engine.bundle.surfaces["next"]}
    only_next = replace(engine, bundle=replace(engine.bundle, surfaces=surfaces))
    with pytest.raises(DataError, match="'discovery' is not served; wanted one of next"):
        only_next.answer(RecommendRequest(task="discovery"))


def test_without_a_prior_the_blend_answers_everybody(engine: Engine) -> None:
    kinds = engine.bundle.kinds | {"popularity": "some_other_kind"}
    bare = replace(engine, bundle=replace(engine.bundle, kinds=kinds))
    assert bare.answer(RecommendRequest()).path is AnswerPath.BLEND


def test_info(engine: Engine) -> None:
    info = engine.info()
    assert (info.bento, info.model, info.model_version) == ("tiny:1", "tiny-bundle:2", "2")
    assert (info.num_users, info.num_items, info.labels) == (60, 40, {"a": "b"})
