"""The register tiles of tiles.h, one name for both precisions. Tiles are four rows high."""
from libc.float cimport DBL_MAX, DBL_MIN, FLT_MAX, FLT_MIN
from libc.stdint cimport int32_t, int64_t, uint8_t


ctypedef fused floating:
    float
    double


cdef extern from "tiles.h" nogil:
    enum:
        TILE_COLUMNS
        LANES_F32
        LANES_F64
        PANEL_LANES_f32
        PANEL_LANES_f64
        BOX_ROWS
        FEW_BYTES
        FEW_VECTORS

    void PREFETCH(const void* address)

    void exp_all_f64(Py_ssize_t n, const double* x, double* out)
    void exp_all_f32(Py_ssize_t n, const float* x, float* out)
    void log_all_f64(Py_ssize_t n, const double* x, double* out)
    void log_all_f32(Py_ssize_t n, const float* x, float* out)

    void transpose_f64(Py_ssize_t n, Py_ssize_t d, const char* rows, Py_ssize_t row_stride,
                       double* x, Py_ssize_t ldx)
    void transpose_f32(Py_ssize_t n, Py_ssize_t d, const char* rows, Py_ssize_t row_stride,
                       float* x, Py_ssize_t ldx)
    void normalize_f64(int summed, Py_ssize_t n, Py_ssize_t k, double cut, double lowest, double smallest,
                       double* p, Py_ssize_t ldp, double* scores)
    void normalize_f32(int summed, Py_ssize_t n, Py_ssize_t k, float cut, float lowest, float smallest,
                       float* p, Py_ssize_t ldp, float* scores)
    void whiten_f64(Py_ssize_t n, Py_ssize_t d, double offset, const double* w, const double* c, const double* center,
                    const double* x, Py_ssize_t ldx, double* y, Py_ssize_t ldy, double* p)
    void whiten_f32(Py_ssize_t n, Py_ssize_t d, float offset, const float* w, const float* c, const float* center,
                    const float* x, Py_ssize_t ldx, float* y, Py_ssize_t ldy, float* p)
    Py_ssize_t count_active_f64(Py_ssize_t n, const double* p)
    Py_ssize_t count_active_f32(Py_ssize_t n, const float* p)
    void pack_active_f64(Py_ssize_t n, Py_ssize_t d, Py_ssize_t active, const double* p, const double* x,
                         Py_ssize_t ldx, double* r, double* y, Py_ssize_t ldy)
    void pack_active_f32(Py_ssize_t n, Py_ssize_t d, Py_ssize_t active, const float* p, const float* x,
                         Py_ssize_t ldx, float* r, float* y, Py_ssize_t ldy)
    ctypedef struct Pruning:
        int kind
        Py_ssize_t d, packed, n_tiles
        double log_cut
        const void* offsets
        const void* twice
        const void* rounding
        const void* centers
        const void* factors
        const void* x
        void* z
        void* y
        void* p
        void* highest
        void* most
        int32_t* active
        const void* inverse
        const void* surpassed
        const uint8_t* known
        uint8_t* found
        const float* unit
        const float* passed
    void evaluate_own_f64(const Pruning* at, Py_ssize_t k, Py_ssize_t n_active)
    void evaluate_own_f32(const Pruning* at, Py_ssize_t k, Py_ssize_t n_active)
    Py_ssize_t evaluate_others_f64(const Pruning* at, Py_ssize_t n_components, const uint8_t* seen,
                                   Py_ssize_t n_active, int64_t* multiply_adds)
    Py_ssize_t evaluate_others_f32(const Pruning* at, Py_ssize_t n_components, const uint8_t* seen,
                                   Py_ssize_t n_active, int64_t* multiply_adds)
    void normalize_block_f64(Py_ssize_t k, double cut, double lowest, double smallest, double* p, double* scores)
    void normalize_block_f32(Py_ssize_t k, float cut, float lowest, float smallest, float* p, float* scores)
    void add_pairs_f64(Py_ssize_t n_pairs, Py_ssize_t d, const double* shares, const int32_t* places,
                       const double* rows, Py_ssize_t length, const double* center, double* first, double* second)
    void add_pairs_f32(Py_ssize_t n_pairs, Py_ssize_t d, const float* shares, const int32_t* places,
                       const float* rows, Py_ssize_t length, const float* center, double* first, double* second)
    void products_f64(int m, int width, Py_ssize_t n, const double* u, Py_ssize_t ldu,
                      const double* v, Py_ssize_t ldv, double* out)
    void products_f32(int m, int width, Py_ssize_t n, const float* u, Py_ssize_t ldu,
                      const float* v, Py_ssize_t ldv, float* out)
    void triangle_f64(int m, Py_ssize_t n, const double* r, const double* y, Py_ssize_t ldy,
                      double* u, Py_ssize_t ldu, double* out)
    void triangle_f32(int m, Py_ssize_t n, const float* r, const float* y, Py_ssize_t ldy,
                      float* u, Py_ssize_t ldu, float* out)
    void distances_f64(Py_ssize_t n, Py_ssize_t k, Py_ssize_t d, const double* y, Py_ssize_t ldy,
                       const double* centers, const double* scales, double* out, Py_ssize_t ldo)
    void distances_f32(Py_ssize_t n, Py_ssize_t k, Py_ssize_t d, const float* y, Py_ssize_t ldy,
                       const float* centers, const float* scales, float* out, Py_ssize_t ldo)
    void moments_f64(int m, Py_ssize_t n, const double* r, const double* x, Py_ssize_t ldx,
                     const double* center, double* out)
    void moments_f32(int m, Py_ssize_t n, const float* r, const float* x, Py_ssize_t ldx,
                     const float* center, float* out)
    void pooled_moments_f64(int m, Py_ssize_t n, const double* r, const double* x, Py_ssize_t ldx, const double* center,
                            const double* scales, double* v, Py_ssize_t ldv, double* out)
    void pooled_moments_f32(int m, Py_ssize_t n, const float* r, const float* x, Py_ssize_t ldx, const float* center,
                            const float* scales, float* v, Py_ssize_t ldv, float* out)
    void sum_weights_f64(int m, Py_ssize_t n, const double* r, Py_ssize_t ldr,
                         const double* d, Py_ssize_t ldd, double* out)
    void sum_weights_f32(int m, Py_ssize_t n, const float* r, Py_ssize_t ldr,
                         const float* d, Py_ssize_t ldd, float* out)
    void largest_f64(Py_ssize_t n, Py_ssize_t k, const double* p, Py_ssize_t ldp, double* extreme, int64_t* component)
    void largest_f32(Py_ssize_t n, Py_ssize_t k, const float* p, Py_ssize_t ldp, float* extreme, int32_t* component)
    void smallest_f64(Py_ssize_t n, Py_ssize_t k, const double* p, Py_ssize_t ldp, double* extreme, int64_t* component)
    void smallest_f32(Py_ssize_t n, Py_ssize_t k, const float* p, Py_ssize_t ldp, float* extreme, int32_t* component)
    double minimum_f64(Py_ssize_t n, const double* a, const double* b, double* out)
    double minimum_f32(Py_ssize_t n, const float* a, const float* b, float* out)

    void box_of_f64(Py_ssize_t d, const double* x, double* middle, double* half)
    double bounds_f64(int d, Py_ssize_t k, const double* model, double slack, const double* middle, const double* half,
                      double* upper)
    void densities_f64(int d, Py_ssize_t n, const int32_t* chosen, const double* offsets,
                       const double* centers, const double* rounding, const double* factors, const double* x, double* p,
                       double* peak)
    Py_ssize_t exponentials_f64(Py_ssize_t n, int32_t* chosen, double low, double lowest, double smallest,
                                double* p, const double* peak, double* scores, double* inverse)
    void shares_f64(Py_ssize_t n, double cut, const double* inverse, double* p)
    void lane_sums_f64(int d, Py_ssize_t n, const int32_t* chosen, double cut, const double* centers,
                       const double* rounding, const double* factors, const double* x, const double* inverse,
                       const double* weights, const double* p, double* sums)
    void join_lanes_f64(Py_ssize_t n, double* sums, double* out)

    void box_of_f32(Py_ssize_t d, const float* x, float* middle, float* half)
    float bounds_f32(int d, Py_ssize_t k, const float* model, float slack, const float* middle, const float* half,
                     float* upper)
    void densities_f32(int d, Py_ssize_t n, const int32_t* chosen, const float* offsets,
                       const float* centers, const float* rounding, const float* factors, const float* x, float* p,
                       float* peak)
    Py_ssize_t exponentials_f32(Py_ssize_t n, int32_t* chosen, float low, float lowest, float smallest,
                                float* p, const float* peak, float* scores, float* inverse)
    void shares_f32(Py_ssize_t n, float cut, const float* inverse, float* p)
    void lane_sums_f32(int d, Py_ssize_t n, const int32_t* chosen, float cut, const float* centers,
                       const float* rounding, const float* factors, const float* x, const float* inverse,
                       const float* weights, const float* p, float* sums)
    void join_lanes_f32(Py_ssize_t n, float* sums, double* out)

    int few_densities_f64(int d, Py_ssize_t n, Py_ssize_t k, const double* offsets, const double* centers,
                          const double* rounding, const double* factors, double floor, double largest,
                          const double* x, double* p, double* y, double* peaks)
    void few_exponentials_f64(int summed, Py_ssize_t n, Py_ssize_t k, double lowest, double smallest, double* p,
                              double* inverse, double* scores)
    void few_sums_f64(int d, Py_ssize_t n, Py_ssize_t k, double cut, const double* p, const double* inverse,
                      const double* weights, const double* y, double* sums)

    int few_densities_f32(int d, Py_ssize_t n, Py_ssize_t k, const float* offsets, const float* centers,
                          const float* rounding, const float* factors, float floor, float largest,
                          const float* x, float* p, float* y, float* peaks)
    void few_exponentials_f32(int summed, Py_ssize_t n, Py_ssize_t k, float lowest, float smallest, float* p,
                              float* inverse, float* scores)
    void few_sums_f32(int d, Py_ssize_t n, Py_ssize_t k, float cut, const float* p, const float* inverse,
                      const float* weights, const float* y, float* sums)

    void multiply(int m, Py_ssize_t depth, const double* a, Py_ssize_t sa, Py_ssize_t ta,
                  const double* b, Py_ssize_t ldb, double* c, Py_ssize_t ldc)


