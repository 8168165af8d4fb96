"""Parameters that layers share by name."""

from __future__ import annotations

from .blob import Blob, describe
from .checks import need
from .layers.rule import Layer
from .schema import ParamSpec

__all__ = ["Owners"]


class Owners:
    """The owner of each named parameter, and the multipliers on which all who share it must agree."""

    def __init__(self) -> None:
        self.named: dict[str, tuple[str, Blob]] = {}
        self.multipliers: dict[tuple[int, str], float] = {}

    def of(self, layer: Layer, index: int, blob: Blob) -> Blob | None:
        """The blob whose memory parameter `index` of `layer` uses, or None where it is its own."""
        specs = layer.message.param
        spec = specs[index] if index < len(specs) else None
        name = spec.name if spec is not None else ""
        owner = self.named.get(name) if name else None
        if owner is None:
            if name:
                self.named[name] = (layer.name, blob)
            self._agree(name, spec, blob)
            return None
        owner_name, owned = owner
        assert spec is not None
        sharing = f"Cannot share param '{name}' owned by layer '{owner_name}' with layer '{layer.name}'"
        shapes = f"Owner layer param shape is {describe(owned.shape)}; sharing layer"
        if spec.share_mode == type(spec).DimCheckMode.Value("PERMISSIVE"):
            need(
                blob.count() == owned.count(),
                f"this_blob->count() == owner_blob->count() ({blob.count()} vs. {owned.count()}) "
                f"{sharing}; count mismatch.  {shapes} shape is {describe(blob.shape)}",
            )
        else:
            need(
                blob.shape == owned.shape,
                f"this_blob->shape() == owner_blob->shape() "
                f"{sharing}; shape mismatch.  {shapes} expects shape {describe(blob.shape)}",
            )
        self._agree(name, spec, owned)
        return owned

    def _agree(self, name: str, spec: ParamSpec | None, owner: Blob) -> None:
        for kind, plural in (("lr_mult", "params_lr_"), ("decay_mult", "params_weight_decay_")):
            if spec is None or not spec.HasField(kind):
                continue
            value = getattr(spec, kind)
            agreed = self.multipliers.setdefault((id(owner), kind), value)
            need(
                value == agreed,
                f"param_spec->{kind}() == {plural}[learnable_param_id] ({value:g} vs. {agreed:g}) "
                f"Shared param '{name}' has mismatched {kind}.",
            )
