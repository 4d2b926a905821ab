"""Sums of a block under its responsibilities. The notation is that of kernels.pyx."""
from libc.stdint cimport int32_t
from libc.string cimport memcpy, memset

from blocks cimport COMMON_FRAME, DIAGONAL, TRIANGULAR, Layout, width
from tiles cimport (LANES_F32, LANES_F64, count_active, floating, moments, pack_active, products, sum_weights,
                    triangle)


cdef inline void add_products(
    Py_ssize_t D,
    Py_ssize_t whole,       # IN     samples, in whole vectors
    const floating* r,      # IN     (whole,)  their weights
    const floating* y,      # IN     (D, P)
    Py_ssize_t P,
    floating* u,            # SCRATCH  (4, U)
    Py_ssize_t U,
    double* out,            # INOUT  (1 + D + D (D + 1) / 2,)
) noexcept nogil:
    """Add sum r, sum r y and sum r y y^T: a symmetric product, tile by tile."""
    cdef Py_ssize_t i0, j0
    cdef int m, a, b
    cdef floating[16] sums
    cdef double* row
    for i0 in range(0, D, 4):
        m = <int> min(4, D - i0)
        triangle(m, whole, r, y + i0 * P, P, u if i0 > 0 else <floating*> NULL, U, sums)
        if i0 == 0:
            out[0] += sums[7]
        for a in range(m):
            out[1 + i0 + a] += sums[6 if a == 3 else a + 1]
            row = out + 1 + D + (i0 + a) * (i0 + a + 1) // 2 + i0
            for b in range(a + 1):
                row[b] += sums[4 * a + b]
        for j0 in range(0, i0, 4):
            products(m, 4, whole, u, U, y + j0 * P, P, sums)
            for a in range(m):
                row = out + 1 + D + (i0 + a) * (i0 + a + 1) // 2 + j0
                for b in range(4):
                    row[b] += sums[4 * a + b]


cdef inline void flush(
    const Layout* at,
    Py_ssize_t k,
    floating* work,     # INOUT  empties the buffer of component k
    double* out,        # INOUT  (1 + D + D (D + 1) / 2,)  sums of component k
) noexcept nogil:
    """Add the buffered samples of component k to its sums."""
    cdef Py_ssize_t D = at.D, P = at.P, lanes = LANES_F64 if floating is double else LANES_F32
    cdef Py_ssize_t* n_buffered = <Py_ssize_t*> (work + at.n_buffered)
    cdef Py_ssize_t n = n_buffered[k], i, whole = (n + lanes - 1) // lanes * lanes
    cdef floating* y = work + at.y + k * D * P
    cdef floating* r = work + at.r + k * P
    if n == 0:
        return
    n_buffered[k] = 0
    if whole > n:
        memset(r + n, 0, (whole - n) * sizeof(floating))
        for i in range(D):
            memset(y + i * P + n, 0, (whole - n) * sizeof(floating))
    add_products(D, whole, r, y, P, work + at.u, P, out)


cdef inline void flush_all(const Layout* at, floating* work, double* out) noexcept nogil:
    """Empty the buffers of all components (TRIANGULAR)."""
    cdef Py_ssize_t k
    if at.kind == TRIANGULAR:
        for k in range(at.K):
            flush(at, k, work, out + k * width(TRIANGULAR, at.D))


cdef inline void buffer_active(
    const Layout* at,
    Py_ssize_t k,
    Py_ssize_t B,                   # IN     samples in the block
    Py_ssize_t active,              # IN     how many of them have a share, at least one
    const floating* p,              # IN     (B,)  responsibilities of component k
    const floating* whitened,       # IN     (D, ldw), in the buffer where it goes on, or elsewhere
    Py_ssize_t ldw,
    floating* work,                 # INOUT
    double* out,                    # INOUT  (1 + D + D (D + 1) / 2,)  sums of component k
) noexcept nogil:
    """Keep the samples that have a share in the buffer of component k, and flush it when it is full."""
    cdef Py_ssize_t i, D = at.D, P = at.P
    cdef Py_ssize_t* n_buffered = <Py_ssize_t*> (work + at.n_buffered)
    cdef floating* r = work + at.r + k * P + n_buffered[k]
    cdef floating* y = work + at.y + k * D * P + n_buffered[k]
    if 2 * active > B:
        active = B
        memcpy(r, p, B * sizeof(floating))
        if y != whitened:
            for i in range(D):
                memcpy(y + i * P, whitened + i * ldw, B * sizeof(floating))
    else:
        pack_active(B, D, active, p, whitened, ldw, r, y, P)
    n_buffered[k] += active
    if n_buffered[k] + B > at.C:
        flush(at, k, work, out)


cdef inline void accumulate_triangular(const Layout* at, floating* work, double* out) noexcept nogil:
    """Keep the block's samples of each component, whitened where its buffer goes on, in the buffer."""
    cdef Py_ssize_t k, active, D = at.D, P = at.P
    cdef const Py_ssize_t* n_buffered = <const Py_ssize_t*> (work + at.n_buffered)
    cdef const floating* p
    for k in range(at.K):
        p = work + at.p + k * at.B
        active = count_active(at.B, p)
        if active > 0:
            buffer_active(at, k, at.B, active, p, work + at.y + k * D * P + n_buffered[k], P, work,
                          out + k * width(TRIANGULAR, D))


