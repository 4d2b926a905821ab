"""Rows with gaps (NaN): exact statistics of the observed values, pattern by pattern, and imputation of the others.

It wraps any source, and must not know by which method a start is sought, nor where rows come from: `Completed` is the
source without gaps that starts see.
"""
