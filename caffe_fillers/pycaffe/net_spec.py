"""Nets written in Python: NetSpec, `layers` (usually imported as L) and `params` (as P).

Calling ``L.Convolution(bottom, num_output=20)`` makes a `Function`, the layer to be, and returns its `Top`, or its
tops, for the next call. Nothing is checked before `to_proto`, which walks from the wanted tops back to what they need.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from google.protobuf.message import Message

from .. import schema
from ..errors import CaffeError

__all__ = ["Function", "NetSpec", "Top", "assign_proto", "layers", "param_name_dict", "params", "to_proto"]


class _NoSuchField(CaffeError, AttributeError):
    """A keyword that is no field of the layer; pycaffe raises AttributeError."""


class _NoSuchTop(CaffeError, AttributeError, KeyError):
    """A name that a NetSpec does not hold; pycaffe raises KeyError."""


def param_name_dict() -> dict[str, str]:
    """Return, for each layer type with a message of its own parameters, that field's name without `_param`."""
    fields = [field for field in schema.LayerParameter.DESCRIPTOR.fields if field.name.endswith("_param")]
    kinds = ((field.message_type, field.name) for field in fields)
    return {kind.name.removesuffix("Parameter"): name.removesuffix("_param") for kind, name in kinds if kind}


def assign_proto(message: Message, name: str, value: object) -> None:
    """Set a field of a message: dicts become messages, lists repeated fields, and one value is a list of one.

    Raises
    ------
    CaffeError
        If the message has no such field, or the field takes one value.
    """
    field = message.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        raise _NoSuchField(f"{message.DESCRIPTOR.name} has no field {name!r}")
    current = getattr(message, name)
    if hasattr(current, "extend"):
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping):
                _assign_fields(current.add(), item)
            else:
                current.extend([item])
    elif isinstance(value, Mapping):
        _assign_fields(current, value)
    elif isinstance(value, list):
        raise CaffeError(f"{message.DESCRIPTOR.name}.{name} takes one value, got the list {value!r}")
    else:
        setattr(message, name, value)


def _assign_fields(message: Message, values: Mapping[str, object]) -> None:
    for name, value in values.items():
        assign_proto(message, name, value)


class Top:
    """One output of a layer that is not written yet.

    Parameters
    ----------
    fn : Function
        The layer.
    n : int
        Which of its tops.
    """

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def to_proto(self) -> schema.NetParameter:
        """Return a NetParameter of all layers that this top needs, with automatic names."""
        return to_proto(self)


class Function:
    """A layer that is not written yet: its type, its bottoms and its fields.

    Parameters
    ----------
    type_name : str
    inputs : sequence of Top
    params : dict
        Fields of the layer's own parameter or of LayerParameter; besides `ntop`, the number of tops (1), and
        `in_place`.

    Raises
    ------
    TypeError
        If an input is no `Top`: the several tops of a layer must be passed one by one.
    """

    def __init__(self, type_name: str, inputs: Iterable[Top], params: Mapping[str, Any]) -> None:
        self.type_name = type_name
        self.inputs = tuple(inputs)
        for index, each in enumerate(self.inputs):
            if not isinstance(each, Top):
                raise TypeError(f"{type_name} input {index} is not a Top (type is {type(each)})")
        self.params = dict(params)
        self.ntop: int = self.params.pop("ntop", 1)
        self.in_place: bool = self.params.pop("in_place", False)
        self.tops = tuple(Top(self, n) for n in range(self.ntop))

    def _message(self, bottoms: list[str], tops: list[str], name: str) -> schema.LayerParameter:
        layer = schema.LayerParameter(type=self.type_name, bottom=bottoms, top=tops, name=name)
        own = _OWN_FIELDS.get(self.type_name)
        for key, value in self.params.items():
            where = None if own is None or key.endswith("param") else getattr(layer, f"{own}_param")
            if where is None or key not in where.DESCRIPTOR.fields_by_name:
                where = layer
            try:
                assign_proto(where, key, value)
            except _NoSuchField as error:
                hint = "" if where is not layer or own is None else f", nor has {own}_param"
                raise _NoSuchField(f"L.{self.type_name}({key}=...): {error}{hint}") from None
            except (TypeError, ValueError) as error:
                raise CaffeError(f"L.{self.type_name}({key}={value!r}): {error}") from None
        return layer


_OWN_FIELDS = param_name_dict()


