/* Blocks of BOX_ROWS rows that lie near each other, of 1 to 4 features: bounds of log densities over the box of a
 * block, and the steps of expectation and accumulation for the components that they leave. tiles.h includes this file
 * for each precision, between vectors_template.h and tiles_template.h; boxes.pxd says what is derived from what.
 *
 * `d` is a constant wherever a function is expanded. The packed factor of a component holds W column by column.
 */
#define BOX_VECTORS (BOX_ROWS / LANES)
#define TOGETHER (BOX_VECTORS < 4 ? BOX_VECTORS : 4) /* vectors whose exponentials are taken step by step */
#define ABS(v) AS_REAL(AS_BITS(v) & (BITS)(~0ull >> (65 - 8 * sizeof(REAL))))
#define PACKED (d * (d + 1) / 2)
#define FOR_FEATURES(call) \
    switch (d) { \
    case 1: call(1); break; \
    case 2: call(2); break; \
    case 3: call(3); break; \
    default: call(4); \
    }

/* Middle and half width of the box of a block x (d, BOX_ROWS); the larger side of the middle, which is rounded. */
NO_INLINE void NAME(box_of)(ptrdiff_t d, const REAL *x, REAL *middle, REAL *half)
{
    for (ptrdiff_t i = 0; i < d; i++, x += BOX_ROWS) {
        REAL low[LANES], high[LANES];
        VEC lows = NAME(load)(x), highs = lows;
        for (int v = 1; v < BOX_VECTORS; v++) {
            VEC t = NAME(load)(x + v * LANES);
            lows = SELECT(t < lows, t, lows);
            highs = SELECT(t > highs, t, highs);
        }
        NAME(store)(low, lows);
        NAME(store)(high, highs);
        for (int lane = 1; lane < LANES; lane++) {
            low[0] = low[lane] < low[0] ? low[lane] : low[0];
            high[0] = high[lane] > high[0] ? high[lane] : high[0];
        }
        middle[i] = (REAL)0.5 * low[0] + (REAL)0.5 * high[0];
        REAL below = middle[i] - low[0], above = high[0] - middle[i];
        half[i] = above > below ? above : below;
    }
}

/* upper[k] >= log p_k at every row of a box, as kernels round it, and returned a number that the largest of log p_k
 * is not below at any row. The model stands component by lane, LANES of them after each other: c_k rounded up, c_k
 * rounded down, center, rounding_k, W_k. NaN in a bound leaves the component in. */
ALWAYS_INLINE REAL NAME(bounds_tile)(
    const int d, ptrdiff_t n_components, const REAL *model, REAL slack, const REAL *middle, const REAL *half,
    REAL *upper)
{
    REAL lanes[LANES], wide[4];
    VEC most = (VEC){0} - (REAL)INFINITY;
    for (int j = 0; j < d; j++)
        wide[j] = half[j] * (1 + slack);
    for (ptrdiff_t k = 0; k < n_components; k += LANES, model += (2 + 2 * d + PACKED) * LANES) {
        const REAL *place = model + 2 * LANES, *w = place + 2 * d * LANES;
        VEC y[4], e[4], near = {0}, far = {0};
        for (int i = 0; i < d; i++) {
            y[i] = NAME(load)(place + (d + i) * LANES);
            e[i] = ABS(y[i]) * slack;
        }
        for (int j = 0; j < d; j++) {
            VEC z = middle[j] - NAME(load)(place + j * LANES), reach = ABS(z) * slack + wide[j];
            for (int i = j; i < d; i++, w += LANES) {
                VEC wij = NAME(load)(w);
                y[i] += wij * z;
                e[i] += ABS(wij) * reach;
            }
        }
        for (int i = 0; i < d; i++) {
            VEC size = ABS(y[i]), least = size - e[i], largest = size + e[i];
            least = SELECT(least > 0, least, (VEC){0});
            near += least * least;
            far += largest * largest;
        }
        VEC lower = NAME(load)(model + LANES) - (REAL)0.5 * (1 + slack) * far;
        most = SELECT(lower > most, lower, most);
        NAME(store)(upper + k, NAME(load)(model) - (REAL)0.5 * (1 - slack) * near);
    }
    NAME(store)(lanes, most);
    for (int lane = 1; lane < LANES; lane++)
        lanes[0] = lanes[lane] > lanes[0] ? lanes[lane] : lanes[0];
    return lanes[0];
}