cdef inline void accumulate_diagonal(
    const Layout* at,
    const floating* centers,        # IN  (K, D)
    floating* work,
    double* out,
) noexcept nogil:
    """First and second moments of each feature about each mean."""
    cdef Py_ssize_t k, k0, i0, D = at.D, B = at.B, stride = width(DIAGONAL, at.D)
    cdef int m, a
    cdef floating[16] sums
    for k0 in range(0, at.K, 4):
        m = <int> min(4, at.K - k0)
        sum_weights(m, B, work + at.p + k0 * B, B, work + at.p + k0 * B, B, sums)
        for a in range(m):
            out[(k0 + a) * stride] += sums[a]
    for i0 in range(0, D, 4):       # four features of the block stay in the first-level cache
        m = <int> min(4, D - i0)
        for k in range(at.K):
            moments(m, B, work + at.p + k * B, work + at.x + i0 * B, B, centers + k * D + i0, sums)
            for a in range(m):
                out[k * stride + 1 + i0 + a] += sums[a]
                out[k * stride + 1 + D + i0 + a] += sums[4 + a]


cdef inline void accumulate_common_frame(const Layout* at, floating* work, double* out) noexcept nogil:
    """Sums in the common frame: a product of responsibilities and samples, and the radial moment."""
    cdef Py_ssize_t k0, i0, D = at.D, B = at.B, stride = width(COMMON_FRAME, at.D)
    cdef int m, columns, a, b
    cdef floating* p
    cdef floating[16] sums
    for k0 in range(0, at.K, 4):
        m = <int> min(4, at.K - k0)
        p = work + at.p + k0 * B
        sum_weights(m, B, p, B, work + at.d2 + k0 * B, B, sums)
        for a in range(m):
            out[(k0 + a) * stride] += sums[a]
            out[(k0 + a) * stride + 1 + D] += sums[4 + a]
        for i0 in range(0, D, 4):
            columns = <int> min(4, D - i0)
            products(m, columns, B, p, B, work + at.x + i0 * B, B, sums)
            for a in range(m):
                for b in range(columns):
                    out[(k0 + a) * stride + 1 + i0 + b] += sums[4 * a + b]


cdef inline void accumulate_block(
    const Layout* at,
    const floating* centers,        # IN     (K, D), DIAGONAL only
    floating* work,                 # INOUT  TRIANGULAR: samples stay in their buffers until `flush_all`
    double* out,                    # INOUT  (K, width)
) noexcept nogil:
    """Add a block under its responsibilities to the sums of each component."""
    if at.kind == TRIANGULAR:
        accumulate_triangular(at, work, out)
    elif at.kind == DIAGONAL:
        accumulate_diagonal(at, centers, work, out)
    else:
        accumulate_common_frame(at, work, out)


cdef inline void accumulate_labeled(
    const Layout* at,
    const int32_t* labels,          # IN   (rows,)
    const floating* row_weights,    # IN   (rows,) or NULL
    Py_ssize_t rows,
    const floating* centers,        # IN   (K, D)
    const floating* center_rounding,
    floating* work,
    double* out,
) noexcept nogil:
    """Each row belongs to one component: a step per row, not per row and component; W_k is taken as the identity."""
    cdef Py_ssize_t n, k, i, D = at.D, B = at.B, P = at.P
    cdef Py_ssize_t* n_buffered = <Py_ssize_t*> (work + at.n_buffered)
    cdef const floating* x
    cdef floating* y
    cdef double* sums
    cdef double z
    cdef floating w = 1
    for n in range(rows):
        k = labels[n]
        x = work + at.x + n
        if row_weights != NULL:
            w = row_weights[n]
        if at.kind == TRIANGULAR:
            y = work + at.y + k * D * P + n_buffered[k]
            for i in range(D):
                y[i * P] = x[i * B] - centers[k * D + i] + center_rounding[k * D + i]
            (work + at.r)[k * P + n_buffered[k]] = w
            n_buffered[k] += 1
            if n_buffered[k] == at.C:
                flush(at, k, work, out + k * width(TRIANGULAR, D))
        else:
            sums = out + k * width(DIAGONAL, D)
            sums[0] += w
            for i in range(D):
                z = x[i * B] - centers[k * D + i]
                sums[1 + i] += w * z
                sums[1 + D + i] += w * z * z


# ---- scores of rows ----------------------------------------------------------------------------------------


cdef inline double total(const floating* scores, Py_ssize_t n) noexcept nogil:
    """Sum in double precision, by eight partial sums so that additions need not wait for each other."""
    cdef double[8] parts
    cdef Py_ssize_t i, m
    memset(parts, 0, sizeof(parts))
    for m in range(n // 8):
        for i in range(8):
            parts[i] += scores[8 * m + i]
    for i in range(n % 8):
        parts[i] += scores[n // 8 * 8 + i]
    return ((parts[0] + parts[1]) + (parts[2] + parts[3])) + ((parts[4] + parts[5]) + (parts[6] + parts[7]))


cdef inline double weighted_total(
    const floating* values, const floating* weights, Py_ssize_t n
) noexcept nogil:
    """Sum of weights times values, in double precision."""
    cdef Py_ssize_t i
    cdef double sum = 0
    for i in range(n):
        sum += <double> weights[i] * values[i]
    return sum


# ---- sums of the rows nearest to a center ------------------------------------------------------------------


cdef inline void add_row(
    const floating* x,              # IN     (D,)
    const double* origin,           # IN     (D,)
    Py_ssize_t D,
    double weight,
    double* restrict sums,          # INOUT  (D,)
) noexcept nogil:
    """Add a row about the origin to the sums of its center."""
    cdef Py_ssize_t i
    for i in range(D):
        sums[i] += weight * <floating> (x[i] - origin[i])


cdef inline void add_column(
    const floating* x, Py_ssize_t step, Py_ssize_t D, double weight, double* sums
) noexcept nogil:
    """Add a column of a block about the origin, `step` numbers from one to the next, to the sums of its center."""
    cdef Py_ssize_t i
    for i in range(D):
        sums[i] += weight * x[i * step]