cdef inline void exp_all(Py_ssize_t n, const floating* x, floating* out) noexcept nogil:
    if floating is double:
        exp_all_f64(n, x, out)
    else:
        exp_all_f32(n, x, out)


cdef inline void log_all(Py_ssize_t n, const floating* x, floating* out) noexcept nogil:
    if floating is double:
        log_all_f64(n, x, out)
    else:
        log_all_f32(n, x, out)


cdef inline void transpose(Py_ssize_t n, Py_ssize_t d, const char* rows, Py_ssize_t row_stride,
                           floating* x, Py_ssize_t ldx) noexcept nogil:
    if floating is double:
        transpose_f64(n, d, rows, row_stride, x, ldx)
    else:
        transpose_f32(n, d, rows, row_stride, x, ldx)


cdef inline void normalize(int summed, Py_ssize_t n, Py_ssize_t k, floating cut, floating* p, Py_ssize_t ldp,
                           floating* scores) noexcept nogil:
    """With a cut, a sample infinitely far from every component takes no part in a sum; without, it has NaN."""
    if floating is double:
        normalize_f64(summed, n, k, cut, -DBL_MAX, DBL_MIN if cut > 0 else 0, p, ldp, scores)
    else:
        normalize_f32(summed, n, k, cut, -FLT_MAX, FLT_MIN if cut > 0 else 0, p, ldp, scores)


