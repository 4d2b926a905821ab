"""Rows of few features in the order of a Morton curve, so that rows near each other in it are near each other."""
from libc.stdint cimport uint16_t

from tiles cimport floating

cdef enum:
    STRETCH = 1 << 16           # rows that are put in order together: their places are 16-bit numbers
    PIECES = 8                  # of a sample, whose extents are looked at
    BYTE = 256


cdef struct Grid:
    # A lattice of cells over most rows; those beyond it are taken to its outermost cells. Of a single feature the
    # number of a cell is its place along the curve.
    Py_ssize_t D
    double[4] low               # where it begins along each feature
    double[4] per_unit          # cells
    double last                 # cell along each feature
    uint16_t[256] spread        # the bits of a number, D apart


cdef inline double median(double* values) noexcept nogil:
    """The lower one of PIECES numbers, which are put in order."""
    cdef Py_ssize_t i, j
    cdef double value
    for i in range(1, PIECES):
        value, j = values[i], i
        while j > 0 and value < values[j - 1]:
            values[j] = values[j - 1]
            j -= 1
        values[j] = value
    return values[PIECES // 2 - 1]


cdef inline void find_grid(
    const char* X,              # IN   (n, D) a sample of rows, at least PIECES
    Py_ssize_t row_stride,
    Py_ssize_t column_stride,
    Py_ssize_t n,
    Py_ssize_t D,               # IN   1 .. 4
    Grid* grid,                 # OUT
    floating zero,              # tells the type
) noexcept nogil:
    """Cells over the median extent of pieces of the sample, which single rows far away do not stretch."""
    cdef Py_ssize_t i, piece, r, start, stop, bits = 16 if D == 1 else 8 if D == 2 else 5 if D == 3 else 4
    cdef double[PIECES] lowest
    cdef double[PIECES] highest
    cdef double x, extent
    grid.D, grid.last = D, (1 << bits) - 1
    for i in range(D):
        for piece in range(PIECES):
            start, stop = piece * n // PIECES, (piece + 1) * n // PIECES
            lowest[piece] = (<const floating*> (X + start * row_stride + i * column_stride))[0]
            highest[piece] = -lowest[piece]
            for r in range(start + 1, stop):
                x = (<const floating*> (X + r * row_stride + i * column_stride))[0]
                lowest[piece] = x if x < lowest[piece] else lowest[piece]
                highest[piece] = -x if -x < highest[piece] else highest[piece]
        grid.low[i] = median(lowest)
        extent = -median(highest) - grid.low[i]
        grid.per_unit[i] = (grid.last + 1) / extent if extent > 0 else 0
    grid.spread[0] = 0
    for r in range(1, 1 << min(bits, 8)):
        grid.spread[r] = <uint16_t> (grid.spread[r >> 1] << D | r & 1)


cdef inline void find_order(
    const char* X,              # IN   (N, D), N <= STRETCH
    Py_ssize_t row_stride,
    Py_ssize_t column_stride,
    Py_ssize_t N,
    const Grid* grid,
    uint16_t* codes,            # SCRATCH  (N,)
    uint16_t* halfway,          # SCRATCH  (N,)
    uint16_t* order,            # OUT  (N,)  rows by the number of their cells along the curve, then by their own
    floating zero,              # tells the type
) noexcept nogil:
    """Counting sort by the lower, then by the upper bytes of the numbers of cells."""
    cdef Py_ssize_t n, i, byte, cell, D = grid.D, below = 0, above = 0, count
    cdef Py_ssize_t[BYTE] lower
    cdef Py_ssize_t[BYTE] upper
    cdef double x
    cdef uint16_t code
    for byte in range(BYTE):
        lower[byte] = upper[byte] = 0
    for n in range(N):
        code = 0
        for i in range(D):
            x = (<const floating*> (X + n * row_stride + i * column_stride))[0]
            x = (x - grid.low[i]) * grid.per_unit[i]
            x = x if x > 0 else 0           # and NaN
            cell = <Py_ssize_t> (x if x < grid.last else grid.last)
            code |= <uint16_t> (cell if D == 1 else grid.spread[cell] << i)
        codes[n] = code
        lower[code & (BYTE - 1)] += 1
        upper[code >> 8] += 1
    for byte in range(BYTE):
        count, lower[byte] = lower[byte], below
        below += count
        count, upper[byte] = upper[byte], above
        above += count
    for n in range(N):
        byte = codes[n] & (BYTE - 1)
        halfway[lower[byte]] = <uint16_t> n
        lower[byte] += 1
    for n in range(N):
        byte = codes[halfway[n]] >> 8
        order[upper[byte]] = halfway[n]
        upper[byte] += 1
