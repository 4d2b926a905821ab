/* The tiles for one precision: tiles.h includes this file with REAL, NAME, LANES and the constants of that
 * precision set.
 *
 * Rows of a tile are features or components, and samples are lanes. Every tile has a height
 * `m` of 1 to TILE_ROWS that is a constant wherever it is expanded, so that accumulators live in
 * registers; the functions at the end of each section pick the expansion.
 */

#ifdef VECTOR_BYTES
typedef REAL NAME(vector) __attribute__((vector_size(VECTOR_BYTES)));
typedef BITS NAME(bits) __attribute__((vector_size(VECTOR_BYTES)));
#define VEC NAME(vector)
#define MASK NAME(bits)
#define AS_BITS(v) ((MASK)(v))
#define AS_REAL(b) ((VEC)(b))
#define SELECT(mask, a, b) ((VEC)(((mask) & (MASK)(a)) | (~(mask) & (MASK)(b))))
#else
typedef REAL NAME(vector);
typedef BITS NAME(bits);
#define VEC NAME(vector)
#define MASK NAME(bits)
ALWAYS_INLINE MASK NAME(as_bits)(VEC v) { MASK b; memcpy(&b, &v, sizeof b); return b; }
ALWAYS_INLINE VEC NAME(as_real)(MASK b) { VEC v; memcpy(&v, &b, sizeof v); return v; }
#define AS_BITS(v) NAME(as_bits)(v)
#define AS_REAL(b) NAME(as_real)(b)
#define SELECT(mask, a, b) ((mask) ? (a) : (b))
#endif

ALWAYS_INLINE VEC NAME(load)(const REAL *p)
{
    VEC v;
    memcpy(&v, p, sizeof v);
    return v;
}

ALWAYS_INLINE void NAME(store)(REAL *p, VEC v) { memcpy(p, &v, sizeof v); }

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

/* ---- exp, log, log-sum-exp ---- */

/* exp(x) for x <= 0, branch-free: x = n ln2 + r with n rounded by adding a large constant (Cody & Waite 1980),
 * then 2^n (1 + r + r^2 q(r)); 0 below the cut. */
