"""Public names have complete docstrings: a summary, all parameters, the result and an example."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

MODULES = ("fastgmm", "fastgmm.datasets", "fastgmm.mclust", "fastgmm.plotting", "fastgmm.sources")


def own_member(member: Any) -> Any:
    """The function behind a public member of a class, or the property; None for what is inherited from elsewhere."""
    member = getattr(member, "__func__", member)
    function = member.fget if isinstance(member, property) else member
    return member if inspect.isfunction(function) and function.__module__.startswith("fastgmm") else None


def public() -> Iterator[tuple[str, Any]]:
    """Public functions, classes and their methods, by name."""
    for module in map(importlib.import_module, MODULES):
        for name in module.__all__:
            thing = getattr(module, name)
            if not callable(thing):
                continue
            yield f"{module.__name__}.{name}", thing
            members = dir(thing) if inspect.isclass(thing) else []
            for member in members:
                found = own_member(inspect.getattr_static(thing, member))
                if not member.startswith("_") and found is not None:
                    yield f"{module.__name__}.{name}.{member}", found


PUBLIC = dict(public())


def section(documented: str, title: str) -> str:
    """The text of a section; nothing if there is none."""
    found = re.search(rf"^{title}\n-+\n(.*?)(?=^\w+\n-+\n|\Z)", documented, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def described(parameters: str) -> set[str]:
    """The names that a section of parameters describes."""
    heads = re.findall(r"^(\*{0,2}\w[\w, *]*?)(?: :.*)?$", parameters, re.MULTILINE)
    return {name.strip(" *") for head in heads for name in head.split(",")}


@pytest.mark.parametrize("name", PUBLIC)
def test_public_docstrings_complete(name: str) -> None:
    """A summary that ends with a period, all arguments by name and no others, results, and an example."""
    thing = PUBLIC[name]
    documented = inspect.getdoc(thing) or ""
    assert re.match(r"[^\n]+[.:]\n", documented), "the first line is no sentence"
    assert ">>> " in section(documented, "Examples"), "no example"
    if not inspect.isfunction(thing):
        return
    signature = inspect.signature(thing)
    arguments = set(signature.parameters) - {"self", "cls"}
    assert described(section(documented, "Parameters")) == arguments
    assert all(signature.parameters[argument].annotation is not inspect.Parameter.empty for argument in arguments)
    if signature.return_annotation not in ("None", None):
        assert section(documented, "Returns") or section(documented, "Yields"), "nothing is said of the result"


@pytest.mark.parametrize("module", MODULES)
def test_listed_names_exist(module: str) -> None:
    """Public names exist, and each is listed once."""
    found = importlib.import_module(module)
    assert len(set(found.__all__)) == len(found.__all__)
    assert all(hasattr(found, name) for name in found.__all__)


def test_constructor_arguments() -> None:
    """The class describes all arguments of its constructor, in their order, and no others."""
    thing = PUBLIC["fastgmm.GaussianMixture"]
    parameters = section(inspect.getdoc(thing) or "", "Parameters")
    heads = re.findall(r"^(\w+) : ", parameters, re.MULTILINE)
    assert heads == list(inspect.signature(thing).parameters)


def test_public_names_are_found() -> None:
    """Names known to be public are among those found."""
    assert {"fastgmm.select", "fastgmm.GaussianMixture.fit", "fastgmm.Selection.plot"} < PUBLIC.keys()
    assert {"fastgmm.Statistics.merge", "fastgmm.sources.Chunks.map", "fastgmm.plotting.PairsDisplay"} < PUBLIC.keys()
    assert len(PUBLIC) > 60
