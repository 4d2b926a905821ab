"""Heavy tails: log densities of Student's t distributions, from squared distances. The notation is that of kernels.pyx.

With Q the squared distance of a sample in the metric of component k, its log of weight times density is

    c_k - e_k log(1 + Q / nu_k)             or, for a product of distributions of single features,
    c_k - e_k sum_i log(1 + Q_i / nu_k)     Q_i = (s_ki (x_i - mu_ki))^2, DIAGONAL
"""
from blocks cimport Layout
from tiles cimport floating, log_all


cdef inline void log1p_all(
    Py_ssize_t n,
    floating* restrict x,               # IN     overwritten
    floating* restrict u,               # SCRATCH
    floating* restrict out,             # OUT
) noexcept nogil:
    """out = log(1 + x) for x >= 0, correct where 1 + x is rounded; NaN where x is infinite."""
    cdef Py_ssize_t i
    for i in range(n):
        u[i] = 1 + x[i]
        x[i] = (x[i] - (u[i] - 1)) / u[i]           # log(1 + x) - log u, to first order
    log_all(n, u, out)
    for i in range(n):
        out[i] = out[i] + x[i]


cdef inline void heavy_tails(
    const Layout* at,
    const floating* tails,              # IN     (3, K)  c_k, e_k, nu_k
    bint apart,                         # IN     features are apart; DIAGONAL only
    const floating* centers,            # IN     (K, D)
    const floating* factors,            # IN     s_k (K, D), if features are apart
    floating* work,                     # INOUT  p: of Gaussian densities with c_k = 0, then what is above
) noexcept nogil:
    """Turn log densities of a block into those of Student's t distributions."""
    cdef Py_ssize_t k, n, i, K = at.K, B = at.B, D = at.D
    cdef floating* restrict p
    cdef floating* restrict x
    cdef floating* restrict q = work + at.component
    cdef floating* restrict logs = work + at.extreme
    cdef floating c, e, per_degree, z
    for k in range(K):
        p = work + at.p + k * B
        c, e, per_degree = tails[k], tails[K + k], 1 / tails[2 * K + k]
        if not apart:
            for n in range(B):
                q[n] = -2 * per_degree * p[n]
            log1p_all(B, q, work + at.scores, logs)
            for n in range(B):
                p[n] = c - e * logs[n]
            continue
        for n in range(B):
            p[n] = c
        for i in range(D):
            x = work + at.x + i * B
            for n in range(B):
                z = (x[n] - centers[k * D + i]) * factors[k * D + i]
                q[n] = z * z * per_degree
            log1p_all(B, q, work + at.scores, logs)
            for n in range(B):
                p[n] = p[n] - e * logs[n]
