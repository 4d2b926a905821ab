"""The nouns: parameters, sufficient statistics, covariance structures."""
