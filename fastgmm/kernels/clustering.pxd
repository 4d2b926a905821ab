"""k-means: nearest centers, seeds by k-means++, and Lloyd's iterations. The notation is that of kernels.pyx."""
from libc.math cimport INFINITY
from libc.stdint cimport int32_t
from libc.string cimport memcpy, memset

from accumulation cimport add_column, add_row, total, weighted_total
from blocks cimport Layout, enter_frame, integer, load_block
from tiles cimport distances, floating, minimum, smallest


cdef enum:
    LANES = 4                   # of sums


cdef struct Points:
    # All rows, and where they lie; `origin` is a point amid them.
    const char* X
    Py_ssize_t row_stride, column_stride, N
    const double* origin        # (D,)


cdef inline const floating* row_of(const Points* points, Py_ssize_t n, floating zero) noexcept nogil:
    """Address of a row; `zero` tells its type."""
    return <const floating*> (points.X + n * points.row_stride)


cdef inline void load(const Layout* at, const Points* points, Py_ssize_t n0, Py_ssize_t rows,
                      floating* work) noexcept nogil:
    """A block of rows about the origin."""
    load_block(points.X + n0 * points.row_stride, points.row_stride, points.column_stride, rows, points.N - n0,
               at.D, at.B, work + at.x)
    enter_frame(at, points.origin, NULL, work)