cdef inline void whiten(Py_ssize_t n, Py_ssize_t d, floating offset, const floating* w, const floating* c,
                        const floating* center, const floating* x, Py_ssize_t ldx,
                        floating* y, Py_ssize_t ldy, floating* p) noexcept nogil:
    if floating is double:
        whiten_f64(n, d, offset, w, c, center, x, ldx, y, ldy, p)
    else:
        whiten_f32(n, d, offset, w, c, center, x, ldx, y, ldy, p)


cdef inline Py_ssize_t count_active(Py_ssize_t n, const floating* p) noexcept nogil:
    if floating is double:
        return count_active_f64(n, p)
    else:
        return count_active_f32(n, p)


cdef inline void pack_active(Py_ssize_t n, Py_ssize_t d, Py_ssize_t active, const floating* p, const floating* x,
                             Py_ssize_t ldx, floating* r, floating* y, Py_ssize_t ldy) noexcept nogil:
    if floating is double:
        pack_active_f64(n, d, active, p, x, ldx, r, y, ldy)
    else:
        pack_active_f32(n, d, active, p, x, ldx, r, y, ldy)


cdef inline void evaluate_own(const Pruning* at, Py_ssize_t k, Py_ssize_t n_active, floating zero) noexcept nogil:
    """`zero` tells the type."""
    if floating is double:
        evaluate_own_f64(at, k, n_active)
    else:
        evaluate_own_f32(at, k, n_active)


