"""scikit-learn's mixtures answered by fastgmm, in programs that nobody wants to change.

For developers: `stand_ins` makes the classes, this file puts them into scikit-learn's place and takes them out again.
It must not know how a fit proceeds: it hands rows to the public estimators, and nothing else may know it but the
command line.
"""

from __future__ import annotations

import copyreg
import sys
from collections.abc import Iterator
from importlib import import_module
from threading import Lock
from types import ModuleType
from typing import Any

from ..bayesian_mixture import BayesianGaussianMixture
from ..gaussian_mixture import GaussianMixture
from ..mixture.progress import INFO, tell
from ..text import counted, listed
from .stand_ins import pickled, stand_in

__all__ = ["patch_sklearn", "unpatch_sklearn"]

# Packages that do not know of scikit-learn: what it rests on, what comes with tables and pictures, and this one.
RESTS_ON = {"numpy", "scipy", "joblib", "threadpoolctl", "narwhals", "Cython", "fastgmm"}
BESIDE = {"pandas", "pyarrow", "dateutil", "matplotlib", "mpl_toolkits", "PIL", "pyparsing", "fontTools"}
BELOW = sys.stdlib_module_names | RESTS_ON | BESIDE

_changing = Lock()
_stand_ins: dict[type, type] = {}  # made once, by scikit-learn's classes
_patched: dict[type, type] = {}  # the same as long as they stand in
_holders: list[Patch] = []  # those for whom they do


class Patch:
    """What `patch_sklearn` returns: a context manager at whose end the call no longer holds."""

    def __init__(self) -> None:
        self._entered = False

    def __enter__(self) -> None:
        """Begin a block of patched code, by the call itself or once more."""
        with _changing:
            if self._entered or self not in _holders:
                _hold(self)
            self._entered = True

    def __exit__(self, *_: object) -> None:
        """End it; what others have patched stays patched."""
        with _changing:
            if self in _holders:
                _holders.remove(self)
                if not _holders:
                    _put_back()

    def __repr__(self) -> str:
        """Say whether scikit-learn is patched now."""
        return f"<scikit-learn's mixtures are {'' if _patched else 'not '}fastgmm's>"


def patch_sklearn() -> Patch:
    """Have fastgmm do the work of scikit-learn's mixtures, also in code that has imported them already.

    From here on ``sklearn.mixture.GaussianMixture`` and ``BayesianGaussianMixture`` are subclasses of scikit-learn's
    classes, under their names, whose ``fit``, ``fit_predict``, ``predict``, ``predict_proba`` and ``score_samples`` are
    fastgmm's. Everything else is scikit-learn's own: arguments and defaults, ``clone``, ``repr``, ``sample``, the
    private steps, pickles. Fits take the same steps to the same tolerance, but draw their starts otherwise from the
    same seed, where rows are many on samples of them; a collapsed component is an error, as in scikit-learn.
    ``python -m fastgmm run script.py`` runs a program with this.

    Returns
    -------
    patch : context manager
        ``with patch_sklearn():`` undoes it at the end of the block, unless another call or block, in any thread, still
        needs it. As a plain call it lasts until `unpatch_sklearn`. It holds for the whole process, with all threads.

    Raises
    ------
    ImportError
        If scikit-learn is not installed, or is older than 1.6.

    Notes
    -----
    The classes are replaced wherever they are an attribute of a module that has been imported. They cannot be replaced
    in closures, default arguments, containers, attributes of classes and registries by class (that of skl2onnx, for
    instance: give it `GaussianMixture.to_sklearn`); classes that have been derived from them, and models that have been
    made, stay scikit-learn's. Other processes, such as the workers of joblib, are not patched unless they call this:
    their fits are scikit-learn's, and come back as models that are answered here.

    What fastgmm cannot do is left to scikit-learn, with a line at the level INFO of the logger "fastgmm" that says why:
    calls of subclasses, or instances, that have private steps of their own (``_m_step``, ``_initialize``, ...);
    everything while ``array_api_dispatch`` is on; arguments that fastgmm does not know; whatever fastgmm refuses, with
    an error, which is then scikit-learn's. A line tells what was replaced, too.

    ``isinstance`` and ``issubclass`` hold both ways, for fastgmm's own estimators too while this lasts. Pickles of
    patched models are scikit-learn's: they load where nothing is patched and fastgmm is not installed, and those that
    scikit-learn has written load here.

    Examples
    --------
    >>> import fastgmm, sklearn.mixture
    >>> with fastgmm.patch_sklearn():
    ...     sklearn.mixture.GaussianMixture(random_state=0).fit([[0.0], [2.0], [4.0]]).means_
    array([[2.]])
    """
    patch = Patch()
    with _changing:
        _hold(patch)
    return patch


