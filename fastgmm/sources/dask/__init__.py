"""Rows of dask.array and Dask DataFrame: work is done where the chunks lie, and only statistics travel.

It must not import Dask before somebody passes one of its collections.
"""
