"""Properties that are computed once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

R = TypeVar("R")


class cached(Generic[R]):
    """A property that is computed when it is first asked for, and kept in the object.

    It is `functools.cached_property` of Python 3.12. That of 3.11 has a lock which all objects of a class share: one
    thread would wait for what another computes of another object, and a forked child for a thread that it has not.
    """

    def __init__(self, function: Callable[[Any], R]) -> None:
        self.function = function
        self.__doc__ = function.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> R: ...
    def __get__(self, instance: object, owner: type) -> Self | R:
        if instance is None:
            return self
        value = vars(instance)[self.name] = self.function(instance)
        return value