cdef inline Py_ssize_t evaluate_others(const Pruning* at, Py_ssize_t n_components, const uint8_t* seen,
                                       Py_ssize_t n_active, int64_t* multiply_adds, floating zero) noexcept nogil:
    if floating is double:
        return evaluate_others_f64(at, n_components, seen, n_active, multiply_adds)
    else:
        return evaluate_others_f32(at, n_components, seen, n_active, multiply_adds)


cdef inline void normalize_block(Py_ssize_t k, floating cut, floating* p, floating* scores) noexcept nogil:
    """`normalize` with a cut, for a block of `panel_lanes` samples."""
    if floating is double:
        normalize_block_f64(k, cut, -DBL_MAX, DBL_MIN, p, scores)
    else:
        normalize_block_f32(k, cut, -FLT_MAX, FLT_MIN, p, scores)


cdef inline void add_pairs(Py_ssize_t n_pairs, Py_ssize_t d, const floating* shares, const int32_t* places,
                           const floating* rows, Py_ssize_t length, const floating* center, double* first,
                           double* second) noexcept nogil:
    if floating is double:
        add_pairs_f64(n_pairs, d, shares, places, rows, length, center, first, second)
    else:
        add_pairs_f32(n_pairs, d, shares, places, rows, length, center, first, second)


cdef inline Py_ssize_t panel_lanes(Py_ssize_t itemsize) noexcept nogil:
    """How many samples a block has that is left early."""
    return PANEL_LANES_f64 if itemsize == 8 else PANEL_LANES_f32


cdef inline void products(int m, int width, Py_ssize_t n, const floating* u, Py_ssize_t ldu,
                          const floating* v, Py_ssize_t ldv, floating* out) noexcept nogil:
    if floating is double:
        products_f64(m, width, n, u, ldu, v, ldv, out)
    else:
        products_f32(m, width, n, u, ldu, v, ldv, out)


cdef inline void triangle(int m, Py_ssize_t n, const floating* r, const floating* y, Py_ssize_t ldy,
                          floating* u, Py_ssize_t ldu, floating* out) noexcept nogil:
    if floating is double:
        triangle_f64(m, n, r, y, ldy, u, ldu, out)
    else:
        triangle_f32(m, n, r, y, ldy, u, ldu, out)


cdef inline void distances(Py_ssize_t n, Py_ssize_t k, Py_ssize_t d, const floating* y, Py_ssize_t ldy,
                           const floating* centers, const floating* scales,
                           floating* out, Py_ssize_t ldo) noexcept nogil:
    if floating is double:
        distances_f64(n, k, d, y, ldy, centers, scales, out, ldo)
    else:
        distances_f32(n, k, d, y, ldy, centers, scales, out, ldo)


cdef inline void moments(int m, Py_ssize_t n, const floating* r, const floating* x, Py_ssize_t ldx,
                         const floating* center, floating* out) noexcept nogil:
    if floating is double:
        moments_f64(m, n, r, x, ldx, center, out)
    else:
        moments_f32(m, n, r, x, ldx, center, out)


cdef inline void pooled_moments(int m, Py_ssize_t n, const floating* r, const floating* x, Py_ssize_t ldx,
                                const floating* center, const floating* scales, floating* v, Py_ssize_t ldv,
                                floating* out) noexcept nogil:
    if floating is double:
        pooled_moments_f64(m, n, r, x, ldx, center, scales, v, ldv, out)
    else:
        pooled_moments_f32(m, n, r, x, ldx, center, scales, v, ldv, out)


cdef inline void sum_weights(int m, Py_ssize_t n, const floating* r, Py_ssize_t ldr,
                             const floating* d, Py_ssize_t ldd, floating* out) noexcept nogil:
    if floating is double:
        sum_weights_f64(m, n, r, ldr, d, ldd, out)
    else:
        sum_weights_f32(m, n, r, ldr, d, ldd, out)


cdef inline void largest(Py_ssize_t n, Py_ssize_t k, const floating* p, Py_ssize_t ldp,
                         floating* extreme, void* component) noexcept nogil:
    """`component` holds integers of the size of the numbers."""
    if floating is double:
        largest_f64(n, k, p, ldp, extreme, <int64_t*> component)
    else:
        largest_f32(n, k, p, ldp, extreme, <int32_t*> component)


cdef inline void smallest(Py_ssize_t n, Py_ssize_t k, const floating* p, Py_ssize_t ldp,
                          floating* extreme, void* component) noexcept nogil:
    """`component` holds integers of the size of the numbers."""
    if floating is double:
        smallest_f64(n, k, p, ldp, extreme, <int64_t*> component)
    else:
        smallest_f32(n, k, p, ldp, extreme, <int32_t*> component)