NO_INLINE REAL NAME(bounds)(
    int d, ptrdiff_t n_components, const REAL *model, REAL slack, const REAL *middle, const REAL *half, REAL *upper)
{
#define CALL(d) return NAME(bounds_tile)(d, n_components, model, slack, middle, half, upper)
    FOR_FEATURES(CALL)
#undef CALL
}

/* y = rounding + W (x - center) of one vector of rows, in the order of the whitening tile. */
ALWAYS_INLINE void NAME(whiten_vector)(
    const int d, const REAL *w, const REAL *rounding, const REAL *center, const VEC *x, VEC *y)
{
    for (int i = 0; i < d; i++)
        y[i] = rounding[i] - (VEC){0};
    for (int j = 0; j < d; j++) {
        VEC z = x[j] - center[j];
        for (int i = j; i < d; i++)
            y[i] += z * *w++;
    }
}

/* p (n, BOX_ROWS) = log densities of the chosen components, and their largest at each row. */
ALWAYS_INLINE void NAME(densities_tile)(
    const int d, ptrdiff_t n, const int32_t *chosen, const REAL *offsets, const REAL *centers, const REAL *rounding,
    const REAL *factors, const REAL *x, REAL *p, REAL *peak)
{
    for (ptrdiff_t a = 0; a < n; a++, p += BOX_ROWS) {
        const ptrdiff_t k = chosen[a];
        for (int v = 0; v < BOX_VECTORS; v++) {
            VEC xv[4], y[4], squares = {0}, top;
            for (int j = 0; j < d; j++)
                xv[j] = NAME(load)(x + j * BOX_ROWS + v * LANES);
            NAME(whiten_vector)(d, factors + k * PACKED, rounding + k * d, centers + k * d, xv, y);
            for (int i = 0; i < d; i++)
                squares += y[i] * y[i];
            squares = squares * (REAL)-0.5 + offsets[k];
            NAME(store)(p + v * LANES, squares);
            top = a > 0 ? NAME(load)(peak + v * LANES) : squares;
            NAME(store)(peak + v * LANES, NAME(larger)(squares, top));
        }
    }
}

NO_INLINE void NAME(densities)(
    int d, ptrdiff_t n, const int32_t *chosen, const REAL *offsets, const REAL *centers, const REAL *rounding,
    const REAL *factors, const REAL *x, REAL *p, REAL *peak)
{
#define CALL(d) NAME(densities_tile)(d, n, chosen, offsets, centers, rounding, factors, x, p, peak)
    FOR_FEATURES(CALL)
#undef CALL
}

/* p becomes exp(p - peak) of the components that are not below `low` = log(u / K) and less at all rows; the others
 * leave `chosen`. Scores are log sum exp, `inverse` is one over the sum; as `normalize` has rows infinitely far.
 * Returns how many components are left. */
NO_INLINE ptrdiff_t NAME(exponentials)(
    ptrdiff_t n, int32_t *chosen, REAL low, REAL lowest, REAL smallest, REAL *p, const REAL *peak, REAL *scores,
    REAL *inverse)
{
    ptrdiff_t left = 0;
    VEC top[BOX_VECTORS], total[BOX_VECTORS];
    for (int v = 0; v < BOX_VECTORS; v++) {
        VEC t = NAME(load)(peak + v * LANES);
        top[v] = SELECT(t < lowest, (VEC){0} + lowest, t);
        total[v] = (VEC){0};
    }
    for (ptrdiff_t a = 0; a < n; a++) {
        VEC t[BOX_VECTORS];
        MASK below = ~(MASK){0};
        for (int v = 0; v < BOX_VECTORS; v++) {
            t[v] = NAME(load)(p + a * BOX_ROWS + v * LANES) - top[v];
            below &= MASK_OF(t[v] < low);
        }
        if (NAME(all)(below))
            continue;
        for (int v = 0; v < BOX_VECTORS; v += TOGETHER)
            NAME(exps)(TOGETHER, t + v);
        for (int v = 0; v < BOX_VECTORS; v++) {
            NAME(store)(p + left * BOX_ROWS + v * LANES, t[v]);
            total[v] += t[v];
        }
        chosen[left++] = chosen[a];
    }
    for (int v = 0; v < BOX_VECTORS; v++) {
        VEC t = SELECT(total[v] < smallest, (VEC){0} + smallest, total[v]);
        NAME(store)(scores + v * LANES, NAME(load)(peak + v * LANES) + NAME(log)(t));
        NAME(store)(inverse + v * LANES, 1 / t);
    }
    return left;
}