cdef inline void nearest_centers(
    const Layout* at,                   # IN   of as many components as there are centers
    const Points* points,
    const floating* weights,            # IN   (N,), or NULL: 1 each
    const floating* centers,            # IN   (K, D)  about the origin
    floating* work,                     # SCRATCH
    int32_t* labels,                    # OUT  (N,)  nearest center, or NULL
    double* out,                        # OUT  counts (K), sums of rows about the origin (K, D), inertia
) noexcept nogil:
    """Lloyd's pass: nearest centers, and the sums from which the next centers follow."""
    cdef Py_ssize_t n, k, i, block, n0, rows, D = at.D, K = at.K, B = at.B
    cdef bint short_rows = D < 8
    cdef bint in_rows = not short_rows and points.column_stride == sizeof(floating)    # are quicker read in place
    cdef double weight = 1
    cdef double* lanes = <double*> (work + at.p)    # (LANES, K, 1 + D): sums that need not wait for each other
    memset(out, 0, (K + K * D + 1) * sizeof(double))
    if short_rows:
        memset(lanes, 0, LANES * K * (1 + D) * sizeof(double))
    for block in range((points.N + B - 1) // B):
        n0 = block * B
        rows = min(B, points.N - n0)
        load(at, points, n0, rows, work)
        distances(B, K, D, work + at.x, B, centers, <const floating*> NULL, work + at.d2, B)
        smallest(B, K, work + at.d2, B, work + at.extreme, work + at.component)
        if weights == NULL:
            out[K + K * D] += total(work + at.extreme, rows)
        else:
            out[K + K * D] += weighted_total(work + at.extreme, weights + n0, rows)
        for n in range(rows):
            k = integer(work + at.component, n)
            if labels != NULL:
                labels[n0 + n] = <int32_t> k
            if weights != NULL:
                weight = weights[n0 + n]
            if short_rows:
                add_to_lane(work + at.x + n, B, D, weight, lanes + ((n % LANES) * K + k) * (1 + D))
                continue
            out[k] += weight
            if in_rows:
                add_row(row_of(points, n0 + n, <floating> 0), points.origin, D, weight, out + K + k * D)
            else:
                add_column(work + at.x + n, B, D, weight, out + K + k * D)
    if short_rows:
        for n in range(LANES):
            for k in range(K):
                out[k] += lanes[(n * K + k) * (1 + D)]
                for i in range(D):
                    out[K + k * D + i] += lanes[(n * K + k) * (1 + D) + 1 + i]


cdef inline void add_to_lane(
    const floating* x,                  # IN     a row, of which features are B apart
    Py_ssize_t B,
    Py_ssize_t D,
    double weight,
    double* lane,                       # INOUT  the count and the sums of a center
) noexcept nogil:
    """Count a row, and add it."""
    cdef Py_ssize_t i
    lane[0] += weight
    for i in range(D):
        lane[1 + i] += weight * x[i * B]


cdef inline void potentials_of(
    const Layout* at,                   # IN   of as many components as there are candidates
    const Points* points,
    const floating* weights,            # IN   (N,), or NULL: 1 each
    const floating* candidates,         # IN   (T, D)  about the origin
    bint update,                        # IN   lower `closest` by the (only) candidate
    floating* work,                     # SCRATCH
    floating* closest,                  # INOUT  (N,)  squared distance to the nearest center so far
    double* out,                        # OUT  (T,)  weighted sum of min(closest, distance^2 to candidate t)
) noexcept nogil:
    """k-means++: the sum of squared distances to the nearest center if each candidate were the next."""
    cdef Py_ssize_t t, block, n0, rows, T = at.K, B = at.B
    cdef floating* d2
    memset(out, 0, T * sizeof(double))
    for block in range((points.N + B - 1) // B):
        n0 = block * B
        rows = min(B, points.N - n0)
        load(at, points, n0, rows, work)
        distances(B, T, at.D, work + at.x, B, candidates, <const floating*> NULL, work + at.d2, B)
        memset(work + at.extreme, 0, B * sizeof(floating))
        memcpy(work + at.extreme, closest + n0, rows * sizeof(floating))
        for t in range(T):
            d2 = work + at.d2 + t * B
            if weights == NULL:
                out[t] += minimum(B, work + at.extreme, d2, d2)
            else:
                minimum(B, work + at.extreme, d2, d2)
                out[t] += weighted_total(d2, weights + n0, rows)
        if update:
            memcpy(closest + n0, work + at.d2, rows * sizeof(floating))


cdef inline void about_origin(const Points* points, Py_ssize_t n, Py_ssize_t D, floating* out) noexcept nogil:
    """A row about the origin."""
    cdef Py_ssize_t i
    cdef const char* x = points.X + n * points.row_stride
    for i in range(D):
        out[i] = <floating> ((<const floating*> (x + i * points.column_stride))[0] - points.origin[i])


cdef inline Py_ssize_t reached(const double* cumulative, Py_ssize_t N, double value) noexcept nogil:
    """The first of N rising numbers that is at least a value; the last if none is."""
    cdef Py_ssize_t low = 0, high = N, middle
    while low < high:
        middle = (low + high) // 2
        if cumulative[middle] < value:
            low = middle + 1
        else:
            high = middle
    return min(low, N - 1)


cdef inline void plant(
    const Layout* alone,                # IN   of one component
    const Layout* together,             # IN   of as many as there are trials
    const Points* points,
    const floating* weights,            # IN   (N,), or NULL: 1 each
    Py_ssize_t n_seeds,
    const double* uniforms,             # IN   (n_seeds - 1, trials)
    floating* work,                     # SCRATCH
    floating* candidates,               # SCRATCH  (trials, D)
    floating* closest,                  # SCRATCH  (N,)
    double* cumulative,                 # SCRATCH  (N,)
    double* sums,                       # SCRATCH  (trials,)
    Py_ssize_t* trial,                  # SCRATCH  (trials,)
    Py_ssize_t* chosen,                 # INOUT  (n_seeds,)  rows; the first is given
) noexcept nogil:
    """k-means++ with trials: each next row by its squared distance, of several the one that lowers their sum most."""
    cdef Py_ssize_t c, n, t, best, D = alone.D, T = together.K, N = points.N
    cdef double potential, before
    for n in range(N):
        closest[n] = <floating> INFINITY
    about_origin(points, chosen[0], D, candidates)
    potentials_of(alone, points, weights, candidates, True, work, closest, &potential)
    for c in range(1, n_seeds):
        before = 0
        for n in range(N):
            before += closest[n] if weights == NULL else closest[n] * weights[n]
            cumulative[n] = before
        for t in range(T):
            trial[t] = reached(cumulative, N, uniforms[(c - 1) * T + t] * potential)
            about_origin(points, trial[t], D, candidates + t * D)
        potentials_of(together, points, weights, candidates, False, work, closest, sums)
        best = 0
        for t in range(1, T):
            if sums[t] < sums[best]:
                best = t
        chosen[c] = trial[best]
        about_origin(points, chosen[c], D, candidates)
        potentials_of(alone, points, weights, candidates, True, work, closest, &potential)


cdef inline Py_ssize_t settle(
    const Layout* at,
    const Points* points,
    const floating* weights,            # IN   (N,), or NULL: 1 each
    double least,                       # IN   centers that move by no more, squared and summed, have settled
    double nothing,                     # IN   an inertia that is rounding
    Py_ssize_t most,                    # IN   passes
    floating* work,                     # SCRATCH
    floating* about,                    # SCRATCH  (K, D)
    double* sums,                       # SCRATCH  as `nearest_centers` leaves them
    double* centers,                    # INOUT  (K, D)
) noexcept nogil:
    """Lloyd's iterations; returns how many are left where a center has lost its rows, 0 for none, -1 once settled."""
    cdef Py_ssize_t k, i, left, D = at.D, K = at.K
    cdef double moved, distance
    cdef double* first = sums + K
    for left in range(most, 0, -1):
        for k in range(K):
            for i in range(D):
                about[k * D + i] = <floating> (centers[k * D + i] - points.origin[i])
        nearest_centers(at, points, weights, about, work, <int32_t*> NULL, sums)
        for k in range(K):
            if sums[k] == 0 and sums[K + K * D] > nothing:
                return left
        distance = 0
        for k in range(K):
            for i in range(D):
                moved = 0
                if sums[k] > 0:
                    moved = (first[k * D + i] - sums[k] * (centers[k * D + i] - points.origin[i])) / sums[k]
                centers[k * D + i] += moved
                distance += moved * moved
        if distance <= least:
            return -1
    return 0