def unpatch_sklearn() -> None:
    """Undo `patch_sklearn`: scikit-learn's classes are back in their places.

    Models that were made in between keep working as they did, and copies of them, and pickles, are scikit-learn's.
    Where nothing is patched nothing happens.

    Examples
    --------
    >>> import fastgmm, sklearn.mixture
    >>> before = sklearn.mixture.GaussianMixture
    >>> _ = fastgmm.patch_sklearn()
    >>> fastgmm.unpatch_sklearn()
    >>> sklearn.mixture.GaussianMixture is before
    True
    """
    with _changing:
        _holders.clear()
        _put_back()


def _hold(patch: Patch) -> None:
    """Have the classes stand in for somebody, and put them into place for the first one."""
    if not _patched:
        try:
            mixture = import_module("sklearn.mixture")
            for plain in (GaussianMixture, BayesianGaussianMixture):
                original = getattr(mixture, plain.__name__)
                if original not in _stand_ins:
                    _stand_ins[original] = stand_in(original, plain, _patched)
        except ImportError as error:
            remedy = "pip install 'fastgmm[sklearn]'"
            raise ImportError(f"patch_sklearn needs scikit-learn 1.6 or later: {remedy}") from error
        _patched.update(_stand_ins)
        places = _replaced(_patched)
        for original in _patched:
            copyreg.pickle(original, pickled)
        _forget_instances()
        _tell_of("fastgmm's now", places)
    _holders.append(patch)


def _put_back() -> None:
    """Have scikit-learn's classes back in their places."""
    if _patched:
        places = _replaced({made: original for original, made in _patched.items()})
        for original in _patched:
            copyreg.dispatch_table.pop(original, None)
        _patched.clear()
        _forget_instances()
        _tell_of("scikit-learn's again", places)


def _tell_of(whose: str, places: list[str]) -> None:
    """Log where the classes have been replaced."""
    what = "sklearn.mixture.GaussianMixture and BayesianGaussianMixture are %s, in %s: %s"
    tell(INFO, what, whose, counted(len(places), "module"), listed(places))


def _replaced(classes: dict[type, type]) -> list[str]:
    """Replace two classes wherever they are attributes of modules; return the names of these."""
    one, other = classes
    places = []
    for module, own in _namespaces():
        for value in list(own.values()):  # thousands, arrays among them
            if value is one or value is other:
                names = [name for name, value in own.items() if value is one or value is other]
                own.update({name: classes[own[name]] for name in names})
                places.append(module)
                break
    return places


def _namespaces() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the names and attributes of modules that may have imported the classes; none is loaded by that."""
    for name, module in list(sys.modules.items()):
        if may_hold(name) and issubclass(type(module), ModuleType):
            yield name, object.__getattribute__(module, "__dict__")


def may_hold(name: str) -> bool:
    """Tell by a module's name whether it is worth looking into: each value that is looked at is a cache miss."""
    package, _, rest = name.partition(".")
    return package not in BELOW and (package != "sklearn" or not rest or "mixture" in rest or "test" in rest)


def _forget_instances() -> None:
    """Have `isinstance` find out anew what it has remembered of these classes."""
    for original, made in _stand_ins.items():
        for kind in (made, *original.__mro__):
            forget = getattr(kind, "_abc_caches_clear", None)
            if forget is not None:
                forget()
