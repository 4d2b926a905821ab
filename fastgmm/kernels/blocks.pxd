"""A block of rows in its workspace: the layout, reading rows, log densities. The notation is that of kernels.pyx."""
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset

from tiles cimport FEW_BYTES, LANES_F32, LANES_F64, TILE_COLUMNS, distances, floating, multiply, transpose, whiten

cdef extern from *:
    """
    #define INFINITE_F64 0x7ff0000000000000
    #define INFINITE_F32 0x7f800000
    """
    const int64_t INFINITE_F64
    const int32_t INFINITE_F32

cdef enum:                      # the kinds of geometry
    TRIANGULAR = 0
    DIAGONAL = 1
    COMMON_FRAME = 2
    COMMON_SHAPE = 3            # COMMON_FRAME, with a sum that all components share
    COMMON_AXES = 4             # DIAGONAL in a frame, likewise

cdef enum:
    PADDING_BYTES = 512
    PAGE_BYTES = 4096
    BLOCK_BYTES = 1 << 22       # a block of rows of many features is shorter
    BUFFER_BYTES = 1 << 23      # the buffers of all components together should stay in a third-level cache


cdef inline Py_ssize_t packed_size(Py_ssize_t D) noexcept nogil:
    """How many numbers a triangle of a (D, D) matrix has."""
    return D * (D + 1) // 2


cdef inline Py_ssize_t width(int kind, Py_ssize_t D) noexcept nogil:
    """How many sums each component has: of responsibilities, first moments, second moments."""
    return 1 + D + (packed_size(D) if kind == TRIANGULAR else D if kind == DIAGONAL or kind == COMMON_AXES else 1)


cdef inline Py_ssize_t pool_size(int kind, Py_ssize_t D) noexcept nogil:
    """How many sums all components share."""
    return width(TRIANGULAR, D) if kind == COMMON_SHAPE else D * D if kind == COMMON_AXES else 0


cdef struct Layout:
    # Where things stand in a workspace, in numbers from its (aligned) start.
    int kind                # TRIANGULAR, DIAGONAL or COMMON_FRAME
    bint framed             # whether rows enter a frame:
    bint turned             # whole matrices take them there,
    bint scaled             # or a number for each feature
    Py_ssize_t pool         # how many sums all components share
    Py_ssize_t D, K, B, C
    Py_ssize_t Q            # rows of p: K, and one more where there is noise
    Py_ssize_t P            # C padded: a row of a buffer must not be a power of two away from the next
    Py_ssize_t x            # (D, B)     the block, transposed; for COMMON_FRAME in its frame
    Py_ssize_t p            # (K + 1, B) log densities, then responsibilities; the last row is for noise
    Py_ssize_t d2           # (K, B)     squared distances (COMMON_FRAME)
    Py_ssize_t extreme      # (B,)       largest log density, or smallest distance, of each sample
    Py_ssize_t component    # (B,)       the component that has it, an integer of the size of the numbers
    Py_ssize_t scores       # (B,)       log-likelihood of each sample
    Py_ssize_t frame        # (D, T), (D, T) and (T,) in double, T a tile's width: to enter a frame
    Py_ssize_t y            # (K, D, P)  buffers of whitened samples, to be added to the scatter (TRIANGULAR)
    Py_ssize_t r            # (K, P)     their responsibilities
    Py_ssize_t u            # (4, P)     four rows of r y
    Py_ssize_t sums         # (K, width, LANES)  sums of each lane (few features)
    Py_ssize_t n_buffered   # (K,)       samples in each buffer, as Py_ssize_t
    Py_ssize_t v            # (D, V) or (5, V)  what sums that all components share are made of
    Py_ssize_t V            # B padded: a row of v must not be a power of two away from the next, nor from one of x
    Py_ssize_t size


