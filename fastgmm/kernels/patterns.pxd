"""Rows with gaps: what a mixture says of the features that are observed, and given these, of those that are missing.

Rows with the same features observed make a pattern. With o observed and m missing, Sigma_oo = L_o L_o^T and
y = L_o^-1 (x_o - mu_o), the marginal density of x_o has the exponent -|y|^2 / 2, and given x_o the whole of x has the
mean mu + H y and the covariance C:

    H = [L_o; U]    U = Sigma_mo L_o^-T         C = Sigma_mm - U U^T, zero in observed features

(Z. Ghahramani, M. I. Jordan, Supervised learning from incomplete data via an EM approach, NIPS 6, 1994). Both follow
from Sigma by eliminating the observed features one by one: the columns of H on the way, C at the end. Patterns come in
lexicographic order, and the states on the way are kept in a stack, so that a pattern begins where it parts from the
one before: with many patterns, where only small matrices are left.

Of a pattern of many rows, blocks are whitened and summed by the kernels for complete rows, in |o| dimensions, and the
sums are mapped by H once. Of a pattern of few, each row is mapped on its own. Everything here but blocks of rows is in
double precision. The notation is that of kernels.pyx.
"""
from libc.float cimport DBL_EPSILON, DBL_MAX, DBL_MIN
from libc.math cimport log, sqrt
from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memcpy, memset

from accumulation cimport flush
from algebra cimport congruence, copy_rows, invert_upper, padded, product
from blocks cimport DIAGONAL, TRIANGULAR, Layout, aligned, layout, pack_triangle, take
from tiles cimport LANES_F32, LANES_F64, PREFETCH, TILE_COLUMNS, exp_all, floating

