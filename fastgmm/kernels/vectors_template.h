/* Vectors of one precision, their exp, log and log-sum-exp: tiles.h includes this file with REAL, BITS, NAME, LANES
 * and the constants of that precision set. */

#ifdef VECTOR_BYTES
typedef REAL NAME(vector) __attribute__((vector_size(VECTOR_BYTES)));
typedef BITS NAME(bits) __attribute__((vector_size(VECTOR_BYTES)));
typedef UNSIGNED_BITS NAME(unsigned_bits) __attribute__((vector_size(VECTOR_BYTES)));
#define VEC NAME(vector)
#define MASK NAME(bits)
#define AS_BITS(v) ((MASK)(v))
#define AS_REAL(b) ((VEC)(b))
#define SELECT(mask, a, b) ((VEC)(((mask) & (MASK)(a)) | (~(mask) & (MASK)(b))))
#define MASK_OF(comparison) (comparison)
#else
typedef REAL NAME(vector);
typedef BITS NAME(bits);
typedef UNSIGNED_BITS NAME(unsigned_bits);
#define VEC NAME(vector)
#define MASK NAME(bits)
ALWAYS_INLINE MASK NAME(as_bits)(VEC v) { MASK b; memcpy(&b, &v, sizeof b); return b; }
ALWAYS_INLINE VEC NAME(as_real)(MASK b) { VEC v; memcpy(&v, &b, sizeof v); return v; }
#define AS_BITS(v) NAME(as_bits)(v)
#define AS_REAL(b) NAME(as_real)(b)
#define SELECT(mask, a, b) ((mask) ? (a) : (b))
#define MASK_OF(comparison) (-(MASK)(comparison)) /* all bits, as in a vector */
#endif

ALWAYS_INLINE VEC NAME(load)(const REAL *p)
{
    VEC v;
    memcpy(&v, p, sizeof v);
    return v;
}

ALWAYS_INLINE void NAME(store)(REAL *p, VEC v) { memcpy(p, &v, sizeof v); }

/* a > b ? a : b, lane by lane, in one instruction where there is one. */
ALWAYS_INLINE VEC NAME(larger)(VEC a, VEC b)
{
#if defined(__AVX512F__) && VECTOR_BYTES == 64
    return sizeof(REAL) == 8 ? (VEC)_mm512_max_pd((__m512d)a, (__m512d)b) : (VEC)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX__) && VECTOR_BYTES == 32
    return sizeof(REAL) == 8 ? (VEC)_mm256_max_pd((__m256d)a, (__m256d)b) : (VEC)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__SSE2__) && VECTOR_BYTES == 16
    return sizeof(REAL) == 8 ? (VEC)_mm_max_pd((__m128d)a, (__m128d)b) : (VEC)_mm_max_ps((__m128)a, (__m128)b);
#else
    return SELECT(a > b, a, b);
#endif
}

/* Whether a comparison holds in all lanes. */
ALWAYS_INLINE int NAME(all)(MASK mask)
{
#if defined(VECTOR_BYTES) && defined(__AVX512BW__)
    return _mm512_movepi8_mask((__m512i)mask) == ~(__mmask64)0;
#elif defined(VECTOR_BYTES) && defined(__AVX2__)
    return _mm256_movemask_epi8((__m256i)mask) == -1;
#elif defined(VECTOR_BYTES) && defined(__SSE2__)
    return _mm_movemask_epi8((__m128i)mask) == 0xffff;
#else
    BITS lanes[LANES];
    memcpy(lanes, &mask, sizeof mask);
    for (int lane = 1; lane < LANES; lane++)
        lanes[0] &= lanes[lane];
    return lanes[0] == -1;
#endif
}

/* out[t] = sum of the lanes of a[t], t < 16: neighbours are added until one lane is left. */
#define ADD_NEIGHBOURS(count) \
    for (int t = 0; t < count; t++) \
        a[t] = __builtin_shufflevector(a[2 * t], a[2 * t + 1], FASTGMM_CAT(EVEN_, LANES)) \
             + __builtin_shufflevector(a[2 * t], a[2 * t + 1], FASTGMM_CAT(ODD_, LANES));

ALWAYS_INLINE void NAME(sum_lanes)(VEC *a, REAL *out)
{
#if LANES >= 2
    ADD_NEIGHBOURS(8)
#endif
#if LANES >= 4
    ADD_NEIGHBOURS(4)
#endif
#if LANES >= 8
    ADD_NEIGHBOURS(2)
#endif
#if LANES >= 16
    ADD_NEIGHBOURS(1)
#endif
    for (int t = 0; t < 16 / LANES; t++)
        NAME(store)(out + t * LANES, a[t]);
}

#undef ADD_NEIGHBOURS

/* x[i][n], i < count, from LANES rows of at least LANES readable numbers each. Every round interleaves the first half
 * of the vectors with the second; after log2 LANES of them rows are columns. What is not wanted costs nothing where
 * `most` >= count is a constant. */
