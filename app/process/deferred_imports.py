"""Imports a package without modules of which it only takes names. The first use of such a name loads its module."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType, new_class
from typing import Any


class _DeferredName(type):
    """A class that stands for a class or a function of a module. What inherits from it inherits from that class."""

    def __new__(cls, name: str, bases: tuple[type, ...], members: dict[str, Any], **options: Any) -> Any:
        if not bases:
            return super().__new__(cls, name, bases, members)
        loaded = tuple(base._loaded() if isinstance(base, _DeferredName) else base for base in bases)
        return new_class(name, loaded, options, lambda namespace: namespace.update(members))

    def __call__(cls, *arguments: Any, **options: Any) -> Any:
        return cls._loaded()(*arguments, **options)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(cls._loaded(), name)

    def __instancecheck__(cls, instance: object) -> bool:
        return cls._may_have_subclasses() and isinstance(instance, cls._loaded())

    def __subclasscheck__(cls, subclass: type) -> bool:
        return cls._may_have_subclasses() and issubclass(subclass, cls._loaded())

    def _may_have_subclasses(cls) -> bool:
        return not isinstance(sys.modules.get(cls.__module__), _DeferredModule | None)

    def _loaded(cls) -> Any:
        return getattr(_load(cls.__module__), cls.__name__)


class _DeferredModule(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            return _DeferredName(name, (), {"__module__": self.__name__})
        return getattr(_load(self.__name__), name)


def _load(module: str) -> ModuleType:
    if isinstance(sys.modules.get(module), _DeferredModule):
        del sys.modules[module]
    return import_module(module)


@contextmanager
def deferred(*modules: str) -> Iterator[None]:
    """Do not load these modules while packages are imported that only take classes and functions from them."""
    stand_ins = {name: _DeferredModule(name) for name in modules if name not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]
                package, _, member = name.rpartition(".")
                # as importing it would have
                if package in sys.modules:
                    setattr(sys.modules[package], member, stand_in)
