"""The search behind ``n_init='auto'``: rounds of starts, moves and perturbations, until the best is found again.

It knows starts, EM and restarts. It must not know estimators, nor how `select` compares mixtures.
"""
