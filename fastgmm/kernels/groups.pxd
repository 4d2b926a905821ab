"""A pass over all rows of a problem in groups, each of which leaves its own sums, by one thread or by a crew.

Sums are added in the order of the groups: their bits do not depend on threads.
"""
from libc.string cimport memset

from blocks cimport Layout
from boxes cimport Boxes
from crew cimport Crew, lead
from expectation cimport expectation
from tiles cimport floating


cdef struct Rows:
    # All rows of a problem, and where they lie.
    const char* X
    Py_ssize_t row_stride, column_stride, N
    const double* units             # (D,)
    const double* origin            # (D,)    COMMON_FRAME only
    const double* scatter           # (D, D)  about the origin, where one matrix is shared
    double total                    # the number of rows, or the sum of their weights


cdef struct Groups:
    # How rows are cut into groups, what these leave, and who works on them.
    Py_ssize_t rows                 # of a group, except for the last
    Py_ssize_t n_sums
    double* sums                    # SCRATCH  (groups, n_sums)
    Crew* crew                      # or NULL: one thread


cdef struct Expectation:
    # A pass under a mixture: numbers are of the precision of the rows.
    const Layout* at
    const Boxes* boxes              # where components may be left out, or NULL
    const Rows* rows
    const Groups* groups            # or NULL: there is one
    const void* row_weights         # (N,), or NULL: 1 each
    const void* offsets             # the mixture, as in `accumulate`
    const void* centers
    const void* center_rounding
    const void* factors
    const double* whitener


cdef inline void sum_rows(
    const Expectation* job, Py_ssize_t first, Py_ssize_t N, floating* work, double* sums
) noexcept nogil:
    """The sums of some consecutive rows."""
    cdef const Rows* rows = job.rows
    cdef const floating* weights = <const floating*> job.row_weights
    expectation(job.at, job.boxes, rows.X + first * rows.row_stride, rows.row_stride, rows.column_stride, N,
                NULL if weights == NULL else weights + first, <const floating*> job.offsets,
                <const floating*> job.centers, <const floating*> job.center_rounding, <const floating*> job.factors,
                rows.origin, job.whitener, work, sums)


cdef inline void sum_group(const Expectation* job, Py_ssize_t group, floating* work) noexcept nogil:
    """The sums of one group of rows."""
    cdef Py_ssize_t first = group * job.groups.rows
    sum_rows(job, first, min(job.groups.rows, job.rows.N - first), work,
             job.groups.sums + group * job.groups.n_sums)


cdef inline void sum_group_of_doubles(const void* job, Py_ssize_t group, void* work) noexcept nogil:
    """The same for rows in double precision, as a crew does it."""
    sum_group(<const Expectation*> job, group, <double*> work)


cdef inline void sum_group_of_floats(const void* job, Py_ssize_t group, void* work) noexcept nogil:
    """The same for rows in single precision."""
    sum_group(<const Expectation*> job, group, <float*> work)


cdef inline void sum_all(const Expectation* job, floating* work, double* sums) noexcept nogil:
    """The sums of all rows."""
    cdef const Groups* groups = job.groups
    cdef Py_ssize_t group, i, n_groups
    if groups == NULL:
        sum_rows(job, 0, job.rows.N, work, sums)
        return
    n_groups = (job.rows.N + groups.rows - 1) // groups.rows
    if groups.crew != NULL:
        lead(groups.crew, sum_group_of_doubles if floating is double else sum_group_of_floats, job, n_groups, work)
    else:
        for group in range(n_groups):
            sum_group(job, group, work)
    memset(sums, 0, groups.n_sums * sizeof(double))
    for group in range(n_groups):
        for i in range(groups.n_sums):
            sums[i] += groups.sums[group * groups.n_sums + i]
