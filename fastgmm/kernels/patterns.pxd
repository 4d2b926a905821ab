"""Rows with gaps: the density of the observed features under a mixture, and given these, that of the missing ones.

Rows with the same features observed make a pattern. With o observed and m missing, Sigma_oo = L_o L_o^T and
y = L_o^-1 (x_o - mu_o), the marginal density of x_o has the exponent -|y|^2 / 2, and given x_o the whole of x has the
mean mu + H y and the covariance C:

    H = [L_o; U]    U = Sigma_mo L_o^-T         C = Sigma_mm - U U^T, zero in observed features

(Z. Ghahramani, M. I. Jordan, Supervised learning from incomplete data via an EM approach, NIPS 6, 1994). Both follow
from Sigma by eliminating the observed features one by one: the columns of H on the way, C at the end. Patterns come in
lexicographic order, and the states on the way are kept in a stack, so that a pattern goes on from the last state that
it shares with the one before: with many patterns, from where only small matrices are left.

Components that share one covariance (COMMON_FRAME) share L_o, H and C: one elimination serves all, and a row is
whitened once, y = L_o^-1 (x_o - origin_o) about the mean of the mixture. The means mu_k - origin are eliminated with
Sigma, as rows below it: the columns on the way are their coordinates m_k = L_o^-1 (mu_ko - origin_o), and at the end
mu_k - origin - H m_k is left in the missing features.

Of a pattern of many rows, blocks are whitened and summed by the kernels for complete rows, in |o| dimensions, and the
sums are mapped by H once (pattern_blocks.pxd). Of a pattern of few, each row is mapped alone (pattern_rows.pxd).
Everything but blocks of rows is in double precision. The notation is that of kernels.pyx.
"""
from libc.float cimport DBL_EPSILON, DBL_MIN
from libc.math cimport exp, log, sqrt
from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memset

from algebra cimport copy_rows, padded
from blocks cimport COMMON_FRAME, DIAGONAL, TRIANGULAR, Layout, layout, packed_size, take, width
from tiles cimport PREFETCH, floating

cdef enum:
    STACK_BYTES = 1 << 23       # for the states of an elimination
    AHEAD = 8                   # rows from the one that is read to the one that is fetched
    BUFFERED = 64               # completed rows of a component that are summed together
    CHUNK = 8                   # numbers; rows of matrices are whole chunks, so that loops over them have no tails

cdef extern from *:
    """
    #define HALF_LOG_2_PI 0.91893853320467274178
    """
    const double HALF_LOG_2_PI


# ---- where things stand -----------------------------------------------------------------------------------


cdef struct SortedRows:
    # Rows of any strides (in bytes), sorted by pattern.
    const char* X
    Py_ssize_t row_stride, column_stride, N
    const int32_t* order        # (N,)


cdef struct EliminationStates:
    # Each Sigma, and of COMMON_FRAME the means as rows below it, after each elimination of an observed feature.
    Py_ssize_t n_rows           # D of Sigma, and K of means (COMMON_FRAME)
    Py_ssize_t n_kept           # states on the stack, beside the last
    Py_ssize_t n_valid          # features of `path` for which the states hold
    uint8_t* path               # (D,)              whether each feature is observed
    Py_ssize_t* n_eliminated    # (D + 1,)          how many of the first i features are observed
    double* stack               # (n_kept + 1, M, n_rows, S)


cdef struct Row:
    # One row, its posterior, and its completions.
    double* x                   # (S,)              the row
    double* y                   # (D,)              whitened (COMMON_FRAME)
    double* g                   # (S,)              H y, what the row itself adds to x - mu (COMMON_FRAME)
    double* z                   # (K, S)            x - mu, missing features at their conditional means
    double* p                   # (R,) in whole chunks  log densities
    double* r                   # (R,)              responsibilities


cdef struct BufferedRows:
    # Completed rows (see `Row.z`) of all patterns, buffered to be summed many at once.
    Layout at                   # where the buffers stand in `work`, as TRIANGULAR of M components
    double* work
    double* pooled              # (1 + D + D (D + 1) / 2,)  sums over all components (COMMON_FRAME)
    double* counts              # (K,)              sums of r over the rows of a pattern


