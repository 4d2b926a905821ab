"""The libraries compared: one class each, loaded in a process of its own."""

from __future__ import annotations

from importlib import import_module

from .peer import Peer, Unavailable

__all__ = ["LIBRARIES", "SKLEARN", "US", "Peer", "Unavailable", "load"]

SKLEARN, US = "scikit-learn", "fastgmm"
MODULES = {US: "fastgmm_", SKLEARN: "scikit_learn", "oneDAL": "onedal", "Armadillo": "armadillo"}
LIBRARIES = tuple(MODULES)


def load(library: str, folder: str) -> Peer:
    """The library's peer; `folder` takes what must be compiled. Raises `Unavailable` with the reason."""
    peer: Peer = import_module(f"{__name__}.{MODULES[library]}").Library(folder)
    return peer
