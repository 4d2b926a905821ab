# cython: boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
"""The passes over rows. Compiled once per instruction set; see __init__.py for the choice.

Notation
    N, D, K     samples (rows), features, components;  n, i, k their indices
    B           rows in a block; a block is held transposed, feature by sample, so a lane is a sample
    C           columns of a component's buffer of whitened samples (see `Layout`)
    r_nk        responsibility;  u the unit roundoff

The log of weight times density of component k at a sample x is, for the three geometries,

    log p_k = c_k - 1/2 |W_k (x - mu_k)|^2           TRIANGULAR   W_k lower triangular
    log p_k = c_k - 1/2 |s_k * (x - mu_k)|^2         DIAGONAL     s_k a vector
    log p_k = c_k - 1/2 s_k^2 |y - m_k|^2            ISOTROPIC    y = W (x - origin), one W for all or none

with c_k = log pi_k + log det(factor) - D/2 log 2 pi. Sums over rows (`accumulate`) are, per component,

    TRIANGULAR  sum r,  sum r y (D),  sum r y y^T (lower triangle by rows)      y = W_k (x - mu_k)
    DIAGONAL    sum r,  sum r z (D),  sum r z^2 (D)                             z = x - mu_k
    ISOTROPIC   sum r,  sum r y (D),  sum r |y - m_k|^2

In float32 the rounding of mu_k itself would show in the narrow directions of W_k: TRIANGULAR takes it back by
y = residue_k + W_k (x - center_k), residue_k = -W_k (mu_k - center_k). The frame of ISOTROPIC, entered once per
row and not once per component, is computed in double precision.

followed by one number, the log-likelihood: in the precision of the rows inside a block, in double
across blocks. Nothing here validates, allocates, or keeps state: callers size `workspace` by
`workspace_size` and own every output.
"""
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset

from algebra cimport cholesky, congruence, copy_rows, invert_upper, padded
from tiles cimport (
    LANES_F32, LANES_F64, TILE_COLUMNS,
    distances, exp_all, floating, log_all, moments, normalize, products, triangle, weights, whiten,
)

cdef enum:
    TRIANGULAR = 0
    DIAGONAL = 1
    ISOTROPIC = 2

cdef extern from *:
    """
    #define INFINITE_F64 0x7ff0000000000000
    #define INFINITE_F32 0x7f800000
    """
    const int64_t INFINITE_F64
    const int32_t INFINITE_F32

cdef enum:
    CENTER_IN_TILE = 8          # features up to which the whitening tile subtracts the mean itself
    BUFFER_BYTES = 1 << 20      # the buffers of all components together should stay in a second-level cache


# ---- the workspace ----------------------------------------------------------------------------------


cdef struct Layout:
    # Where things stand in a workspace, in numbers from its (aligned) start.
    int kind
    Py_ssize_t D, K, B, C
    Py_ssize_t x            # (D, B)     the block, transposed; for ISOTROPIC in its frame
    Py_ssize_t z            # (D, B)     the block about a component's mean
    Py_ssize_t p            # (K, B)     log densities, then responsibilities
    Py_ssize_t d2           # (K, B)     squared distances (ISOTROPIC)
    Py_ssize_t nearest      # (B,)       largest log density, or smallest distance, of each sample so far
    Py_ssize_t scores       # (B,)       log-likelihood of each sample
    Py_ssize_t factors      # (K, triangle) packed W_k, panel by panel (TRIANGULAR)
    Py_ssize_t frame        # in double: the packed W of ISOTROPIC, then (D, B), (D, B) and (B,) to apply it
    Py_ssize_t y            # (K, D, C)  whitened samples waiting to be added to the scatter (TRIANGULAR)
    Py_ssize_t r            # (K, C)     their responsibilities
    Py_ssize_t u            # (4, C)     four rows of r y
    Py_ssize_t fill         # (K,)       columns waiting, as Py_ssize_t
    Py_ssize_t size