/* p = responsibilities, those below the cut 0. */
NO_INLINE void NAME(shares)(ptrdiff_t n, REAL cut, const REAL *inverse, REAL *p)
{
    for (ptrdiff_t a = 0; a < n; a++)
        for (int v = 0; v < BOX_VECTORS; v++, p += LANES) {
            VEC r = NAME(load)(p) * NAME(load)(inverse + v * LANES);
            NAME(store)(p, SELECT(r < cut, (VEC){0}, r));
        }
}

/* Add sum r, sum r y and sum r y y^T (lower triangle by rows), lane by lane, to the sums of the chosen components,
 * (K, 1 + d + d (d + 1) / 2, LANES). A row that has no share, perhaps infinitely far, adds zeros. */
ALWAYS_INLINE void NAME(lane_sums_tile)(
    const int d, ptrdiff_t n, const int32_t *chosen, REAL cut, const REAL *centers, const REAL *rounding,
    const REAL *factors, const REAL *x, const REAL *inverse, const REAL *weights, const REAL *p, REAL *sums)
{
    for (ptrdiff_t a = 0; a < n; a++, p += BOX_ROWS) {
        const ptrdiff_t k = chosen[a];
        REAL *place = sums + k * (1 + d + PACKED) * LANES;
        VEC r[BOX_VECTORS], y[BOX_VECTORS][4], acc[15];
        for (int v = 0; v < BOX_VECTORS; v++) {
            VEC xv[4];
            r[v] = NAME(load)(p + v * LANES) * NAME(load)(inverse + v * LANES);
            r[v] = SELECT(r[v] >= cut, r[v] * NAME(load)(weights + v * LANES), (VEC){0});
            for (int j = 0; j < d; j++) {
                xv[j] = NAME(load)(x + j * BOX_ROWS + v * LANES);
                xv[j] = SELECT(r[v] > 0, xv[j], (VEC){0} + centers[k * d + j]);
            }
            NAME(whiten_vector)(d, factors + k * PACKED, rounding + k * d, centers + k * d, xv, y[v]);
        }
        for (int t = 0; t < 1 + d + PACKED; t++)
            acc[t] = NAME(load)(place + t * LANES);
        for (int v = 0; v < BOX_VECTORS; v++) {
            acc[0] += r[v];
            for (int i = 0, t = 1 + d; i < d; i++) {
                VEC ry = r[v] * y[v][i];
                acc[1 + i] += ry;
                for (int b = 0; b <= i; b++, t++)
                    acc[t] += ry * y[v][b];
            }
        }
        for (int t = 0; t < 1 + d + PACKED; t++)
            NAME(store)(place + t * LANES, acc[t]);
    }
}

NO_INLINE void NAME(lane_sums)(
    int d, ptrdiff_t n, const int32_t *chosen, REAL cut, const REAL *centers, const REAL *rounding,
    const REAL *factors, const REAL *x, const REAL *inverse, const REAL *weights, const REAL *p, REAL *sums)
{
#define CALL(d) NAME(lane_sums_tile)(d, n, chosen, cut, centers, rounding, factors, x, inverse, weights, p, sums)
    FOR_FEATURES(CALL)
#undef CALL
}

/* out[t] += the sum of the lanes of each of n <= 16 vectors, which become zeros. */
NO_INLINE void NAME(join_lanes)(ptrdiff_t n, REAL *sums, double *out)
{
    VEC acc[16];
    REAL joined[16];
    for (ptrdiff_t t = 0; t < 16; t++)
        acc[t] = t < n ? NAME(load)(sums + t * LANES) : (VEC){0};
    memset(sums, 0, n * LANES * sizeof(REAL));
    NAME(sum_lanes)(acc, joined);
    for (ptrdiff_t t = 0; t < n; t++)
        out[t] += joined[t];
}

#undef BOX_VECTORS
#undef TOGETHER
#undef ABS
#undef PACKED
#undef FOR_FEATURES
