"""The baseline: a BentoML service that does nothing but return a constant list; it runs in a folder of its own."""

import bentoml

LIST = [
    {"item_id": str(1_000_000 + place), "title": f"item {place} of the list", "score": 1 - place / 10}
    for place in range(10)
]


@bentoml.service(
    name="bare", workers=1, traffic={"timeout": 30}, logging={"access": {"enabled": False}}, metrics={"enabled": False}
)
class Bare:
    """As little as a service can do: the settings are those of services.service."""

    @bentoml.api  # type: ignore[untyped-decorator]
    async def recommend(self, user_id: str, k: int = 10) -> list:  # type: ignore[type-arg]
        """The same ten items for everybody."""
        return LIST