ALWAYS_INLINE void NAME(transpose_square)(
    const int most, ptrdiff_t count, const char *rows, ptrdiff_t row_stride, ptrdiff_t ahead, REAL *x, ptrdiff_t ldx)
{
    VEC a[LANES];
    for (int n = 0; n < LANES; n++) {
        a[n] = NAME(load)((const REAL *)(rows + n * row_stride)); /* not in halves, as memcpy to an array may */
        PREFETCH(rows + n * row_stride + ahead);
    }
#if LANES > 1
    for (int round = 1; round < LANES; round *= 2) {
        VEC b[LANES];
        for (int n = 0; n < LANES / 2; n++) {
            b[2 * n] = __builtin_shufflevector(a[n], a[n + LANES / 2], FASTGMM_CAT(LOWER_, LANES));
            b[2 * n + 1] = __builtin_shufflevector(a[n], a[n + LANES / 2], FASTGMM_CAT(UPPER_, LANES));
        }
        memcpy(a, b, sizeof a);
    }
#endif
    for (int i = 0; i < most && i < count; i++)
        NAME(store)(x + i * ldx, a[i]);
}

/* x (d, n) from n rows of d numbers side by side, n a multiple of LANES. With fewer than LANES features the LANES
 * numbers from the start of each row on must be readable. */
NO_INLINE void NAME(transpose)(
    ptrdiff_t n, ptrdiff_t d, const char *rows, ptrdiff_t row_stride, REAL *x, ptrdiff_t ldx)
{
    const ptrdiff_t ahead = n * row_stride; /* fetch what is likely to come next */
    for (ptrdiff_t s = 0; s < n; s += LANES, rows += LANES * row_stride, x += LANES) {
        if (d < LANES && d <= 2)
            NAME(transpose_square)(2, d, rows, row_stride, ahead, x, ldx);
        else if (d < LANES && d <= 4)
            NAME(transpose_square)(4, d, rows, row_stride, ahead, x, ldx);
        else if (d < LANES)
            NAME(transpose_square)(LANES, d, rows, row_stride, ahead, x, ldx);
        else
            for (ptrdiff_t i = 0; i < d; i += LANES) {
                ptrdiff_t first = i + LANES <= d ? i : d - LANES; /* the last square overlaps the one before */
                NAME(transpose_square)(
                    LANES, LANES, rows + first * sizeof(REAL), row_stride, ahead, x + first * ldx, ldx);
            }
    }
}

/* ---- exp, log, log-sum-exp ---- */

/* exp of `columns` vectors x <= 0, branch-free: x = n ln2 + r with n rounded by adding a large constant (Cody & Waite
 * 1980), then 2^n (1 + r + r^2 q(r)); 0 below the cut. Each step is taken for all vectors, as it waits for the one
 * before. */
ALWAYS_INLINE void NAME(exps)(const int columns, VEC *x)
{
    const int terms = sizeof NAME(exp_terms) / sizeof(REAL);
    VEC shifted[4], r[4], q[4];
    for (int v = 0; v < columns; v++)
        shifted[v] = x[v] * (REAL)0x1.71547652b82fep+0 + SHIFT;
    for (int v = 0; v < columns; v++)
        q[v] = shifted[v] - SHIFT;
    for (int v = 0; v < columns; v++)
        r[v] = q[v] * -LN2_HIGH + x[v];
    for (int v = 0; v < columns; v++)
        r[v] = q[v] * -LN2_LOW + r[v];
    for (int v = 0; v < columns; v++)
        q[v] = (VEC){0} + NAME(exp_terms)[0];
    for (int t = 1; t < terms; t++)
        for (int v = 0; v < columns; v++)
            q[v] = q[v] * r[v] + NAME(exp_terms)[t];
    for (int v = 0; v < columns; v++) {
        NAME(unsigned_bits) n = (NAME(unsigned_bits))AS_BITS(shifted[v]); /* below the cut, a shift may overflow */
        VEC scale = AS_REAL((MASK)((n << MANTISSA_BITS) + (UNSIGNED_BITS)ONE));
        VEC p = q[v] * (r[v] * r[v]) + r[v];
        x[v] = SELECT(x[v] < EXP_CUT, (VEC){0}, p * scale + scale);
    }
}

ALWAYS_INLINE VEC NAME(exp)(VEC x)
{
    NAME(exps)(1, &x);
    return x;
}

/* log(x) for finite x >= 1: x = 2^n m with sqrt(1/2) <= m < sqrt(2); with f = m - 1 and s = f / (2 + f),
 * log m = 2 artanh(s) = f - s (f - 2 s^2 q(s^2)), whose leading term is exact. */
