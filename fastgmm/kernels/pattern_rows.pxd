"""Rows with gaps one by one: of patterns of few rows, and where gaps are filled. See patterns.pxd."""
from libc.float cimport DBL_EPSILON, DBL_MAX, DBL_MIN
from libc.math cimport log, sqrt
from libc.stdint cimport int32_t
from libc.string cimport memset

from accumulation cimport flush
from blocks cimport DIAGONAL, COMMON_FRAME, TRIANGULAR
from patterns cimport CHUNK, Frame, add_conditional, fetch, remainder, schur, second_moments, spreads, width
from tiles cimport exp_all, floating


cdef inline void read_row(
    const Frame* f, const char* row, Py_ssize_t column_stride, floating zero
) noexcept nogil:
    """Take the observed features of a row; `zero` tells their type."""
    cdef Py_ssize_t a, i
    for a in range(f.n_observed):
        i = f.observed[a]
        f.x[i] = (<const floating*> (row + i * column_stride))[0]


cdef inline void squares(const Frame* f, Py_ssize_t first, Py_ssize_t stop) noexcept nogil:
    """p = |y|^2 of the row, and z, for some components, side by side: each step waits for the one before."""
    cdef Py_ssize_t a, i, k, t, c, D = f.D, S = f.S
    cdef const double* column
    cdef double* z
    cdef double y
    if f.kind == COMMON_FRAME:
        squares_shared(f, first, stop)
        return
    for k in range(first, stop):
        f.p[k] = 0
        memset(f.z + k * S, 0, S * sizeof(double))
        for a in range(f.n_observed):
            i = f.observed[a]
            f.z[k * S + i] = f.x[i] - f.means[k * D + i]
    if f.kind == DIAGONAL:
        for k in range(first, stop):
            for a in range(f.n_observed):
                i = f.observed[a]
                y = f.z[k * S + i] * f.scales[k * D + i]
                f.p[k] += y * y
        return
    for a in range(f.n_observed):
        i = f.observed[a]
        for k in range(first, stop):
            z, column = f.z + k * S, f.columns + (k * D + a) * f.P
            y = z[i] * f.scales[k * D + a]
            f.p[k] += y * y
            for t in range(S // CHUNK):
                for c in range(CHUNK):
                    z[CHUNK * t + c] -= column[CHUNK * t + c] * y
    for k in range(first, stop):
        z = f.z + k * S
        for a in range(f.n_missing):
            i = f.missing[a]
            z[i] = -z[i]
        for a in range(f.n_observed):
            i = f.observed[a]
            z[i] = f.x[i] - f.means[k * D + i]


cdef inline void squares_shared(const Frame* f, Py_ssize_t first, Py_ssize_t stop) noexcept nogil:
    """p = |y - m_k|^2 of all components, from one pass over the row, and z of some (COMMON_FRAME)."""
    cdef Py_ssize_t a, i, k, t, c, S = f.S, Q = f.Q
    cdef const double* column
    cdef const double* centers
    cdef const double* before
    cdef const double* after
    cdef double* restrict p = f.p
    cdef double* restrict g = f.g
    cdef double* restrict z
    cdef double y, away
    memset(p, 0, Q * sizeof(double))
    memset(g, 0, S * sizeof(double))
    for a in range(f.n_observed):
        i = f.observed[a]
        g[i] = f.x[i] - f.origin[i]
    for a in range(f.n_observed):
        column, centers = f.columns + a * f.P, f.whitened + a * Q
        y = g[f.observed[a]] * f.scales[a]
        f.y[a] = y
        for t in range(S // CHUNK):
            for c in range(CHUNK):
                g[CHUNK * t + c] -= column[CHUNK * t + c] * y
        for t in range(Q // CHUNK):
            for c in range(CHUNK):
                away = y - centers[CHUNK * t + c]
                p[CHUNK * t + c] += away * away
    for a in range(f.n_missing):
        i = f.missing[a]
        g[i] = -g[i]
    for a in range(f.n_observed):
        i = f.observed[a]
        g[i] = f.x[i] - f.origin[i]
    for k in range(first, stop):
        z, before, after = f.z + k * S, remainder(f, 0, k), remainder(f, f.n_observed, k)
        for t in range(S // CHUNK):
            for c in range(CHUNK):
                z[CHUNK * t + c] = g[CHUNK * t + c] - before[CHUNK * t + c] + after[CHUNK * t + c]


cdef inline double posterior_of_row(const Frame* f) noexcept nogil:
    """Log-likelihood of the row; fills p, r and z. Infinitely far from every component, it belongs to none."""
    cdef Py_ssize_t k
    cdef double peak, top, total = 0
    squares(f, 0, f.K)
    for k in range(f.K):
        f.p[k] = f.offsets[k] - 0.5 * f.p[k]
    peak = f.p[0]
    for k in range(1, f.K):
        peak = max(peak, f.p[k])
    top = max(peak, -DBL_MAX)
    for k in range(f.K):
        f.r[k] = f.p[k] - top
    exp_all(f.K, f.r, f.r)
    for k in range(f.K):
        total += f.r[k]
    total = max(total, DBL_MIN)
    for k in range(f.K):
        f.r[k] /= total
    return peak + log(total)


cdef inline void gather(const Frame* f, Py_ssize_t k, double r, double* out) noexcept nogil:
    """Let the mapped row wait to be added to the sums of component k, or of all together."""
    cdef Py_ssize_t i, buffer = k * f.cov_stride, D = f.D, P = f.gathering.P
    cdef Py_ssize_t* n_buffered = <Py_ssize_t*> (f.buffers + f.gathering.n_buffered)
    cdef double* y = f.buffers + f.gathering.y + buffer * D * P + n_buffered[buffer]
    cdef const double* z = f.z + k * f.S
    for i in range(D):
        y[i * P] = z[i]
    (f.buffers + f.gathering.r)[buffer * P + n_buffered[buffer]] = r
    n_buffered[buffer] += 1
    if n_buffered[buffer] == f.gathering.C:
        flush_buffer(f, buffer, out)


cdef inline void flush_buffer(const Frame* f, Py_ssize_t buffer, double* out) noexcept nogil:
    """Add the mapped rows that wait in a buffer."""
    flush(&f.gathering, buffer, f.buffers, out + buffer * width(f.kind, f.D) if f.cov_stride else f.gathered)


cdef inline double accumulate_rows(
    const Frame* f,
    const char* X,
    Py_ssize_t row_stride,
    Py_ssize_t column_stride,
    const int32_t* order,           # IN     (rows,)
    Py_ssize_t rows,
    Py_ssize_t after,               # IN     rows in `order` after these
    const floating* weights,        # IN     by row, or NULL
    floating cut,
    double* out,                    # INOUT  sums per component, some of which wait in `gathering`
) noexcept nogil:
    """Add a few rows of the present pattern one by one; returns their log-likelihood."""
    cdef Py_ssize_t n, k, i, a, stride = width(f.kind, f.D)
    cdef double weight = 1, log_likelihood = 0, score, r
    cdef double* first
    cdef double* second
    cdef double* sums
    cdef const double* z
    memset(f.counts, 0, f.K * sizeof(double))
    for n in range(rows):
        fetch(f, X, row_stride, order, n, rows + after, <floating> 0)
        if weights != NULL:
            weight = weights[order[n]]
            if weight == 0:
                continue
        read_row(f, X + order[n] * row_stride, column_stride, <floating> 0)
        score = posterior_of_row(f)
        log_likelihood += weight * score
        for k in range(f.K):
            r = f.r[k]
            if r < cut:
                continue
            r *= weight
            f.counts[k] += r
            if f.kind != DIAGONAL:
                gather(f, k, r, out)
            if f.kind != TRIANGULAR:
                z, first = f.z + k * f.S, out + k * stride + 1
                for i in range(f.D):
                    first[i] += r * z[i]
            if f.kind == DIAGONAL:
                second = first + f.D
                for i in range(f.D):
                    second[i] += r * z[i] * z[i]
            elif f.kind == COMMON_FRAME:
                sums = spreads(f, out)
                sums[0] += 2 * r * (f.offsets[k] - f.p[k])
                for a in range(f.n_observed):
                    sums[1] += r * f.y[a] * f.y[a]
    for k in range(f.K):
        if f.counts[k] > 0:
            if f.kind != TRIANGULAR:
                out[k * stride] += f.counts[k]
            add_conditional(f, k, f.counts[k], out)
    return log_likelihood


cdef inline void flush_rows(const Frame* f, double* out) noexcept nogil:
    """Add all mapped rows that wait."""
    cdef Py_ssize_t k, i
    cdef double* second
    if f.kind == DIAGONAL:
        return
    for k in range(f.M):
        flush_buffer(f, k, out)
    if f.kind == COMMON_FRAME:
        second = second_moments(f, 0, out)
        for i in range(f.D * (f.D + 1) // 2):
            second[i] += f.gathered[1 + f.D + i]


# ---- filling gaps -------------------------------------------------------------------------------------------------


cdef inline void draw(const Frame* f, Py_ssize_t k, const double* normals) noexcept nogil:
    """Add to z of component k what its conditional covariance makes of standard normals (D,)."""
    cdef Py_ssize_t a, b, c, i, m = f.n_missing, S = f.S
    cdef const double* C = schur(f, f.n_observed, k)
    cdef double* L = f.scratch
    cdef double t
    for a in range(m):
        i = f.missing[a]
        for b in range(a + 1):
            t = C[i * S + f.missing[b]]
            for c in range(b):
                t -= L[a * m + c] * L[b * m + c]
            if b < a:
                L[a * m + b] = t / L[b * m + b]
            else:
                L[a * m + a] = sqrt(max(t, DBL_EPSILON * f.variances[k * f.cov_stride * f.D + i]))
            f.z[k * S + i] += L[a * m + b] * normals[f.missing[b]]


cdef inline double filled(const Frame* f, Py_ssize_t i, double* deviation) noexcept nogil:
    """Conditional mean of a missing feature, and standard deviation, under the responsibilities of the row."""
    cdef Py_ssize_t k
    cdef double mean = 0, variance = 0, away
    for k in range(f.K):
        mean += f.r[k] * (f.means[k * f.D + i] + f.z[k * f.S + i])
    for k in range(f.K):
        away = f.means[k * f.D + i] + f.z[k * f.S + i] - mean
        variance += f.r[k] * (max(schur(f, f.n_observed, k)[i * f.S + i], 0) + away * away)
    deviation[0] = sqrt(variance)
    return mean
