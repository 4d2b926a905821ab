"""Mixtures of tables, for answers about their rows: their units, and whether rows of a type can hold them."""
from libc.math cimport INFINITY, isfinite

from blocks cimport TRIANGULAR
from location cimport power_units
from steps cimport Shape, on_diagonal
from tiles cimport floating


cdef inline void find_units(const Shape* s, const double* factors, double* units) noexcept nogil:
    """Units near the largest standard deviations among the components."""
    cdef Py_ssize_t k, i
    cdef double least
    for i in range(s.D):
        least = INFINITY
        for k in range(1 if s.shared else s.K):
            least = min(least, on_diagonal(s, factors + k * s.size, i))
        units[i] = 1 / least
    power_units(units, s.D)


cdef inline bint in_range(
    const Shape* s,
    const floating* centers,
    const floating* rounding,       # TRIANGULAR only
    const double* means,
    const double* factors,
    const double* units,
) noexcept nogil:
    """Whether rows of the type can hold a mixture as it is."""
    cdef Py_ssize_t k, i
    for i in range(s.D):
        if floating is float and not 0.00390625 <= units[i] <= 16777216:
            return False
        for k in range(s.K):
            if not isfinite(centers[k * s.D + i]) or (s.kind == TRIANGULAR and not isfinite(rounding[k * s.D + i])):
                return False
            if not isfinite(means[k * s.D + i] * on_diagonal(s, factors + (0 if s.shared else k * s.size), i)):
                return False
    return True