cdef inline Py_ssize_t take(Py_ssize_t* size, Py_ssize_t count, Py_ssize_t lanes) noexcept nogil:
    """Reserve `count` numbers, rounded up to whole vectors; returns where they start."""
    cdef Py_ssize_t start = size[0]
    size[0] += (count + lanes - 1) // lanes * lanes
    return start


cdef Layout layout(int kind, Py_ssize_t D, Py_ssize_t K, bint accumulating, Py_ssize_t itemsize) noexcept nogil:
    """Sizes that depend on the model and the instruction set alone, never on threads or rows."""
    cdef Layout at
    cdef Py_ssize_t lanes = LANES_F64 if itemsize == 8 else LANES_F32
    cdef Py_ssize_t tile = TILE_COLUMNS * lanes
    cdef Py_ssize_t pad = max(lanes, 16), packed = D * (D + 1) // 2, size = 0, doubles
    at.kind, at.D, at.K = kind, D, K
    at.B = (64 if kind == TRIANGULAR else 128) // tile * tile
    at.C = at.B
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
    at.y = take(&size, (K if accumulating else 1) * D * at.C if kind == TRIANGULAR else 0, pad)
    at.r = take(&size, K * at.C if kind == TRIANGULAR else 0, pad)
    at.u = take(&size, 4 * at.C if kind == TRIANGULAR else 0, pad)
    at.fill = take(&size, 2 * K, pad)
    at.size = size
    return at


def workspace_size(int kind, Py_ssize_t n_features, Py_ssize_t n_components, bint accumulating,
                   Py_ssize_t itemsize):
    """How many numbers a workspace must hold."""
    return layout(kind, n_features, n_components, accumulating, itemsize).size + 64 // itemsize


cdef inline floating* aligned(floating* p) noexcept nogil:
    """The first address from p on that a vector may be loaded from at full speed."""
    return <floating*> ((<size_t> p + 63) & ~(<size_t> 63))


# ---- reading a block --------------------------------------------------------------------------------


