"""Blocks of rows and where their tiles stand in a workspace. The notation is that of kernels.pyx."""
from tiles cimport LANES_F32, LANES_F64, TILE_COLUMNS, floating, transpose, whiten

cdef enum:
    TRIANGULAR = 0
    DIAGONAL = 1
    COMMON_FRAME = 2

cdef enum:
    PADDING_BYTES = 512
    BUFFER_BYTES = 1 << 23      # the buffers of all components together should stay in a third-level cache


cdef struct Layout:
    # Where things stand in a workspace, in numbers from its (aligned) start.
    int kind
    Py_ssize_t D, K, B, C
    Py_ssize_t P            # C padded: a row of a buffer must not be a power of two away from the next
    Py_ssize_t x            # (D, B)     the block, transposed; for COMMON_FRAME in its frame
    Py_ssize_t p            # (K, B)     log densities, then responsibilities
    Py_ssize_t d2           # (K, B)     squared distances (COMMON_FRAME)
    Py_ssize_t extreme      # (B,)       largest log density, or smallest distance, of each sample
    Py_ssize_t component    # (B,)       the component that has it, an integer of the size of the numbers
    Py_ssize_t scores       # (B,)       log-likelihood of each sample
    Py_ssize_t frame        # (D, T), (D, T) and (T,) in double, T a tile's width: to enter the frame of COMMON_FRAME
    Py_ssize_t y            # (K, D, P)  buffers of whitened samples, to be added to the scatter (TRIANGULAR)
    Py_ssize_t r            # (K, P)     their responsibilities
    Py_ssize_t u            # (4, P)     four rows of r y
    Py_ssize_t n_buffered   # (K,)       samples in each buffer, as Py_ssize_t
    Py_ssize_t size


cdef inline Py_ssize_t take(Py_ssize_t* size, Py_ssize_t count, Py_ssize_t lanes) noexcept nogil:
    """Reserve `count` numbers, rounded up to whole vectors; returns where they start."""
    cdef Py_ssize_t start = size[0]
    size[0] += (count + lanes - 1) // lanes * lanes
    return start


