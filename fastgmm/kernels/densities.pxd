"""Log densities of a block under a model, or responsibilities from outside. The notation is that of kernels.pyx."""
from libc.string cimport memset

from blocks cimport DIAGONAL, COMMON_FRAME, TRIANGULAR, Layout
from tiles cimport distances, floating, whiten


cdef inline void log_densities(
    const Layout* at,
    const floating* offsets,            # IN   (K,)  c_k
    const floating* centers,            # IN   (K, D)
    const floating* center_rounding,           # IN   (K, D), TRIANGULAR
    const floating* factors,            # IN   packed W_k, s_k of DIAGONAL (K, D) or COMMON_FRAME (K,)
    floating* work,                     # INOUT  fills p, and y (TRIANGULAR) or d2 (COMMON_FRAME)
) noexcept nogil:
    """p[k, n] = log of weight times density of component k at sample n."""
    cdef Py_ssize_t k, n, D = at.D, B = at.B, packed = D * (D + 1) // 2
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
