"""Where rows lie, from some of them: a point amid all, and units of the features. The notation is that of kernels.pyx.
"""
from libc.math cimport INFINITY, fabs, frexp, ldexp

from tiles cimport floating


cdef struct Sample:
    # Some of the rows at X.
    const char* X
    Py_ssize_t row_stride, column_stride
    const Py_ssize_t* chosen    # (n,)  which, or NULL:
    Py_ssize_t step             # every such one
    Py_ssize_t n
    Py_ssize_t apart            # of these, every such one tells of units


cdef inline double value_at(const Sample* at, Py_ssize_t r, Py_ssize_t i, floating zero) noexcept nogil:
    """Feature i of row r of the sample; `zero` tells the type."""
    cdef Py_ssize_t n = at.chosen[r] if at.chosen != NULL else r * at.step
    return (<const floating*> (at.X + n * at.row_stride + i * at.column_stride))[0]


cdef inline void choose(
    const double* cumulative,       # IN   (N,)  sums of weights
    Py_ssize_t N,
    Py_ssize_t n,
    Py_ssize_t* chosen,             # OUT  (n,)
) noexcept nogil:
    """Rows at which the middles of n equal parts of the total weight are reached."""
    cdef Py_ssize_t t, here = 0, last = 0
    cdef double fraction
    while cumulative[last] < cumulative[N - 1]:
        last += 1
    for t in range(n):
        fraction = (t + 0.5) / n * cumulative[N - 1]
        while here < last and cumulative[here] <= fraction:
            here += 1
        chosen[t] = here


cdef inline void locate(
    const Sample* at,
    Py_ssize_t D,
    double* origin,                 # OUT  (D,)  the mean of the sample
    double* units,                  # OUT  (D,)  powers of two near the spread of each feature
    floating zero,
) noexcept nogil:
    """Origin and units. A unit is near the geometric mean of the steps between rows, up to rounding.

    So neither single outliers nor values that are repeated count for much. Features without steps have the largest
    unit of the others; where no feature has any, it is by what the values are.
    """
    cdef Py_ssize_t r, i, n_steps, exponents, mean
    cdef bint varies = False
    cdef int e
    cdef double before, here
    for i in range(D):
        origin[i] = 0
    for r in range(at.n):
        for i in range(D):
            origin[i] += value_at(at, r, i, zero)
    for i in range(D):
        origin[i] /= at.n
        n_steps = exponents = 0
        before = value_at(at, 0, i, zero)
        r = at.apart
        while r < at.n:
            here = value_at(at, r, i, zero)
            r += at.apart
            if 0 < fabs(here - before) < INFINITY:
                frexp(fabs(here - before), &e)
                exponents += e
                n_steps += 1
            before = here
        units[i] = 0
        if n_steps > 0:
            varies = True
            mean = exponents // n_steps         # of C: toward zero
            units[i] = ldexp(1, <int> (mean - (exponents < mean * n_steps) - 1))
    if not varies:
        for i in range(D):
            r = 0
            while r < at.n:
                here = fabs(value_at(at, r, i, zero))
                r += at.apart
                if here > units[i]:             # not NaN
                    units[i] = here
    power_units(units, D)


cdef inline void power_units(double* values, Py_ssize_t D) noexcept nogil:
    """The next larger power of two of each positive number; for others the largest of those, or 1."""
    cdef Py_ssize_t i
    cdef int e, most = 0
    cdef bint some = False
    for i in range(D):
        if 0 < values[i] < INFINITY:
            frexp(values[i], &e)
            most = max(most, e) if some else e
            some = True
    for i in range(D):
        e = most
        if 0 < values[i] < INFINITY:
            frexp(values[i], &e)
        values[i] = ldexp(1, min(e, 1023))
