"""Named tuples of arrays and records as compiled code takes them: one address instead of a hundred words.

Numba passes a tuple by its members and an array by seven words; with the engine's state as a tuple, half of
all that it compiles would be taking such words out and putting them in again. A :class:`Handed` holds the
words in memory, and compiled code reads an attribute where it needs it. The words never change, so that what
was read once need not be read again.

Importing this takes numba, half a second: only what compiles or loads compiled code does.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typeconv import Conversion  # type: ignore[attr-defined]
from numba.core.typing.templates import AttributeTemplate
from numba.extending import (
    NativeValue,
    infer_getattr,
    lower_cast,
    lower_getattr_generic,
    models,
    register_model,
    typeof_impl,
    unbox,
)
from numba.np import numpy_support
from numba.np.arrayobj import make_array, populate_array

__all__ = ["Handed", "HandedType"]

_WORD = ir.IntType(64)
_INVARIANT = "invariant.load"


class HandedType(types.Type):
    """The type of a :class:`Handed`: names and types of what it holds.

    Attributes:
        members: Type of each attribute, and at which word it begins.
        words: Words in all.
    """

    def __init__(self, label: str, fields: tuple[tuple[str, Any], ...]) -> None:
        self.members: dict[str, tuple[Any, int]] = {}
        self.words = 0
        for name, kind in fields:
            self.members[name] = kind, self.words
            self.words += _words_of(kind)
        whole = ", ".join(f"{name}: {kind}" for name, kind in fields)
        # Part of the symbol of every function that takes it.
        super().__init__(name=f"{label}_{hashlib.sha256(whole.encode()).hexdigest()[:16]}")

    def unify(self, context: Any, other: Any) -> Any:  # noqa: ARG002
        """One of two: code that makes such a tuple itself has it as a tuple."""
        return other if self._is_of(other) else None

    def can_convert_to(self, context: Any, other: Any) -> Any:  # noqa: ARG002
        """To the tuple itself."""
        return Conversion.safe if self._is_of(other) else None

    def _is_of(self, other: Any) -> bool:
        kinds = {name: kind for name, (kind, _) in self.members.items()}
        return isinstance(other, types.NamedTuple) and kinds == dict(zip(other.fields, other, strict=True))


def _words_of(kind: Any) -> int:
    if isinstance(kind, HandedType):
        return kind.words
    if isinstance(kind, types.Array):
        return 1 + int(kind.ndim)
    return 1 if isinstance(kind, types.Record) else 0


class Handed:
    """A named tuple as compiled code takes it.

    Args:
        given: Its members are C-contiguous arrays, records, named tuples of such, or empty tuples.

    Attributes:
        address: Where the words are: an address for each record, an address and the shape for each array.
        kind: The numba type.
    """

    __slots__ = ("_kept", "address", "kind")

    def __init__(self, given: Any) -> None:
        words: list[int] = []
        self.kind = _describe(given, words)
        self._kept = given, np.array(words or [0], np.int64)
        self.address = self._kept[1].ctypes.data


def _describe(given: Any, words: list[int]) -> HandedType:
    """The type of a named tuple; its words are appended."""
    fields = []
    for name, member in given._asdict().items():
        kind: Any
        if isinstance(member, np.ndarray):
            assert member.flags.c_contiguous, name
            kind = types.Array(_item_type(member), member.ndim, "C")
            words += [member.ctypes.data, *member.shape]
        elif isinstance(member, np.void):
            kind = _item_type(member)
            words.append(np.frombuffer(member, np.uint8).ctypes.data)
        elif member == ():
            kind = types.Tuple(())
        else:
            kind = _describe(member, words)
        fields.append((name, kind))
    return HandedType(type(given).__name__, tuple(fields))


def _item_type(member: Any) -> Any:
    return numpy_support.from_dtype(member.dtype)


@typeof_impl.register(Handed)
def _type_of(given: Handed, _: Any) -> HandedType:
    return given.kind


@register_model(HandedType)
class _HandedModel(models.PrimitiveModel):
    """The address."""

    def __init__(self, manager: Any, kind: HandedType) -> None:
        super().__init__(manager, kind, _WORD.as_pointer())


@unbox(HandedType)
def _unboxed(_: HandedType, given: Any, context: Any) -> Any:
    address = context.pyapi.object_getattr_string(given, "address")
    word = context.pyapi.long_as_ulonglong(address)
    context.pyapi.decref(address)
    failed = cgutils.is_not_null(context.builder, context.pyapi.err_occurred())
    return NativeValue(context.builder.inttoptr(word, _WORD.as_pointer()), is_error=failed)


@infer_getattr
class _HandedAttributes(AttributeTemplate):
    key = HandedType

    def generic_resolve(self, value: HandedType, attr: str) -> Any:  # type: ignore[override]
        return value.members[attr][0] if attr in value.members else None


@lower_getattr_generic(HandedType)
def _attribute(context: Any, builder: Any, kind: HandedType, value: Any, name: str) -> Any:
    member, first = kind.members[name]

    def word(position: int) -> Any:
        place = builder.gep(value, [ir.Constant(ir.IntType(32), first + position)], inbounds=True)
        loaded = builder.load(place)
        loaded.set_metadata(_INVARIANT, builder.module.add_metadata([]))
        return loaded

    if isinstance(member, HandedType):
        return builder.gep(value, [ir.Constant(ir.IntType(32), first)], inbounds=True)
    if isinstance(member, types.Record):
        return builder.inttoptr(word(0), context.get_value_type(member))
    if isinstance(member, types.Array):
        array = make_array(member)(context, builder)
        shape = [word(1 + axis) for axis in range(member.ndim)]
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(member.dtype)))
        strides = [size]
        for extent in reversed(shape[1:]):
            strides.insert(0, builder.mul(strides[0], extent))
        data = builder.inttoptr(word(0), array.data.type)
        populate_array(array, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
        return array._getvalue()
    return context.get_dummy_value() if not member.types else None


@lower_cast(HandedType, types.NamedTuple)
def _as_tuple(context: Any, builder: Any, kind: HandedType, target: Any, value: Any) -> Any:
    members = [_attribute(context, builder, kind, value, name) for name in target.fields]
    return context.make_tuple(builder, target, members)