cdef inline Layout layout(int kind, Py_ssize_t D, Py_ssize_t K, bint accumulating, Py_ssize_t itemsize) noexcept nogil:
    """Sizes that depend on the model and the instruction set alone, never on threads or rows."""
    cdef Layout at
    cdef Py_ssize_t lanes = LANES_F64 if itemsize == 8 else LANES_F32
    cdef Py_ssize_t tile = TILE_COLUMNS * lanes
    cdef Py_ssize_t pad = max(lanes, 16), size = 0, doubles
    at.kind, at.D, at.K = kind, D, K
    if accumulating:    # long blocks: sums over lanes are then a small part
        at.B = (2048 if kind != TRIANGULAR else 1024 if D <= 8 else 512) // itemsize
    else:               # short ones: a call may be for a single row
        at.B = tile
    at.B = (at.B + tile - 1) // tile * tile
    at.C = at.P = at.B
    at.x = take(&size, D * at.B, pad)
    at.p = take(&size, K * at.B, pad)
    at.d2 = take(&size, K * at.B if kind == COMMON_FRAME else 0, pad)
    at.extreme = take(&size, at.B, pad)
    at.component = take(&size, at.B, pad)
    at.scores = take(&size, at.B, pad)
    doubles = (2 * D + 1) * TILE_COLUMNS * LANES_F64
    at.frame = take(&size, doubles * 8 // itemsize if kind == COMMON_FRAME else 0, pad)
    if kind == TRIANGULAR and accumulating:
        at.C = min(max(BUFFER_BYTES // (K * D * itemsize), 2 * at.B), 512) // at.B * at.B
        at.P = at.C + PADDING_BYTES // itemsize
    at.y = take(&size, (K if accumulating else 1) * D * at.P if kind == TRIANGULAR else 0, pad)
    at.r = take(&size, K * at.P if kind == TRIANGULAR else 0, pad)
    at.u = take(&size, 4 * at.P if kind == TRIANGULAR else 0, pad)
    at.n_buffered = take(&size, 2 * K, pad)
    at.size = size
    return at


cdef inline floating* aligned(floating* p) noexcept nogil:
    """The first address from p on that a vector may be loaded from at full speed."""
    return <floating*> ((<size_t> p + 63) & ~(<size_t> 63))


cdef inline Py_ssize_t whole_vectors(
    Py_ssize_t row_stride,
    Py_ssize_t rows,
    Py_ssize_t rows_ahead,
    Py_ssize_t D,
    floating zero,              # tells the type
) noexcept nogil:
    """How many of the rows `transpose` may take: whole vectors of them, and no number read past the last row."""
    cdef Py_ssize_t lanes = LANES_F64 if floating is double else LANES_F32
    cdef Py_ssize_t n = rows // lanes * lanes
    cdef Py_ssize_t readable = (rows_ahead - 1) * row_stride + D * <Py_ssize_t> sizeof(floating)
    if D >= lanes:
        return n
    if row_stride <= 0:
        return 0
    while n > 0 and (n - 1) * row_stride + lanes * <Py_ssize_t> sizeof(floating) > readable:
        n -= lanes
    return n


cdef inline void load_block(
    const char* X,              # IN   address of the block's first row
    Py_ssize_t row_stride,      # IN   in bytes, any sign
    Py_ssize_t column_stride,
    Py_ssize_t rows,            # IN   1 .. B
    Py_ssize_t rows_ahead,      # IN   rows from here to the end of the array
    Py_ssize_t D,
    Py_ssize_t B,
    floating* x,                # OUT  (D, B); lanes past the last row repeat it, so that they stay finite
) noexcept nogil:
    """Transpose a block of rows into its tile."""
    cdef Py_ssize_t n, i, done = 0
    cdef const char* p
    cdef floating last
    if column_stride == sizeof(floating):
        done = whole_vectors(row_stride, rows, rows_ahead, D, <floating> 0)
        transpose(done, D, X, row_stride, x, B)
    for i in range(D):
        p = X + i * column_stride
        for n in range(done, rows):
            x[i * B + n] = (<const floating*> (p + n * row_stride))[0]
    if rows < B:
        for i in range(D):
            last = x[i * B + rows - 1]
            for n in range(rows, B):
                x[i * B + n] = last


cdef inline void pack_triangle(
    const floating* U,          # IN   (D, D) upper triangular, W = U^T (scikit-learn's precision Cholesky)
    Py_ssize_t D,
    floating* w,                # OUT  (D (D + 1) / 2,)  W in the order of the whitening tile
) noexcept nogil:
    """Panels of four rows of W; inside a panel column by column, from the diagonal down."""
    cdef Py_ssize_t i0, i, j, stop, above
    for i0 in range(0, D, 4):
        stop = min(i0 + 4, D)
        above = i0 if stop == i0 + 4 else 0     # columns with four numbers
        for j in range(above):
            for i in range(4):
                w[i] = U[j * D + i0 + i]
            w += 4
        for j in range(above, stop):
            for i in range(max(i0, j), stop):
                w[0] = U[j * D + i]
                w += 1


cdef inline void enter_frame(
    const Layout* at,
    const double* origin,           # IN     (D,)
    const double* whitener,         # IN     packed W, or NULL
    floating* work,                 # INOUT  x
) noexcept nogil:
    """COMMON_FRAME: replace the block, tile by tile, by W (x - origin), or x - origin without a whitener."""
    cdef Py_ssize_t n, i, tile, D = at.D, B = at.B, width = TILE_COLUMNS * LANES_F64
    cdef floating* x
    cdef double* z = <double*> (work + at.frame)
    cdef double* y = z + D * width
    cdef double* q = y + D * width
    cdef const double* entered = z if whitener == NULL else y
    for tile in range(B // width):
        x = work + at.x + tile * width
        for i in range(D):
            for n in range(width):
                z[i * width + n] = x[i * B + n] - origin[i]
        if whitener != NULL:
            whiten(width, D, <double> 0, whitener, <const double*> NULL, <const double*> NULL,
                   z, width, y, width, q)
        for i in range(D):
            for n in range(width):
                x[i * B + n] = <floating> entered[i * width + n]
