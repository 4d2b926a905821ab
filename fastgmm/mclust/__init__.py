"""Coming from mclust: `Mclust` with the arguments, defaults and words of R's mclust 6.1, where it is right.

::

    from fastgmm.mclust import Mclust

    fit = Mclust(X)                      # 14 models, G = 1, ..., 9, by BIC
    print(fit.summary())
    fit.BIC                              # the table
    fit.classification                   # from 1; 0 is noise
    fit.plot("classification").figure_.savefig("clusters.png")
    fit.mixture                          # the GaussianMixture, with all that fastgmm has

Words
-----

==================================== ================================= =============================================
mclust                               fastgmm.mclust                    elsewhere in fastgmm
==================================== ================================= =============================================
``Mclust(X, G = 1:9)``               ``Mclust(X, range(1, 10))``       ``select(X, range(1, 10), "all")``
``Mclust(X, 3, "VEV")``              ``Mclust(X, 3, "VEV")``           ``GaussianMixture(3, covariance_type="VEV")``
``"VVV"``, ``"EEE"``                 the same                          the same, or ``"full"``, ``"tied"``
``"VVI"``, ``"VII"``                 the same                          the same, or ``"diag"``, ``"spherical"``
``mclustBIC(X)``                     ``fit.BIC``                       ``selection.table_``
``fit$bic``, ``fit$icl``             ``fit.bic``, ``fit.icl``          ``-mixture.bic(X)``, ``-mixture.icl(X)``
``fit$loglik``                       ``fit.loglik``                    ``n * mixture.score(X)``
``fit$df``                           ``fit.df``                        ``selection.table_["n_parameters"]``
``fit$classification``               ``fit.classification``            ``mixture.predict(X) + 1``
``fit$z``                            ``fit.z``                         ``mixture.predict_proba(X)``
``fit$uncertainty``                  ``fit.uncertainty``               ``mixture.uncertainty(X)``
``fit$parameters$pro``               ``fit.parameters.pro``            ``weights_``, then ``noise_weight_``
``fit$parameters$mean``              ``fit.parameters.mean``           ``means_``, transposed
``fit$parameters$variance$sigma``    ``fit.parameters.variance.sigma`` ``covariances_``, components first
``...$scale``, ``$shape``            ``.scale``, ``.shape``            ``mixture.decomposition()``
``...$orientation``                  ``.orientation``                  ``mixture.decomposition()``
``predict(fit, newX)``               ``fit.predict(newX)``             ``mixture.predict``, ``predict_proba``
``prior = priorControl()``           ``prior=True``                    ``prior="mclust", reg_covar=0``
``emControl(equalPro = TRUE)``       ``equal_weights=True``            the same
``initialization = list(noise = i)`` ``noise=True``                    ``noise="auto"``
``plot(fit, what = "BIC")``          ``fit.plot("BIC")``               ``selection.plot()``
``plot(fit, "classification")``      ``fit.plot("classification")``    ``ComponentsDisplay``, ``PairsDisplay``
``plot(fit, "uncertainty")``         ``fit.plot("uncertainty")``       ``UncertaintyDisplay``
``plot(densityMclust(X))``           ``fit.plot("density")``           ``DensityDisplay``
``sim``                              ``fit.mixture.sample(n)``         ``mixture.sample(n)``
==================================== ================================= =============================================

Signs and numbers: here BIC and ICL are mclust's, larger is better, and clusters count from 1. Elsewhere in fastgmm both
criteria have the opposite sign, as in scikit-learn, labels count from 0, and noise is -1. Displays are in
`fastgmm.plotting`.

What differs from mclust
------------------------

Where mclust is wrong (found by comparison with 6.0.0, and in the source of 6.1.3):

* **VVE** is a maximum likelihood fit. mclust minimizes another criterion for the common axes (that of EVE), so that its
  likelihood may fall in EM; on iris, faithful, quakes and airquality it ends up to 24 below.
* **Equal weights** are right in all models. mclust's ``equalPro`` divides means by the wrong counts in VEE, EVE, VVE
  and EVV, and leaves weights that do not sum to one in VVI.
* **Units do not matter.** mclust holds variances against absolute thresholds: VEE, EVE, VVE and EVV fail on iris in
  units of 100 m, all models in units of 1000 km. And its ``tol`` is relative to the log-likelihood, which depends on
  units; ours is a change per row.
* **A prior** acts in all models. mclust drops it in VEE, EVE, VVE and EVV without a word.
* **Failures** have reasons, in ``fit.selection.table_["error"]`` and ``fit.selection.notes``. In mclust they are NA in
  the table; so they are in ``fit.BIC``, together with fits in which a component has collapsed.
* **Large tables**: above 2000 rows mclust knows no start but a hierarchy of 2000 rows, drawn by R's seed. Here a
  hierarchy of a sample is one start among others, and what is random depends on ``random_state`` alone.
* **An end by max_iter** is a ConvergenceWarning; mclust uses such fits and keeps it to itself.

Where we chose otherwise:

* The search goes farther than mclust's single start, and likelihoods are nested as models are, but where a component
  would collapse; in mclust's tables every twentieth pair is not. So another model may win: the best BIC of up to six
  components is mclust's on iris and faithful, better by 2 on airquality and by 25 on quakes.
* So it finds more spurious optima, too: a component on a few rows in a line. These are set aside, with a warning; they
  are named in ``fit.selection.notes`` and stand in ``fit.selection.estimators_``.
* ``reg_covar`` is "auto": a millionth of each feature's variance is added to variances. With a prior or noise it is 0.
* Noise needs no first guess of the rows. Its density is one over the smaller volume of two boxes, as in mclust. G=0,
  noise alone, is tried only if it is asked for.
* ``random_state`` is 0, so that the same call gives the same result, as in mclust up to 2000 rows.
* ``parameters`` have full arrays in every model, also for one feature: ``mean`` is d x G, ``scale`` has G numbers,
  ``shape`` is d x G, ``orientation`` d x d x G; where axes are turned, the longest comes first.

Not here: standard errors, dimension reduction. Discriminant analysis, mclust's ``MclustDA``, is
`fastgmm.GaussianMixtureClassifier`.

Domains of spatial transcriptomics
----------------------------------

STAGATE, GraphST, SEDR and others call R for nothing but one clustering of an embedding. The same without R::

    def mclust_R(adata, num_cluster, modelNames="EEE", used_obsm="STAGATE", random_seed=2020):
        fit = Mclust(adata.obsm[used_obsm], num_cluster, modelNames, random_state=random_seed)
        adata.obs["mclust"] = fit.classification
        adata.obs["mclust"] = adata.obs["mclust"].astype("category")
        return adata

For developers: this room renames what `select` finds. `clustering.py` has `Mclust`, `result.py` and `table.py` what it
returns. It must not know how anything is fitted, and has no numerics of its own.
"""

from .clustering import Mclust
from .result import Classified, MclustResult
from .table import BicTable

__all__ = ["BicTable", "Classified", "Mclust", "MclustResult"]
