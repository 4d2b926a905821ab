"""Blocks of rows and where their tiles stand in a workspace. The notation is that of kernels.pyx."""
from libc.string cimport memset

from tiles cimport LANES_F32, LANES_F64, TILE_COLUMNS, floating, whiten

cdef enum:
    TRIANGULAR = 0
    DIAGONAL = 1
    ISOTROPIC = 2

cdef enum:
    CENTER_IN_TILE = 64         # features up to which the whitening tile subtracts the mean itself
    PADDING_BYTES = 512
    BUFFER_BYTES = 1 << 20      # the buffers of all components together should stay in a second-level cache


cdef struct Layout:
    # Where things stand in a workspace, in numbers from its (aligned) start.
    int kind
    Py_ssize_t D, K, B, C
    Py_ssize_t P            # C padded: a row of a buffer must not be a power of two away from the next
    Py_ssize_t x            # (D, B)     the block, transposed; for ISOTROPIC in its frame
    Py_ssize_t z            # (D, B)     the block about a component's mean
    Py_ssize_t p            # (K, B)     log densities, then responsibilities
    Py_ssize_t d2           # (K, B)     squared distances (ISOTROPIC)
    Py_ssize_t nearest      # (B,)       largest log density, or smallest distance, of each sample so far
    Py_ssize_t scores       # (B,)       log-likelihood of each sample
    Py_ssize_t factors      # (K, triangle) packed W_k, panel by panel (TRIANGULAR)
    Py_ssize_t frame        # in double: the packed W of ISOTROPIC, then (D, B), (D, B) and (B,) to apply it
    Py_ssize_t y            # (K, D, P)  whitened samples waiting to be added to the scatter (TRIANGULAR)
    Py_ssize_t r            # (K, P)     their responsibilities
    Py_ssize_t u            # (4, P)     four rows of r y
    Py_ssize_t fill         # (K,)       columns waiting, as Py_ssize_t
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
    cdef Py_ssize_t pad = max(lanes, 16), packed = D * (D + 1) // 2, size = 0, doubles
    at.kind, at.D, at.K = kind, D, K
    if accumulating:    # long blocks: sums over lanes are then a small part
        at.B = (2048 if kind != TRIANGULAR else 1024 if D <= 8 else 512) // itemsize
    else:               # short ones: a call may be for a single row
        at.B = tile
    at.B = (at.B + tile - 1) // tile * tile
    at.C = at.P = at.B
    at.x = take(&size, D * at.B, pad)
    at.z = take(&size, D * at.B if kind == TRIANGULAR else 0, pad)
    at.p = take(&size, K * at.B, pad)
    at.d2 = take(&size, K * at.B if kind == ISOTROPIC else 0, pad)
    at.nearest = take(&size, at.B, pad)
    at.scores = take(&size, at.B, pad)
    at.factors = take(&size, K * packed if kind == TRIANGULAR else 0, pad)
    doubles = (packed + 8) // 8 * 8 + (2 * D + 1) * at.B + D
    at.frame = take(&size, doubles * 8 // itemsize if kind == ISOTROPIC else 0, pad)
    if kind == TRIANGULAR and accumulating:
        at.C = min(max(BUFFER_BYTES // (K * D * itemsize), 2 * at.B), 512) // at.B * at.B
        at.P = at.C + PADDING_BYTES // itemsize
    at.y = take(&size, (K if accumulating else 1) * D * at.P if kind == TRIANGULAR else 0, pad)
    at.r = take(&size, K * at.P if kind == TRIANGULAR else 0, pad)
    at.u = take(&size, 4 * at.P if kind == TRIANGULAR else 0, pad)
    at.fill = take(&size, 2 * K, pad)
    at.size = size
    return at


cdef inline floating* aligned(floating* p) noexcept nogil:
    """The first address from p on that a vector may be loaded from at full speed."""
    return <floating*> ((<size_t> p + 63) & ~(<size_t> 63))


cdef inline void load_block(
    const char* X,              # IN   address of the block's first row
    Py_ssize_t row_stride,      # IN   in bytes, any sign
    Py_ssize_t column_stride,
    Py_ssize_t rows,            # IN   1 .. B
    Py_ssize_t D,
    Py_ssize_t B,
    floating* x,                # OUT  (D, B); lanes past the last row repeat it, so that they stay finite
) noexcept nogil:
    """Transpose a block of rows into its tile."""
    cdef Py_ssize_t n, i
    cdef const char* p
    cdef floating last
    if -64 < column_stride < 64 and D > 16:     # a row spans several cache lines: read each once
        for n in range(rows):
            p = X + n * row_stride
            for i in range(D):
                x[i * B + n] = (<const floating*> (p + i * column_stride))[0]
    else:
        for i in range(D):
            p = X + i * column_stride
            for n in range(rows):
                x[i * B + n] = (<const floating*> (p + n * row_stride))[0]
    if rows < B:
        for i in range(D):
            last = x[i * B + rows - 1]
            for n in range(rows, B):
                x[i * B + n] = last


cdef inline void subtract(
    const floating* x,          # IN   (D, B)
    const floating* center,     # IN   (D,)
    Py_ssize_t D,
    Py_ssize_t B,
    floating* z,                # OUT  (D, B)  x - center; may be x itself
) noexcept nogil:
    """The block about a center: correctly rounded differences, however far the origin is."""
    cdef Py_ssize_t n, i
    for i in range(D):
        for n in range(B):
            z[i * B + n] = x[i * B + n] - center[i]


cdef inline void pack_triangle(
    const floating* U,          # IN   (D, D) upper triangular, W = U^T (scikit-learn's precision Cholesky)
    Py_ssize_t D,
    floating* w,                # OUT  (D (D + 1) / 2,)  W in the order of the whitening tile
) noexcept nogil:
    """Panels of four rows of W; inside a panel column by column, from the diagonal down."""
    cdef Py_ssize_t i0, i, j, stop, t = 0
    for i0 in range(0, D, 4):
        stop = min(i0 + 4, D)
        for j in range(stop):
            for i in range(max(i0, j), stop):
                w[t] = U[j * D + i]
                t += 1


cdef inline void pack_model(
    const Layout* at,
    const floating[::1] factors,
    const double[::1] rotation,
    floating* work,
) noexcept nogil:
    """Put the triangular factors into the order of the whitening tile."""
    cdef Py_ssize_t k, packed = at.D * (at.D + 1) // 2
    if at.kind == TRIANGULAR:
        for k in range(at.K):
            pack_triangle(&factors[k * at.D * at.D], at.D, work + at.factors + k * packed)
    elif at.kind == ISOTROPIC and rotation.shape[0] > 0:
        pack_triangle(&rotation[0], at.D, <double*> (work + at.frame))


cdef inline void enter_frame(
    const Layout* at,
    const double[::1] origin,
    const double[::1] rotation,
    floating* work,             # INOUT  x
) noexcept nogil:
    """ISOTROPIC: replace the block by W (x - origin), or x - origin without a rotation."""
    cdef Py_ssize_t n, i, D = at.D, B = at.B
    cdef floating* x = work + at.x
    cdef double* w = <double*> (work + at.frame)
    cdef double* z = w + (D * (D + 1) // 2 + 8) // 8 * 8
    cdef double* y = z + D * B
    cdef double* q = y + D * B
    cdef double* zero = q + B
    for i in range(D):
        for n in range(B):
            z[i * B + n] = x[i * B + n] - origin[i]
    if rotation.shape[0] > 0:
        memset(zero, 0, D * sizeof(double))
        whiten(B, D, <double> 0, w, zero, <const double*> NULL, z, B, y, B, q)
        z = y
    for n in range(D * B):
        x[n] = <floating> z[n]
