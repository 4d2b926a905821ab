"""Coming from scikit-learn, mclust, pomegranate or oneDAL: what to change, and what is different on purpose.

scikit-learn
------------

One line: ``from fastgmm import GaussianMixture, BayesianGaussianMixture`` in place of ``from sklearn.mixture import``.
Arguments, methods, fitted attributes, exceptions and warnings are those of scikit-learn 1.9. What takes more code
there:

================================================ ====================================================================
scikit-learn                                     fastgmm
================================================ ====================================================================
a loop over ``n_components`` and ``bic``         ``select(X, range(1, 10)).best_estimator_``
a loop over many small tables                    ``fit_many(X, n_components, groups=...)``
``SimpleImputer`` before the mixture             ``GaussianMixture(missing="em")``
rows repeated, for want of weights               ``fit(X, sample_weight=...)``
``score_samples(X)`` below their percentile      ``GaussianMixtureOutlierDetector(mixture, contamination=0.05)``
``QuadraticDiscriminantAnalysis()``              ``GaussianMixtureClassifier()``; with groups in classes ``("bic")``
``joblib.dump(mixture, path)``                   ``mixture.save(path)``, ``fastgmm.load(path)``
``np.concatenate(list_of_files)``                `fastgmm.sources`: files, chunks; or ``partial_fit``
a fitted mixture of scikit-learn                 ``GaussianMixture.from_sklearn(mixture)``; back: ``to_sklearn()``
================================================ ====================================================================

Code that cannot be changed gets these mixtures under scikit-learn's names by ``patch_sklearn()``, or ``fastgmm run``.

Different on purpose:

* A component that collapses is repaired, with a `DegenerateComponentWarning`; scikit-learn raises a ValueError, and so
  does ``degenerate="raise"``.
* With ``n_init`` of two or more, starts after the first are of other kinds, hopeless ones are dropped, and fits of
  spurious optima are set aside: more often the best is found. ``drop_restarts=False`` runs all to their ends.
* Where rows are many, EM begins on samples (``sampling=None`` does not): ``n_iter_`` is smaller.
* Random starts are not those of scikit-learn for the same ``random_state``; from the same starting values the
  parameters are, to rounding.
* With ``means_init`` alone, responsibilities of k-means belong to the nearest mean, not to the one of the same number.
* Covariances of `GaussianMixtureClassifier` divide by the number of rows, those of quadratic discriminant analysis by
  one less.
* ``_e_step``, ``_m_step`` and other private steps are not called: a subclass that overrides them should stay with
  scikit-learn.

mclust
------

One line: ``from fastgmm.mclust import Mclust``, with the arguments, defaults and words of R's.
``help("fastgmm.mclust")`` has them all, and what differs. ``MclustDA(X, class)`` is
``GaussianMixtureClassifier("bic").fit(X, y)``, of the one structure that its mixture names.

pomegranate
-----------

One line, for pomegranate 1::

    model = GeneralMixtureModel([Normal() for _ in range(3)]).fit(X)        # pomegranate
    model = GaussianMixture(3).fit(X)                                       # fastgmm

and for pomegranate 0, ``GeneralMixtureModel.from_samples(MultivariateGaussianDistribution, n_components=3, X=X)``.

============================================ ========================================================================
pomegranate 1                                fastgmm
============================================ ========================================================================
``Normal(covariance_type="diag")``           ``covariance_type="diag"``; ``"sphere"`` is ``"spherical"``
``fit(X, sample_weight=w)``                  the same; pomegranate 0: ``weights=w``
``max_iter=1000, tol=0.1``                   ``max_iter=1000, tol=0.1 / len(X)``: here it is a change per row
``init="random"``, of its k-means            ``init_params="kmeans"``, the default
``min_cov``                                  ``reg_covar``, or better ``covariance_ratio``
``log_probability(X)``                       ``score_samples(X)``
``probability(X)``                           ``np.exp(score_samples(X))``
``predict(X)``, ``predict_proba(X)``         the same, arrays of NumPy
``sample(n)``                                ``sample(n)[0]``; ``[1]`` are the components
``priors``                                   ``weights_``; pomegranate 0: ``np.exp(weights)``
``distributions[k].means``, ``.covs``        ``means_[k]``, ``covariances_[k]``
``summarize(part)``, ``from_summaries()``    `statistics`, `merge`, `maximize`; or ``partial_fit(part)``
``torch.masked.MaskedTensor``                NaN, with ``missing="em"``
``BayesClassifier([...]).fit(X, y)``         ``GaussianMixtureClassifier(3).fit(X, y)``; ``y`` may be any labels
``torch.save(model, path)``                  ``save(path)``
============================================ ========================================================================

Not here: distributions other than Gaussians, hidden Markov models, GPUs, ``inertia``, ``frozen``, and priors of single
rows in ``fit`` (labels as ``init_params`` say where EM begins, and no more). Covariances that are singular to rounding
are repaired.

oneDAL: daal4py and scikit-learn-intelex
----------------------------------------

``sklearnex.patch_sklearn()`` does not change scikit-learn's mixtures: there, the line of scikit-learn above is the one.
In place of daal4py's ``em_gmm``::

    init = daal4py.em_gmm_init(nComponents=3).compute(X)                                          # daal4py
    result = daal4py.em_gmm(nComponents=3).compute(X, init.weights, init.means, init.covariances)
    mixture = GaussianMixture(3, init_params="best").fit(X)                                       # fastgmm

======================================= =============================================================================
daal4py                                 fastgmm
======================================= =============================================================================
``em_gmm_init``                         ``init_params="best"``: a race of cheap starts; ``n_init`` for more of them
``nComponents``                         ``n_components``
``maxIterations=10``                    ``max_iter=10``; here 100 by default
``accuracyThreshold=1e-4``              ``tol=1e-4 / len(X)``: here it is a change per row
``regularizationFactor=0.01``           ``covariance_ratio``, or ``reg_covar``, here 1e-6 by default
``covarianceStorage="full"``            ``covariance_type="full"``; ``"diagonal"`` is ``"diag"``
``fptype="float"``                      rows of float32
``compute(X, weights, means, ...)``     ``weights_init``, ``means_init``, ``precisions_init`` (inverses), then ``fit``
``result.weights[0]``, ``.means``       ``weights_``, ``means_``
``result.covariances``                  ``covariances_``, an array
``result.goalFunction[0, 0]``           ``mixture.score(X) * len(X)``
``result.nIterations[0, 0]``            ``n_iter_``
``daalinit(n)``                         ``n_threads=n``
======================================= =============================================================================

A result of daal4py becomes a mixture, with all that fastgmm has:

>>> import numpy as np
>>> from fastgmm import GaussianMixture
>>> weights, means, covariances = np.array([[0.5, 0.5]]), [[0.0, 0.0], [4.0, 0.0]], [np.eye(2), np.eye(2)]
>>> mixture = GaussianMixture.from_parameters(weights[0], means, covariances)
>>> mixture.predict([[1.0, 0.0], [3.0, 0.0]])
array([0, 1])

Different on purpose: labels, densities and criteria, which daal4py leaves to the caller; weights, gaps and fourteen
structures; and the same bits for any number of threads.

For developers: this module is text. It has no names.
"""
