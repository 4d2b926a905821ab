"""The nouns: parameters, statistics, covariance structures, their algebra, and the files in which they are kept.

Values and pure functions of small arrays, (K, D, D) at most. It knows the kernels' dense algebra and what they read of
a mixture. It must not know where rows come from, how a fit proceeds, or what an estimator is.
"""
