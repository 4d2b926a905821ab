"""The parts of estimators: fitting, streaming, and the questions that a fitted mixture answers, a file each.

It knows everything below it, and is the place for checks of arguments, warnings and messages. It must not know the
estimators built on it, `select`, the command line or pictures.
"""
