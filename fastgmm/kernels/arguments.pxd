"""What passes are given: rows, a mixture as kernels read it, and where answers for each row go.

Numbers behind `void*` are of the precision of the rows.
"""
from libc.stdint cimport int64_t


cdef struct View:
    # Consecutive rows, where they lie.
    const char* X               # (N, D)
    Py_ssize_t row_stride       # in bytes, of any sign
    Py_ssize_t column_stride
    Py_ssize_t N
    const void* weights         # (N,), or NULL: 1 each


cdef struct Mixture:
    # The notation is that of kernels.pyx.
    const void* offsets         # (Q,)
    const void* centers         # (K, D)
    const void* center_rounding     # (K, D)  TRIANGULAR only
    const void* factors
    const double* origin        # (D,)    where there is a frame
    const double* whitener      # or NULL


cdef struct Answers:
    # Where they are wanted.
    void* log_likelihoods       # (N,), or NULL
    void* responsibilities      # (N, Q), or NULL
    Py_ssize_t length           # of a row of these
    int64_t* labels             # (N,), -1 for noise, or NULL


cdef inline View part(const View* rows, Py_ssize_t first, Py_ssize_t N, Py_ssize_t itemsize) noexcept nogil:
    """Some of the rows."""
    cdef View found = rows[0]
    found.X, found.N = rows.X + first * rows.row_stride, N
    if rows.weights != NULL:
        found.weights = <const char*> rows.weights + first * itemsize
    return found


cdef inline Answers answers_from(const Answers* out, Py_ssize_t first, Py_ssize_t itemsize) noexcept nogil:
    """Where answers go from a row on."""
    cdef Answers found = out[0]
    if out.log_likelihoods != NULL:
        found.log_likelihoods = <char*> out.log_likelihoods + first * itemsize
    if out.responsibilities != NULL:
        found.responsibilities = <char*> out.responsibilities + first * out.length * itemsize
    if out.labels != NULL:
        found.labels = out.labels + first
    return found


cdef inline bint normalizes(const Answers* out) noexcept nogil:
    """Whether more than labels are wanted."""
    return out.log_likelihoods != NULL or out.responsibilities != NULL