cdef enum:
    FEW = 8                     # rows below which a pattern is not worth a block
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
    Py_ssize_t S                # D in whole chunks: length of a row of `stack`
    Py_ssize_t P                # padded(S): length of a row of the other matrices
    Py_ssize_t slots            # states that the stack keeps, beside the last
    Py_ssize_t known            # features of `path` that hold
    Py_ssize_t n_observed, n_missing
    const double* means         # (K, D)
    const double* log_weights   # (K,)
    double* variances           # (K, D)
    double* scales              # (K, D)            1 / deviation; by the place in `observed`, of DIAGONAL by feature
    double* logs                # (K, D + 1)        sums of log(scales); of DIAGONAL the logarithms themselves
    double* offsets             # (K,)              c_k of the marginal density
    double* x                   # (S,)              one row
    double* z                   # (K, S)            x - mu, missing features at their conditional means
    double* p                   # (K,)              log densities of the row
    double* r                   # (K,)              its responsibilities
    double* counts              # (K,)              sums of these
    double* sums                # (K, 1 + D + D (D + 1) / 2) or (K, 1 + 2 D), sums over blocks
    double* stack               # (slots + 1, K, D, S)  what is left of Sigma after so many eliminations
    double* columns             # (K, D, P)         H^T, a row for each observed feature
    double* applied             # (K, D, P)         by what rounding changed L_o
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
    cdef Py_ssize_t S = (D + CHUNK - 1) // CHUNK * CHUNK, P = padded(S), size = 0
    cdef bint matrices = kind == TRIANGULAR
    f.kind, f.D, f.K, f.S, f.P = kind, D, K, S, P
    f.slots = max(1, min(D, STACK_BYTES // (K * D * S * 8)))
    f.known = f.n_observed = f.n_missing = 0
    f.variances = start + take(&size, K * D, CHUNK)
    f.scales = start + take(&size, K * D, CHUNK)
    f.logs = start + take(&size, K * (D + 1), CHUNK)
    f.offsets = start + take(&size, K, CHUNK)
    f.x = start + take(&size, S, CHUNK)
    f.z = start + take(&size, K * S, CHUNK)
    f.p = start + take(&size, K, CHUNK)
    f.r = start + take(&size, K, CHUNK)
    f.counts = start + take(&size, K, CHUNK)
    f.sums = start + take(&size, K * (1 + D + max(D, D * (D + 1) // 2)), CHUNK)
    f.stack = start + take(&size, (f.slots + 1) * K * D * S if matrices else 0, CHUNK)
    f.columns = start + take(&size, K * D * P if matrices else 0, CHUNK)
    f.applied = start + take(&size, K * D * P if matrices else 0, CHUNK)
    f.upper = start + take(&size, D * P if matrices else 0, CHUNK)
    f.inverse = start + take(&size, D * P if matrices else 0, CHUNK)
    f.first = start + take(&size, D, CHUNK)
    f.second = start + take(&size, D * D if matrices else 0, CHUNK)
    f.scratch = start + take(&size, (2 * D + 4) * P if matrices else 0, CHUNK)
    f.gathering = layout(TRIANGULAR, D, K, True, 8)
    f.gathering.C, f.gathering.P = GATHERED, GATHERED + CHUNK
    f.gathering.y = 0
    f.gathering.r = K * D * f.gathering.P
    f.gathering.u = f.gathering.r + K * f.gathering.P
    f.gathering.fill = f.gathering.u + 4 * f.gathering.P
    f.buffers = start + take(&size, f.gathering.fill + K if matrices else 0, CHUNK)
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
    const double* covariances,      # IN  (K, D, D), or (K, D) of DIAGONAL
) noexcept nogil:
    """Put a mixture into its frame."""
    cdef Py_ssize_t k, i, D = f.D, K = f.K
    f.means, f.log_weights = means, log_weights
    f.eliminated[0] = 0
    if f.kind == DIAGONAL:
        for i in range(K * D):
            f.variances[i] = covariances[i]
            f.scales[i] = 1.0 / sqrt(covariances[i])
            f.logs[i] = log(f.scales[i])
        return
    memset(f.buffers + f.gathering.fill, 0, K * sizeof(double))
    memset(f.columns, 0, K * D * f.P * sizeof(double))
    for k in range(K):
        copy_rows(covariances + k * D * D, D, D, f.stack + k * D * f.S, f.S)
        f.logs[k * (D + 1)] = 0
        for i in range(D):
            f.variances[k * D + i] = covariances[(k * D + i) * D + i]


cdef inline double* left(const Frame* f, Py_ssize_t n_eliminated, Py_ssize_t k) noexcept nogil:
    """What is left of Sigma_k (D, S) after so many eliminations."""
    return f.stack + (min(n_eliminated, f.slots) * f.K + k) * f.D * f.S


cdef inline double eliminate(
    const double* before,           # IN     (D, S)
    double* after,                  # OUT    (D, S), may be `before`
    const uint8_t* path,            # IN     (j,)  the features before j that are observed
    Py_ssize_t j,
    Py_ssize_t D,
    Py_ssize_t S,
    double least,                   # IN     below which a pivot is rounding
    double* restrict column,        # OUT    (S,)  column of H
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
    for i in range(D):
        if i > j or (i < j and not path[i]):
            old, rest, factor = before + i * S, after + i * S, column[i]
            for t in range(S // CHUNK):
                for c in range(CHUNK):
                    rest[CHUNK * t + c] = old[CHUNK * t + c] - factor * column[CHUNK * t + c]
            rest[j] = 0
    return scale


cdef inline void condition(Frame* f, const uint8_t* observed) noexcept nogil:
    """Turn to another pattern, from where it parts from the present one."""
    cdef Py_ssize_t i = 0, a, k, parted, D = f.D
    cdef double scale
    while i < f.known and f.path[i] == observed[i]:
        i += 1
    while f.eliminated[i] >= f.slots:       # the last state has been overwritten
        i -= 1
    parted = f.eliminated[i]
    for i in range(i, D):
        f.path[i] = observed[i]
        f.eliminated[i + 1] = f.eliminated[i] + (observed[i] != 0)
        if observed[i]:
            f.observed[f.eliminated[i]] = i
    if f.kind == TRIANGULAR:
        for k in range(f.K):
            for a in range(parted, f.eliminated[D]):
                i = f.observed[a]
                scale = eliminate(left(f, a, k), left(f, a + 1, k), f.path, i, D, f.S,
                                  DBL_EPSILON * f.variances[k * D + i], f.columns + (k * D + a) * f.P)
                f.scales[k * D + a] = scale
                f.logs[k * (D + 1) + a + 1] = f.logs[k * (D + 1) + a] + log(scale)
    f.known = D
    f.n_observed, f.n_missing = f.eliminated[D], 0
    for i in range(D):
        if not f.path[i]:
            f.missing[f.n_missing] = i
            f.n_missing += 1
    for k in range(f.K):
        f.offsets[k] = f.log_weights[k] - f.n_observed * HALF_LOG_2_PI
        if f.kind == TRIANGULAR:
            f.offsets[k] += f.logs[k * (D + 1) + f.n_observed]
        else:
            for a in range(f.n_observed):
                f.offsets[k] += f.logs[k * D + f.observed[a]]


# ---- one row ------------------------------------------------------------------------------------------


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
    """Let the mapped row wait to be added to the sums of component k."""
    cdef Py_ssize_t i, D = f.D, P = f.gathering.P
    cdef Py_ssize_t* fill = <Py_ssize_t*> (f.buffers + f.gathering.fill)
    cdef double* y = f.buffers + f.gathering.y + k * D * P + fill[k]
    cdef const double* z = f.z + k * f.S
    for i in range(D):
        y[i * P] = z[i]
    (f.buffers + f.gathering.r)[k * P + fill[k]] = r
    fill[k] += 1
    if fill[k] == f.gathering.C:
        flush(&f.gathering, k, f.buffers, out)


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
    cdef Py_ssize_t n, k, i, stride = 1 + f.D + (f.D if f.kind == DIAGONAL else f.D * (f.D + 1) // 2)
    cdef double weight = 1, log_likelihood = 0, score, r
    cdef double* second
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
            if f.kind == TRIANGULAR:
                gather(f, k, r, out + k * stride)
            else:
                z = f.z + k * f.S
                second = out + k * stride + 1
                for i in range(f.D):
                    second[i] += r * z[i]
                    second[f.D + i] += r * z[i] * z[i]
    for k in range(f.K):
        if f.counts[k] > 0:
            if f.kind == DIAGONAL:
                out[k * stride] += f.counts[k]
            add_conditional(f, k, f.counts[k], out + k * stride)
    return log_likelihood


cdef inline void add_conditional(const Frame* f, Py_ssize_t k, double count, double* out) noexcept nogil:
    """Add the conditional covariance of so many rows to the second moments of component k."""
    cdef Py_ssize_t a, b, i, D = f.D
    cdef const double* C
    cdef double* second = out + 1 + D
    if f.kind == DIAGONAL:
        for a in range(f.n_missing):
            second[f.missing[a]] += count * f.variances[k * D + f.missing[a]]
        return
    C = left(f, f.n_observed, k)
    for a in range(f.n_missing):
        i = f.missing[a]
        for b in range(a + 1):
            second[i * (i + 1) // 2 + f.missing[b]] += count * C[i * f.S + f.missing[b]]


cdef inline void flush_rows(const Frame* f, double* out) noexcept nogil:
    """Add all mapped rows that wait."""
    cdef Py_ssize_t k
    if f.kind == TRIANGULAR:
        for k in range(f.K):
            flush(&f.gathering, k, f.buffers, out + k * (1 + f.D + f.D * (f.D + 1) // 2))


# ---- blocks of rows -----------------------------------------------------------------------------------


cdef inline Py_ssize_t model_size(Py_ssize_t D, Py_ssize_t K) noexcept nogil:
    """How many numbers a `marginal` model takes, before the workspace of a block."""
    return (K * (1 + 2 * D + max(D, D * (D + 1) // 2)) + D * D + 15) // 16 * 16


cdef inline Layout block_layout(
    int kind, Py_ssize_t D, Py_ssize_t K, bint accumulating, Py_ssize_t itemsize, Py_ssize_t rows
) noexcept nogil:
    """The layout for so many rows of a pattern: no longer blocks than needed."""
    cdef Py_ssize_t tile = TILE_COLUMNS * (LANES_F64 if itemsize == 8 else LANES_F32)
    cdef Layout at = layout(kind, D, K, accumulating, itemsize)
    at.B = min(at.B, (rows + tile - 1) // tile * tile)
    return at


cdef inline void marginal(
    const Frame* f,
    floating* offsets,          # OUT  (K,)
    floating* centers,          # OUT  (K, o)
    floating* residues,         # OUT  (K, o)
    floating* factors,          # OUT  packed, or (K, o)
    floating* dense,            # SCRATCH (o, o)
) noexcept nogil:
    """The mixture of the observed features as the kernels for complete rows read it."""
    cdef Py_ssize_t k, a, b, i, D = f.D, o = f.n_observed, P = padded(o)
    cdef double lost
    cdef double* applied
    for k in range(f.K):
        offsets[k] = <floating> f.offsets[k]
        for a in range(o):
            centers[k * o + a] = <floating> f.means[k * D + f.observed[a]]
        if f.kind == DIAGONAL:
            for a in range(o):
                factors[k * o + a] = <floating> f.scales[k * D + f.observed[a]]
            continue
        memset(f.upper, 0, o * P * sizeof(double))
        for a in range(o):
            for b in range(a, o):
                f.upper[a * P + b] = f.columns[(k * D + a) * f.P + f.observed[b]]
        invert_upper(f.upper, o, f.inverse, f.scratch)
        for a in range(o):
            residues[k * o + a] = 0
            for b in range(o):
                dense[a * o + b] = <floating> f.inverse[a * P + b]
        pack_triangle(dense, o, factors + k * (o * (o + 1) // 2))
        if floating is float:
            for b in range(o):
                lost = 0
                for a in range(b + 1):
                    i = f.observed[a]
                    lost += (f.means[k * D + i] - centers[k * o + a]) * f.inverse[a * P + b]
                residues[k * o + b] = <floating> -lost
            memset(f.upper, 0, o * P * sizeof(double))
            for a in range(o):
                for b in range(a, o):
                    f.upper[a * P + b] = dense[a * o + b]
            applied = f.applied + k * D * f.P
            invert_upper(f.upper, o, applied, f.scratch)        # P may be less than f.P
            for a in range(o):                                  # times L_o^-T, row by row in place
                memcpy(f.scratch, applied + a * P, o * sizeof(double))
                memset(applied + a * P, 0, o * sizeof(double))
                for b in range(a, o):
                    for i in range(b, o):
                        applied[a * P + i] += f.scratch[b] * f.inverse[b * P + i]


cdef inline void gather_block(
    const Frame* f,
    const char* X,
    Py_ssize_t row_stride,
    Py_ssize_t column_stride,
    const int32_t* order,       # IN   (rows,)
    Py_ssize_t rows,            # IN   1 .. B
    Py_ssize_t after,           # IN   rows in `order` after these
    Py_ssize_t B,
    floating* x,                # OUT  (o, B); lanes past the last row repeat it
) noexcept nogil:
    """Transpose the observed features of a block of rows into its tile."""
    cdef Py_ssize_t n, a
    cdef const char* row
    for n in range(rows):
        fetch(f, X, row_stride, order, n, rows + after, <floating> 0)
        row = X + order[n] * row_stride
        for a in range(f.n_observed):
            x[a * B + n] = (<const floating*> (row + f.observed[a] * column_stride))[0]
    for a in range(f.n_observed):
        for n in range(rows, B):
            x[a * B + n] = x[a * B + rows - 1]


cdef inline double weigh_block(
    const floating* weights,    # IN     by row
    const int32_t* order,       # IN     (rows,)
    Py_ssize_t rows,
    Py_ssize_t B,
    Py_ssize_t K,
    const floating* scores,     # IN     (rows,)
    floating* p,                # INOUT  (K, B)  responsibilities
) noexcept nogil:
    """Multiply responsibilities by the weights of rows; returns the weighted sum of scores."""
    cdef Py_ssize_t n, k
    cdef floating weight
    cdef double total = 0
    for n in range(rows):
        weight = weights[order[n]]
        if weight != 0:
            total += <double> weight * scores[n]
        for k in range(K):
            p[k * B + n] = weight * p[k * B + n] if weight != 0 else 0
    return total


cdef inline void map_sums(const Frame* f, floating zero, double* out) noexcept nogil:
    """Add the sums over blocks of the present pattern to those of all features; `zero` tells the type of the rows."""
    cdef Py_ssize_t k, a, b, i, i0, D = f.D, P = f.P, o = f.n_observed
    cdef Py_ssize_t width = 1 + o + (o if f.kind == DIAGONAL else o * (o + 1) // 2)
    cdef Py_ssize_t stride = 1 + D + (D if f.kind == DIAGONAL else D * (D + 1) // 2)
    cdef const double* sums
    cdef const double* H
    cdef const double* s
    cdef double* second
    cdef double* rows = f.scratch + D * P
    cdef double shift, moved
    cdef int m
    for k in range(f.K):
        sums = f.sums + k * width
        if sums[0] == 0:
            continue
        out[k * stride] += sums[0]
        second = out + k * stride + 1 + D
        add_conditional(f, k, sums[0], out + k * stride)
        if f.kind == DIAGONAL:
            for a in range(o):      # about the means, not about these as rounded
                i = f.observed[a]
                shift = f.means[k * D + i] - <floating> f.means[k * D + i]
                moved = sums[0] * shift
                out[k * stride + 1 + i] += sums[1 + a] - moved
                second[i] += sums[1 + o + a] - 2 * shift * (sums[1 + a] - 0.5 * moved)
            continue
        if floating is float:
            congruence(f.applied + k * D * P, sums + 1, sums + 1 + o, o, f.scratch, f.first, f.second)
            s = f.first
        else:
            s = sums + 1
            for a in range(o):
                for b in range(a + 1):
                    f.second[a * o + b] = sums[1 + o + a * (a + 1) // 2 + b]
                    f.second[b * o + a] = f.second[a * o + b]
        H = f.columns + k * D * P
        for a in range(o):
            for i in range(D):
                out[k * stride + 1 + i] += s[a] * H[a * P + i]
        for i0 in range(0, o, 4):
            product(<int> min(4, o - i0), 0, o, o, f.second + i0 * o, o, 1, H, P, f.scratch + i0 * P)
        for i0 in range(0, D, 4):
            m = <int> min(4, D - i0)
            product(m, 0, o, o, H + i0, 1, P, f.scratch, P, rows)
            for i in range(i0, i0 + m):
                for b in range(i + 1):
                    second[i * (i + 1) // 2 + b] += rows[(i - i0) * P + b]


# ---- filling gaps -------------------------------------------------------------------------------------


cdef inline void draw(const Frame* f, Py_ssize_t k, const double* normals) noexcept nogil:
    """Add to z of component k what its conditional covariance makes of standard normals (D,)."""
    cdef Py_ssize_t a, b, c, i, m = f.n_missing, S = f.S
    cdef const double* C = left(f, f.n_observed, k)
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
                L[a * m + a] = sqrt(max(t, DBL_EPSILON * f.variances[k * f.D + i]))
            f.z[k * S + i] += L[a * m + b] * normals[f.missing[b]]


cdef inline double filled(const Frame* f, Py_ssize_t i, double* deviation) noexcept nogil:
    """Conditional mean of a missing feature, and standard deviation, under the responsibilities of the row."""
    cdef Py_ssize_t k
    cdef double mean = 0, variance = 0, away
    for k in range(f.K):
        mean += f.r[k] * (f.means[k * f.D + i] + f.z[k * f.S + i])
    for k in range(f.K):
        away = f.means[k * f.D + i] + f.z[k * f.S + i] - mean
        variance += f.r[k] * (max(left(f, f.n_observed, k)[i * f.S + i], 0) + away * away)
    deviation[0] = sqrt(variance)
    return mean
