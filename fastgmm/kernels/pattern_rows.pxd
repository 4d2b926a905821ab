"""Rows with gaps, one by one: those of patterns of few rows, and all when gaps are filled. See patterns.pxd."""
from libc.float cimport DBL_EPSILON, DBL_MAX, DBL_MIN
from libc.math cimport log, sqrt
from libc.string cimport memset

from accumulation cimport flush
from blocks cimport COMMON_FRAME, DIAGONAL, TRIANGULAR, packed_size
from patterns cimport (CHUNK, BufferedRows, PatternMixture, SortedRows, add_conditional, distance_sums, fetch,
                       own_width, remainder, row_at, schur, second_moments)
from tiles cimport exp_all, floating


cdef inline void read_row(
    const PatternMixture* mix, const SortedRows* data, Py_ssize_t n, floating zero
) noexcept nogil:
    """Take the observed features of row n; `zero` tells their type."""
    cdef Py_ssize_t a, i
    cdef const char* row = row_at(data, n)
    for a in range(mix.n_observed):
        i = mix.observed[a]
        mix.row.x[i] = (<const floating*> (row + i * data.column_stride))[0]


cdef inline void squares(const PatternMixture* mix, Py_ssize_t first, Py_ssize_t stop) noexcept nogil:
    """p = |y|^2 of the row, and z, for some components, side by side: each step waits for the one before."""
    cdef Py_ssize_t a, i, k, t, c, D = mix.D, S = mix.S
    cdef const double* column
    cdef double* z
    cdef double y
    if mix.kind == COMMON_FRAME:
        squares_shared(mix, first, stop)
        return
    for k in range(first, stop):
        mix.row.p[k] = 0
        memset(mix.row.z + k * S, 0, S * sizeof(double))
        for a in range(mix.n_observed):
            i = mix.observed[a]
            mix.row.z[k * S + i] = mix.row.x[i] - mix.means[k * D + i]
    if mix.kind == DIAGONAL:
        for k in range(first, stop):
            for a in range(mix.n_observed):
                i = mix.observed[a]
                y = mix.row.z[k * S + i] * mix.scales[k * D + i]
                mix.row.p[k] += y * y
        return
    for a in range(mix.n_observed):
        i = mix.observed[a]
        for k in range(first, stop):
            z, column = mix.row.z + k * S, mix.columns + (k * D + a) * mix.P
            y = z[i] * mix.scales[k * D + a]
            mix.row.p[k] += y * y
            for t in range(S // CHUNK):
                for c in range(CHUNK):
                    z[CHUNK * t + c] -= column[CHUNK * t + c] * y
    for k in range(first, stop):
        z = mix.row.z + k * S
        for a in range(mix.n_missing):
            i = mix.missing[a]
            z[i] = -z[i]
        for a in range(mix.n_observed):
            i = mix.observed[a]
            z[i] = mix.row.x[i] - mix.means[k * D + i]


cdef inline void squares_shared(const PatternMixture* mix, Py_ssize_t first, Py_ssize_t stop) noexcept nogil:
    """p = |y - m_k|^2 of all components, from one pass over the row, and z of some (COMMON_FRAME)."""
    cdef Py_ssize_t a, i, k, t, c, S = mix.S, Q = mix.Q
    cdef const double* column
    cdef const double* centers
    cdef const double* before
    cdef const double* after
    cdef double* restrict p = mix.row.p
    cdef double* restrict g = mix.row.g
    cdef double* restrict z
    cdef double y, away
    memset(p, 0, Q * sizeof(double))
    memset(g, 0, S * sizeof(double))
    for a in range(mix.n_observed):
        i = mix.observed[a]
        g[i] = mix.row.x[i] - mix.origin[i]
    for a in range(mix.n_observed):
        column, centers = mix.columns + a * mix.P, mix.whitened + a * Q
        y = g[mix.observed[a]] * mix.scales[a]
        mix.row.y[a] = y
        for t in range(S // CHUNK):
            for c in range(CHUNK):
                g[CHUNK * t + c] -= column[CHUNK * t + c] * y
        for t in range(Q // CHUNK):
            for c in range(CHUNK):
                away = y - centers[CHUNK * t + c]
                p[CHUNK * t + c] += away * away
    for a in range(mix.n_missing):
        i = mix.missing[a]
        g[i] = -g[i]
    for a in range(mix.n_observed):
        i = mix.observed[a]
        g[i] = mix.row.x[i] - mix.origin[i]
    for k in range(first, stop):
        z, before, after = mix.row.z + k * S, remainder(mix, 0, k), remainder(mix, mix.n_observed, k)
        for t in range(S // CHUNK):
            for c in range(CHUNK):
                z[CHUNK * t + c] = g[CHUNK * t + c] - before[CHUNK * t + c] + after[CHUNK * t + c]


cdef inline double posterior_of_row(const PatternMixture* mix) noexcept nogil:
    """Log-likelihood of the row; fills p, r and z. Infinitely far from every component, it belongs to none."""
    cdef Py_ssize_t k
    cdef double peak, top, total = 0
    squares(mix, 0, mix.K)
    for k in range(mix.K):
        mix.row.p[k] = mix.offsets[k] - 0.5 * mix.row.p[k]
    for k in range(mix.K, mix.R):
        mix.row.p[k] = mix.offsets[k]
    peak = mix.row.p[0]
    for k in range(1, mix.R):
        peak = max(peak, mix.row.p[k])
    top = max(peak, -DBL_MAX)
    for k in range(mix.R):
        mix.row.r[k] = mix.row.p[k] - top
    exp_all(mix.R, mix.row.r, mix.row.r)
    for k in range(mix.R):
        total += mix.row.r[k]
    total = max(total, DBL_MIN)
    for k in range(mix.R):
        mix.row.r[k] /= total
    return peak + log(total)


cdef inline void buffer_row(const PatternMixture* mix, Py_ssize_t k, double r, double* out) noexcept nogil:
    """Put the completed row into the buffer of component k, or of all together; a full buffer is added to the sums."""
    cdef const BufferedRows* buffered = &mix.buffered
    cdef Py_ssize_t i, buffer = k * mix.cov_stride, D = mix.D, P = buffered.at.P
    cdef Py_ssize_t* n_buffered = <Py_ssize_t*> (buffered.work + buffered.at.n_buffered)
    cdef double* y = buffered.work + buffered.at.y + buffer * D * P + n_buffered[buffer]
    cdef const double* z = mix.row.z + k * mix.S
    for i in range(D):
        y[i * P] = z[i]
    (buffered.work + buffered.at.r)[buffer * P + n_buffered[buffer]] = r
    n_buffered[buffer] += 1
    if n_buffered[buffer] == buffered.at.C:
        flush_buffer(mix, buffer, out)


cdef inline void flush_buffer(const PatternMixture* mix, Py_ssize_t buffer, double* out) noexcept nogil:
    """Add the completed rows in a buffer to the sums of their component, or of all together."""
    flush(&mix.buffered.at, buffer, mix.buffered.work,
          out + buffer * own_width(mix.kind, mix.D) if mix.cov_stride else mix.buffered.pooled)


cdef inline double accumulate_rows(
    const PatternMixture* mix,
    const SortedRows* data,
    Py_ssize_t start,               # IN     where the pattern starts in the order of rows
    Py_ssize_t stop,
    const floating* weights,        # IN     (N,)  by row of X, or NULL
    floating cut,                   # IN     see `below_rounding`
    double* out,                    # INOUT  sums per component; rows stay in `buffered` until `flush_rows`
) noexcept nogil:
    """Add a few rows of the present pattern one by one; returns their log-likelihood."""
    cdef Py_ssize_t n, k, i, a, stride = own_width(mix.kind, mix.D)
    cdef double weight = 1, log_likelihood = 0, score, r
    cdef double* first
    cdef double* second
    cdef double* sums
    cdef const double* z
    memset(mix.buffered.counts, 0, mix.K * sizeof(double))
    for n in range(start, stop):
        fetch(mix, data, n, <floating> 0)
        if weights != NULL:
            weight = weights[data.order[n]]
            if weight == 0:
                continue
        read_row(mix, data, n, <floating> 0)
        score = posterior_of_row(mix)
        log_likelihood += weight * score
        for k in range(mix.K):
            r = mix.row.r[k]
            if r < cut:
                continue
            r *= weight
            mix.buffered.counts[k] += r
            if mix.kind != DIAGONAL:
                buffer_row(mix, k, r, out)
            if mix.kind != TRIANGULAR:
                z, first = mix.row.z + k * mix.S, out + k * stride + 1
                for i in range(mix.D):
                    first[i] += r * z[i]
            if mix.kind == DIAGONAL:
                second = first + mix.D
                for i in range(mix.D):
                    second[i] += r * z[i] * z[i]
            elif mix.kind == COMMON_FRAME:
                sums = distance_sums(mix, out)
                sums[0] += 2 * r * (mix.offsets[k] - mix.row.p[k])
                for a in range(mix.n_observed):
                    sums[1] += r * mix.row.y[a] * mix.row.y[a]
    for k in range(mix.K):
        if mix.buffered.counts[k] > 0:
            if mix.kind != TRIANGULAR:
                out[k * stride] += mix.buffered.counts[k]
            add_conditional(mix, k, mix.buffered.counts[k], out)
    return log_likelihood


cdef inline void flush_rows(const PatternMixture* mix, double* out) noexcept nogil:
    """Add all rows that are left in the buffers."""
    cdef Py_ssize_t k, i
    cdef double* second
    if mix.kind == DIAGONAL:
        return
    for k in range(mix.M):
        flush_buffer(mix, k, out)
    if mix.kind == COMMON_FRAME:
        second = second_moments(mix, 0, out)
        for i in range(packed_size(mix.D)):
            second[i] += mix.buffered.pooled[1 + mix.D + i]


# ---- filling gaps -------------------------------------------------------------------------------------------------


cdef inline void draw(const PatternMixture* mix, Py_ssize_t k, const double* normals) noexcept nogil:
    """Add to z of component k a draw with its conditional covariance, from standard normals (D,)."""
    cdef Py_ssize_t a, b, c, i, m = mix.n_missing, S = mix.S
    cdef const double* C
    cdef double* L = mix.scratch
    cdef double t
    if mix.kind == DIAGONAL:
        for a in range(m):
            i = mix.missing[a]
            mix.row.z[k * S + i] += sqrt(mix.variances[k * mix.D + i]) * normals[i]
        return
    C = schur(mix, mix.n_observed, k)
    for a in range(m):
        i = mix.missing[a]
        for b in range(a + 1):
            t = C[i * S + mix.missing[b]]
            for c in range(b):
                t -= L[a * m + c] * L[b * m + c]
            if b < a:
                L[a * m + b] = t / L[b * m + b]
            else:
                L[a * m + a] = sqrt(max(t, DBL_EPSILON * mix.variances[k * mix.cov_stride * mix.D + i]))
            mix.row.z[k * S + i] += L[a * m + b] * normals[mix.missing[b]]


cdef inline double conditional_variance(const PatternMixture* mix, Py_ssize_t k, Py_ssize_t i) noexcept nogil:
    """Variance of a missing feature under component k, given what is observed."""
    if mix.kind == DIAGONAL:
        return mix.variances[k * mix.D + i]
    return max(schur(mix, mix.n_observed, k)[i * mix.S + i], 0)


cdef inline double filled(const PatternMixture* mix, Py_ssize_t i, double* deviation) noexcept nogil:
    """Conditional mean of a missing feature, and standard deviation, under the responsibilities of the row."""
    cdef Py_ssize_t k
    cdef double mean = 0, variance = 0, away
    for k in range(mix.K):
        mean += mix.row.r[k] * (mix.means[k * mix.D + i] + mix.row.z[k * mix.S + i])
    for k in range(mix.K):
        away = mix.means[k * mix.D + i] + mix.row.z[k * mix.S + i] - mean
        variance += mix.row.r[k] * (conditional_variance(mix, k, i) + away * away)
    deviation[0] = sqrt(variance)
    return mean
