"""Outcomes by model version against a plain loop over all events, and their use by the rollout."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.experiments import Experiment, Experiments
from services.experiments.settings import Variant, VariantPolicy
from services.releases.pointer import Deployed, Pointer, PointerAction, PointerChange
from services.releases.rollout import MISMATCH, RolloutArm, decide_rollout, measure_arms
from services.store import Impression, NewEvent, Store
from tierrec_core.base.errors import SettingsError
from tierrec_core.settings import RolloutSettings

pytest_plugins = ["tests.support.stores"]

START = datetime(2026, 1, 1, 20, tzinfo=UTC)  # four hours before midnight: lists fall on two days
HOURS = st.integers(0, 9)
ITEMS = st.sampled_from("abc")
SHOWN = st.tuples(
    st.sampled_from(["ann", "ben", None]), st.sampled_from(["v1", "v2"]), HOURS, st.lists(ITEMS, max_size=3)
)
DONE = st.tuples(st.sampled_from(["ann", "ben"]), HOURS, ITEMS, st.sampled_from(["purchase", "click", "view"]))
WORLD = (st.lists(SHOWN, max_size=8), st.lists(DONE, max_size=8), st.integers(0, 4))


def fill(store: Store, run: int, shown: list, done: list) -> None:
    """Store the world with users and versions of its own."""
    store.add_impressions(
        [
            Impression(
                request_id=f"{run}-{row}",
                user_id=user and f"{run}-{user}",
                surface="products",
                items=tuple(items),
                path="blend",
                model_version=f"{run}-{version}",
                at=START + timedelta(hours=hour),
            )
            for row, (user, version, hour, items) in enumerate(shown)
        ]
    )
    store.add_events(
        [
            NewEvent(
                key=f"{run}-{row}",
                user_id=f"{run}-{user}",
                item_id=item,
                event=what,
                timestamp=START + timedelta(hours=hour),
            )
            for row, (user, hour, item, what) in enumerate(done)
        ]
    )


def own(frame: pd.DataFrame, run: int, *columns: str) -> list[tuple]:
    """The rows of this world without its prefix."""
    mine = frame[frame["model_version"].str.startswith(f"{run}-")]
    texts = {name: mine[name].str.removeprefix(f"{run}-") for name in columns}
    return list(mine.assign(**texts).itertuples(index=False, name=None))


def by_version(shown: list, done: list, goal: str, since: int, horizon: int) -> list[tuple]:
    """By user, the version of their earliest answer, its answers, and the goal events that follow one of these."""
    of_user = defaultdict(list)
    for user, version, hour, items in shown:
        if user and hour >= since:
            of_user[user].append((hour, version, items))
    rows = []
    for user, answers in sorted(of_user.items()):
        first = min(answers, key=lambda answer: answer[0])[1]
        mine = [(hour, items) for hour, version, items in answers if version == first]
        conversions = [
            item
            for who, hour, item, what in done
            if (who, what) == (user, goal) and any(at <= hour <= at + horizon and item in items for at, items in mine)
        ]
        rows.append((user, first, len(mine), len(conversions)))
    return rows


def test_outcomes_by_version_are_what_a_plain_loop_counts(store: Store) -> None:
    runs = iter(range(1_000_000))

    @settings(max_examples=40)
    @given(*WORLD, st.sampled_from(["purchase", "click"]), st.integers(0, 5))
    def holds(shown: list, done: list, horizon: int, goal: str, since: int) -> None:
        run = next(runs)
        fill(store, run, shown, done)
        found = store.outcomes_by_version(START + timedelta(hours=since), goal, horizon)
        assert own(found, run, "user_id", "model_version") == by_version(shown, done, goal, since, horizon)

    holds()


def test_first_lists_are_what_a_plain_loop_finds(store: Store) -> None:
    runs = iter(range(1_000_000))

    @settings(max_examples=30)
    @given(WORLD[0], st.integers(0, 5), st.integers(1, 6))
    def holds(shown: list, since: int, width: int) -> None:
        run = next(runs)
        fill(store, run, shown, [])
        window = (START + timedelta(hours=since), START + timedelta(hours=since + width))
        found = store.first_lists(f"{run}-v1", "products", *window, 100)
        wanted = {}
        for user, version, hour, items in sorted(shown, key=lambda one: one[2]):
            if user and version == "v1" and since <= hour < since + width:
                wanted.setdefault(f"{run}-{user}", (START + timedelta(hours=hour), items))
        assert {row.user_id: (row.at, row.items) for row in found.itertuples()} == wanted
        assert len(found) == len(wanted)
        assert store.first_lists(f"{run}-v1", "search", *window, 100).empty
        assert len(store.first_lists(f"{run}-v1", "products", *window, 1)) == min(len(wanted), 1)

    holds()


def test_an_empty_store_has_the_columns_and_no_row(store: Store) -> None:
    users = store.outcomes_by_version(START)
    assert users.to_dict("list") == {"user_id": [], "model_version": [], "impressions": [], "conversions": []}


V1, V2 = (Deployed(bento=f"tierrec:{name}", model=f"tierrec_model:{name}") for name in ("v1", "v2"))
SAME = Deployed(bento="tierrec:v1b", model=V1.model)


def pointer(*states: tuple[float, Deployed, Deployed | None, float], act: PointerAction = "deploy") -> Pointer:
    """A pointer with these states, each since an hour; the last is current."""
    history = tuple(
        PointerChange(
            revision=row + 1,
            at=START + timedelta(hours=hour),
            act=act,
            champion=champion,
            challenger=challenger,
            share=share,
        )
        for row, (hour, champion, challenger, share) in enumerate(states)
    )
    last = history[-1]
    return Pointer(
        champion=last.champion,
        challenger=last.challenger,
        share=last.share,
        revision=len(history),
        changed=last.at,
        history=history,
    )


def observed(store: Store, now: Pointer, **options: object) -> tuple[RolloutArm, RolloutArm, float]:
    found: tuple[RolloutArm, RolloutArm, float] = measure_arms(
        store, now, START + timedelta(hours=10), RolloutSettings(), **options
    )
    return found


def test_only_impressions_since_the_last_change_of_the_share_count(store: Store) -> None:
    shown = [("old", "v2", 1, ["a"]), ("ann", "v1", 3, ["a"]), ("ann", "v1", 4, ["b"]), ("ben", "v2", 5, ["a"])]
    fill_plain(store, shown, [("ben", 6, "a"), ("ann", 1, "a")])
    history = [(0, V1, None, 0.0), (1, V1, V2, 0.1), (2, V1, V2, 0.5)]
    champion, challenger, age = observed(store, pointer(*history))
    assert (champion, challenger) == (RolloutArm(1, 0, 2), RolloutArm(1, 1, 1))
    assert age == pytest.approx(8)
    again = observed(store, pointer(*history, (2.5, V1, V2, 0.5)))  # deployed once more as it was
    assert again == (champion, challenger, age)


def test_impressions_while_workers_load_the_challenger_do_not_count(store: Store) -> None:
    fill_plain(store, [("ann", "v1", 2, ["a"]), ("ann", "v2", 3, ["a"])], [])
    now = pointer((0, V1, None, 0.0), (2, V1, V2, 0.5))
    assert observed(store, now)[:2] == (RolloutArm(), RolloutArm(1, 0, 1))
    assert observed(store, now, settling=timedelta(0))[:2] == (RolloutArm(1, 0, 1), RolloutArm())


def test_two_bentos_of_one_model_are_distinguished_by_the_route(store: Store) -> None:
    users = [f"u{number}" for number in range(40)]
    fill_plain(store, [(user, "v1", 3, ["a"]) for user in users] + [("x", "v0", 3, ["a"])], [])
    now = pointer((0, V1, None, 0.0), (2, V1, SAME, 0.5))
    champion, challenger, _ = observed(store, now)
    routed = sum(now.route(user, "default") == "challenger" for user in users)
    assert (champion.users, challenger.users) == (40 - routed, routed)
    assert 0 < routed < 40


PICKS = Experiment(
    surfaces=("search",), variants={"as_it_is": Variant(share=0.5), "new": Variant(share=0.5, release="challenger")}
)
HARMLESS = Experiment(
    surfaces=("search", "products"),
    variants={"off": Variant(share=0.5), "on": Variant(share=0.5, policy=VariantPolicy(novelty=0.1))},
)
BOTH = Experiments({"picks": PICKS, "harmless": HARMLESS})


def serve(store: Store, now: Pointer, experiments: Experiments, users: int = 400) -> dict[str, str]:
    """Half of the users search, all view products, served as in the service; returns their last side."""
    shown, sides = [], {}
    for number in range(users):
        user = f"u{number}"
        for hour, surface in ((3, "search"), (4, "products")):
            if surface == "search" and number % 2:
                continue
            taken = experiments.assign(user, surface, START)
            sides[user] = taken.overrides.release or now.route(user, "default")
            deployed = now.champion if sides[user] == "champion" else now.challenger
            assert deployed is not None
            shown.append(
                Impression(
                    request_id=f"{user}-{surface}",
                    user_id=user,
                    surface=surface,
                    items=("a",),
                    path="blend",
                    model_version=deployed.model.partition(":")[2],
                    at=START + timedelta(hours=hour),
                    experiment=taken.experiment,
                    variant=taken.variant,
                    propensity=taken.propensity,
                )
            )
    store.add_impressions(shown)
    return sides


def test_users_whose_model_an_experiment_chooses_do_not_count(store: Store) -> None:
    now = pointer((0, V1, None, 0.0), (2, V1, V2, 0.3))
    sides = serve(store, now, BOTH)
    free = [user for user in sides if int(user[1:]) % 2]  # who never searched
    assert all(sides[user] == now.route(user, "default") for user in free)
    champion, challenger, age = observed(store, now, experiments=BOTH)
    assert champion.users == sum(sides[user] == "champion" for user in free)
    assert challenger.users == len(free) - champion.users
    verdict = decide_rollout(champion, challenger, now.share, age, RolloutSettings())
    assert verdict.split_p_value > MISMATCH
    assert (verdict.action, "planned shares" in verdict.reason) == ("wait", False)


def test_counting_these_users_would_roll_the_challenger_back(store: Store) -> None:
    """So the test above can detect that they count."""
    now = pointer((0, V1, None, 0.0), (2, V1, V2, 0.3))
    serve(store, now, BOTH)
    rows = store.outcomes_by_version(START)
    users = rows["model_version"].value_counts()
    verdict = decide_rollout(
        RolloutArm(users["v1"], 0, users["v1"]), RolloutArm(users["v2"], 0, users["v2"]), 0.3, 8, RolloutSettings()
    )
    assert verdict.action == "rollback"
    assert "planned shares" in verdict.reason


def test_users_of_an_experiment_without_a_release_count(store: Store) -> None:
    now = pointer((0, V1, None, 0.0), (2, V1, V2, 0.3))
    only = Experiments({"harmless": HARMLESS})
    sides = serve(store, now, only)
    champion, challenger, _ = observed(store, now, experiments=only)
    assert (champion.users, challenger.users) == (
        sum(side == "champion" for side in sides.values()),
        sum(side == "challenger" for side in sides.values()),
    )


def test_users_of_an_experiment_that_was_removed_do_not_count(store: Store) -> None:
    now = pointer((0, V1, None, 0.0), (2, V1, V2, 0.3))
    serve(store, now, Experiments({"picks": PICKS}))
    gone, kept = observed(store, now), observed(store, now, experiments=BOTH)
    assert gone == kept
    assert gone[0].users + gone[1].users == 200


def test_a_missing_challenger_is_an_error(store: Store) -> None:
    with pytest.raises(SettingsError, match="tierrec deploy"):
        observed(store, pointer((0, V1, None, 0.0)))


def fill_plain(store: Store, shown: list, done: list) -> None:
    """Store a world without prefixes whose events are all purchases."""
    store.add_impressions(
        [
            Impression(
                request_id=str(row),
                user_id=user,
                surface="products",
                items=tuple(items),
                path="blend",
                model_version=version,
                at=START + timedelta(hours=hour),
            )
            for row, (user, version, hour, items) in enumerate(shown)
        ]
    )
    moments = [(user, START + timedelta(hours=hour), item) for user, hour, item in done]
    store.add_events(
        [
            NewEvent(key=str(row), user_id=user, item_id=item, event="purchase", timestamp=at)
            for row, (user, at, item) in enumerate(moments)
        ]
    )
