"""Few features: passes over rows, all components each, and what a mixture says of single rows.

A block is so short that its whitened rows, log densities and exponentials stay in the first caches until sums are made
of them, lane by lane; lanes are joined in double precision every JOINED rows.
"""
from libc.math cimport INFINITY
from libc.stdint cimport int64_t
from libc.string cimport memcpy, memset

from accumulation cimport total
from arguments cimport Answers, Mixture, View, normalizes
from blocks cimport TRIANGULAR, Layout, below_rounding, far, integer, load_block, width
from tiles cimport (FEW_BYTES, FEW_VECTORS, LANES_F32, LANES_F64, few_densities, few_exponentials, few_sums, floating,
                    join_lanes, largest)

cdef enum:
    JOINED = 512


cdef inline Py_ssize_t whole_vectors_of(Py_ssize_t rows, floating zero) noexcept nogil:
    """So many rows, and lanes without one to make whole vectors; `zero` tells the type."""
    cdef Py_ssize_t lanes = FEW_VECTORS * (LANES_F64 if floating is double else LANES_F32)
    return (rows + lanes - 1) // lanes * lanes


cdef inline void only_finite(Py_ssize_t n, floating* y) noexcept nogil:
    """Infinite numbers, which a responsibility of 0 belongs to, become 0."""
    cdef Py_ssize_t i
    for i in range(n):
        y[i] = y[i] if y[i] - y[i] == 0 else 0


cdef inline void join_all(const Layout* at, floating* sums, double* out) noexcept nogil:
    """Add the lanes of all sums, which become zeros."""
    cdef Py_ssize_t k, stride = width(TRIANGULAR, at.D), lanes = LANES_F64 if floating is double else LANES_F32
    for k in range(at.K):
        join_lanes(stride, sums + k * stride * lanes, out + k * stride)


cdef inline void accumulate_few(
    const Layout* at,
    const View* given,
    const Mixture* mixture,
    floating* work,                     # SCRATCH
    double* out,                        # INOUT sums per component, then the log-likelihood
) noexcept nogil:
    """Add the sums over these rows."""
    cdef Py_ssize_t lanes = LANES_F64 if floating is double else LANES_F32
    cdef Py_ssize_t B = FEW_BYTES // <Py_ssize_t> sizeof(floating), D = at.D, K = at.K, stride = width(TRIANGULAR, D)
    cdef Py_ssize_t block, n0, n, rows, whole, N = given.N
    cdef bint summed
    cdef const floating* weights = <const floating*> given.weights
    cdef const floating* offsets = <const floating*> mixture.offsets
    cdef floating cut = below_rounding(K, <floating> 0), floor = offsets[K] if at.Q > K else -INFINITY
    cdef floating* x = work + at.x
    cdef floating* p = work + at.p
    cdef floating* y = work + at.y
    cdef floating* inverse = work + at.extreme
    cdef floating* scores = work + at.scores
    cdef floating* w = NULL if weights == NULL else work + at.component
    cdef floating* sums = work + at.sums
    memset(sums, 0, K * stride * lanes * sizeof(floating))
    for block in range((N + B - 1) // B):
        n0 = block * B
        rows = min(B, N - n0)
        whole = whole_vectors_of(rows, <floating> 0)
        summed = rows == B and weights == NULL
        load_block(given.X + n0 * given.row_stride, given.row_stride, given.column_stride, rows, N - n0, D, B, x)
        if few_densities(<int> D, whole, K, offsets, <const floating*> mixture.centers,
                         <const floating*> mixture.center_rounding, <const floating*> mixture.factors, floor, x, p, y,
                         scores):
            only_finite(K * D * B, y)
        for n in range(B if at.Q > K else 0):
            p[K * B + n] = offsets[K]
        few_exponentials(summed, whole, at.Q, p, inverse, scores)
        for n in range(rows, whole):
            inverse[n] = 0
        if weights != NULL:
            for n in range(whole):
                w[n] = weights[n0 + n] if n < rows else 0
                scores[n] = w[n] * scores[n] if w[n] > 0 else 0
        out[K * stride] += total(scores, whole // FEW_VECTORS if summed else rows)
        few_sums(<int> D, whole, K, cut, p, inverse, w, y, sums)
        if (n0 + B) % JOINED == 0:
            join_all(at, sums, out)
    join_all(at, sums, out)


cdef inline Py_ssize_t evaluate_few(
    const Layout* at,                   # IN   of no accumulation
    const View* given,
    const Mixture* mixture,
    floating* work,                     # SCRATCH
    const Answers* answers,
) noexcept nogil:
    """What a mixture says of these rows; returns how many are far, as `evaluate`."""
    cdef Py_ssize_t B = FEW_BYTES // <Py_ssize_t> sizeof(floating), D = at.D, K = at.K
    cdef Py_ssize_t block, n0, n, k, rows, whole, n_far = 0, N = given.N
    cdef bint normalized = normalizes(answers)
    cdef floating* log_likelihoods = <floating*> answers.log_likelihoods
    cdef floating* responsibilities = <floating*> answers.responsibilities
    cdef const floating* offsets = <const floating*> mixture.offsets
    cdef floating floor = offsets[K] if at.Q > K else -INFINITY
    cdef floating* p = work + at.p
    cdef floating* restrict inverse = work + at.extreme
    cdef floating* scores = work + at.scores
    cdef floating* restrict out
    cdef const floating* restrict e
    for block in range((N + B - 1) // B):
        n0 = block * B
        rows = min(B, N - n0)
        whole = whole_vectors_of(rows, <floating> 0)
        load_block(given.X + n0 * given.row_stride, given.row_stride, given.column_stride, rows, N - n0, D, B,
                   work + at.x)
        few_densities(<int> D, whole, K, offsets, <const floating*> mixture.centers,
                      <const floating*> mixture.center_rounding, <const floating*> mixture.factors, floor, work + at.x,
                      p, <floating*> NULL, scores)
        for n in range(B if at.Q > K else 0):
            p[K * B + n] = offsets[K]
        if answers.labels != NULL:
            largest(whole, at.Q, p, B, scores, work + at.component)
            for n in range(rows):
                k = integer(work + at.component, n)
                answers.labels[n0 + n] = k if k < K else -1     # noise
        if normalized:
            few_exponentials(False, whole, at.Q, p, inverse, scores)
        n_far += far(scores, rows)
        if log_likelihoods != NULL:
            memcpy(log_likelihoods + n0, scores, rows * sizeof(floating))
        for k in range(at.Q if responsibilities != NULL else 0):
            out = responsibilities + n0 * answers.length + k
            e = p + k * B
            for n in range(rows):
                out[n * answers.length] = e[n] * inverse[n]
    return n_far
