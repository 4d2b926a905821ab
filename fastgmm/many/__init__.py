"""Mixtures of many tables in one call.

`fitting.py` has `fit_many`, `fits.py` its result. `layouts.py` says how tables lie in what the caller gives and reads
them in batches; `batches.py` fits a batch by compiled calls, one for each number of components, and `single.py` what is
too large or too unusual for these, one by one; `records.py` keeps what became of them in arrays. `answers.py` asks the
mixtures of many problems for the rows of as many tables.

This room must not know how a fit goes on: it asks for whole ones.
"""
