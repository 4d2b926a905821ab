"""Public names have complete docstrings: a summary, all parameters, the result and an example."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest

import fastgmm
from fastgmm import coming_from, exceptions

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


def kinds_of_errors() -> list[type[Exception]]:
    """The classes of exceptions and warnings, helpers apart."""
    found = [thing for name, thing in vars(exceptions).items() if inspect.isclass(thing) and not name.startswith("_")]
    return [thing for thing in found if issubclass(thing, Exception) and thing.__module__ == exceptions.__name__]


@pytest.mark.parametrize("kind", kinds_of_errors(), ids=lambda kind: kind.__name__)
def test_errors_have_remedies(kind: type[Exception]) -> None:
    """Every exception and warning says when it comes, what helps, and shows it; the table has a line for it."""
    documented = inspect.getdoc(kind) or ""
    assert re.match(r"(Raised|Issued|An error)[^\n]+\.\n", documented)
    assert len(section(documented, "Remedy")) > 60
    assert ">>> " in section(documented, "Examples")
    assert kind.__name__ in exceptions.__all__
    assert f"\n`{kind.__name__}` " in (exceptions.__doc__ or "")


def backticked(text: str) -> Iterator[str]:
    """Calls, attributes and arguments in double backticks that stand in the columns of fastgmm."""
    for line in text.splitlines():
        columns = re.split(r" {2,}", line.strip())
        yield from re.findall(r"``([^`]+)``", columns[-1]) if len(columns) > 1 else ()


def test_coming_from_names_what_is_there() -> None:
    """Arguments, attributes and functions that the tables for newcomers name are those of the package."""
    text = coming_from.__doc__ or ""
    arguments = set(inspect.signature(fastgmm.GaussianMixture).parameters)
    arguments |= set(inspect.signature(fastgmm.GaussianMixtureOutlierDetector).parameters)
    arguments |= set(inspect.signature(fastgmm.fit_many).parameters) | {"sample_weight"}
    theirs = {"weights"}  # of pomegranate 0
    named, called, attributes = set[str](), set[str](), set[str]()
    for code in backticked(text):
        named |= set(re.findall(r"\b(\w+)=", code))
        called |= set(re.findall(r"\b(\w+)\(", code))
        attributes |= set(re.findall(r"\b([a-z]\w+_)\b", code))
    assert len(named) > 8 and len(called) > 8 and len(attributes) > 4, (named, called, attributes)
    assert named - arguments - theirs == set()
    fitted = inspect.getdoc(fastgmm.GaussianMixture) or ""
    assert {name for name in attributes if name not in fitted} == {"best_estimator_"}
    methods = set(dir(fastgmm.GaussianMixture)) | set(fastgmm.__all__) | {"exp", "len", "load", "range"}
    assert called - methods == set()


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
