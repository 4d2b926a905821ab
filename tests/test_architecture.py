"""Modules import lower layers only: public files > mixture > fitting > sources > model > kernels; plotting is apart."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from importlib.util import find_spec, resolve_name
from pathlib import Path

import pytest
from problems import run_python

LAYERS = ("kernels", "model", "sources", "fitting", "mixture")  # from the bottom; the files above are the top
EQUIPMENT = {"exceptions", "startup", "text"}  # which every layer may use, since it uses none but the kernels


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


@cache
def parsed(module: str) -> ast.Module:
    """What a module says."""
    return ast.parse(FILES[module].read_text(encoding="utf-8"))


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
    for statement, late in statements(parsed(module)):
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
    """Plotting imports nothing of the package but itself, words, and the names of structures."""
    for module in FILES:
        if folder(module) == "plotting":
            names = {name for name, _ in imported(module) if folder(name) != "plotting"}
            assert names <= {"fastgmm.model.structures", "fastgmm.text"}, f"{module} imports {names}"


OPTIONAL = {"dask", "distributed", "h5py", "joblib", "matplotlib", "onnxruntime", "pandas", "polars", "pyarrow"}
OPTIONAL |= {"scipy", "sklearn", "skl2onnx", "tqdm", "zarr", "logging", "concurrent"}


@pytest.mark.parametrize("module", FILES)
def test_optional_libraries_imported_in_functions(module: str) -> None:
    """Libraries that are optional or slow to import are imported by the functions that need them."""
    for statement, late in statements(parsed(module)):
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


# One idea in a file, and everything asked of its owner ----------------------------------------------------------------

MOST_LINES = {"kernels.pyx": 600, "kernels.pyi": 500}  # every function, an argument a line
STRUCTURE_NAMES = {"full", "tied", "diag", "spherical"}
STRUCTURE_ARRAYS = ("covariances", "precisions", "factors", "scatters")


def source_files() -> list[Path]:
    """All files of the package that people write; what is compiled is installed without its source."""
    return [path for path in root().rglob("*") if path.suffix in {".py", ".pyx", ".pxd", ".h", ".pyi"}]


def test_files_are_short() -> None:
    """A file is one idea, of at most 400 lines."""
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in source_files()}
    assert {path.name: n for path, n in lengths.items() if n > MOST_LINES.get(path.name, 400)} == {}


def test_top_level_is_small() -> None:
    """What lies at the top is a public name or plain equipment; everything else has a room."""
    assert len(list(root().glob("*.py"))) <= 14


def names_of_structures(node: ast.AST) -> set[str]:
    """Names of structures among the constants of an expression."""
    return {leaf.value for leaf in ast.walk(node) if isinstance(leaf, ast.Constant)} & STRUCTURE_NAMES


def guesses(tree: ast.AST) -> Iterator[int]:
    """Lines that compare with the name of a structure, look one up by its name, or count the axes of its arrays."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare | ast.match_case):
            compared = node.pattern if isinstance(node, ast.match_case) else node
            if names_of_structures(compared):
                yield getattr(compared, "lineno", 0)
        if isinstance(node, ast.Subscript) and names_of_structures(node.slice):
            yield node.lineno
        if isinstance(node, ast.Attribute) and node.attr == "ndim":
            of = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if of.startswith(STRUCTURE_ARRAYS):
                yield node.lineno
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "len":
            text = ast.unparse(node)
            if ".shape" in text and any(name in text for name in STRUCTURE_ARRAYS):
                yield node.lineno


@pytest.mark.parametrize("module", [name for name in FILES if folder(name) != "model"])
def test_structures_answer_for_themselves(module: str) -> None:
    """Outside of the model nobody compares with a structure's name, or guesses it from the shape of an array."""
    assert list(guesses(parsed(module))) == []


def test_guesses_are_found() -> None:
    """The walk finds each kind of guess."""
    wrong = (
        'kind == "tied"',
        'name not in ("full", "tied")',
        'STRUCTURES["diag"]',
        "model.covariances.ndim == 3",
        "len(parameters.covariances.shape) == 3",
        'match kind:\n    case "full":\n        pass',
    )
    for text in wrong:
        assert list(guesses(ast.parse(text))), text
    assert not list(guesses(ast.parse('GaussianMixture(covariance_type="full")')))


@cache
def private_methods() -> set[str]:
    """Names of the private methods and properties of the estimators."""
    found = set()
    for module, path in FILES.items():
        if folder(module) in ("mixture", "gaussian_mixture"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef):
                    found |= {member.name for member in node.body if isinstance(member, ast.FunctionDef)}
    return {name for name in found if name.startswith("_") and not name.endswith("__")}


@pytest.mark.parametrize("module", [name for name in FILES if folder(name) not in ("mixture", "gaussian_mixture")])
def test_estimators_keep_their_private_methods(module: str) -> None:
    """Whoever is no part of an estimator asks a `Fitted`, `Settings`, or a function of the room mixture/."""
    for node in ast.walk(parsed(module)):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) not in ("self", "super()"):
            assert node.attr not in private_methods(), f"{module}:{node.lineno} uses {node.attr}"


# The map --------------------------------------------------------------------------------------------------------------


def test_map_is_true() -> None:
    """The rooms, modules and names that the map of the package tells of are there."""
    text = ast.get_docstring(parsed("fastgmm")) or ""
    paths = set(re.findall(r"\b(?:cli|fitting|kernels|mixture|model|sources)/[\w/]*\w", text))
    assert len(paths) > 15
    compiled = {"kernels/cpu", "kernels/meson", "kernels/tiles", "kernels/tiles_template"}
    for path in paths - compiled:
        assert (root() / path).is_dir() or (root() / path).with_suffix(".py").exists(), f"the map names {path}"
    written = "\n".join(path.read_text(encoding="utf-8") for name, path in FILES.items() if name != "fastgmm")
    modules = {name.rpartition(".")[2] for name in FILES}
    for name in set(re.findall(r"`(\w+)`", text)) - modules:
        assert re.search(rf"\b(?:def|class) {name}\b|^ *{name} *[:=]", written, re.MULTILINE), f"the map names {name}"


def test_rooms_say_what_they_are_for() -> None:
    """The docstring of every room says what it must not know."""
    for module, path in FILES.items():
        if path.name == "__init__.py" and module != "fastgmm":
            documented = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            assert re.search(r"\bnot\s+(?:know|import|validate)", documented), module
