"""Methods of a client that are made of calls, so that a signature is written once for both clients."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from services.client.calls import Call

P = ParamSpec("P")
T = TypeVar("T")


class Sends(Protocol):
    """A client that blocks."""

    def send(self, call: Call[T]) -> T:
        """The answer to a call."""
        ...


class SendsLater(Protocol):
    """A client that is awaited."""

    def send(self, call: Call[T]) -> Awaitable[T]:
        """The answer to a call, once it is there."""
        ...


class Endpoint(Generic[P, T]):
    """A method of a client that blocks: makes a call and sends it."""

    def __init__(self, make: Callable[P, Call[T]]) -> None:
        self.make, self.__doc__ = make, make.__doc__

    @overload
    def __get__(self, client: None, owner: Any) -> Self: ...
    @overload
    def __get__(self, client: Sends, owner: Any) -> Callable[P, T]: ...
    def __get__(self, client: Sends | None, owner: Any) -> Self | Callable[P, T]:
        if client is None:
            return self

        @functools.wraps(self.make)
        def send(*args: P.args, **kwargs: P.kwargs) -> T:
            return client.send(self.make(*args, **kwargs))

        return send


class AsyncEndpoint(Generic[P, T]):
    """A method of a client that is awaited."""

    def __init__(self, make: Callable[P, Call[T]]) -> None:
        self.make, self.__doc__ = make, make.__doc__

    @overload
    def __get__(self, client: None, owner: Any) -> Self: ...
    @overload
    def __get__(self, client: SendsLater, owner: Any) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, client: SendsLater | None, owner: Any) -> Self | Callable[P, Awaitable[T]]:
        if client is None:
            return self

        @functools.wraps(self.make)
        def send(*args: P.args, **kwargs: P.kwargs) -> Awaitable[T]:
            return client.send(self.make(*args, **kwargs))

        return send
