"""Work that the totals lack, grouped by what it is missing for."""

from __future__ import annotations

from layerweaver.frontend.node.values import Cause

__all__ = ["Missing"]

_DESCRIBE = "register it by the entry point 'layerweaver.operators'"


class Missing:
    """Nodes that are costed by the size of their tensors, for want of a shape or of a description.

    Args:
        source: Model, for messages.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._nodes: dict[Cause, list[str]] = {}
        self._products: dict[Cause, int] = {}

    def note(self, label: str, guessed: str, cause: Cause | None, *, product: bool) -> None:
        """Note a node.

        Args:
            label: What messages call it.
            guessed: Why its work had to be guessed; "" where only a shape is unknown.
            cause: Where the unknown shape comes from; None where the operator is unknown.
            product: Whether it multiplies matrices.
        """
        cause = cause or Cause(f"{label}: {guessed}", _DESCRIBE)
        same = next((known for known in self._nodes if known.cure != _DESCRIBE and known == cause), cause)
        if cause.cure == _DESCRIBE:
            same = next((known for known in self._nodes if known.what.endswith(guessed)), cause)
        self._nodes.setdefault(same, []).append(label)
        self._products[same] = self._products.get(same, 0) + product

    def causes(self) -> tuple[str, ...]:
        """What happened first, for every group."""
        return tuple(cause.what for cause in self._nodes)

    def lines(self) -> tuple[str, ...]:
        """One line for every group, those that lack most products first."""
        order = sorted(self._nodes, key=lambda cause: -self._products[cause])
        return tuple(self._line(cause) for cause in order)

    def _line(self, cause: Cause) -> str:
        nodes, products = self._nodes[cause], self._products[cause]
        count = "1 node is" if len(nodes) == 1 else f"{len(nodes)} nodes are"
        lost = f", and {products} matrix products count nothing" if products else ""
        how = f"{count} costed as vector work by the size of known tensors ({nodes[0]} first){lost}"
        return f"{cause.what}: {how}; {cause.cure}"
