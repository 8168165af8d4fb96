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

    def of(self, layer: Layer, spec: ParamSpec, blob: Blob) -> Blob | None:
        """Return the blob whose memory parameter `index` of `layer` uses, or None if it is its own."""
        name = spec.name
        owner = self.named.get(name) if name else None
        if owner is None:
            if name:
                self.named[name] = (layer.name, blob)
            self._agree(name, spec, blob)
            return None
        owner_name, owned = owner
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

    def _agree(self, name: str, spec: ParamSpec, owner: Blob) -> None:
        for kind, plural in (("lr_mult", "params_lr_"), ("decay_mult", "params_weight_decay_")):
            if not spec.HasField(kind):
                continue
            value = getattr(spec, kind)
            agreed = self.multipliers.setdefault((id(owner), kind), value)
            need(
                value == agreed,
                f"param_spec->{kind}() == {plural}[learnable_param_id] ({value:g} vs. {agreed:g}) "
                f"Shared param '{name}' has mismatched {kind}.",
            )
