/* The register tiles of one precision; tiles.h includes this file after vectors_template.h.
 *
 * Rows of a tile are features or components, and samples are lanes. Every tile has a height
 * `m` of 1 to TILE_ROWS that is a constant wherever it is expanded, so that accumulators live in
 * registers; the functions at the end of each section pick the expansion.
 */

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
            acc[a][v] = centered ? (VEC){0} + c[i0 + a] : (VEC){0};
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

/* n samples (a multiple of the tile's width), all rows, and p = offset - |y|^2 / 2. c and the center may be NULL
 * together, for zero. */
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
static const int NAME(first)[TILE_ROWS] = {1, 2, 3, 6};

ALWAYS_INLINE void NAME(triangle_tile)(
    const int m, const int keep, const int scatter, const int sums, ptrdiff_t n, const REAL *r, const REAL *y,
    ptrdiff_t ldy, REAL *u, ptrdiff_t ldu, REAL *out)
{
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
            if (sums)
                acc[NAME(first)[a]] += ua;
            if (scatter)
                for (int b = 0; b <= a; b++)
                    acc[4 * a + b] += ua * yb[b];
        }
        if (sums)
            acc[7] += rs;
    }
    NAME(sum_lanes)(acc, out);
}

/* With 16 registers the 15 accumulators of a full tile leave none for operands: its sums get a pass of their own. */
#define TRIANGLE(m, keep) \
    if (m < TILE_ROWS || TILE_COLUMNS == 4) \
        NAME(triangle_tile)(m, keep, 1, 1, n, r, y, ldy, u, ldu, out); \
    else { \
        REAL sums[16]; \
        NAME(triangle_tile)(m, keep, 1, 0, n, r, y, ldy, u, ldu, out); \
        NAME(triangle_tile)(m, 0, 0, 1, n, r, y, ldy, u, ldu, sums); \
        for (int a = 0; a < m; a++) \
            out[NAME(first)[a]] = sums[NAME(first)[a]]; \
        out[7] = sums[7]; \
    }

/* u may be NULL when the products are not needed. */
NO_INLINE void NAME(triangle)(
    int m, ptrdiff_t n, const REAL *r, const REAL *y, ptrdiff_t ldy, REAL *u, ptrdiff_t ldu, REAL *out)
{
    switch (2 * m + (u != NULL)) {
    case 2: TRIANGLE(1, 0) break;
    case 3: TRIANGLE(1, 1) break;
    case 4: TRIANGLE(2, 0) break;
    case 5: TRIANGLE(2, 1) break;
    case 6: TRIANGLE(3, 0) break;
    case 7: TRIANGLE(3, 1) break;
    case 8: TRIANGLE(4, 0) break;
    default: TRIANGLE(4, 1)
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
    for (ptrdiff_t i = 0; i < d; i++) {
        VEC yi[TILE_COLUMNS];
        for (int v = 0; v < TILE_COLUMNS; v++)
            yi[v] = NAME(load)(y + i * ldy + v * LANES);
        for (int a = 0; a < m; a++)
            for (int v = 0; v < TILE_COLUMNS; v++) {
                VEC t = yi[v] - centers[a * d + i];
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

/* The same, and v_a += scales_a^2 r z_a. */
ALWAYS_INLINE void NAME(pooled_moment_tile)(
    const int m, ptrdiff_t n, const REAL *r, const REAL *x, ptrdiff_t ldx, const REAL *center, const REAL *scales,
    REAL *v, ptrdiff_t ldv, REAL *out)
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
            NAME(store)(v + a * ldv + s, NAME(load)(v + a * ldv + s) + rz * (scales[a] * scales[a]));
        }
    }
    NAME(sum_lanes)(acc, out);
}

NO_INLINE void NAME(pooled_moments)(
    int m, ptrdiff_t n, const REAL *r, const REAL *x, ptrdiff_t ldx, const REAL *center, const REAL *scales,
    REAL *v, ptrdiff_t ldv, REAL *out)
{
    switch (m) {
    case 1: NAME(pooled_moment_tile)(1, n, r, x, ldx, center, scales, v, ldv, out); break;
    case 2: NAME(pooled_moment_tile)(2, n, r, x, ldx, center, scales, v, ldv, out); break;
    case 3: NAME(pooled_moment_tile)(3, n, r, x, ldx, center, scales, v, ldv, out); break;
    default: NAME(pooled_moment_tile)(4, n, r, x, ldx, center, scales, v, ldv, out);
    }
}

/* ---- m components: out[a], out[4 + a] = sum r_a, sum r_a d_a ---- */

ALWAYS_INLINE void NAME(sum_weights_tile)(
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

NO_INLINE void NAME(sum_weights)(
    int m, ptrdiff_t n, const REAL *r, ptrdiff_t ldr, const REAL *d, ptrdiff_t ldd, REAL *out)
{
    switch (m) {
    case 1: NAME(sum_weights_tile)(1, n, r, ldr, d, ldd, out); break;
    case 2: NAME(sum_weights_tile)(2, n, r, ldr, d, ldd, out); break;
    case 3: NAME(sum_weights_tile)(3, n, r, ldr, d, ldd, out); break;
    default: NAME(sum_weights_tile)(4, n, r, ldr, d, ldd, out);
    }
}

/* ---- the component with the largest, or smallest, number at each sample ---- */

/* The extreme of p (k, n) over components at each of n samples, a multiple of LANES, and the component that has it:
 * the first among equals. */
ALWAYS_INLINE void NAME(extreme)(
    const int largest, ptrdiff_t n, ptrdiff_t n_components, const REAL *p, ptrdiff_t ldp, REAL *extreme,
    BITS *component)
{
    for (ptrdiff_t s = 0; s < n; s += LANES) {
        VEC value = NAME(load)(p + s);
        MASK found = {0};
        for (ptrdiff_t k = 1; k < n_components; k++) {
            VEC t = NAME(load)(p + k * ldp + s);
            MASK better = largest ? MASK_OF(t > value) : MASK_OF(t < value);
            value = SELECT(better, t, value);
            found = (better & (BITS)k) | (~better & found);
        }
        NAME(store)(extreme + s, value);
        memcpy(component + s, &found, sizeof found);
    }
}
NO_INLINE void NAME(largest)(
    ptrdiff_t n, ptrdiff_t n_components, const REAL *p, ptrdiff_t ldp, REAL *extreme, BITS *component)
{
    NAME(extreme)(1, n, n_components, p, ldp, extreme, component);
}
NO_INLINE void NAME(smallest)(
    ptrdiff_t n, ptrdiff_t n_components, const REAL *p, ptrdiff_t ldp, REAL *extreme, BITS *component)
{
    NAME(extreme)(0, n, n_components, p, ldp, extreme, component);
}

/* out = min(a, b) of n numbers, a multiple of LANES; returns their sum. */
NO_INLINE double NAME(minimum)(ptrdiff_t n, const REAL *a, const REAL *b, REAL *out)
{
    VEC total = {0};
    double sum = 0;
    REAL lanes[LANES];
    for (ptrdiff_t s = 0; s < n; s += LANES) {
        VEC u = NAME(load)(a + s), v = NAME(load)(b + s), least = SELECT(u < v, u, v);
        NAME(store)(out + s, least);
        total += least;
    }
    NAME(store)(lanes, total);
    for (int lane = 0; lane < LANES; lane++)
        sum += lanes[lane];
    return sum;
}

#undef PRODUCTS
#undef DISTANCES
#undef TRIANGLE