cdef struct BlockSums:
    # Sums over the blocks of a pattern, and what maps them to all features.
    double* sums                # (K, width of o)   as `accumulate` leaves them
    double* pooled              # (1 + o + o (o + 1) / 2,)  over all components, about `origin` (COMMON_FRAME)
    double* origin              # (o,)              origin_o (COMMON_FRAME)
    double* whitener            # packed L_o^-1 (COMMON_FRAME)
    double* moments             # (K, P)            sums of r (y - m_k) (COMMON_FRAME)
    double* applied             # (K, D, P)         by what rounding changed L_o (TRIANGULAR)
    double* upper               # (D, P)
    double* inverse             # (D, P)
    double* first               # (D,)
    double* second              # (D, D)


cdef struct PatternMixture:
    # A mixture, conditioned on the observed features of the present pattern. DIAGONAL has no use for the matrices.
    int kind
    Py_ssize_t D, K
    Py_ssize_t R                # responsibilities of a row: K, and one more where there is noise
    Py_ssize_t M                # covariances: K, or 1 that components share
    Py_ssize_t cov_stride       # 1, or 0 where they share it: component k has covariance k * cov_stride
    Py_ssize_t Q                # K in whole chunks
    Py_ssize_t S                # D in whole chunks: length of a row of a state
    Py_ssize_t P                # padded(S): length of a row of the other matrices
    const double* means         # (K, D)
    const double* log_weights   # (K,)
    const double* noise         # (D + 3,)          what is known of noise, or NULL; see `accumulate_patterns`
    double* variances           # (M, D)
    double* origin              # (S,)              mean of the mixture (COMMON_FRAME)
    Py_ssize_t n_observed, n_missing
    Py_ssize_t* observed        # (D,)              the features
    Py_ssize_t* missing         # (D,)
    double* offsets             # (R,)              c_k of the marginal density, and the log density of noise
    double* scales              # (M, D)            1 / deviation; by the place in `observed`, of DIAGONAL by feature
    double* logs                # (M, D + 1)        sums of log(scales); of DIAGONAL the logarithms themselves
    double* columns             # (M, D, P)         H^T, a row for each observed feature
    double* whitened            # (D, Q)            m_k, a row for each observed feature (COMMON_FRAME)
    EliminationStates states
    Row row
    BufferedRows buffered
    BlockSums block
    double* scratch             # (2 D + 4, P)
    Py_ssize_t size             # of all this, in doubles


