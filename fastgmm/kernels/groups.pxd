"""A pass over all rows of a problem in groups, each of which leaves its own sums, by one thread or by a crew.

Sums are added in the order of the groups: their bits do not depend on threads.
"""
from libc.string cimport memset

from arguments cimport Mixture, View, part
from blocks cimport Layout
from boxes cimport Boxes
from crew cimport Crew, lead
from expectation cimport expectation
from tiles cimport floating


cdef struct Groups:
    # How rows are cut into groups, what these leave, and who works on them.
    Py_ssize_t rows                 # of a group, except for the last
    Py_ssize_t n_sums
    double* sums                    # SCRATCH  (groups, n_sums)
    Crew* crew                      # or NULL: one thread


cdef struct Expectation:
    # A pass under a mixture.
    const Layout* at
    const Boxes* boxes              # where components may be left out, or NULL
    const View* rows
    const Mixture* mixture
    const Groups* groups            # or NULL: there is one


cdef inline void sum_group(const Expectation* job, Py_ssize_t group, floating* work) noexcept nogil:
    """The sums of one group of rows."""
    cdef Py_ssize_t first = group * job.groups.rows
    cdef View rows = part(job.rows, first, min(job.groups.rows, job.rows.N - first), sizeof(floating))
    expectation(job.at, job.boxes, &rows, job.mixture, work, job.groups.sums + group * job.groups.n_sums)


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
        expectation(job.at, job.boxes, job.rows, job.mixture, work, sums)
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
