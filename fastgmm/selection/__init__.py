"""Mixtures of several structures and numbers of components, compared.

`select.py` has `select`, `result.py` its result; `candidates.py` works out what candidates are compared by, of fits
that fitting/search finds.

This room must not know how the search goes on, nor compare names of structures.
"""
