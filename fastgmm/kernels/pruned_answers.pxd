"""What a mixture says of rows as they stand, whose whitening ends early.

Exponentials below u / K count for nothing, so that a row has the same bits beside any others.
"""
from libc.math cimport log
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy, memset

from arguments cimport Answers, Mixture, View, normalizes
from blocks cimport TRIANGULAR, Layout, below_rounding, far, integer, load_block
from early_exit cimport Desk, begin_block, desk, lay_out
from tiles cimport Pruning, evaluate_others, floating, largest, normalize_block, panel_lanes

cdef enum:
    STRETCH_BLOCKS = 128        # of rows as they stand, of which
    TRIAL_BLOCKS = 8            # the first tell whether pruning pays in the others
    MOST_PERCENT = 75           # of all multiply-adds, if it does


cdef inline bint prunes(const Layout* at) noexcept nogil:
    """Whether whitening for a model of this kind and size may end early."""
    return at.kind == TRIANGULAR and at.D >= 12


cdef inline Py_ssize_t stretch_rows(Py_ssize_t itemsize) noexcept nogil:
    """How many rows are answered for together."""
    return STRETCH_BLOCKS * panel_lanes(itemsize)


cdef inline Py_ssize_t evaluate_pruned(
    const Layout* at,                   # IN   TRIANGULAR, of no accumulation
    const View* given,                  # IN   a stretch at most
    const Mixture* model,
    floating* work,                     # SCRATCH  a Layout, then a Desk
    const Answers* out,
    Py_ssize_t* n_far,                  # INOUT  see `evaluate`
) noexcept nogil:
    """What a mixture says of each row, responsibilities below u / K as 0; returns how many rows it has come to.

    It comes to all of them, unless the first blocks show that little can be left out.
    """
    cdef Desk to = desk(at, False, sizeof(floating))
    cdef Pruning mixture
    cdef bint normalized = normalizes(out)
    cdef Py_ssize_t block, n0, rows, n, k, a, n_active, B = to.B, K = at.K, N = given.N
    cdef const floating* offsets = <const floating*> model.offsets
    cdef int64_t macs = 0
    cdef floating cut = below_rounding(K, <floating> 0)
    cdef floating* side = work + at.size
    cdef floating* share
    lay_out(&mixture, at, &to, log(<double> cut) if normalized else 0, model, side)
    for block in range((N + B - 1) // B):
        if block == TRIAL_BLOCKS and 100 * macs > MOST_PERCENT * TRIAL_BLOCKS * K * mixture.packed:
            return block * B
        n0 = block * B
        rows = min(B, N - n0)
        load_block(given.X + n0 * given.row_stride, given.row_stride, given.column_stride, rows, N - n0, at.D, B,
                   side + to.x)
        n_active = begin_block(at, &to, &mixture, offsets, side)
        n_active = evaluate_others(&mixture, K, <uint8_t*> (side + to.seen), n_active, &macs, <floating> 0)
        if out.labels != NULL:
            largest(B, n_active, side + to.p, B, side + to.extreme, side + to.component)
            for n in range(rows):
                k = mixture.active[integer(side + to.component, n)]
                out.labels[n0 + n] = k if k < K else -1     # noise
        if normalized:
            normalize_block(n_active, cut, side + to.p, side + to.scores)
        n_far[0] += far(side + (to.scores if normalized else to.highest), rows)
        if out.log_likelihoods != NULL:
            memcpy(<floating*> out.log_likelihoods + n0, side + to.scores, rows * sizeof(floating))
        if out.responsibilities != NULL:
            for n in range(rows):
                share = <floating*> out.responsibilities + (n0 + n) * out.length
                memset(share, 0, at.Q * sizeof(floating))
                for a in range(n_active):
                    share[mixture.active[a]] = (side + to.p)[a * B + n]
    return N