ALWAYS_INLINE VEC NAME(log)(VEC x)
{
    const int terms = sizeof NAME(log_terms) / sizeof(REAL);
    MASK bits = AS_BITS(x) + (BITS)(ONE - SQRT_HALF); /* carries into the exponent from sqrt(1/2) on */
    VEC n = AS_REAL((bits >> MANTISSA_BITS) + (BITS)WHOLE) - WHOLE_BIAS;
    VEC f = AS_REAL((bits & (((BITS)1 << MANTISSA_BITS) - 1)) + (BITS)SQRT_HALF) - (REAL)1;
    VEC s = f / (f + (REAL)2), z = s * s;
    VEC q = (VEC){0} + NAME(log_terms)[0];
    for (int t = 1; t < terms; t++)
        q = q * z + NAME(log_terms)[t];
    return n * LN2_HIGH + (f + (n * LN2_LOW - s * (f - 2 * z * q)));
}

/* Log densities p (k, n) of one tile become responsibilities, those below `cut` 0. scores[v] = log sum_k exp p[k, n] of
 * each vector v of samples or, summed, scores[0] the sum of these: one logarithm, of the product of the totals.
 * A sample infinitely far from every component has the score -inf and, below a total of `smallest`, no share in any.
 * Beside the largest, exponentials less than `least` count for nothing. */
ALWAYS_INLINE void NAME(normalize_tile)(
    const int summed, const int columns, const REAL least, ptrdiff_t n_components, REAL cut, REAL lowest,
    REAL smallest, REAL *p, ptrdiff_t ldp, REAL *scores)
{
    VEC peak[TILE_COLUMNS], top[TILE_COLUMNS], total[TILE_COLUMNS], product = (VEC){0} + (REAL)1;
    for (int v = 0; v < columns; v++) {
        peak[v] = NAME(load)(p + v * LANES);
        total[v] = (VEC){0};
    }
    for (ptrdiff_t k = 1; k < n_components; k++)
        for (int v = 0; v < columns; v++) {
            VEC t = NAME(load)(p + k * ldp + v * LANES);
            peak[v] = SELECT(t > peak[v], t, peak[v]);
        }
    for (int v = 0; v < columns; v++)
        top[v] = SELECT(peak[v] < lowest, (VEC){0} + lowest, peak[v]);
    for (ptrdiff_t k = 0; k < n_components; k++)
        for (int v = 0; v < columns; v++) {
            REAL *place = p + k * ldp + v * LANES;
            VEC e = NAME(exp)(NAME(load)(place) - top[v]);
            if (least > 0)
                e = SELECT(e < least, (VEC){0}, e);
            NAME(store)(place, e);
            total[v] += e;
        }
    for (int v = 0; v < columns; v++) {
        VEC t = SELECT(total[v] < smallest, (VEC){0} + smallest, total[v]);
        if (!summed)
            NAME(store)(scores + v * LANES, peak[v] + NAME(log)(t));
        product *= SELECT(t < 1, (VEC){0} + (REAL)1, t);
        total[v] = 1 / t;
    }
    if (summed) {
        for (int v = 1; v < columns; v++)
            peak[0] += peak[v];
        NAME(store)(scores, peak[0] + NAME(log)(product));
    }
    for (ptrdiff_t k = 0; k < n_components; k++)
        for (int v = 0; v < columns; v++) {
            REAL *place = p + k * ldp + v * LANES;
            VEC r = NAME(load)(place) * total[v];
            NAME(store)(place, SELECT(r < cut, (VEC){0}, r));
        }
}

/* n samples, a multiple of the tile's width; n scores or, summed, as many as there are columns of tiles. */
NO_INLINE void NAME(normalize)(
    int summed, ptrdiff_t n, ptrdiff_t n_components, REAL cut, REAL lowest, REAL smallest, REAL *p, ptrdiff_t ldp,
    REAL *scores)
{
    if (summed)
        for (ptrdiff_t s = 0; s < n; s += TILE_COLUMNS * LANES, scores += LANES)
            NAME(normalize_tile)(1, TILE_COLUMNS, 0, n_components, cut, lowest, smallest, p + s, ldp, scores);
    else
        for (ptrdiff_t s = 0; s < n; s += TILE_COLUMNS * LANES, scores += TILE_COLUMNS * LANES)
            NAME(normalize_tile)(0, TILE_COLUMNS, 0, n_components, cut, lowest, smallest, p + s, ldp, scores);
}

/* out = exp(x), x <= 0, or log(x), x >= 1, for any n. */
#define FOR_ALL(function) \
    for (ptrdiff_t s = 0; s < n; s += LANES) { \
        ptrdiff_t left = n - s < LANES ? n - s : LANES; \
        REAL buffer[LANES] = {0}; \
        memcpy(buffer, x + s, left * sizeof(REAL)); \
        NAME(store)(buffer, function(NAME(load)(buffer))); \
        memcpy(out + s, buffer, left * sizeof(REAL)); \
    }
NO_INLINE void NAME(exp_all)(ptrdiff_t n, const REAL *x, REAL *out) { FOR_ALL(NAME(exp)) }
NO_INLINE void NAME(log_all)(ptrdiff_t n, const REAL *x, REAL *out) { FOR_ALL(NAME(log)) }
#undef FOR_ALL
