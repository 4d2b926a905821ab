"""Sums over pairs of a row and a component that has a share in it, for DIAGONAL and COMMON_FRAME; see pruning.pxd.

Rows are copied side by side, a batch at a time, in the order in which they are taken, and enter their frame there. The
pairs of each component are kept in a list, which is added to its sums row by row when it is full or the batch ends.
"""
from libc.stdint cimport int32_t
from libc.string cimport memcpy, memset

from arguments cimport Mixture, View
from blocks cimport DIAGONAL, Layout, enter_frame, take, width
from tiles cimport LANES_F32, LANES_F64, PREFETCH, add_pairs, floating, panel_lanes, transpose

cdef enum:
    LISTED = 64                 # pairs, so that sums in single precision stay short


cdef struct Batch:
    # Where things stand behind a Desk, in numbers from its start.
    Py_ssize_t L            # numbers of a row: features in whole vectors
    Py_ssize_t C            # pairs of a list, with room for a block more
    Py_ssize_t rows         # (B, L)   B as in the Layout
    Py_ssize_t shares       # (K, C)   responsibilities
    Py_ssize_t squares      # (K, C)   squared distances, of use to COMMON_FRAME alone
    Py_ssize_t places       # (K, C)   int32: of rows in the batch
    Py_ssize_t counts       # (K,)     int32: how many are listed
    Py_ssize_t size


cdef inline Batch batch(const Layout* at, Py_ssize_t itemsize) noexcept nogil:
    """Sizes that depend on the model and the instruction set alone."""
    cdef Batch to
    cdef Py_ssize_t size = 0, lanes = LANES_F64 if itemsize == 8 else LANES_F32, pad = max(lanes, 16)
    to.L = (at.D + lanes - 1) // lanes * lanes
    to.C = LISTED + panel_lanes(itemsize)
    to.rows = take(&size, at.B * to.L, pad)
    to.shares = take(&size, at.K * to.C, pad)
    to.squares = take(&size, at.K * to.C, pad)
    to.places = take(&size, at.K * to.C, pad)
    to.counts = take(&size, at.K, pad)
    to.size = size
    return to


cdef inline void load_batch(
    const Layout* at,
    const Batch* to,
    const View* given,
    const int32_t* order,       # IN   (count,)  which rows
    Py_ssize_t count,           # IN   at most B; what is past the last row repeats it
    const Mixture* mixture,     # IN   whose frame it is
    floating* work,             # SCRATCH  a Layout
    floating* lists,            # OUT  the batch
) noexcept nogil:
    """Copy rows side by side, and take them to their frame."""
    cdef Py_ssize_t n, i, D = at.D, B = at.B, L = to.L, block = panel_lanes(sizeof(floating))
    cdef bint turned = at.framed and mixture.whitener != NULL
    cdef Py_ssize_t whole = B if turned else (count + block - 1) // block * block
    cdef floating* rows = lists + to.rows
    cdef floating* restrict own
    cdef const char* row
    for n in range(whole):
        if n + 8 < count:                       # fetch what comes soon
            row = given.X + order[n + 8] * given.row_stride
            for i in range(0, D * <Py_ssize_t> sizeof(floating), 64):
                PREFETCH(row + i)
        row = given.X + order[min(n, count - 1)] * given.row_stride
        if given.column_stride == sizeof(floating):
            memcpy(rows + n * L, row, D * sizeof(floating))
        else:
            for i in range(D):
                rows[n * L + i] = (<const floating*> (row + i * given.column_stride))[0]
        for i in range(D, L):
            rows[n * L + i] = 0
        if at.framed and not turned:            # as `enter_frame` has it
            own = rows + n * L
            for i in range(D):
                own[i] = <floating> (own[i] - mixture.origin[i])
    if turned:
        transpose(B, D, <const char*> rows, L * sizeof(floating), work + at.x, B)
        enter_frame(at, mixture.origin, mixture.whitener, work)
        transpose(L, B, <const char*> (work + at.x), B * sizeof(floating), rows, L)


cdef inline Py_ssize_t list_pairs(
    const Layout* at,
    const Batch* to,
    Py_ssize_t k,
    Py_ssize_t place,               # IN     where in the batch the block starts
    Py_ssize_t count,               # IN     rows of the block
    const floating* p,              # IN     (count,)  responsibilities of component k
    const floating* squares,        # IN     (count,)  squared distances (COMMON_FRAME), or any numbers
    const floating* centers,
    floating* lists,                # INOUT
    double* out,                    # INOUT  sums of all components
) noexcept nogil:
    """Add the rows in which component k has a share to its list; returns how many they are."""
    cdef Py_ssize_t n
    cdef int32_t* counts = <int32_t*> (lists + to.counts)
    cdef Py_ssize_t used = counts[k], before = used
    cdef floating* restrict shares = lists + to.shares + k * to.C
    cdef floating* restrict apart = lists + to.squares + k * to.C
    cdef int32_t* restrict places = <int32_t*> (lists + to.places) + k * to.C
    for n in range(count):
        shares[used] = p[n]
        places[used] = <int32_t> (place + n)
        apart[used] = squares[n]
        used += p[n] > 0
    counts[k] = <int32_t> used
    if used >= LISTED:
        add_list(at, to, k, centers, lists, out)
    return used - before


cdef inline void add_list(
    const Layout* at, const Batch* to, Py_ssize_t k, const floating* centers, floating* lists, double* out
) noexcept nogil:
    """Add the listed pairs of component k to its sums."""
    cdef Py_ssize_t n, D = at.D
    cdef int32_t* counts = <int32_t*> (lists + to.counts)
    cdef Py_ssize_t used = counts[k]
    cdef const floating* shares = lists + to.shares + k * to.C
    cdef const floating* squares = lists + to.squares + k * to.C
    cdef const int32_t* places = <const int32_t*> (lists + to.places) + k * to.C
    cdef double* sums = out + k * width(at.kind, D)
    cdef double total = 0, radial = 0
    counts[k] = 0
    for n in range(used):
        total += shares[n]
    sums[0] += total
    if at.kind == DIAGONAL:
        add_pairs(used, D, shares, places, lists + to.rows, to.L, centers + k * D, sums + 1, sums + 1 + D)
        return
    for n in range(used):
        radial += <double> shares[n] * squares[n]
    sums[1 + D] += radial
    add_pairs(used, D, shares, places, lists + to.rows, to.L, <const floating*> NULL, sums + 1, <double*> NULL)


cdef inline void add_lists(
    const Layout* at, const Batch* to, const floating* centers, floating* lists, double* out
) noexcept nogil:
    """Empty all lists."""
    cdef Py_ssize_t k
    cdef const int32_t* counts = <const int32_t*> (lists + to.counts)
    for k in range(at.K):
        if counts[k] > 0:
            add_list(at, to, k, centers, lists, out)