ALWAYS_INLINE VEC NAME(exp)(VEC x)
{
    const int terms = sizeof NAME(exp_terms) / sizeof(REAL);
    VEC shifted = x * (REAL)0x1.71547652b82fep+0 + SHIFT, n = shifted - SHIFT;
    VEC r = n * -LN2_HIGH + x;
    r = n * -LN2_LOW + r;
    VEC q = (VEC){0} + NAME(exp_terms)[0];
    for (int t = 1; t < terms; t++)
        q = q * r + NAME(exp_terms)[t];
    VEC scale = AS_REAL((AS_BITS(shifted) << MANTISSA_BITS) + (BITS)ONE);
    VEC p = q * (r * r) + r;
    return SELECT(x < EXP_CUT, (VEC){0}, p * scale + scale);
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

/* Log densities p (k, n) become responsibilities, those below `cut` 0; scores[n] = log sum_k exp p[k, n].
 * n is a multiple of the tile's width. A total below `smallest` (a sample infinitely far from every component) counts as that. */
NO_INLINE void NAME(normalize)(
    ptrdiff_t n, ptrdiff_t n_components, REAL cut, REAL lowest, REAL smallest, REAL *p, ptrdiff_t ldp, REAL *scores)
{
    for (ptrdiff_t s = 0; s < n; s += TILE_COLUMNS * LANES) {
        VEC peak[TILE_COLUMNS], top[TILE_COLUMNS], total[TILE_COLUMNS];
        for (int v = 0; v < TILE_COLUMNS; v++) {
            peak[v] = NAME(load)(p + s + v * LANES);
            total[v] = (VEC){0};
        }
        for (ptrdiff_t k = 1; k < n_components; k++)
            for (int v = 0; v < TILE_COLUMNS; v++) {
                VEC t = NAME(load)(p + k * ldp + s + v * LANES);
                peak[v] = SELECT(t > peak[v], t, peak[v]);
            }
        for (int v = 0; v < TILE_COLUMNS; v++)
            top[v] = SELECT(peak[v] < lowest, (VEC){0} + lowest, peak[v]);
        for (ptrdiff_t k = 0; k < n_components; k++)
            for (int v = 0; v < TILE_COLUMNS; v++) {
                REAL *place = p + k * ldp + s + v * LANES;
                VEC e = NAME(exp)(NAME(load)(place) - top[v]);
                NAME(store)(place, e);
                total[v] += e;
            }
        for (int v = 0; v < TILE_COLUMNS; v++) {
            VEC t = SELECT(total[v] < smallest, (VEC){0} + smallest, total[v]);
            NAME(store)(scores + s + v * LANES, peak[v] + NAME(log)(t));
            total[v] = 1 / t;
        }
        for (ptrdiff_t k = 0; k < n_components; k++)
            for (int v = 0; v < TILE_COLUMNS; v++) {
                REAL *place = p + k * ldp + s + v * LANES;
                VEC r = NAME(load)(place) * total[v];
                NAME(store)(place, SELECT(r < cut, (VEC){0}, r));
            }
    }
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

/* ---- whitening: rows i0 .. i0+m of y = c + W (x - center), W lower triangular ---- */

/* w holds the panel column by column: m numbers for each j < i0, then the m, m-1, .. 1 numbers of
 * the triangle on the diagonal, whose columns are written out so that all bounds are constants. */
#define LOAD_COLUMN(j) \
    for (int v = 0; v < TILE_COLUMNS; v++) { \
        zj[v] = NAME(load)(x + v * LANES); \
        if (centered) \
            zj[v] -= center[j]; \
    }
#define TRIANGLE_COLUMN(j) \
    if (m > j) { \
        LOAD_COLUMN(i0 + j) \
        for (int a = j; a < m; a++) \
            for (int v = 0; v < TILE_COLUMNS; v++) \
                acc[a][v] += zj[v] * w[a - j]; \
        w += m - j; \
        x += ldx; \
    }
ALWAYS_INLINE void NAME(whiten_panel)(
    const int m, const int centered, ptrdiff_t i0, int last, REAL offset, const REAL *w, const REAL *c,
    const REAL *center, const REAL *x, ptrdiff_t ldx, REAL *y, ptrdiff_t ldy, REAL *p)
{
    VEC acc[TILE_ROWS][TILE_COLUMNS], zj[TILE_COLUMNS];
    for (int a = 0; a < m; a++)
        for (int v = 0; v < TILE_COLUMNS; v++)
            acc[a][v] = (VEC){0} + c[i0 + a];
    for (ptrdiff_t j = 0; j < i0; j++, w += m, x += ldx) {
        LOAD_COLUMN(j)
        for (int a = 0; a < m; a++)
            for (int v = 0; v < TILE_COLUMNS; v++)
                acc[a][v] += zj[v] * w[a];
    }
    TRIANGLE_COLUMN(0) TRIANGLE_COLUMN(1) TRIANGLE_COLUMN(2) TRIANGLE_COLUMN(3)
    for (int v = 0; v < TILE_COLUMNS; v++) {
        VEC squares = {0};
        if (i0 > 0)
            squares = NAME(load)(p + v * LANES);
        for (int a = 0; a < m; a++) {
            NAME(store)(y + (i0 + a) * ldy + v * LANES, acc[a][v]);
            squares += acc[a][v] * acc[a][v];
        }
        if (last)
            squares = squares * (REAL)-0.5 + offset;
        NAME(store)(p + v * LANES, squares);
    }
}
#undef LOAD_COLUMN
#undef TRIANGLE_COLUMN

#define WHITEN(m, centered) \
    NAME(whiten_panel)(m, centered, i0, i0 + m == d, offset, w, c, center, x + s, ldx, y + s, ldy, p + s)

/* n samples (a multiple of the tile's width), all rows, and p = offset - |y|^2 / 2. Without a center (NULL), x
 * is about it already. */
NO_INLINE void NAME(whiten)(
    ptrdiff_t n, ptrdiff_t d, REAL offset, const REAL *w, const REAL *c, const REAL *center,
    const REAL *x, ptrdiff_t ldx, REAL *y, ptrdiff_t ldy, REAL *p)
{
    for (ptrdiff_t i0 = 0; i0 < d; i0 += TILE_ROWS) {
        int m = d - i0 < TILE_ROWS ? (int)(d - i0) : TILE_ROWS;
        for (ptrdiff_t s = 0; s < n; s += TILE_COLUMNS * LANES)
            switch (2 * m + (center != NULL)) {
            case 2: WHITEN(1, 0); break;
            case 3: WHITEN(1, 1); break;
            case 4: WHITEN(2, 0); break;
            case 5: WHITEN(2, 1); break;
            case 6: WHITEN(3, 0); break;
            case 7: WHITEN(3, 1); break;
            case 8: WHITEN(4, 0); break;
            default: WHITEN(4, 1);
            }
        w += m * i0 + m * (m + 1) / 2;
    }
}
#undef WHITEN

/* ---- products summed over samples: out[4 a + b] = sum_n u_a[n] v_b[n] ---- */

ALWAYS_INLINE void NAME(product_tile)(
    const int m, const int width, ptrdiff_t n, const REAL *u, ptrdiff_t ldu,
    const REAL *v, ptrdiff_t ldv, REAL *out)
{
    VEC acc[16];
    for (int t = 0; t < 16; t++)
        acc[t] = (VEC){0};
    for (ptrdiff_t s = 0; s < n; s += LANES)
        for (int b = 0; b < width; b++) {
            VEC vb = NAME(load)(v + b * ldv + s);
            for (int a = 0; a < m; a++)
                acc[4 * a + b] += vb * NAME(load)(u + a * ldu + s);
        }
    NAME(sum_lanes)(acc, out);
}

#define PRODUCTS(m, width) NAME(product_tile)(m, width, n, u, ldu, v, ldv, out)

/* Rows u_0 .. u_m against rows v_0 .. v_width (full tile), n a multiple of LANES. */
NO_INLINE void NAME(products)(
    int m, int width, ptrdiff_t n, const REAL *u, ptrdiff_t ldu, const REAL *v, ptrdiff_t ldv, REAL *out)
{
    switch (4 * m + width) {
#if TILE_COLUMNS == 4
    case 20: PRODUCTS(4, 4); break;
#else
    case 20: { /* two halves: the accumulators of one half fill the registers */
        REAL half[16];
        NAME(product_tile)(4, 2, n, u, ldu, v, ldv, out);
        NAME(product_tile)(4, 2, n, u, ldu, v + 2 * ldv, ldv, half);
        for (int a = 0; a < TILE_ROWS; a++) {
            out[4 * a + 2] = half[4 * a];
            out[4 * a + 3] = half[4 * a + 1];
        }
        break;
    }
#endif
    case 19: PRODUCTS(4, 3); break;
    case 18: PRODUCTS(4, 2); break;
    case 17: PRODUCTS(4, 1); break;
    case 16: PRODUCTS(3, 4); break;
    case 15: PRODUCTS(3, 3); break;
    case 14: PRODUCTS(3, 2); break;
    case 13: PRODUCTS(3, 1); break;
    case 12: PRODUCTS(2, 4); break;
    case 11: PRODUCTS(2, 3); break;
    case 10: PRODUCTS(2, 2); break;
    case 9: PRODUCTS(2, 1); break;
    case 8: PRODUCTS(1, 4); break;
    case 7: PRODUCTS(1, 3); break;
    case 6: PRODUCTS(1, 2); break;
    default: PRODUCTS(1, 1);
    }
}

/* Rows y_0 .. y_m against themselves under weights r: for b <= a, out[4 a + b] = sum_n r y_a y_b.
 * The places above the diagonal serve for sum_n r y_a (1, 2, 3, 6) and sum_n r (7). With `keep`, u_a = r y_a
 * is stored for the tiles beside. */
ALWAYS_INLINE void NAME(triangle_tile)(
    const int m, const int keep, ptrdiff_t n, const REAL *r, const REAL *y, ptrdiff_t ldy, REAL *u, ptrdiff_t ldu, REAL *out)
{
    static const int first[TILE_ROWS] = {1, 2, 3, 6};
    VEC acc[16];
    for (int t = 0; t < 16; t++)
        acc[t] = (VEC){0};
    for (ptrdiff_t s = 0; s < n; s += LANES) {
        VEC rs = NAME(load)(r + s), yb[TILE_ROWS];
        for (int a = 0; a < m; a++) {
            yb[a] = NAME(load)(y + a * ldy + s);
            VEC ua = rs * yb[a];
            if (keep)
                NAME(store)(u + a * ldu + s, ua);
            acc[first[a]] += ua;
            for (int b = 0; b <= a; b++)
                acc[4 * a + b] += ua * yb[b];
        }
        acc[7] += rs;
    }
    NAME(sum_lanes)(acc, out);
}

#define TRIANGLE(m, keep) NAME(triangle_tile)(m, keep, n, r, y, ldy, u, ldu, out)

/* u may be NULL when the products are not needed. */
NO_INLINE void NAME(triangle)(
    int m, ptrdiff_t n, const REAL *r, const REAL *y, ptrdiff_t ldy, REAL *u, ptrdiff_t ldu, REAL *out)
{
    switch (2 * m + (u != NULL)) {
    case 2: TRIANGLE(1, 0); break;
    case 3: TRIANGLE(1, 1); break;
    case 4: TRIANGLE(2, 0); break;
    case 5: TRIANGLE(2, 1); break;
    case 6: TRIANGLE(3, 0); break;
    case 7: TRIANGLE(3, 1); break;
    case 8: TRIANGLE(4, 0); break;
    default: TRIANGLE(4, 1);
    }
}

/* ---- squared distances of samples to m centers: out[a][n] = sum_i (s_ai (y_i[n] - c_ai))^2 ---- */

ALWAYS_INLINE void NAME(distance_tile)(
    const int m, const int scaled, ptrdiff_t d, const REAL *y, ptrdiff_t ldy,
    const REAL *centers, const REAL *scales, REAL *out, ptrdiff_t ldo)
{
    VEC acc[TILE_ROWS][TILE_COLUMNS];
    for (int a = 0; a < m; a++)
        for (int v = 0; v < TILE_COLUMNS; v++)
            acc[a][v] = (VEC){0};
    for (ptrdiff_t i = 0; i < d; i++)
        for (int v = 0; v < TILE_COLUMNS; v++) {
            VEC yi = NAME(load)(y + i * ldy + v * LANES);
            for (int a = 0; a < m; a++) {
                VEC t = yi - centers[a * d + i];
                if (scaled)
                    t *= scales[a * d + i];
                acc[a][v] += t * t;
            }
        }
    for (int a = 0; a < m; a++)
        for (int v = 0; v < TILE_COLUMNS; v++)
            NAME(store)(out + a * ldo + v * LANES, acc[a][v]);
}

#define DISTANCES(m, scaled) \
    NAME(distance_tile)(m, scaled, d, y + s, ldy, centers + k * d, scales + k * d, out + k * ldo + s, ldo)

/* n samples (a multiple of the tile's width) to all k centers (k, d); scales (k, d), or NULL for 1. */
NO_INLINE void NAME(distances)(
    ptrdiff_t n, ptrdiff_t n_centers, ptrdiff_t d, const REAL *y, ptrdiff_t ldy,
    const REAL *centers, const REAL *scales, REAL *out, ptrdiff_t ldo)
{
    const int scaled = scales != NULL;
    if (!scaled)
        scales = centers; /* never read */
    for (ptrdiff_t k = 0; k < n_centers; k += TILE_ROWS) {
        int m = n_centers - k < TILE_ROWS ? (int)(n_centers - k) : TILE_ROWS;
        for (ptrdiff_t s = 0; s < n; s += TILE_COLUMNS * LANES)
            switch (2 * m + scaled) {
            case 2: DISTANCES(1, 0); break;
            case 3: DISTANCES(1, 1); break;
            case 4: DISTANCES(2, 0); break;
            case 5: DISTANCES(2, 1); break;
            case 6: DISTANCES(3, 0); break;
            case 7: DISTANCES(3, 1); break;
            case 8: DISTANCES(4, 0); break;
            default: DISTANCES(4, 1);
            }
    }
}

/* ---- weighted moments of m features about a center: out[a], out[4 + a] = sum r z_a, sum r z_a^2 ---- */

ALWAYS_INLINE void NAME(moment_tile)(
    const int m, ptrdiff_t n, const REAL *r, const REAL *x, ptrdiff_t ldx, const REAL *center, REAL *out)
{
    VEC acc[16];
    for (int t = 0; t < 16; t++)
        acc[t] = (VEC){0};
    for (ptrdiff_t s = 0; s < n; s += LANES) {
        VEC rs = NAME(load)(r + s);
        for (int a = 0; a < m; a++) {
            VEC z = NAME(load)(x + a * ldx + s) - center[a], rz = rs * z;
            acc[a] += rz;
            acc[4 + a] += rz * z;
        }
    }
    NAME(sum_lanes)(acc, out);
}

NO_INLINE void NAME(moments)(
    int m, ptrdiff_t n, const REAL *r, const REAL *x, ptrdiff_t ldx, const REAL *center, REAL *out)
{
    switch (m) {
    case 1: NAME(moment_tile)(1, n, r, x, ldx, center, out); break;
    case 2: NAME(moment_tile)(2, n, r, x, ldx, center, out); break;
    case 3: NAME(moment_tile)(3, n, r, x, ldx, center, out); break;
    default: NAME(moment_tile)(4, n, r, x, ldx, center, out);
    }
}

/* ---- m components: out[a], out[4 + a] = sum r_a, sum r_a d_a ---- */

ALWAYS_INLINE void NAME(weight_tile)(
    const int m, ptrdiff_t n, const REAL *r, ptrdiff_t ldr, const REAL *d, ptrdiff_t ldd, REAL *out)
{
    VEC acc[16];
    for (int t = 0; t < 16; t++)
        acc[t] = (VEC){0};
    for (ptrdiff_t s = 0; s < n; s += LANES)
        for (int a = 0; a < m; a++) {
            VEC ra = NAME(load)(r + a * ldr + s);
            acc[a] += ra;
            acc[4 + a] += ra * NAME(load)(d + a * ldd + s);
        }
    NAME(sum_lanes)(acc, out);
}

NO_INLINE void NAME(weights)(
    int m, ptrdiff_t n, const REAL *r, ptrdiff_t ldr, const REAL *d, ptrdiff_t ldd, REAL *out)
{
    switch (m) {
    case 1: NAME(weight_tile)(1, n, r, ldr, d, ldd, out); break;
    case 2: NAME(weight_tile)(2, n, r, ldr, d, ldd, out); break;
    case 3: NAME(weight_tile)(3, n, r, ldr, d, ldd, out); break;
    default: NAME(weight_tile)(4, n, r, ldr, d, ldd, out);
    }
}

#undef PRODUCTS
#undef DISTANCES
#undef TRIANGLE
#undef VEC
#undef MASK
#undef AS_BITS
#undef AS_REAL
#undef SELECT
#undef REAL
#undef BITS
#undef NAME
#undef LANES
#undef LN2_HIGH
#undef LN2_LOW
#undef EXP_CUT
#undef SHIFT
#undef MANTISSA_BITS
#undef ONE
#undef SQRT_HALF
#undef WHOLE
#undef WHOLE_BIAS
