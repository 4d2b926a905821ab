"""Decisions by fitted mixtures: which rows are outliers, and to which class a row belongs.

The estimators of this room hold mixtures, ask them for log densities, and decide. They must not know how anything is
fitted, what rows are made of, or what a covariance structure is.
"""
