"""Rows of dask.array and Dask DataFrame: passes run where the chunks lie, and only statistics travel.

It must not import Dask before somebody passes one of its collections, nor know what is fitted to the rows.
"""