cdef inline bint is_few(const Layout* at) noexcept nogil:
    """Whether a model is of few features; see few_features.pxd."""
    return at.kind == TRIANGULAR and at.D <= 4


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
    cdef Py_ssize_t pad = max(lanes, 16), size = 0, doubles, rows
    at.pool = pool_size(kind, D) if accumulating else 0
    at.turned, at.scaled, at.framed = kind == COMMON_AXES, False, kind >= COMMON_FRAME
    kind = DIAGONAL if kind == COMMON_AXES else COMMON_FRAME if kind == COMMON_SHAPE else kind
    at.kind, at.D, at.K, at.Q = kind, D, K, K
    if accumulating:    # long blocks: sums over lanes are then a small part
        at.B = (2048 if kind != TRIANGULAR else 1024 if D <= 8 else 512) // itemsize
    else:               # short ones: a call may be for a single row
        at.B = tile
    while kind != TRIANGULAR and at.B > tile and D * at.B * itemsize > BLOCK_BYTES:
        at.B //= 2
    at.B = (at.B + tile - 1) // tile * tile
    at.C = at.P = at.B
    rows = max(at.B, FEW_BYTES // itemsize) if is_few(&at) else at.B
    at.x = take(&size, D * rows, pad)
    at.p = take(&size, K * rows + PAGE_BYTES // itemsize, pad)     # a page more, not to move what follows within one
    at.d2 = take(&size, K * at.B if kind == COMMON_FRAME else 0, pad)
    at.extreme = take(&size, rows, pad)
    at.component = take(&size, rows, pad)
    at.scores = take(&size, rows, pad)
    doubles = (2 * D + 1) * TILE_COLUMNS * LANES_F64
    at.frame = take(&size, doubles * 8 // itemsize if at.framed else 0, pad)
    if kind == TRIANGULAR and accumulating:
        at.C = min(max(BUFFER_BYTES // (K * D * itemsize), 2 * at.B), 512) // at.B * at.B
        at.P = at.C + PADDING_BYTES // itemsize
    at.y = take(&size, (K if accumulating else 1) * D * at.P if kind == TRIANGULAR else 0, pad)
    at.r = take(&size, K * at.P if kind == TRIANGULAR else 0, pad)
    at.u = take(&size, 4 * at.P if kind == TRIANGULAR else 0, pad)
    at.sums = take(&size, K * width(kind, D) * lanes if is_few(&at) and accumulating else 0, pad)
    at.n_buffered = take(&size, 2 * K, pad)
    at.V = at.B + PADDING_BYTES // itemsize
    if at.pool > 0:
        size += (PAGE_BYTES + PADDING_BYTES // 2 - (size - at.x) * itemsize % PAGE_BYTES) // itemsize
    at.v = take(&size, 0 if at.pool == 0 else at.V * (D if at.turned else 5), pad)
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
            memcpy(x + i * B + n, p + n * row_stride, sizeof(floating))     # rows need not be aligned
    if rows < B:
        for i in range(D):
            last = x[i * B + rows - 1]
            for n in range(rows, B):
                x[i * B + n] = last


cdef inline bint finite_row(const char* row, Py_ssize_t n, Py_ssize_t stride, floating zero) noexcept nogil:
    """Whether n values, `stride` bytes apart, are all finite; `zero` tells their type."""
    cdef Py_ssize_t i
    cdef int64_t large = 0
    cdef int32_t large32 = 0
    if floating is double:
        if stride == 8:
            for i in range(n):
                large |= ((<const int64_t*> row)[i] & INFINITE_F64) >= INFINITE_F64
        else:
            for i in range(n):
                large |= ((<const int64_t*> (row + i * stride))[0] & INFINITE_F64) >= INFINITE_F64
        return large == 0
    else:
        if stride == 4:
            for i in range(n):
                large32 |= ((<const int32_t*> row)[i] & INFINITE_F32) >= INFINITE_F32
        else:
            for i in range(n):
                large32 |= ((<const int32_t*> (row + i * stride))[0] & INFINITE_F32) >= INFINITE_F32
        return large32 == 0


cdef inline void pack_triangle(
    const double* U,            # IN   (D, D) upper triangular, W = U^T (scikit-learn's precision Cholesky)
    Py_ssize_t ldu,             # IN   length of its rows
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
                w[i] = <floating> U[j * ldu + i0 + i]
            w += 4
        for j in range(above, stop):
            for i in range(max(i0, j), stop):
                w[0] = <floating> U[j * ldu + i]
                w += 1


cdef inline void enter_frame(
    const Layout* at,
    const double* origin,           # IN     (D,)
    const double* whitener,         # IN     packed W, or NULL; the diagonal of W if scaled, W if turned
    floating* work,                 # INOUT  x
) noexcept nogil:
    """Replace the block, tile by tile, by W (x - origin), or x - origin without a whitener."""
    cdef Py_ssize_t n, i, i0, tile, D = at.D, B = at.B, T = TILE_COLUMNS * LANES_F64
    cdef floating* x
    cdef double* z = <double*> (work + at.frame)
    cdef double* y = z + D * T
    cdef double* q = y + D * T
    if whitener == NULL:
        x = work + at.x
        for i in range(D):
            for n in range(B):
                x[i * B + n] = <floating> (x[i * B + n] - origin[i])
        return
    if at.scaled:
        x = work + at.x
        for i in range(D):
            for n in range(B):
                x[i * B + n] = <floating> (whitener[i] * (x[i * B + n] - origin[i]))
        return
    for tile in range(B // T):
        x = work + at.x + tile * T
        for i in range(D):
            for n in range(T):
                z[i * T + n] = x[i * B + n] - origin[i]
        if at.turned:
            for i0 in range(0, D, 4):
                multiply(<int> min(4, D - i0), D, whitener + i0 * D, D, 1, z, T, y + i0 * T, T)
        else:
            whiten(T, D, <double> 0, whitener, <const double*> NULL, <const double*> NULL,
                   z, T, y, T, q)
        for i in range(D):
            for n in range(T):
                x[i * B + n] = <floating> y[i * T + n]


# ---- log densities and responsibilities -------------------------------------------------------------------


cdef inline void log_densities(
    const Layout* at,
    const floating* offsets,            # IN   (Q,)  c_k, and the log of weight times density of noise
    const floating* centers,            # IN   (K, D)
    const floating* center_rounding,    # IN   (K, D), TRIANGULAR
    const floating* factors,            # IN   packed W_k, s_k of DIAGONAL (K, D) or COMMON_FRAME (K,)
    floating* work,                     # INOUT  fills p, and y (TRIANGULAR) or d2 (COMMON_FRAME)
) noexcept nogil:
    """p[k, n] = log of weight times density of component k at sample n."""
    cdef Py_ssize_t k, n, D = at.D, B = at.B, packed = packed_size(D)
    cdef Py_ssize_t* n_buffered = <Py_ssize_t*> (work + at.n_buffered)
    cdef floating* x = work + at.x
    cdef floating* restrict p
    cdef const floating* restrict d2
    cdef floating c, s
    if at.kind == TRIANGULAR:
        for k in range(at.K):
            whiten(B, D, offsets[k], factors + k * packed, center_rounding + k * D, centers + k * D, x, B,
                   work + at.y + (k * D * at.P + n_buffered[k] if at.P > B else 0), at.P, work + at.p + k * B)
    elif at.kind == DIAGONAL:
        distances(B, at.K, D, x, B, centers, factors, work + at.p, B)
        for k in range(at.K):
            p = work + at.p + k * B
            c = offsets[k]
            for n in range(B):
                p[n] = c - <floating> 0.5 * p[n]
    else:
        distances(B, at.K, D, x, B, centers, <const floating*> NULL, work + at.d2, B)
        for k in range(at.K):
            p = work + at.p + k * B
            d2 = work + at.d2 + k * B
            c = offsets[k]
            s = <floating> -0.5 * factors[k] * factors[k]
            for n in range(B):
                p[n] = c + s * d2[n]
    for k in range(at.K, at.Q):
        p = work + at.p + k * B
        for n in range(B):
            p[n] = offsets[k]


cdef inline Py_ssize_t far(const floating* values, Py_ssize_t n) noexcept nogil:
    """How many of n log densities are so low that differences between them are rounding, if they are numbers."""
    cdef Py_ssize_t i, count = 0
    cdef floating lowest
    if floating is double:
        lowest = -1e15
    else:
        lowest = -1e7
    for i in range(n):
        count += not (values[i] >= lowest)
    return count


cdef inline void clear_lanes(const Layout* at, Py_ssize_t rows, floating* work) noexcept nogil:
    """Zero the responsibilities of lanes without a row."""
    cdef Py_ssize_t k
    for k in range(at.K):
        memset(work + at.p + k * at.B + rows, 0, (at.B - rows) * sizeof(floating))


cdef inline void weigh(const Layout* at, const floating* weights, Py_ssize_t rows, floating* work) noexcept nogil:
    """Multiply responsibilities and log-likelihoods by the weights of their rows; a weight of zero leaves nothing."""
    cdef Py_ssize_t k, n
    cdef floating* restrict p
    cdef floating* restrict d2
    cdef floating* restrict scores = work + at.scores
    for n in range(rows):
        scores[n] = weights[n] * scores[n] if weights[n] > 0 else 0
    for k in range(at.K):
        p = work + at.p + k * at.B
        for n in range(rows):
            p[n] = p[n] * weights[n]
        if at.kind == COMMON_FRAME:
            d2 = work + at.d2 + k * at.B
            for n in range(rows):
                d2[n] = d2[n] if weights[n] > 0 else 0


cdef inline void given_responsibilities(
    const Layout* at,
    const floating* responsibilities,   # IN   (rows, K)
    const floating* weights,            # IN   (rows,) or NULL
    Py_ssize_t rows,
    const floating[:, ::1] centers,
    const floating[:, ::1] center_rounding,
    floating* work,                     # INOUT  fills p, and y (TRIANGULAR)
) noexcept nogil:
    """Responsibilities from outside instead of from densities; W_k is taken as the identity."""
    cdef Py_ssize_t k, n, i, D = at.D, B = at.B
    cdef Py_ssize_t* n_buffered = <Py_ssize_t*> (work + at.n_buffered)
    cdef floating* y
    for k in range(at.K):
        for n in range(rows):
            (work + at.p)[k * B + n] = responsibilities[n * at.K + k] * (weights[n] if weights != NULL else 1)
        for n in range(rows, B):
            (work + at.p)[k * B + n] = 0
    if at.kind == TRIANGULAR:
        for k in range(at.K):
            y = work + at.y + k * D * at.P + n_buffered[k]
            for i in range(D):
                for n in range(B):
                    y[i * at.P + n] = (work + at.x)[i * B + n] - centers[k, i] + center_rounding[k, i]


cdef inline void store_responsibilities(
    const Layout* at,
    const floating* work,
    Py_ssize_t rows,
    Py_ssize_t length,                  # IN   of a row of `out`
    floating* restrict out,             # OUT  (rows, Q)
) noexcept nogil:
    """Transpose the responsibilities of a block."""
    cdef Py_ssize_t k, n
    cdef const floating* restrict p
    for k in range(at.Q):
        p = work + at.p + k * at.B
        for n in range(rows):
            out[n * length + k] = p[n]


cdef inline floating below_rounding(Py_ssize_t K, floating zero) noexcept nogil:
    """u / K: responsibilities below it, even K of them, are rounding beside 1. `zero` tells the type."""
    return <floating> ((1.1102230246251565e-16 if floating is double else 5.9604645e-08) / K)


cdef inline Py_ssize_t integer(const floating* numbers, Py_ssize_t n) noexcept nogil:
    """Number n of an array of integers as large as the floating-point numbers."""
    if floating is double:
        return (<const int64_t*> numbers)[n]
    else:
        return (<const int32_t*> numbers)[n]
