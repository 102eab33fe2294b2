"""The descriptor that makes a function of `calls` a method of both clients, so that its signature is written once."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from tierrec_client.calls import Call

P = ParamSpec("P")
T = TypeVar("T")


class Sender(Protocol):
    """A client with a blocking `send`."""

    def send(self, call: Call[T]) -> T:
        """Return the answer to a call."""
        ...


class AsyncSender(Protocol):
    """A client with an awaitable `send`."""

    def send(self, call: Call[T]) -> Awaitable[T]:
        """Return the answer to a call."""
        ...


class Endpoint(Generic[P, T]):
    """A method of a client: makes a call and sends it; AsyncClient's method returns an awaitable."""

    def __init__(self, make: Callable[P, Call[T]]) -> None:
        self.make, self.__doc__ = make, make.__doc__

    @overload
    def __get__(self, client: None, owner: Any) -> Self: ...
    @overload
    def __get__(self, client: Sender, owner: Any) -> Callable[P, T]: ...
    @overload
    def __get__(self, client: AsyncSender, owner: Any) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, client: Any, owner: Any) -> Any:
        if client is None:
            return self

        @functools.wraps(self.make)
        def send(*args: P.args, **kwargs: P.kwargs) -> Any:
            return client.send(self.make(*args, **kwargs))

        return send
