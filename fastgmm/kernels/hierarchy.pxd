"""Ward's hierarchy of weighted points by chains of nearest neighbors, in double precision."""
from libc.string cimport memset


cdef inline void merge_clusters(
    double* centers,            # INOUT  (D, n)  points, then clusters, feature by point
    Py_ssize_t D,
    Py_ssize_t n,
    double* sizes,              # INOUT  (n,)    their weights
    double* costs,              # SCRATCH  (n,)
    double* height,             # INOUT  (n,)    the last height in each: rounding must not put a merge before those
    Py_ssize_t* name,           # INOUT  (n,)    a point of each cluster
    Py_ssize_t* chain,          # SCRATCH  (n,)
    Py_ssize_t* absorbed,       # OUT    (n - 1,)  which cluster
    Py_ssize_t* into,           # OUT    (n - 1,)  joins which
    double* heights,            # OUT    (n - 1,)
    Py_ssize_t first,
    Py_ssize_t last,
) noexcept nogil:
    """Merges from `first` up to `last`: from cluster to cluster until two are nearest to each other."""
    cdef Py_ssize_t m = n - first, length = 0, merge, a, b, i, j
    cdef double best, share
    for merge in range(first, last):            # clusters 0 ... m - 1 are left
        if length == 0:
            chain[0] = 0
            length = 1
        while True:
            a = chain[length - 1]
            merging_costs(centers, n, D, m, a, sizes, costs)
            b = chain[length - 2] if length > 1 else (1 if a == 0 else 0)
            best = costs[b]
            for j in range(m):
                if costs[j] < best and j != a:
                    best = costs[j]
                    b = j
            if length > 1 and b == chain[length - 2]:
                break
            chain[length] = b
            length += 1
        length -= 2
        absorbed[merge] = name[a]
        into[merge] = name[b]
        height[b] = heights[merge] = max(best, height[a], height[b])
        share = sizes[a] / (sizes[a] + sizes[b])
        sizes[b] += sizes[a]
        m -= 1
        for i in range(D):
            centers[i * n + b] += share * (centers[i * n + a] - centers[i * n + b])
            centers[i * n + a] = centers[i * n + m]
        sizes[a] = sizes[m]
        height[a] = height[m]
        name[a] = name[m]
        for i in range(length):
            if chain[i] == m:
                chain[i] = a


cdef inline void merging_costs(
    const double* centers,      # IN   (D, stride)
    Py_ssize_t stride,
    Py_ssize_t D,
    Py_ssize_t m,               # IN   clusters that are left
    Py_ssize_t a,
    const double* sizes,        # IN   (m,)
    double* costs,              # OUT  (m,)
) noexcept nogil:
    """By how much the sum of squares within clusters rises if cluster a joins each of m; the same both ways."""
    cdef Py_ssize_t i, j
    cdef double x, size = sizes[a]
    memset(costs, 0, m * sizeof(double))
    for i in range(D):
        x = centers[i * stride + a]
        for j in range(m):
            costs[j] += (centers[i * stride + j] - x) * (centers[i * stride + j] - x)
    for j in range(m):
        costs[j] *= size * sizes[j] / (size + sizes[j])
