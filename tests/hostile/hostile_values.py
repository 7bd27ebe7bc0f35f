"""Values that note each look at them, and raise. Used by the programs of `test_hostile_values.py`."""

from __future__ import annotations

import types
from typing import Any

import torch

seen: list[str] = []
watching = [False]
_METHODS = [
    "__getattr__",
    "__repr__",
    "__str__",
    "__format__",
    "__len__",
    "__bool__",
    "__iter__",
    "__next__",
    "__eq__",
    "__ne__",
    "__lt__",
    "__hash__",
    "__contains__",
    "__getitem__",
    "__index__",
    "__int__",
    "__float__",
    "__dir__",
    "__reduce_ex__",
    "__sizeof__",
    "__get__",
    "__instancecheck__",
    "__subclasscheck__",
    "keys",
    "items",
    "values",
    "__enter__",
    "__length_hint__",
    "__bytes__",
    "__fspath__",
    "__array__",
    "__copy__",
    "__deepcopy__",
    "__missing__",
]


def _noting(name: str, plain: Any) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if watching[0]:
            seen.append(name)
            raise ValueError(f"{name} was looked at")
        if plain is None:
            raise AttributeError(name)
        return plain(self, *args, **kwargs)

    return method


def _hostile(base: type, *names: str) -> dict[str, Any]:
    methods = {name: _noting(name, getattr(base, name, None)) for name in names or _METHODS}
    methods["__class__"] = property(_noting("__class__", lambda self: type(self)))
    return methods


class Meta(type):
    __eq__ = _noting("Meta.__eq__", type.__eq__)
    __hash__ = _noting("Meta.__hash__", type.__hash__)
    __getattr__ = _noting("Meta.__getattr__", None)
    __repr__ = _noting("Meta.__repr__", type.__repr__)
    __instancecheck__ = _noting("Meta.__instancecheck__", type.__instancecheck__)
    __subclasscheck__ = _noting("Meta.__subclasscheck__", type.__subclasscheck__)


class Dictless:
    __slots__ = ("held",)
    vars().update(_hostile(object))


Plain = type("Plain", (), _hostile(object))
Hidden = type("Hidden", (), {**_hostile(object), "__dict__": property(_noting("__dict__", None))})
Asked = type("Asked", (), {"__getattribute__": _noting("__getattribute__", object.__getattribute__)})
OfMeta = Meta("OfMeta", (), {})
Dict = type("Dict", (dict,), _hostile(dict))
List = type("List", (list,), _hostile(list))
Tuple = type("Tuple", (tuple,), _hostile(tuple))
Set = type("Set", (set,), _hostile(set))
Text = type("Text", (str,), _hostile(str))
Number = type("Number", (int,), _hostile(int))
Module = type("Module", (types.ModuleType,), {"__getattr__": _noting("Module.__getattr__", None), "__repr__": _noting("__repr__", None)})
Layer = type("Layer", (torch.nn.Module,), _hostile(torch.nn.Module, "__repr__", "__len__", "__iter__", "__bool__", "__eq__", "__hash__"))
Data = type("Data", (torch.utils.data.Dataset,), _hostile(object, "__repr__", "__eq__", "__bool__", "__iter__", "__getattr__"))


def lazily(name: str) -> Any:
    if watching[0]:
        seen.append(f"module.{name}")
    raise AttributeError(name)


def values() -> list[Any]:
    """One of each."""
    lazy = types.ModuleType("lazy")
    lazy.__dict__["__getattr__"] = lazily
    made = [Plain(), Hidden(), Asked(), Dictless(), OfMeta(), OfMeta, Dict(a=1), List([1]), Tuple((1,)), Set([1]), Text("a"), Number(3)]
    made += [Module("strange"), lazy, Layer(), Data(), {"in": Plain()}, [Plain()], (OfMeta(),), {Number(7): 1}, Plain().__init__]
    try:
        import numpy
    except ImportError:
        return made
    array = type("Array", (numpy.ndarray,), _hostile(numpy.ndarray))
    objects = numpy.empty(1, dtype=object)
    objects[0] = Plain()
    return [*made, numpy.zeros(2).view(array), objects]


class Message(RuntimeError):
    """Its text can't be had; nor can anything else of it."""

    vars().update(_hostile(RuntimeError, "__repr__", "__eq__", "__bool__", "__len__", "__iter__", "__getattr__"))

    def __str__(self) -> str:
        raise ValueError("no text")
