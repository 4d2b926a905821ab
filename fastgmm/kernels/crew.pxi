# Threads that a call leads; included by kernels.pyx.


@cython.final
@cython.auto_pickle(False)
cdef class Team:
    """A crew of so many threads, for one call that leads it."""

    cdef Crew crew
    cdef int64_t n_joined

    def __cinit__(self, Py_ssize_t n_members):
        cdef Py_ssize_t i
        self.crew.members = <Member*> PyMem_Calloc(n_members, sizeof(Member))
        if self.crew.members == NULL:
            raise MemoryError
        for i in range(n_members):
            self.crew.members[i].gate = PyThread_allocate_lock()
            if self.crew.members[i].gate == NULL:
                raise MemoryError
            PyThread_acquire_lock(self.crew.members[i].gate, WAIT_LOCK)
            self.crew.n_members += 1
        self.n_joined = 1

    def __dealloc__(self):
        cdef Py_ssize_t i
        for i in range(self.crew.n_members):
            PyThread_release_lock(self.crew.members[i].gate)
            PyThread_free_lock(self.crew.members[i].gate)
        PyMem_Free(self.crew.members)

    def assist(self, floating[::1] workspace):
        """Work for whoever leads, until dismissed."""
        cdef Member* member = self.crew.members + (shared_add(&self.n_joined, 1) - 1)
        with nogil:
            assist(&self.crew, member, aligned(&workspace[0]))

    def dismiss(self):
        """Let those who assist go, now or when they come."""
        dismiss(&self.crew)
