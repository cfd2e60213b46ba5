"""Binding every dimension: the walk over the nodes, scopes, functions, branches and loops."""