class _Writer:
    """The layers of a net in the making, in order, and the names given so far."""

    def __init__(self, names: Mapping[object, str]) -> None:
        self.names: dict[object, str] = dict(names)
        self.layers: OrderedDict[Function, schema.LayerParameter] = OrderedDict()
        self.counts: Counter[str] = Counter()

    def _name(self, key: object, type_name: str) -> str:
        """The name of a top, or of a layer without tops: given, else the type and a running number."""
        if key not in self.names:
            self.counts[type_name] += 1
            self.names[key] = f"{type_name}{self.counts[type_name]}"
        return self.names[key]

    def need(self, wanted: Top | Function) -> None:
        """Write the layer of `wanted`, a Top or a Function, behind all that it needs."""
        # by hand, not by recursion: nets are deeper than Python's stack
        todo = [wanted if isinstance(wanted, Function) else wanted.fn]
        while todo:
            function = todo[-1]
            missing = [top.fn for top in reversed(function.inputs) if top.fn not in self.layers]
            if function in self.layers:
                todo.pop()
            elif missing:
                todo += missing
            else:
                self._write(todo.pop())

    def _write(self, function: Function) -> None:
        bottoms = [self.layers[top.fn].top[top.n] for top in function.inputs]
        tops = bottoms if function.in_place else [self._name(top, function.type_name) for top in function.tops]
        name = self._name(function.tops[0] if function.tops else function, function.type_name)
        self.layers[function] = function._message(bottoms, tops, name)

    def net(self) -> schema.NetParameter:
        return schema.NetParameter(layer=self.layers.values())


def to_proto(*tops: Top | Function) -> schema.NetParameter:
    """Return a NetParameter of all layers that `tops` need, with automatic names: the type and a running number.

    Examples
    --------
    >>> from caffe_fillers.pycaffe import layers as L, to_proto
    >>> data, label = L.DummyData(shape=[dict(dim=[2, 3]), dict(dim=2)], ntop=2)
    >>> net = to_proto(L.SoftmaxWithLoss(L.InnerProduct(data, num_output=4), label))
    >>> [(layer.name, *layer.top) for layer in net.layer[:2]]
    [('DummyData1', 'DummyData1', 'DummyData2'), ('InnerProduct1', 'InnerProduct1')]
    """
    writer = _Writer({})
    for top in tops:
        _check_top("to_proto", top)
        writer.need(top)
    return writer.net()


def _check_top(where: str, value: object) -> None:
    if not isinstance(value, (Top, Function)):
        raise CaffeError(f"{where} is what a call of layers returns, got {value!r}")


class NetSpec:
    """Tops under names of your own; what they need besides gets automatic ones.

    Examples
    --------
    >>> from caffe_fillers import pycaffe as caffe
    >>> from caffe_fillers.pycaffe import layers as L, params as P
    >>> n = caffe.NetSpec()
    >>> n.data = L.Input(shape=dict(dim=[1, 1, 28, 28]))
    >>> n["pool"] = L.Pooling(n.data, kernel_size=2, stride=2, pool=P.Pooling.AVE)
    >>> print(n.to_proto())
    layer {
      name: "data"
      type: "Input"
      top: "data"
      input_param {
        shape {
          dim: 1
          dim: 1
          dim: 28
          dim: 28
        }
      }
    }
    layer {
      name: "pool"
      type: "Pooling"
      bottom: "data"
      top: "pool"
      pooling_param {
        pool: AVE
        kernel_size: 2
        stride: 2
      }
    }
    <BLANKLINE>
    """

    tops: OrderedDict[str, Top | Function]

    def __init__(self) -> None:
        super().__setattr__("tops", OrderedDict())

    def __setattr__(self, name: str, value: Top | Function) -> None:
        self.tops[name] = value

    def __getattr__(self, name: str) -> Any:
        if name == "tops" or name not in self.tops:
            raise _NoSuchTop(f"this NetSpec has no top {name!r}")
        return self.tops[name]

    def __setitem__(self, name: str, value: Top | Function) -> None:
        self.tops[name] = value

    def __getitem__(self, name: str) -> Any:
        return self.__getattr__(name)

    def to_proto(self) -> schema.NetParameter:
        """Return the NetParameter: layers in the order in which their tops were assigned, each behind what it needs.

        Raises
        ------
        CaffeError
            If what was assigned is no top, or a keyword is no field of its layer or does not take its value.
        """
        for name, top in self.tops.items():
            _check_top(f"NetSpec's {name!r}", top)
        writer = _Writer({top: name for name, top in self.tops.items()})
        for top in self.tops.values():
            writer.need(top)
        return writer.net()


class Layers:
    """Any attribute is a function that makes a layer of that type: of its bottoms and, by keyword, its fields."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def make(*bottoms: Top, **fields: object) -> Function | Top | tuple[Top, ...]:
            function = Function(name, bottoms, fields)
            if function.ntop == 0:
                return function
            return function.tops[0] if function.ntop == 1 else function.tops

        make.__name__ = name
        return make


class _Constants:
    def __init__(self, message: object) -> None:
        self._message = message

    def __getattr__(self, name: str) -> int:
        value: int = getattr(self._message, name)
        return value


class Parameters:
    """The constants of a layer's parameters: ``params.Pooling.MAX`` is PoolingParameter's MAX."""

    def __getattr__(self, name: str) -> _Constants:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Constants(getattr(schema, f"{name}Parameter"))


layers = Layers()
params = Parameters()
