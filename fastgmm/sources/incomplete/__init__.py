"""Rows with gaps (NaN): exact statistics of what is observed, pattern by pattern, and what a mixture says of the rest.

It must not know by which method a start is sought: `Completed` is the source without gaps that starts see.
"""
