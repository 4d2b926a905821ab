"""Rows with gaps: what a mixture says of the features that are observed, and given these, of those that are missing.

Rows with the same features observed make a pattern. With o observed and m missing, Sigma_oo = L_o L_o^T and
y = L_o^-1 (x_o - mu_o), the marginal density of x_o has the exponent -|y|^2 / 2, and given x_o the whole of x has the
mean mu + H y and the covariance C:

    H = [L_o; U]    U = Sigma_mo L_o^-T         C = Sigma_mm - U U^T, zero in observed features

(Z. Ghahramani, M. I. Jordan, Supervised learning from incomplete data via an EM approach, NIPS 6, 1994). Both follow
from Sigma by eliminating the observed features one by one: the columns of H on the way, C at the end. Patterns come in
lexicographic order, and the states on the way are kept in a stack, so that a pattern begins where it parts from the
one before: with many patterns, where only small matrices are left.

Components that share one covariance (COMMON_FRAME) share L_o, H and C: one elimination serves all, and a row is
whitened once, y = L_o^-1 (x_o - origin_o) about the mean of the mixture. The means mu_k - origin are eliminated with
Sigma, as rows below it: the columns on the way are their coordinates m_k = L_o^-1 (mu_ko - origin_o), and at the end
mu_k - origin - H m_k is left in the missing features.

Of a pattern of many rows, blocks are whitened and summed by the kernels for complete rows, in |o| dimensions, and the
sums are mapped by H once (pattern_blocks.pxd). Of a pattern of few, each row is mapped alone (pattern_rows.pxd).
Everything but blocks of rows is in double precision. The notation is that of kernels.pyx.
"""
from libc.float cimport DBL_EPSILON
from libc.math cimport exp, log, sqrt
from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memset

from algebra cimport copy_rows, padded
from blocks cimport DIAGONAL, COMMON_FRAME, TRIANGULAR, Layout, layout, take
from tiles cimport PREFETCH, floating

cdef enum:
    STACK_BYTES = 1 << 23       # for the states of an elimination
    AHEAD = 8                   # rows from the one that is read to the one that is fetched
    GATHERED = 64               # mapped rows of a component that wait to be summed together
    CHUNK = 8                   # rows of the matrices below are whole chunks: loops over them have no tails

cdef extern from *:
    """
    #define HALF_LOG_2_PI 0.91893853320467274178
    """
    const double HALF_LOG_2_PI


cdef struct Frame:
    # A mixture as the present pattern sees it. DIAGONAL has no use for the matrices.
    int kind
    Py_ssize_t D, K
    Py_ssize_t M                # covariances: K, or 1 that components share
    Py_ssize_t cov_stride       # 1, or 0 where they share it: component k has covariance k * cov_stride
    Py_ssize_t states           # rows of a state: D of Sigma, and K of means where components share it
    Py_ssize_t Q                # K in whole chunks
    Py_ssize_t S                # D in whole chunks: length of a row of `stack`
    Py_ssize_t P                # padded(S): length of a row of the other matrices
    Py_ssize_t slots            # states that the stack keeps, beside the last
    Py_ssize_t n_valid          # features of `path` that hold
    Py_ssize_t n_observed, n_missing
    const double* means         # (K, D)
    const double* log_weights   # (K,)
    double* origin              # (S,)              mean of the mixture (COMMON_FRAME)
    double* variances           # (M, D)
    double* scales              # (M, D)            1 / deviation; by the place in `observed`, of DIAGONAL by feature
    double* logs                # (M, D + 1)        sums of log(scales); of DIAGONAL the logarithms themselves
    double* offsets             # (K,)              c_k of the marginal density
    double* x                   # (S,)              one row
    double* g                   # (S,)              H y, what the row itself adds to x - mu (COMMON_FRAME)
    double* y                   # (D,)              the row whitened (COMMON_FRAME)
    double* z                   # (K, S)            x - mu, missing features at their conditional means
    double* p                   # (Q,)              log densities of the row
    double* r                   # (K,)              its responsibilities
    double* counts              # (K,)              sums of these
    double* sums                # (K, 1 + D + D (D + 1) / 2), (K, 1 + 2 D) or (K, 2 + D), sums over blocks
    double* pooled              # (1 + D + D (D + 1) / 2,)  of all components together (COMMON_FRAME)
    double* gathered            # (1 + D + D (D + 1) / 2,)  the same of mapped rows
    double* stack               # (slots + 1, M, states, S)  what is left of Sigma after so many eliminations
    double* columns             # (M, D, P)         H^T, a row for each observed feature
    double* whitened            # (D, Q)            m_k, a row for each observed feature (COMMON_FRAME)
    double* moments             # (K, P)            sums of r (y - m_k) (COMMON_FRAME)
    double* whitener            # packed L_o^-1 (COMMON_FRAME)
    double* observed_origin              # (D,)              origin_o (COMMON_FRAME)
    double* applied             # (K, D, P)         by what rounding changed L_o (TRIANGULAR)
    double* upper               # (D, P)
    double* inverse             # (D, P)
    double* first               # (D,)
    double* second              # (D, D)
    double* scratch             # (2 D + 4, P)
    double* buffers             # of `gathering`
    Layout gathering            # where mapped rows wait
    Py_ssize_t* observed        # (D,)
    Py_ssize_t* missing         # (D,)
    Py_ssize_t* eliminated      # (D + 1,)          how many of the first i features are observed
    uint8_t* path               # (D,)              the features observed
    Py_ssize_t size             # of all this, in doubles