cdef inline double minimum(Py_ssize_t n, const floating* a, const floating* b, floating* out) noexcept nogil:
    if floating is double:
        return minimum_f64(n, a, b, out)
    else:
        return minimum_f32(n, a, b, out)


# ---- blocks of rows that lie near each other -----------------------------------------------------------------


cdef inline void box_of(Py_ssize_t d, const floating* x, floating* middle, floating* half) noexcept nogil:
    if floating is double:
        box_of_f64(d, x, middle, half)
    else:
        box_of_f32(d, x, middle, half)


cdef inline floating bounds(int d, Py_ssize_t k, const floating* model, floating slack, const floating* middle,
                            const floating* half, floating* upper) noexcept nogil:
    if floating is double:
        return bounds_f64(d, k, model, slack, middle, half, upper)
    else:
        return bounds_f32(d, k, model, slack, middle, half, upper)


cdef inline void densities(int d, Py_ssize_t n, const int32_t* chosen, const floating* offsets, const floating* centers,
                           const floating* rounding, const floating* factors, const floating* x, floating* p,
                           floating* peak) noexcept nogil:
    if floating is double:
        densities_f64(d, n, chosen, offsets, centers, rounding, factors, x, p, peak)
    else:
        densities_f32(d, n, chosen, offsets, centers, rounding, factors, x, p, peak)


cdef inline Py_ssize_t exponentials(Py_ssize_t n, int32_t* chosen, floating low, floating* p, const floating* peak,
                                    floating* scores, floating* inverse) noexcept nogil:
    if floating is double:
        return exponentials_f64(n, chosen, low, -DBL_MAX, DBL_MIN, p, peak, scores, inverse)
    else:
        return exponentials_f32(n, chosen, low, -FLT_MAX, FLT_MIN, p, peak, scores, inverse)


cdef inline void shares(Py_ssize_t n, floating cut, const floating* inverse, floating* p) noexcept nogil:
    if floating is double:
        shares_f64(n, cut, inverse, p)
    else:
        shares_f32(n, cut, inverse, p)


cdef inline void lane_sums(int d, Py_ssize_t n, const int32_t* chosen, floating cut, const floating* centers,
                           const floating* rounding, const floating* factors, const floating* x,
                           const floating* inverse, const floating* weights, const floating* p,
                           floating* sums) noexcept nogil:
    if floating is double:
        lane_sums_f64(d, n, chosen, cut, centers, rounding, factors, x, inverse, weights, p, sums)
    else:
        lane_sums_f32(d, n, chosen, cut, centers, rounding, factors, x, inverse, weights, p, sums)


cdef inline void join_lanes(Py_ssize_t n, floating* sums, double* out) noexcept nogil:
    if floating is double:
        join_lanes_f64(n, sums, out)
    else:
        join_lanes_f32(n, sums, out)


# ---- blocks of few features ----------------------------------------------------------------------------------


cdef inline bint few_densities(int d, Py_ssize_t n, Py_ssize_t k, const floating* offsets, const floating* centers,
                               const floating* rounding, const floating* factors, floating floor, const floating* x,
                               floating* p, floating* y, floating* peaks) noexcept nogil:
    if floating is double:
        return few_densities_f64(d, n, k, offsets, centers, rounding, factors, floor, DBL_MAX, x, p, y, peaks)
    else:
        return few_densities_f32(d, n, k, offsets, centers, rounding, factors, floor, FLT_MAX, x, p, y, peaks)


cdef inline void few_exponentials(bint summed, Py_ssize_t n, Py_ssize_t k, floating* p, floating* inverse,
                                  floating* scores) noexcept nogil:
    if floating is double:
        few_exponentials_f64(summed, n, k, -DBL_MAX, DBL_MIN, p, inverse, scores)
    else:
        few_exponentials_f32(summed, n, k, -FLT_MAX, FLT_MIN, p, inverse, scores)


cdef inline void few_sums(int d, Py_ssize_t n, Py_ssize_t k, floating cut, const floating* p, const floating* inverse,
                          const floating* weights, const floating* y, floating* sums) noexcept nogil:
    if floating is double:
        few_sums_f64(d, n, k, cut, p, inverse, weights, y, sums)
    else:
        few_sums_f32(d, n, k, cut, p, inverse, weights, y, sums)
