"""Modules import lower layers only: public files > mixture > fitting > sources > model > kernels; plotting is apart."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib.util import find_spec, resolve_name
from pathlib import Path

import pytest
from problems import run_python

LAYERS = ("kernels", "model", "sources", "fitting", "mixture")  # from the bottom; the files above are the top
EQUIPMENT = {"exceptions", "text"}  # which every layer may use, since it uses none but the kernels


def root() -> Path:
    """The folder of the installed package."""
    spec = find_spec("fastgmm")
    assert spec is not None and spec.origin is not None
    return Path(spec.origin).parent


def module_name(path: Path) -> str:
    """The name under which a file is imported."""
    parts = path.relative_to(root().parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(root().rglob("*.py"))}


def is_for_types(node: ast.AST) -> bool:
    """Whether this is ``if TYPE_CHECKING:``."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def statements(node: ast.AST, inside: bool = False) -> Iterator[tuple[ast.stmt, bool]]:
    """Import statements, and whether they stand in a function; what type checkers alone see is left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, inside
        elif not is_for_types(child):
            yield from statements(child, inside or isinstance(child, ast.FunctionDef | ast.Lambda))


def imported(module: str) -> Iterator[tuple[str, bool]]:
    """Modules of the package that a module imports, and whether only a function does."""
    package = module if FILES[module].name == "__init__.py" else module.rpartition(".")[0]
    for statement, late in statements(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(statement, ast.Import):
            names = [alias.name for alias in statement.names]
        else:
            base = resolve_name("." * statement.level + (statement.module or ""), package)
            names = [f"{base}.{alias.name}" for alias in statement.names]
            names = [name if name in FILES else base for name in names]
        names = [name for name in names if name.split(".")[0] == "fastgmm" and name != module]  # but compiled siblings
        yield from ((name, late) for name in names)


def folder(module: str) -> str:
    """The folder below the package that a module is in, or else its own name."""
    return module.split(".")[1] if "." in module else ""


def layer(module: str) -> int:
    """The layer of a module, from the bottom."""
    if folder(module) in EQUIPMENT:
        return 0
    return LAYERS.index(folder(module)) if folder(module) in LAYERS else len(LAYERS)


@pytest.mark.parametrize("module", FILES)
def test_imports_go_to_lower_layers(module: str) -> None:
    """Nothing is imported from a higher layer."""
    for name, _ in imported(module):
        assert layer(name) <= layer(module), f"{module} imports {name}"
        if layer(module) < len(LAYERS):
            assert folder(name) != "plotting", f"{module} imports {name}"


def test_no_import_cycles() -> None:
    """Modules can be put in an order in which each imports earlier ones alone, those in functions included."""
    graph = {module: {name for name, _ in imported(module)} for module in FILES}
    assert set(TopologicalSorter(graph).static_order()) >= set(FILES)


def test_plotting_imports() -> None:
    """Plotting imports nothing of the package but itself and the names of structures."""
    for module in FILES:
        if folder(module) == "plotting":
            names = {name for name, _ in imported(module) if folder(name) != "plotting"}
            assert names <= {"fastgmm.model.structures"}, f"{module} imports {names}"


OPTIONAL = {"dask", "distributed", "h5py", "joblib", "matplotlib", "onnxruntime", "pandas", "polars", "pyarrow"}
OPTIONAL |= {"scipy", "sklearn", "skl2onnx", "tqdm", "zarr", "logging", "concurrent"}


@pytest.mark.parametrize("module", FILES)
def test_optional_libraries_imported_in_functions(module: str) -> None:
    """Libraries that are optional or slow to import are imported by the functions that need them."""
    for statement, late in statements(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(statement, ast.ImportFrom) and statement.level > 0:
            continue  # of the package itself
        names = [alias.name for alias in statement.names] if isinstance(statement, ast.Import) else [statement.module]
        for name in names:
            assert late or (name or "").split(".")[0] not in OPTIONAL, f"{module} imports {name}"


def test_import_loads_no_slow_modules() -> None:
    """Importing fastgmm imports no slow module that a fit may not need."""
    code = (
        "import sys, numpy; before = set(sys.modules); import fastgmm\n"
        "print(*sorted((set(sys.modules) - before) & {*sys.argv[1:]}))"
    )
    slow = ["concurrent.futures", "csv", "dask", "json", "logging", "matplotlib", "numpy.random", "pandas", "pyarrow"]
    slow += ["sklearn", "tempfile", "zipfile"]
    done = run_python("-c", code, *slow, check=True)
    assert done.stdout.strip() == ""
