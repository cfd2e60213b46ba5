"""From bound nodes to layers in the making."""
