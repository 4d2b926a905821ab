"""Where a block of rows is looked at for one component after the other, and left as soon as it is beyond reach.

pruning.pxd and pruned_answers.pxd do so; the tiles are in pruning_template.h.
"""
from libc.math cimport INFINITY, fabs
from libc.stdint cimport int32_t, uint8_t
from libc.string cimport memset

from arguments cimport Mixture
from blocks cimport COMMON_FRAME, TRIANGULAR, Layout, packed_size, take
from pairs cimport Batch, batch
from tiles cimport LANES_F32, LANES_F64, Pruning, floating, panel_lanes

cdef enum:
    TILE_BYTES = 1 << 20        # whitened blocks of components that have a share stay in a second-level cache


cdef struct Desk:
    # Where things stand behind a Layout, in numbers from its end.
    Py_ssize_t B            # samples in a block
    Py_ssize_t T            # whitened blocks that are kept; the last of them serves all for which there is no room
    Py_ssize_t rows         # (B, D)      the rows of a block side by side, with a vector of room behind them
    Py_ssize_t x            # (D, B)      the block, transposed
    Py_ssize_t z            # (D, B)      x - center, as far as it is whitened (TRIANGULAR)
    Py_ssize_t y            # (T, D, B)   whitened blocks (TRIANGULAR), or (T, B) squared distances (COMMON_FRAME)
    Py_ssize_t p            # (K + 2, B)  log densities, then responsibilities, of active components, and room
    Py_ssize_t highest      # (B,)        largest log density so far
    Py_ssize_t most         # (B,)        |y|^2 beyond which there is no share, less 2 c_k
    Py_ssize_t extreme, component, scores, weights      # (B,) each
    Py_ssize_t twice        # (K,)        2 c_k, rounded up
    Py_ssize_t inverse      # (K,)        1 / s_k^2, rounded up (COMMON_FRAME)
    Py_ssize_t surpassed    # (K,)        |y|^2 that all rows of the block are known to surpass
    Py_ssize_t found        # (K,)        uint8: codes that the block leaves
    Py_ssize_t active       # (K + 2,)    int32: the components that may have a share in the block, K for noise
    Py_ssize_t seen         # (K + 1,)    uint8: whether they were evaluated first
    Py_ssize_t lists        # a Batch of rows, and the pairs of each component in it (accumulating, not TRIANGULAR)
    Py_ssize_t size


cdef inline Desk desk(const Layout* of, bint accumulating, Py_ssize_t itemsize) noexcept nogil:
    """Sizes that depend on the model and the instruction set alone."""
    cdef Desk at
    cdef Py_ssize_t D = of.D, K = of.K
    cdef Py_ssize_t size = 0, B = panel_lanes(itemsize), lanes = LANES_F64 if itemsize == 8 else LANES_F32
    cdef Py_ssize_t pad = max(lanes, 16), kept = D if of.kind == TRIANGULAR else 1 if of.kind == COMMON_FRAME else 0
    cdef Batch lists = batch(of, itemsize)
    at.B = B
    at.T = K + 2 if of.kind == COMMON_FRAME else min(K, max(4, TILE_BYTES // (D * B * itemsize))) + 1
    at.T = at.T if accumulating else 1
    at.rows = take(&size, B * D + lanes, pad)
    at.x = take(&size, D * B, pad)
    at.z = take(&size, D * B if of.kind == TRIANGULAR else 0, pad)
    at.y = take(&size, at.T * kept * B, pad)
    at.p = take(&size, (K + 2) * B, pad)
    at.highest = take(&size, B, pad)
    at.most = take(&size, B, pad)
    at.extreme = take(&size, B, pad)
    at.component = take(&size, B, pad)
    at.scores = take(&size, B, pad)
    at.weights = take(&size, B, pad)
    at.twice = take(&size, K, pad)
    at.inverse = take(&size, K if of.kind == COMMON_FRAME else 0, pad)
    at.surpassed = take(&size, K, pad)
    at.found = take(&size, K, pad)
    at.active = take(&size, K + 2, pad)
    at.seen = take(&size, K + 1, pad)
    at.lists = take(&size, lists.size if accumulating and of.kind != TRIANGULAR else 0, pad)
    at.size = size
    return at


cdef inline floating raised(floating value) noexcept nogil:
    """A number above what it would be without rounding in the last few operations."""
    return value + <floating> fabs(value) * (<floating> 1e-6 if floating is float else <floating> 1e-15)


cdef inline Py_ssize_t work_of(const Layout* at) noexcept nogil:
    """How many multiply-adds a row and a component take."""
    return packed_size(at.D) if at.kind == TRIANGULAR else at.D


cdef inline void lay_out(
    Pruning* mixture,                   # OUT
    const Layout* at,
    const Desk* to,
    double log_cut,                     # IN   of responsibilities
    const Mixture* given,
    floating* side,                     # IN   the desk
) noexcept nogil:
    """A mixture as blocks are whitened for it."""
    cdef Py_ssize_t k
    cdef const floating* offsets = <const floating*> given.offsets
    cdef const floating* factors = <const floating*> given.factors
    for k in range(at.K):
        (side + to.twice)[k] = raised(2 * offsets[k]) if offsets[k] > -INFINITY else offsets[k]
        if at.kind == COMMON_FRAME:
            (side + to.inverse)[k] = raised(1 / (factors[k] * factors[k]))
    mixture.kind, mixture.inverse = at.kind, side + to.inverse
    mixture.d, mixture.packed, mixture.n_tiles, mixture.log_cut = at.D, work_of(at), to.T, log_cut
    mixture.offsets, mixture.twice, mixture.rounding = offsets, side + to.twice, given.center_rounding
    mixture.centers, mixture.factors, mixture.x = given.centers, factors, side + to.x
    mixture.z, mixture.y, mixture.p = side + to.z, side + to.y, side + to.p
    mixture.highest, mixture.most, mixture.active = side + to.highest, side + to.most, <int32_t*> (side + to.active)
    mixture.surpassed, mixture.known, mixture.found, mixture.unit, mixture.passed = side + to.surpassed, NULL, NULL, \
        NULL, NULL
    memset(side + to.seen, 0, (at.K + 1) * sizeof(uint8_t))
    memset(side + to.surpassed, 0, at.K * sizeof(floating))


cdef inline Py_ssize_t begin_block(
    const Layout* at, const Desk* to, const Pruning* mixture, const floating* offsets, floating* side
) noexcept nogil:
    """Nothing is known of the block yet; noise has a share, unless it is small. Returns how many are active."""
    cdef Py_ssize_t n, K = at.K
    cdef floating* highest = side + to.highest
    cdef floating* most = side + to.most
    for n in range(to.B):
        highest[n] = -INFINITY
        most[n] = INFINITY
    if at.Q == K:
        return 0
    mixture.active[0] = <int32_t> K
    for n in range(to.B):
        (side + to.p)[n] = highest[n] = offsets[K]
        if offsets[K] > -INFINITY:
            most[n] = raised(-2 * (offsets[K] + <floating> mixture.log_cut))
    return 1
