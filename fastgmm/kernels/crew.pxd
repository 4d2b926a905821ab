"""Threads that work off the items of one job after the other, without a call into Python between them.

One of them leads: it sets a job, works like the others, and goes on when all items are done; the others stay until they
are dismissed. Whoever has to wait looks up again and again for some microseconds, and sleeps after that.
"""
from libc.stdint cimport int64_t
from cpython.pythread cimport PyThread_acquire_lock, PyThread_release_lock, PyThread_type_lock, WAIT_LOCK


cdef extern from "crew.h" nogil:
    int64_t shared_value(int64_t* number)
    int64_t shared_exchange(int64_t* number, int64_t value)
    int64_t shared_add(int64_t* number, int64_t value)
    bint shared_replace(int64_t* number, int64_t before, int64_t after)
    void stand_aside()


cdef enum:
    LOOKS = 2048                # before a thread sleeps: about as long as falling asleep and waking take

ctypedef void (*Work)(const void* job, Py_ssize_t item, void* workspace) noexcept nogil


cdef struct Member:
    int64_t asleep              # or about to be
    PyThread_type_lock gate     # closed; opened once for each time that it is woken
    char[48] apart              # so that each has a line of the cache to itself


cdef struct Crew:
    Py_ssize_t n_members
    Member* members             # the first of them leads
    Work work                   # on an item of the job
    const void* job
    Py_ssize_t n_items
    int64_t left                # items that nobody has taken
    int64_t undone              # items that are not done
    int64_t dismissed

ctypedef bint (*Condition)(Crew* crew) noexcept nogil


cdef inline bint is_done(Crew* crew) noexcept nogil:
    """Whether a job is."""
    return shared_value(&crew.undone) == 0


cdef inline bint is_called(Crew* crew) noexcept nogil:
    """Whether there is work, or never will be."""
    return shared_value(&crew.left) > 0 or shared_value(&crew.dismissed) > 0


cdef inline void wake(Member* member) noexcept nogil:
    """Wake a member if it sleeps."""
    if shared_exchange(&member.asleep, 0):
        PyThread_release_lock(member.gate)


cdef inline void wait_until(Condition met, Crew* crew, Member* member) noexcept nogil:
    """Wait until whoever meets a condition wakes this member."""
    cdef int _
    for _ in range(LOOKS):
        if met(crew):
            return
        stand_aside()
    while not met(crew):
        shared_exchange(&member.asleep, 1)
        if not met(crew) or not shared_exchange(&member.asleep, 0):     # in the latter case somebody opens the gate
            PyThread_acquire_lock(member.gate, WAIT_LOCK)


cdef inline void work_off(Crew* crew, void* workspace) noexcept nogil:
    """Take items until none is left."""
    cdef int64_t left = shared_value(&crew.left)
    while left > 0:
        if shared_replace(&crew.left, left, left - 1):
            crew.work(crew.job, crew.n_items - left, workspace)
            if shared_add(&crew.undone, -1) == 0:
                wake(crew.members)
        left = shared_value(&crew.left)


cdef inline void lead(Crew* crew, Work work, const void* job, Py_ssize_t n_items, void* workspace) noexcept nogil:
    """Do all items of a job, with the others."""
    cdef Py_ssize_t i
    crew.work, crew.job, crew.n_items = work, job, n_items
    shared_exchange(&crew.undone, n_items)
    shared_exchange(&crew.left, n_items)
    for i in range(1, min(crew.n_members, n_items)):
        wake(crew.members + i)
    work_off(crew, workspace)
    wait_until(is_done, crew, crew.members)


cdef inline void assist(Crew* crew, Member* member, void* workspace) noexcept nogil:
    """Work off one job after the other until dismissed."""
    while not shared_value(&crew.dismissed):
        work_off(crew, workspace)
        wait_until(is_called, crew, member)


cdef inline void dismiss(Crew* crew) noexcept nogil:
    """Let the others go."""
    cdef Py_ssize_t i
    shared_exchange(&crew.dismissed, 1)
    for i in range(1, crew.n_members):
        wake(crew.members + i)