cdef inline Frame frame(int kind, Py_ssize_t D, Py_ssize_t K, double* start) noexcept nogil:
    """Lay a frame out in a workspace."""
    cdef Frame f
    cdef Py_ssize_t S = (D + CHUNK - 1) // CHUNK * CHUNK, P = padded(S), Q = (K + CHUNK - 1) // CHUNK * CHUNK, size = 0
    cdef Py_ssize_t record = 1 + D + D * (D + 1) // 2
    cdef bint matrices = kind != DIAGONAL, shared = kind == COMMON_FRAME
    cdef Py_ssize_t M = 1 if shared else K
    f.kind, f.D, f.K, f.M, f.S, f.P, f.Q = kind, D, K, M, S, P, Q
    f.cov_stride, f.states = not shared, D + K if shared else D
    f.slots = max(1, min(D, STACK_BYTES // (M * f.states * S * 8)))
    f.n_valid = f.n_observed = f.n_missing = 0
    f.origin = start + take(&size, S if shared else 0, CHUNK)
    f.variances = start + take(&size, M * D, CHUNK)
    f.scales = start + take(&size, M * D, CHUNK)
    f.logs = start + take(&size, M * (D + 1), CHUNK)
    f.offsets = start + take(&size, K, CHUNK)
    f.x = start + take(&size, S, CHUNK)
    f.g = start + take(&size, S if shared else 0, CHUNK)
    f.y = start + take(&size, D if shared else 0, CHUNK)
    f.z = start + take(&size, K * S, CHUNK)
    f.p = start + take(&size, K, CHUNK)
    f.r = start + take(&size, K, CHUNK)
    f.counts = start + take(&size, K, CHUNK)
    f.sums = start + take(&size, K * max(1 + 2 * D, record), CHUNK)
    f.pooled = start + take(&size, record if shared else 0, CHUNK)
    f.gathered = start + take(&size, record if shared else 0, CHUNK)
    f.stack = start + take(&size, (f.slots + 1) * M * f.states * S if matrices else 0, CHUNK)
    f.columns = start + take(&size, M * D * P if matrices else 0, CHUNK)
    f.whitened = start + take(&size, D * Q if shared else 0, CHUNK)
    f.moments = start + take(&size, K * P if shared else 0, CHUNK)
    f.whitener = start + take(&size, record if shared else 0, CHUNK)
    f.observed_origin = start + take(&size, D if shared else 0, CHUNK)
    f.applied = start + take(&size, K * D * P if kind == TRIANGULAR else 0, CHUNK)
    f.upper = start + take(&size, D * P if matrices else 0, CHUNK)
    f.inverse = start + take(&size, D * P if matrices else 0, CHUNK)
    f.first = start + take(&size, D, CHUNK)
    f.second = start + take(&size, D * D if matrices else 0, CHUNK)
    f.scratch = start + take(&size, (2 * D + 4) * P if matrices else 0, CHUNK)
    f.gathering = layout(TRIANGULAR, D, M, True, 8)
    f.gathering.C, f.gathering.P = GATHERED, GATHERED + CHUNK
    f.gathering.y = 0
    f.gathering.r = M * D * f.gathering.P
    f.gathering.u = f.gathering.r + M * f.gathering.P
    f.gathering.n_buffered = f.gathering.u + 4 * f.gathering.P
    f.buffers = start + take(&size, f.gathering.n_buffered + M if matrices else 0, CHUNK)
    f.observed = <Py_ssize_t*> (start + take(&size, D, CHUNK))
    f.missing = <Py_ssize_t*> (start + take(&size, D, CHUNK))
    f.eliminated = <Py_ssize_t*> (start + take(&size, D + 1, CHUNK))
    f.path = <uint8_t*> (start + take(&size, D, CHUNK))
    f.size = size
    return f


cdef inline void begin(
    Frame* f,
    const double* log_weights,      # IN  (K,)
    const double* means,            # IN  (K, D)
    const double* covariances,      # IN  (M, D, D), or (K, D) of DIAGONAL
) noexcept nogil:
    """Put a mixture into its frame."""
    cdef Py_ssize_t k, i, D = f.D, K = f.K
    cdef double* moved
    cdef double weight
    f.means, f.log_weights = means, log_weights
    f.eliminated[0] = 0
    if f.kind == DIAGONAL:
        for i in range(K * D):
            f.variances[i] = covariances[i]
            f.scales[i] = 1.0 / sqrt(covariances[i])
            f.logs[i] = log(f.scales[i])
        return
    memset(f.buffers + f.gathering.n_buffered, 0, f.M * sizeof(double))
    memset(f.columns, 0, f.M * D * f.P * sizeof(double))
    if f.kind == COMMON_FRAME:
        memset(f.gathered, 0, (1 + D + D * (D + 1) // 2) * sizeof(double))
        memset(f.whitened, 0, D * f.Q * sizeof(double))
        memset(f.origin, 0, f.S * sizeof(double))
        for k in range(K):
            weight = exp(log_weights[k])
            for i in range(D):
                f.origin[i] += weight * means[k * D + i]
        moved = remainder(f, 0, 0)
        memset(moved, 0, K * f.S * sizeof(double))
        for k in range(K):
            for i in range(D):
                moved[k * f.S + i] = means[k * D + i] - f.origin[i]
    for k in range(f.M):
        copy_rows(covariances + k * D * D, D, D, schur(f, 0, k), f.S)
        f.logs[k * (D + 1)] = 0
        for i in range(D):
            f.variances[k * D + i] = covariances[(k * D + i) * D + i]


cdef inline double* schur(const Frame* f, Py_ssize_t n_eliminated, Py_ssize_t k) noexcept nogil:
    """What is left of Sigma_k (D, S) after so many eliminations."""
    return f.stack + (min(n_eliminated, f.slots) * f.M + k * f.cov_stride) * f.states * f.S


cdef inline double* remainder(const Frame* f, Py_ssize_t n_eliminated, Py_ssize_t k) noexcept nogil:
    """What is left of mu_k - origin (S,) after so many eliminations (COMMON_FRAME)."""
    return schur(f, n_eliminated, 0) + (f.D + k) * f.S


cdef inline double eliminate(
    const double* before,           # IN     (states, S)
    double* after,                  # OUT    (states, S), may be `before`
    const uint8_t* path,            # IN     (j,)  the features before j that are observed
    Py_ssize_t j,
    Py_ssize_t D,
    Py_ssize_t states,
    Py_ssize_t S,
    double least,                   # IN     below which a pivot is rounding
    double* restrict column,        # OUT    (S,)  column of H
    double* whitened,               # OUT    (states - D,)  coordinate of each mean
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
    for i in range(states):
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


cdef inline void condition(Frame* f, const uint8_t* observed) noexcept nogil:
    """Turn to another pattern, from where it parts from the present one."""
    cdef Py_ssize_t i = 0, a, k, parted, D = f.D
    cdef double scale
    while i < f.n_valid and f.path[i] == observed[i]:
        i += 1
    while f.eliminated[i] >= f.slots:       # the last state has been overwritten
        i -= 1
    parted = f.eliminated[i]
    for i in range(i, D):
        f.path[i] = observed[i]
        f.eliminated[i + 1] = f.eliminated[i] + (observed[i] != 0)
        if observed[i]:
            f.observed[f.eliminated[i]] = i
    if f.kind != DIAGONAL:
        for k in range(f.M):
            for a in range(parted, f.eliminated[D]):
                i = f.observed[a]
                scale = eliminate(schur(f, a, k), schur(f, a + 1, k), f.path, i, D, f.states, f.S,
                                  DBL_EPSILON * f.variances[k * D + i], f.columns + (k * D + a) * f.P,
                                  f.whitened + a * f.Q)
                f.scales[k * D + a] = scale
                f.logs[k * (D + 1) + a + 1] = f.logs[k * (D + 1) + a] + log(scale)
    f.n_valid = D
    f.n_observed, f.n_missing = f.eliminated[D], 0
    for i in range(D):
        if not f.path[i]:
            f.missing[f.n_missing] = i
            f.n_missing += 1
    for k in range(f.K):
        f.offsets[k] = f.log_weights[k] - f.n_observed * HALF_LOG_2_PI
        if f.kind != DIAGONAL:
            f.offsets[k] += f.logs[k * f.cov_stride * (D + 1) + f.n_observed]
        else:
            for a in range(f.n_observed):
                f.offsets[k] += f.logs[k * D + f.observed[a]]


cdef inline Py_ssize_t width(int kind, Py_ssize_t D) noexcept nogil:
    """How many sums each component has."""
    return 1 + D + (D if kind == DIAGONAL else D * (D + 1) // 2 if kind == TRIANGULAR else 0)


cdef inline double* second_moments(const Frame* f, Py_ssize_t k, double* out) noexcept nogil:
    """Where those of component k stand among all sums; shared ones stand behind those of all components."""
    return out + (k * width(f.kind, f.D) + 1 + f.D if f.cov_stride else f.K * width(f.kind, f.D))


cdef inline double* spreads(const Frame* f, double* out) noexcept nogil:
    """Where the sums of r |y - m_k|^2 and r |y|^2 stand (COMMON_FRAME)."""
    return second_moments(f, 0, out) + f.D * (f.D + 1) // 2


cdef inline void add_conditional(const Frame* f, Py_ssize_t k, double count, double* out) noexcept nogil:
    """Add the conditional covariance of so many rows to the second moments of component k."""
    cdef Py_ssize_t a, b, i, D = f.D
    cdef const double* C
    cdef double* second = second_moments(f, k, out)
    if f.kind == DIAGONAL:
        for a in range(f.n_missing):
            second[f.missing[a]] += count * f.variances[k * D + f.missing[a]]
        return
    C = schur(f, f.n_observed, k)
    for a in range(f.n_missing):
        i = f.missing[a]
        for b in range(a + 1):
            second[i * (i + 1) // 2 + f.missing[b]] += count * C[i * f.S + f.missing[b]]


cdef inline void fetch(
    const Frame* f, const char* X, Py_ssize_t row_stride, const int32_t* order, Py_ssize_t n, Py_ssize_t stop,
    floating zero
) noexcept nogil:
    """Ask for a row that comes soon: rows of a pattern do not lie side by side. `zero` tells their type."""
    cdef Py_ssize_t t
    cdef const char* row
    if n + AHEAD < stop:
        row = X + order[n + AHEAD] * row_stride
        for t in range(f.D * <Py_ssize_t> sizeof(floating) // 64 + 1):
            PREFETCH(row + 64 * t)
