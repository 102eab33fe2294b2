"""The baseline: a BentoML service that returns a constant list; it is run from a folder of its own."""

import bentoml

LIST = [
    {"item_id": str(1_000_000 + rank), "title": f"item {rank} of the list", "score": 1 - rank / 10}
    for rank in range(10)
]


@bentoml.service(
    name="bare", workers=1, traffic={"timeout": 30}, logging={"access": {"enabled": False}}, metrics={"enabled": False}
)
class Bare:
    """A service without any work of its own, with the settings of services.service."""

    @bentoml.api  # type: ignore[untyped-decorator]
    async def recommend(self, user_id: str, k: int = 10) -> list:  # type: ignore[type-arg]
        """The same ten items for every user."""
        return LIST