cdef void load_block(
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


cdef bint finite_row(const char* row, Py_ssize_t n, Py_ssize_t stride, floating zero) noexcept nogil:
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


cdef void subtract(
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


cdef void pack_triangle(
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


cdef void pack_model(
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


cdef void enter_frame(
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


# ---- densities and responsibilities ---------------------------------------------------------------


cdef void log_densities(
    const Layout* at,
    const floating[::1] offsets,        # IN   (K,)  c_k
    const floating[:, ::1] centers,     # IN   (K, D)
    const floating[:, ::1] residues,    # IN     (K, D), TRIANGULAR
    const floating[::1] factors,        # IN   s_k of DIAGONAL (K, D) and ISOTROPIC (K,)
    floating* work,                     # INOUT  fills p, and y (TRIANGULAR) or d2 (ISOTROPIC)
) noexcept nogil:
    """p[k, n] = log of weight times density of component k at sample n."""
    cdef Py_ssize_t k, n, D = at.D, B = at.B, packed = D * (D + 1) // 2
    cdef Py_ssize_t* fill = <Py_ssize_t*> (work + at.fill)
    cdef floating* x = work + at.x
    cdef floating* z = work + at.z
    cdef const floating* center
    cdef floating* restrict p
    cdef const floating* restrict d2
    cdef floating c, s
    if at.kind == TRIANGULAR:
        for k in range(at.K):
            center = &centers[k, 0]
            if D > CENTER_IN_TILE:
                subtract(x, center, D, B, z)
                center = NULL
            whiten(B, D, offsets[k], work + at.factors + k * packed, &residues[k, 0], center,
                   z if center == NULL else x, B,
                   work + at.y + (k * D * at.C + fill[k] if at.C > B else 0), at.C, work + at.p + k * B)
    elif at.kind == DIAGONAL:
        distances(B, at.K, D, x, B, &centers[0, 0], &factors[0], work + at.p, B)
        for k in range(at.K):
            p = work + at.p + k * B
            c = offsets[k]
            for n in range(B):
                p[n] = c - <floating> 0.5 * p[n]
    else:
        distances(B, at.K, D, x, B, &centers[0, 0], <const floating*> NULL, work + at.d2, B)
        for k in range(at.K):
            p = work + at.p + k * B
            d2 = work + at.d2 + k * B
            c = offsets[k]
            s = <floating> -0.5 * factors[k] * factors[k]
            for n in range(B):
                p[n] = c + s * d2[n]


cdef void clear_lanes(const Layout* at, Py_ssize_t rows, floating* work) noexcept nogil:
    """Zero the responsibilities of lanes without a row."""
    cdef Py_ssize_t k
    for k in range(at.K):
        memset(work + at.p + k * at.B + rows, 0, (at.B - rows) * sizeof(floating))


# ---- accumulation -----------------------------------------------------------------------------------


cdef void flush(
    const Layout* at,
    Py_ssize_t k,
    floating* work,     # INOUT  the buffer of component k is emptied
    double* out,        # INOUT  (1 + D + D (D + 1) / 2,)  sums of component k
) noexcept nogil:
    """Add the waiting whitened samples of component k to its sums: a symmetric product, tile by tile."""
    cdef Py_ssize_t D = at.D, C = at.C, lanes = LANES_F64 if floating is double else LANES_F32
    cdef Py_ssize_t* fill = <Py_ssize_t*> (work + at.fill)
    cdef Py_ssize_t n = fill[k], i, i0, j0, whole = (n + lanes - 1) // lanes * lanes
    cdef int m, a, b
    cdef floating* y = work + at.y + k * D * C
    cdef floating* r = work + at.r + k * C
    cdef floating* u = work + at.u
    cdef floating[16] sums
    cdef double* row
    if n == 0:
        return
    fill[k] = 0
    if whole > n:
        memset(r + n, 0, (whole - n) * sizeof(floating))
        for i in range(D):
            memset(y + i * C + n, 0, (whole - n) * sizeof(floating))
    for i0 in range(0, D, 4):
        m = <int> min(4, D - i0)
        triangle(m, whole, r, y + i0 * C, C, u if i0 > 0 else <floating*> NULL, C, sums)
        if i0 == 0:
            out[0] += sums[7]
        for a in range(m):
            out[1 + i0 + a] += sums[6 if a == 3 else a + 1]
            row = out + 1 + D + (i0 + a) * (i0 + a + 1) // 2 + i0
            for b in range(a + 1):
                row[b] += sums[4 * a + b]
        for j0 in range(0, i0, 4):
            products(m, 4, whole, u, C, y + j0 * C, C, sums)
            for a in range(m):
                row = out + 1 + D + (i0 + a) * (i0 + a + 1) // 2 + j0
                for b in range(4):
                    row[b] += sums[4 * a + b]


cdef void accumulate_triangular(const Layout* at, floating* work, double* out) noexcept nogil:
    """Keep the block's samples of each component in its buffer, and flush the buffers that are full."""
    cdef Py_ssize_t k, n, i, active, D = at.D, B = at.B, C = at.C, stride = 1 + D + D * (D + 1) // 2
    cdef Py_ssize_t* fill = <Py_ssize_t*> (work + at.fill)
    cdef int32_t[128] chosen
    cdef const floating* p
    cdef floating* y
    cdef floating* r
    for k in range(at.K):
        p = work + at.p + k * B
        active = 0
        for n in range(B):
            active += p[n] > 0
        if active == 0:
            continue
        r = work + at.r + k * C + fill[k]
        if 2 * active > B:
            memcpy(r, p, B * sizeof(floating))
            active = B
        else:
            i = 0
            for n in range(B):
                chosen[i] = <int32_t> n
                i += p[n] > 0
            for n in range(active):
                r[n] = p[chosen[n]]
            y = work + at.y + k * D * C + fill[k]
            for i in range(D):
                for n in range(active):
                    y[i * C + n] = y[i * C + chosen[n]]
        fill[k] += active
        if fill[k] + B > C:
            flush(at, k, work, out + k * stride)


cdef void accumulate_diagonal(
    const Layout* at,
    const floating[:, ::1] centers,
    floating* work,
    double* out,
) noexcept nogil:
    """First and second moments of each feature about each mean."""
    cdef Py_ssize_t k, k0, i0, D = at.D, B = at.B, stride = 1 + 2 * D
    cdef int m, a
    cdef floating[16] sums
    for k0 in range(0, at.K, 4):
        m = <int> min(4, at.K - k0)
        weights(m, B, work + at.p + k0 * B, B, work + at.p + k0 * B, B, sums)
        for a in range(m):
            out[(k0 + a) * stride] += sums[a]
    for k in range(at.K):
        for i0 in range(0, D, 4):
            m = <int> min(4, D - i0)
            moments(m, B, work + at.p + k * B, work + at.x + i0 * B, B, &centers[k, i0], sums)
            for a in range(m):
                out[k * stride + 1 + i0 + a] += sums[a]
                out[k * stride + 1 + D + i0 + a] += sums[4 + a]


cdef void accumulate_isotropic(const Layout* at, floating* work, double* out) noexcept nogil:
    """Sums in the common frame: a product of responsibilities and samples, and the radial moment."""
    cdef Py_ssize_t k0, i0, D = at.D, B = at.B, stride = 2 + D
    cdef int m, width, a, b
    cdef floating* p
    cdef floating[16] sums
    for k0 in range(0, at.K, 4):
        m = <int> min(4, at.K - k0)
        p = work + at.p + k0 * B
        weights(m, B, p, B, work + at.d2 + k0 * B, B, sums)
        for a in range(m):
            out[(k0 + a) * stride] += sums[a]
            out[(k0 + a) * stride + 1 + D] += sums[4 + a]
        for i0 in range(0, D, 4):
            width = <int> min(4, D - i0)
            products(m, width, B, p, B, work + at.x + i0 * B, B, sums)
            for a in range(m):
                for b in range(width):
                    out[(k0 + a) * stride + 1 + i0 + b] += sums[4 * a + b]


cdef void given_responsibilities(
    const Layout* at,
    const floating* responsibilities,   # IN   (rows, K)
    Py_ssize_t rows,
    const floating[:, ::1] centers,
    const floating[:, ::1] residues,
    floating* work,                     # INOUT  fills p, and y (TRIANGULAR) or d2 (ISOTROPIC)
) noexcept nogil:
    """Responsibilities from outside instead of from densities; W_k is taken as the identity."""
    cdef Py_ssize_t k, n, i, D = at.D, B = at.B
    cdef Py_ssize_t* fill = <Py_ssize_t*> (work + at.fill)
    cdef floating* y
    for k in range(at.K):
        for n in range(rows):
            (work + at.p)[k * B + n] = responsibilities[n * at.K + k]
        for n in range(rows, B):
            (work + at.p)[k * B + n] = 0
    if at.kind == TRIANGULAR:
        for k in range(at.K):
            y = work + at.y + k * D * at.C + fill[k]
            for i in range(D):
                for n in range(B):
                    y[i * at.C + n] = (work + at.x)[i * B + n] - centers[k, i] + residues[k, i]
    elif at.kind == ISOTROPIC:
        distances(B, at.K, D, work + at.x, B, &centers[0, 0], <const floating*> NULL, work + at.d2, B)


def accumulate(
    const floating[:, :] X,                     # IN     (N, D) rows of any strides
    const floating[:, ::1] responsibilities,    # IN     (N, K), or None: the E-step under the model
    int kind,                                   # IN     TRIANGULAR, DIAGONAL or ISOTROPIC
    const floating[::1] offsets,                # IN     (K,)    c_k
    const floating[:, ::1] centers,             # IN     (K, D)  mu_k or m_k
    const floating[:, ::1] residues,            # IN     (K, D)  TRIANGULAR only
    const floating[::1] factors,                # IN     precision Cholesky (K, D, D), (K, D) or (K,), flat
    const double[::1] origin,                   # IN     (D,)    ISOTROPIC only
    const double[::1] rotation,                 # IN     (D, D) flat, or empty: ISOTROPIC only
    floating[::1] workspace,                    # SCRATCH
    double[::1] out,                            # OUT    sums per component, then the log-likelihood
):
    """One fused pass: expectation and accumulation, block by block, without any N x K array."""
    cdef Py_ssize_t N = X.shape[0], K = centers.shape[0], n, block, n0, rows, B, stride
    cdef Layout at = layout(kind, centers.shape[1], K, True, sizeof(floating))
    cdef floating* work = aligned(&workspace[0])
    cdef floating cut = <floating> ((1.1102230246251565e-16 if floating is double else 5.9604645e-08) / K)  # u / K
    cdef double* log_likelihood = &out[out.shape[0] - 1]
    cdef double part
    with nogil:
        B = at.B
        memset(&out[0], 0, out.shape[0] * sizeof(double))
        memset(work + at.fill, 0, at.K * sizeof(Py_ssize_t))
        pack_model(&at, factors, rotation, work)
        for block in range((N + B - 1) // B):
            n0 = block * B
            rows = min(B, N - n0)
            load_block(<const char*> &X[n0, 0], X.strides[0], X.strides[1], rows, at.D, B, work + at.x)
            if kind == ISOTROPIC:
                enter_frame(&at, origin, rotation, work)
            if responsibilities is None:
                log_densities(&at, offsets, centers, residues, factors, work)
                normalize(B, K, cut, work + at.p, B, work + at.scores)
                if rows < B:
                    clear_lanes(&at, rows, work)
                part = 0
                for n in range(rows):
                    part += (work + at.scores)[n]
                log_likelihood[0] += part
            else:
                given_responsibilities(&at, &responsibilities[n0, 0], rows, centers, residues, work)
            if kind == TRIANGULAR:
                accumulate_triangular(&at, work, &out[0])
            elif kind == DIAGONAL:
                accumulate_diagonal(&at, centers, work, &out[0])
            else:
                accumulate_isotropic(&at, work, &out[0])
        if kind == TRIANGULAR:
            stride = 1 + at.D + at.D * (at.D + 1) // 2
            for n in range(K):
                flush(&at, n, work, &out[n * stride])


def posterior(
    const floating[:, :] X,                     # IN     (N, D) rows of any strides
    int kind,                                   # IN     the model as in `accumulate`
    const floating[::1] offsets,
    const floating[:, ::1] centers,
    const floating[:, ::1] residues,
    const floating[::1] factors,
    const double[::1] origin,
    const double[::1] rotation,
    floating[::1] workspace,                    # SCRATCH
    floating[::1] log_likelihoods,              # OUT    (N,)   or None
    floating[:, ::1] responsibilities,          # OUT    (N, K) or None
    int64_t[::1] labels,                        # OUT    (N,)   or None
):
    """What a model says of each row: log-likelihood, responsibilities, most probable component."""
    cdef Py_ssize_t N = X.shape[0], K = centers.shape[0], n, k, block, n0, rows, B
    cdef Layout at = layout(kind, centers.shape[1], K, False, sizeof(floating))
    cdef floating* work = aligned(&workspace[0])
    cdef floating* p
    cdef floating* peak
    cdef bint normalized = log_likelihoods is not None or responsibilities is not None
    with nogil:
        B = at.B
        memset(work + at.fill, 0, at.K * sizeof(Py_ssize_t))
        pack_model(&at, factors, rotation, work)
        for block in range((N + B - 1) // B):
            n0 = block * B
            rows = min(B, N - n0)
            load_block(<const char*> &X[n0, 0], X.strides[0], X.strides[1], rows, at.D, B, work + at.x)
            if kind == ISOTROPIC:
                enter_frame(&at, origin, rotation, work)
            log_densities(&at, offsets, centers, residues, factors, work)
            if labels is not None:
                peak = work + at.nearest
                memcpy(peak, work + at.p, B * sizeof(floating))
                memset(&labels[n0], 0, rows * sizeof(int64_t))
                for k in range(1, K):
                    p = work + at.p + k * B
                    for n in range(rows):
                        if p[n] > peak[n]:
                            peak[n] = p[n]
                            labels[n0 + n] = k
            if normalized:
                normalize(B, K, <floating> 0, work + at.p, B, work + at.scores)
            if log_likelihoods is not None:
                memcpy(&log_likelihoods[n0], work + at.scores, rows * sizeof(floating))
            if responsibilities is not None:
                for k in range(K):
                    p = work + at.p + k * B
                    for n in range(rows):
                        responsibilities[n0 + n, k] = p[n]


def all_finite(const floating[:, :] X):
    """Whether no value is NaN or infinite: their exponent bits are all ones."""
    cdef Py_ssize_t n, N = X.shape[0], D = X.shape[1], outer = X.strides[0], inner = X.strides[1]
    cdef const char* row
    cdef bint finite = True
    if N == 0 or D == 0:
        return True
    if abs(inner) > abs(outer):
        N, D, inner, outer = D, N, outer, inner
    if inner == sizeof(floating) and outer == D * inner:      # one long row
        N, D = 1, N * D
    with nogil:
        for n in range(N):
            row = <const char*> &X[0, 0] + n * outer
            if not finite_row(row, D, inner, <floating> 0):
                finite = False
                break
    return finite


# ---- k-means ------------------------------------------------------------------------------------------


def assign(
    const floating[:, :] X,                     # IN     (N, D)
    const floating[:, ::1] centers,             # IN     (K, D)  about `origin`
    const double[::1] origin,                   # IN     (D,)
    floating[::1] workspace,                    # SCRATCH  as for ISOTROPIC
    int32_t[::1] labels,                        # OUT    (N,)  nearest center
    double[::1] out,                            # OUT    counts (K), sums of rows about the origin (K, D), inertia
):
    """Lloyd's pass: nearest centers, and the sums from which the next centers follow."""
    cdef Py_ssize_t N = X.shape[0], D = centers.shape[1], K = centers.shape[0], n, i, k, block, n0, rows, B
    cdef Layout at = layout(ISOTROPIC, D, K, True, sizeof(floating))
    cdef floating* work = aligned(&workspace[0])
    cdef floating* p
    cdef floating* nearest
    cdef double* sums
    cdef const double[::1] none = origin[:0]
    cdef double part
    with nogil:
        B = at.B
        memset(&out[0], 0, out.shape[0] * sizeof(double))
        nearest = work + at.nearest
        for block in range((N + B - 1) // B):
            n0 = block * B
            rows = min(B, N - n0)
            load_block(<const char*> &X[n0, 0], X.strides[0], X.strides[1], rows, D, B, work + at.x)
            enter_frame(&at, origin, none, work)
            distances(B, K, D, work + at.x, B, &centers[0, 0], <const floating*> NULL, work + at.d2, B)
            memcpy(nearest, work + at.d2, B * sizeof(floating))
            memset(&labels[n0], 0, rows * sizeof(int32_t))
            for k in range(1, K):
                p = work + at.d2 + k * B
                for n in range(rows):
                    if p[n] < nearest[n]:
                        nearest[n] = p[n]
                        labels[n0 + n] = <int32_t> k
            part = 0
            for n in range(rows):
                part += nearest[n]
                k = labels[n0 + n]
                out[k] += 1
                sums = &out[K + k * D]
                for i in range(D):
                    sums[i] += (work + at.x)[i * B + n]
            out[K + K * D] += part


def potentials(
    const floating[:, :] X,                     # IN     (N, D)
    const floating[:, ::1] candidates,          # IN     (T, D)  about `origin`
    const double[::1] origin,                   # IN     (D,)
    floating[::1] workspace,                    # SCRATCH  as for ISOTROPIC with T components
    floating[::1] closest,                      # INOUT  (N,)  squared distance to the nearest center so far
    bint update,                                # IN     lower `closest` by the (only) candidate
    double[::1] out,                            # OUT    (T,)  sum of min(closest, squared distance to candidate t)
):
    """k-means++: what each candidate for the next center would leave as the sum of squared distances."""
    cdef Py_ssize_t N = X.shape[0], D = candidates.shape[1], T = candidates.shape[0], n, t, block, n0, rows, B
    cdef Layout at = layout(ISOTROPIC, D, T, True, sizeof(floating))
    cdef floating* work = aligned(&workspace[0])
    cdef floating* p
    cdef floating value
    cdef double part
    cdef const double[::1] none = origin[:0]
    with nogil:
        B = at.B
        memset(&out[0], 0, out.shape[0] * sizeof(double))
        for block in range((N + B - 1) // B):
            n0 = block * B
            rows = min(B, N - n0)
            load_block(<const char*> &X[n0, 0], X.strides[0], X.strides[1], rows, D, B, work + at.x)
            enter_frame(&at, origin, none, work)
            distances(B, T, D, work + at.x, B, &candidates[0, 0], <const floating*> NULL, work + at.d2, B)
            for t in range(T):
                p = work + at.d2 + t * B
                part = 0
                for n in range(rows):
                    value = p[n] if p[n] < closest[n0 + n] else closest[n0 + n]
                    part += value
                    if update:
                        closest[n0 + n] = value
                out[t] += part


# ---- small dense algebra, in double precision ---------------------------------------------------------


def algebra_size(Py_ssize_t n_features):
    """How many numbers the workspace of the functions below must hold."""
    return (4 * n_features + 8) * padded(n_features)


def factorize(
    const double[:, :, ::1] covariances,        # IN     (K, D, D) symmetric
    double[::1] workspace,                      # SCRATCH
    double[:, :, ::1] precisions_cholesky,      # OUT    (K, D, D) upper triangular inverse of the Cholesky factor
):
    """Invert the Cholesky factor of each covariance; returns the first that is not positive definite, or -1."""
    cdef Py_ssize_t k, D = covariances.shape[1], P = padded(D), bad = -1
    cdef double* U = &workspace[0]
    with nogil:
        for k in range(covariances.shape[0]):
            if not cholesky(&covariances[k, 0, 0], D, U, U + 2 * D * P):
                bad = k
                break
            invert_upper(U, D, U + D * P, U + 2 * D * P)
            copy_rows(U + D * P, P, D, &precisions_cholesky[k, 0, 0], D)
    return bad


def invert(
    const double[:, :, ::1] factors,            # IN     (K, D, D) upper triangular
    double[::1] workspace,                      # SCRATCH
    double[:, :, ::1] out,                      # OUT    (K, D, D) their inverses
):
    """Invert triangular factors."""
    cdef Py_ssize_t k, D = factors.shape[1], P = padded(D)
    cdef double* U = &workspace[0]
    with nogil:
        for k in range(factors.shape[0]):
            copy_rows(&factors[k, 0, 0], D, D, U, P)
            invert_upper(U, D, U + D * P, U + 2 * D * P)
            copy_rows(U + D * P, P, D, &out[k, 0, 0], D)


def unwhiten(
    const double[:, ::1] sums,                  # IN     (K, 1 + D + D (D + 1) / 2) from `accumulate`, TRIANGULAR
    const double[:, :, ::1] factors,            # IN     (K, D, D) precision Cholesky as applied to the rows
    double[::1] workspace,                      # SCRATCH
    double[:, ::1] first,                       # OUT    (K, D)     sum r (x - mu)
    double[:, :, ::1] second,                   # OUT    (K, D, D)  sum r (x - mu) (x - mu)^T
):
    """Take sums over whitened samples back to the units of the data: L s and L S L^T, L = W^-1."""
    cdef Py_ssize_t k, D = first.shape[1], P = padded(D)
    cdef double* U = &workspace[0]
    with nogil:
        for k in range(first.shape[0]):
            copy_rows(&factors[k, 0, 0], D, D, U, P)
            invert_upper(U, D, U + D * P, U + 2 * D * P)
            congruence(U + D * P, &sums[k, 1], &sums[k, 1 + D], D, U + 2 * D * P, &first[k, 0], &second[k, 0, 0])


# ---- for tests ----------------------------------------------------------------------------------------


def vector_exp(const floating[::1] x, floating[::1] out):
    """out = exp(x) for x <= 0."""
    exp_all(x.shape[0], &x[0], &out[0])


def vector_log(const floating[::1] x, floating[::1] out):
    """out = log(x) for x >= 1."""
    log_all(x.shape[0], &x[0], &out[0])
