"""Gaussian mixture models by EM and variational Bayes: compiled drop-ins for the estimators of scikit-learn's mixture.

Users need `GaussianMixture`, `BayesianGaussianMixture`, `select`, `load`, for outliers and classes
`GaussianMixtureOutlierDetector` and `GaussianMixtureClassifier`, for thousands of small tables `fit_many` and, for data
in parts, `statistics`, `merge` and `maximize`; rows that do not fit into memory come from `fastgmm.sources`, pictures
from `fastgmm.plotting`. Code that imports scikit-learn's mixtures gets these after `patch_sklearn`. Who knows another
library reads `help("fastgmm.coming_from")`, who knows R's mclust `help("fastgmm.mclust")`; errors and warnings have
their remedies in `help("fastgmm.exceptions")`. The rest of this page is the map of the code.

One picture
-----------

::

          Parameters  ───────►  source.statistics(structure, parameters)  ───────►  Statistics
          log weights, means,   E-step and accumulation in one pass over the        counts, first and second
          precision factors     rows, group by group, on threads, anywhere          moments, log-likelihood
              ▲                                                                          │
              └────────────────────  m_step(statistics, parameters)  ◄──────────────────┘
                                     structure, objective, repairs

A `Structure` is a covariance structure and answers whatever depends on it. A `Source` is rows anywhere. An `MStep` owns
the objective: the value that must not fall, what is reported, and repairs. A `Fitted` is a mixture as a value.

Rooms
-----

Each imports from those below it alone, and from `exceptions` and `text`, as tests/test_architecture.py holds. The
docstring of a room says what it must not know.

* plotting/       pictures of fitted mixtures: they see public attributes;   cli/   the command line: public names;
  mclust/         `select` in the words of R's mclust;   decisions/   outliers and classes, by mixtures that they hold;
  patching/       classes that stand in for scikit-learn's
* fastgmm/        the public names: `gaussian_mixture`, `bayesian_mixture`, `em_steps`, `loading`, `datasets`, `config`,
                  and equipment: `exceptions`, `text`, `startup`; for readers `coming_from`
  selection/      mixtures of several structures and sizes, compared;   many/   mixtures of many tables in one call
* mixture/        what the estimators are made of: base, estimation, streaming, prior, bayesian, predictive, criteria,
                  distribution, regression, imputation, outliers, summary, persistence, scikit-learn's protocol and
                  conversion, checks of arguments and of attributes, progress and its bar, the ending of a fit that is
                  cut short, notebooks
* fitting/        em, pooling, whole, tables, mstep, variational, penalized, noise, repair, convergence, acceleration,
                  stream, restarts, parallel, settings
  starts/         where EM begins;   optima/   the search of n_init="auto";   search/   the search behind `select`
* sources/        where rows come from: intake, columns, numbers, passes, pruning, arrays, chunks, files, threads
  incomplete/     gaps;   dask/
* model/          parameters, statistics, structures, constraints on them, noise, frames in common, pools, the steps
                  between passes, units, priors, posterior, Student's t, special functions, conditioning, samples, the
                  fitted mixture, the format of files
* kernels/        compiled: passes over rows, the steps between them, whole small fits, register tiles, dense algebra,
                  choice of the instruction set

The way of a row
----------------

`GaussianMixture.fit` (mixture/estimation) checks arguments and has `as_source` (sources/intake) make a source of X.
Each start (fitting/starts) turns some first responsibilities into parameters; where rows are many, EM on samples of
them leads on from there (fitting/starts/levels). `Restarts` (fitting/restarts), or the `Search` of fitting/optima, runs
`expectation_maximization` (fitting/em) from each. In every iteration `source.statistics` (sources/complete, or
sources/incomplete for gaps, sources/dask) asks the structure for what the kernels read (`kernel_model`), in units that
are powers of two near the spread of the rows (model/units), cuts the rows into groups and has threads run
`kernels.accumulate` on them (sources/passes). The structure turns the kernels' sums into `Statistics`, the M-step
(fitting/mstep) these into the next `Parameters`, repaired where needed (fitting/repair); model/steps has the compiled
steps for that. Where components have a shape or axes in common and rows are many, fewer sums do (fitting/pooling).
Pairs of row and component that are below rounding are left out: with few features by bounds over boxes of rows near
each other (boxes.pxd), with many by what a fit remembers of each row (sources/pruning, and pruning.pxd).
Where rows lie in memory and passes are short, the same steps run in one call, of several threads that stay awake
(fitting/whole, and crew.pxd), and the loop does what is left; where rows are few, one call does everything from k-means
on (fitting/tables), for one table or for thousands (many/). At the end the best fit becomes the attributes of the
estimator. `predict` and its like make a `Fitted` of these attributes, and
`source.model(fitted)` puts it before the rows (kernels.posterior).

To add X, go to Y
-----------------

* a covariance structure: a class in model/structures.py, or a layout there under a constraint (model/constraint.py and
  the kernels), registered in `STRUCTURES`; nothing else asks for its name (tests/test_structures.py does it in a test);
* a place for rows: a `CompleteSource` in sources/ with `read` and `take`, and a branch in sources/intake.py;
* a start: a function in fitting/starts/methods.py, named in `METHODS` of fitting/starts/__init__.py; one that takes
  turns with others, in fitting/starts/spaces.py;
* a rule of convergence: a class in fitting/convergence.py, named in `RULES`;
* an objective or a prior: an `MStep` beside `MaximumLikelihood`, `Penalized` and `Variational` in fitting/, and an
  estimator whose `_m_step` returns what makes it (tests/test_mstep.py does it in a test);
* an argument of the constructor: gaussian_mixture.py, mixture/arguments.py, and if fits heed it fitting/settings.py;
* a question about a fitted mixture: a class in mixture/, a base of `GaussianMixture`;
* an estimator that holds a mixture as an argument: a `Holder` in decisions/;
* an instruction set: `LEVELS` in kernels/__init__.py, kernels/cpu.pyx, kernels/meson.build, and the lanes in
  kernels/tiles.h; a register tile: kernels/tiles_template.h; a geometry: as kernels/__init__.py says;
* what scikit-learn's mixtures are answered by fastgmm for: patching/stand_ins.py;
* a line of a summary: mixture/summary.py; a column of a report, or an option, of the command line: cli/reports.py,
  cli/arguments.py and cli/commands.py.
"""

