"""Fusion: what a compiler would merge before it schedules."""

from layerweaver.frontend.fusion.passes import PASSES, Pass, fuse_drafts

__all__ = ["PASSES", "Pass", "fuse_drafts"]
