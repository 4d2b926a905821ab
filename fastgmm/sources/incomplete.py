"""Rows with gaps."""