try:
    from .config import __version__, show_config
except ImportError as error:  # a wrong FASTGMM_SIMD
    from .startup import refuse

    refuse(error)
from .bayesian_mixture import BayesianGaussianMixture
from .decisions.classes import GaussianMixtureClassifier
from .decisions.outliers import GaussianMixtureOutlierDetector
from .em_steps import maximize, merge, statistics
from .exceptions import (
    ConvergenceWarning,
    DegenerateComponentWarning,
    ModelFileError,
    NotFittedError,
    SelectionWarning,
)
from .gaussian_mixture import GaussianMixture
from .loading import load
from .many.fits import Fits
from .many.fitting import fit_many
from .mixture.prior import Prior
from .model.statistics import Statistics
from .patching import patch_sklearn, unpatch_sklearn
from .selection.result import Selection
from .selection.select import select

__all__ = [
    "BayesianGaussianMixture",
    "ConvergenceWarning",
    "DegenerateComponentWarning",
    "Fits",
    "GaussianMixture",
    "GaussianMixtureClassifier",
    "GaussianMixtureOutlierDetector",
    "ModelFileError",
    "NotFittedError",
    "Prior",
    "Selection",
    "SelectionWarning",
    "Statistics",
    "__version__",
    "fit_many",
    "load",
    "maximize",
    "merge",
    "patch_sklearn",
    "select",
    "show_config",
    "statistics",
    "unpatch_sklearn",
]