cdef inline PatternMixture pattern_mixture(int kind, Py_ssize_t D, Py_ssize_t K, double* start) noexcept nogil:
    """Lay a mixture out in a workspace."""
    cdef PatternMixture mix
    cdef Py_ssize_t S = (D + CHUNK - 1) // CHUNK * CHUNK, P = padded(S), Q = (K + CHUNK - 1) // CHUNK * CHUNK, size = 0
    cdef bint matrices = kind != DIAGONAL, shared = kind == COMMON_FRAME
    cdef Py_ssize_t M = 1 if shared else K, pooled = width(TRIANGULAR, D), state
    mix.kind, mix.D, mix.K, mix.R, mix.M, mix.S, mix.P, mix.Q = kind, D, K, K, M, S, P, Q
    mix.cov_stride = not shared
    mix.n_observed = mix.n_missing = 0
    mix.variances = start + take(&size, M * D, CHUNK)
    mix.origin = start + take(&size, S if shared else 0, CHUNK)
    mix.observed = <Py_ssize_t*> (start + take(&size, D, CHUNK))
    mix.missing = <Py_ssize_t*> (start + take(&size, D, CHUNK))
    mix.offsets = start + take(&size, K + 1, CHUNK)
    mix.scales = start + take(&size, M * D, CHUNK)
    mix.logs = start + take(&size, M * (D + 1), CHUNK)
    mix.columns = start + take(&size, M * D * P if matrices else 0, CHUNK)
    mix.whitened = start + take(&size, D * Q if shared else 0, CHUNK)
    mix.scratch = start + take(&size, (2 * D + 4) * P if matrices else 0, CHUNK)

    mix.states.n_rows = D + K if shared else D
    state = M * mix.states.n_rows * S
    mix.states.n_kept = max(1, min(D, STACK_BYTES // (state * 8)))
    mix.states.n_valid = 0
    mix.states.path = <uint8_t*> (start + take(&size, D, CHUNK))
    mix.states.n_eliminated = <Py_ssize_t*> (start + take(&size, D + 1, CHUNK))
    mix.states.stack = start + take(&size, (mix.states.n_kept + 1) * state if matrices else 0, CHUNK)

    mix.row.x = start + take(&size, S, CHUNK)
    mix.row.y = start + take(&size, D if shared else 0, CHUNK)
    mix.row.g = start + take(&size, S if shared else 0, CHUNK)
    mix.row.z = start + take(&size, K * S, CHUNK)
    mix.row.p = start + take(&size, K + 1, CHUNK)
    mix.row.r = start + take(&size, K + 1, CHUNK)

    mix.buffered.at = layout(TRIANGULAR, D, M, True, 8)
    mix.buffered.at.C, mix.buffered.at.P = BUFFERED, BUFFERED + CHUNK
    mix.buffered.at.y = 0
    mix.buffered.at.r = M * D * mix.buffered.at.P
    mix.buffered.at.u = mix.buffered.at.r + M * mix.buffered.at.P
    mix.buffered.at.n_buffered = mix.buffered.at.u + 4 * mix.buffered.at.P
    mix.buffered.work = start + take(&size, mix.buffered.at.n_buffered + M if matrices else 0, CHUNK)
    mix.buffered.pooled = start + take(&size, pooled if shared else 0, CHUNK)
    mix.buffered.counts = start + take(&size, K, CHUNK)

    mix.block.sums = start + take(&size, K * width(kind, D), CHUNK)
    mix.block.pooled = start + take(&size, pooled if shared else 0, CHUNK)
    mix.block.origin = start + take(&size, D if shared else 0, CHUNK)
    mix.block.whitener = start + take(&size, packed_size(D) if shared else 0, CHUNK)
    mix.block.moments = start + take(&size, K * P if shared else 0, CHUNK)
    mix.block.applied = start + take(&size, K * D * P if kind == TRIANGULAR else 0, CHUNK)
    mix.block.upper = start + take(&size, D * P if matrices else 0, CHUNK)
    mix.block.inverse = start + take(&size, D * P if matrices else 0, CHUNK)
    mix.block.first = start + take(&size, D, CHUNK)
    mix.block.second = start + take(&size, D * D if matrices else 0, CHUNK)
    mix.size = size
    return mix


cdef inline Py_ssize_t own_width(int kind, Py_ssize_t D) noexcept nogil:
    """How many sums each component has of its own in `out`: without second moments where a covariance is shared."""
    return 1 + D if kind == COMMON_FRAME else width(kind, D)


cdef inline double* second_moments(const PatternMixture* mix, Py_ssize_t k, double* out) noexcept nogil:
    """Address of the second moments of component k in `out`; shared ones follow those of all components."""
    cdef Py_ssize_t own = own_width(mix.kind, mix.D)
    return out + (k * own + 1 + mix.D if mix.cov_stride else mix.K * own)


cdef inline double* distance_sums(const PatternMixture* mix, double* out) noexcept nogil:
    """Where the sums of r |y - m_k|^2 and r |y|^2 stand in `out` (COMMON_FRAME)."""
    return second_moments(mix, 0, out) + packed_size(mix.D)


# ---- rows of a pattern ------------------------------------------------------------------------------------


cdef inline SortedRows sorted_rows(const floating[:, :] X, const int32_t[::1] order) noexcept nogil:
    """The rows of an array in an order."""
    cdef SortedRows data
    data.X, data.row_stride, data.column_stride, data.N = <const char*> &X[0, 0], X.strides[0], X.strides[1], X.shape[0]
    data.order = &order[0]
    return data


cdef inline const char* row_at(const SortedRows* data, Py_ssize_t n) noexcept nogil:
    """Address of row n of the order."""
    return data.X + data.order[n] * data.row_stride


cdef inline void fetch(const PatternMixture* mix, const SortedRows* data, Py_ssize_t n, floating zero) noexcept nogil:
    """Ask for a row that comes soon after row n: rows of a pattern are apart in memory. `zero` tells their type."""
    cdef Py_ssize_t t
    cdef const char* row
    if n + AHEAD < data.N:
        row = row_at(data, n + AHEAD)
        for t in range(mix.D * <Py_ssize_t> sizeof(floating) // 64 + 1):
            PREFETCH(row + 64 * t)


# ---- conditioning on a pattern ----------------------------------------------------------------------------


cdef inline void set_mixture(
    PatternMixture* mix,
    const double* log_weights,      # IN  (K,)
    const double* means,            # IN  (K, D)
    const double* covariances,      # IN  (M, D, D), or (K, D) of DIAGONAL
    const double* noise,            # IN  (D + 3,), or NULL
) noexcept nogil:
    """Take a mixture: nothing of it is eliminated yet."""
    cdef Py_ssize_t k, i, D = mix.D, K = mix.K
    cdef double* moved
    cdef double weight, total = 0
    mix.means, mix.log_weights, mix.noise, mix.R = means, log_weights, noise, K + (noise != NULL)
    mix.states.n_eliminated[0] = 0
    if mix.kind == DIAGONAL:
        for i in range(K * D):
            mix.variances[i] = covariances[i]
            mix.scales[i] = 1.0 / sqrt(covariances[i])
            mix.logs[i] = log(mix.scales[i])
        return
    memset(mix.buffered.work + mix.buffered.at.n_buffered, 0, mix.M * sizeof(double))
    memset(mix.columns, 0, mix.M * D * mix.P * sizeof(double))
    if mix.kind == COMMON_FRAME:
        memset(mix.buffered.pooled, 0, width(TRIANGULAR, D) * sizeof(double))
        memset(mix.whitened, 0, D * mix.Q * sizeof(double))
        memset(mix.origin, 0, mix.S * sizeof(double))
        for k in range(K):
            weight = max(exp(log_weights[k]), DBL_MIN) if noise != NULL else exp(log_weights[k])
            total += weight
            for i in range(D):
                mix.origin[i] += weight * means[k * D + i]
        if noise != NULL:
            for i in range(D):
                mix.origin[i] /= total
        moved = remainder(mix, 0, 0)
        memset(moved, 0, K * mix.S * sizeof(double))
        for k in range(K):
            for i in range(D):
                moved[k * mix.S + i] = means[k * D + i] - mix.origin[i]
    for k in range(mix.M):
        copy_rows(covariances + k * D * D, D, D, schur(mix, 0, k), mix.S)
        mix.logs[k * (D + 1)] = 0
        for i in range(D):
            mix.variances[k * D + i] = covariances[(k * D + i) * D + i]


cdef inline double* schur(const PatternMixture* mix, Py_ssize_t n_eliminated, Py_ssize_t k) noexcept nogil:
    """Sigma_k (D, S) after so many eliminations: the Schur complement of the observed features."""
    cdef Py_ssize_t state = min(n_eliminated, mix.states.n_kept)
    return mix.states.stack + (state * mix.M + k * mix.cov_stride) * mix.states.n_rows * mix.S


cdef inline double* remainder(const PatternMixture* mix, Py_ssize_t n_eliminated, Py_ssize_t k) noexcept nogil:
    """mu_k - origin (S,) after so many eliminations (COMMON_FRAME)."""
    return schur(mix, n_eliminated, 0) + (mix.D + k) * mix.S


cdef inline double eliminate(
    const double* before,           # IN     (n_rows, S)
    double* after,                  # OUT    (n_rows, S), may be `before`
    const uint8_t* path,            # IN     (j,)  the features before j that are observed
    Py_ssize_t j,
    Py_ssize_t D,
    Py_ssize_t n_rows,
    Py_ssize_t S,
    double least,                   # IN     below which a pivot is rounding
    double* restrict column,        # OUT    (S,)  column of H
    double* whitened,               # OUT    (n_rows - D,)  coordinate of each mean
) noexcept nogil:
    """Condition on one more feature; returns the reciprocal of its deviation."""
    cdef Py_ssize_t i, t, c
    cdef double root = sqrt(max(before[j * S + j], least)), scale = 1 / root, factor
    cdef const double* old
    cdef double* rest
    for t in range(S // CHUNK):
        for c in range(CHUNK):
            column[CHUNK * t + c] = before[j * S + CHUNK * t + c] * scale
    column[j] = root
    for i in range(n_rows):
        if i > j or (i < j and not path[i]):
            old, rest = before + i * S, after + i * S
            factor = old[j] * scale
            if i >= D:
                whitened[i - D] = factor
            for t in range(S // CHUNK):
                for c in range(CHUNK):
                    rest[CHUNK * t + c] = old[CHUNK * t + c] - factor * column[CHUNK * t + c]
            rest[j] = 0
    return scale


cdef inline void condition(PatternMixture* mix, const uint8_t* observed) noexcept nogil:
    """Condition on another pattern: eliminate from the first feature on that the present one has otherwise."""
    cdef EliminationStates* states = &mix.states
    cdef Py_ssize_t i = 0, a, k, first, D = mix.D
    cdef double scale
    while i < states.n_valid and states.path[i] == observed[i]:
        i += 1
    while states.n_eliminated[i] >= states.n_kept:     # the last state has been overwritten
        i -= 1
    first = states.n_eliminated[i]
    for i in range(i, D):
        states.path[i] = observed[i]
        states.n_eliminated[i + 1] = states.n_eliminated[i] + (observed[i] != 0)
        if observed[i]:
            mix.observed[states.n_eliminated[i]] = i
    if mix.kind != DIAGONAL:
        for k in range(mix.M):
            for a in range(first, states.n_eliminated[D]):
                i = mix.observed[a]
                scale = eliminate(schur(mix, a, k), schur(mix, a + 1, k), states.path, i, D, states.n_rows, mix.S,
                                  DBL_EPSILON * mix.variances[k * D + i], mix.columns + (k * D + a) * mix.P,
                                  mix.whitened + a * mix.Q)
                mix.scales[k * D + a] = scale
                mix.logs[k * (D + 1) + a + 1] = mix.logs[k * (D + 1) + a] + log(scale)
    states.n_valid = D
    mix.n_observed, mix.n_missing = states.n_eliminated[D], 0
    for i in range(D):
        if not states.path[i]:
            mix.missing[mix.n_missing] = i
            mix.n_missing += 1
    for k in range(mix.K):
        mix.offsets[k] = mix.log_weights[k] - mix.n_observed * HALF_LOG_2_PI
        if mix.kind != DIAGONAL:
            mix.offsets[k] += mix.logs[k * mix.cov_stride * (D + 1) + mix.n_observed]
        else:
            for a in range(mix.n_observed):
                mix.offsets[k] += mix.logs[k * D + mix.observed[a]]
    if mix.noise != NULL:
        mix.offsets[mix.K] = mix.noise[0]
        if mix.n_observed > 0:
            mix.offsets[mix.K] += mix.noise[1]
            if mix.n_missing > 0:
                mix.offsets[mix.K] += mix.noise[2]
            for a in range(mix.n_missing):
                mix.offsets[mix.K] += mix.noise[3 + mix.missing[a]]


cdef inline void add_conditional(const PatternMixture* mix, Py_ssize_t k, double count, double* out) noexcept nogil:
    """Add the conditional covariance of so many rows to the second moments of component k."""
    cdef Py_ssize_t a, b, i, D = mix.D
    cdef const double* C
    cdef double* second = second_moments(mix, k, out)
    if mix.kind == DIAGONAL:
        for a in range(mix.n_missing):
            second[mix.missing[a]] += count * mix.variances[k * D + mix.missing[a]]
        return
    C = schur(mix, mix.n_observed, k)
    for a in range(mix.n_missing):
        i = mix.missing[a]
        for b in range(a + 1):
            second[i * (i + 1) // 2 + mix.missing[b]] += count * C[i * mix.S + mix.missing[b]]
