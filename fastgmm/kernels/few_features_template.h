/* Blocks of rows of few features: log densities of all components, responsibilities and sums, with whitened rows kept
 * in between in the first caches. tiles.h includes this file for each precision, behind tiles_template.h; the loop
 * around it is in few_features.pxd.
 *
 * `d` is a constant wherever a function is expanded. The packed factor of a component holds W column by column. Rows of
 * x (d, rows), p (K, rows) and y (K, d, rows) are FEW_BYTES long.
 */
#define ROWS (FEW_BYTES / (ptrdiff_t)sizeof(REAL))
#define PACKED (d * (d + 1) / 2)
#define FOR_FEATURES(call) \
    switch (d) { \
    case 1: call(1); break; \
    case 2: call(2); break; \
    case 3: call(3); break; \
    default: call(4); \
    }

/* p = c - |y|^2 / 2 and, where wanted, y = rounding + W (x - center) of all components at one tile of samples, in the
 * order of the whitening tile; the largest p at each sample, or `floor`. Returns the larger one of `most` and |y|^2. */
ALWAYS_INLINE VEC NAME(densities_of_few)(
    const int d, const int keep, ptrdiff_t n_components, const REAL *offsets, const REAL *centers,
    const REAL *rounding, const REAL *factors, REAL floor, const REAL *x, REAL *p, REAL *y, REAL *peaks, VEC most)
{
    VEC peak[TILE_COLUMNS];
    for (int v = 0; v < TILE_COLUMNS; v++)
        peak[v] = (VEC){0} + floor;
    for (ptrdiff_t k = 0; k < n_components; k++, p += ROWS, y += keep * d * ROWS, centers += d, rounding += d) {
        VEC acc[4][TILE_COLUMNS], z[TILE_COLUMNS];
        for (int i = 0; i < d; i++)
            for (int v = 0; v < TILE_COLUMNS; v++)
                acc[i][v] = rounding[i] - (VEC){0};
        for (int j = 0; j < d; j++) {
            for (int v = 0; v < TILE_COLUMNS; v++)
                z[v] = NAME(load)(x + j * ROWS + v * LANES) - centers[j];
            for (int i = j; i < d; i++, factors++)
                for (int v = 0; v < TILE_COLUMNS; v++)
                    acc[i][v] += z[v] * *factors;
        }
        for (int v = 0; v < TILE_COLUMNS; v++) {
            VEC squares = {0};
            for (int i = 0; i < d; i++) {
                if (keep)
                    NAME(store)(y + i * ROWS + v * LANES, acc[i][v]);
                squares += acc[i][v] * acc[i][v];
            }
            most = NAME(larger)(squares, most);
            squares = squares * (REAL)-0.5 + offsets[k];
            NAME(store)(p + v * LANES, squares);
            peak[v] = NAME(larger)(squares, peak[v]);
        }
    }
    for (int v = 0; v < TILE_COLUMNS; v++)
        NAME(store)(peaks + v * LANES, peak[v]);
    return most;
}

/* n samples, a multiple of FEW_VECTORS vectors; y may be NULL. Returns whether some y may be infinite. */
NO_INLINE int NAME(few_densities)(
    int d, ptrdiff_t n, ptrdiff_t n_components, const REAL *offsets, const REAL *centers, const REAL *rounding,
    const REAL *factors, REAL floor, REAL largest, const REAL *x, REAL *p, REAL *y, REAL *peaks)
{
    VEC most = {0};
    REAL lanes[LANES];
    int infinite = 0;
#define DENSITIES(d, keep) \
    for (ptrdiff_t s = 0; s < n; s += TILE_COLUMNS * LANES) \
        most = NAME(densities_of_few)(d, keep, n_components, offsets, centers, rounding, factors, floor, x + s, \
                                      p + s, y + keep * s, peaks + s, most);
#define CALL(d) \
    if (y != NULL) { \
        DENSITIES(d, 1) \
    } else { \
        DENSITIES(d, 0) \
    }
    FOR_FEATURES(CALL)
#undef CALL
#undef DENSITIES
    NAME(store)(lanes, most);
    for (int lane = 0; lane < LANES; lane++)
        infinite |= lanes[lane] > largest;
    return infinite;
}

/* p = exp(p - peak), and their sums at each sample of a tile. */
ALWAYS_INLINE void NAME(exponentials_of_few)(
    ptrdiff_t n_rows, REAL lowest, REAL *p, const REAL *peaks, REAL *totals)
{
    VEC top[FEW_VECTORS], total[FEW_VECTORS];
    for (int v = 0; v < FEW_VECTORS; v++) {
        VEC peak = NAME(load)(peaks + v * LANES);
        top[v] = SELECT(peak < lowest, (VEC){0} + lowest, peak);
        total[v] = (VEC){0};
    }
    for (ptrdiff_t k = 0; k < n_rows; k++, p += ROWS) {
        VEC e[FEW_VECTORS];
        for (int v = 0; v < FEW_VECTORS; v++)
            e[v] = NAME(load)(p + v * LANES) - top[v];
        NAME(exps)(FEW_VECTORS, e);
        for (int v = 0; v < FEW_VECTORS; v++) {
            NAME(store)(p + v * LANES, e[v]);
            total[v] += e[v];
        }
    }
    for (int v = 0; v < FEW_VECTORS; v++)
        NAME(store)(totals + v * LANES, total[v]);
}

/* The same of n samples, and `inverse`, one over these sums. `scores` are the peaks, then log-likelihoods or, summed,
 * a vector for each FEW_VECTORS of them; what is infinitely far is as in `normalize`. */
NO_INLINE void NAME(few_exponentials)(
    int summed, ptrdiff_t n, ptrdiff_t n_rows, REAL lowest, REAL smallest, REAL *p, REAL *inverse, REAL *scores)
{
    for (ptrdiff_t s = 0; s < n; s += FEW_VECTORS * LANES)
        NAME(exponentials_of_few)(n_rows, lowest, p + s, scores + s, inverse + s);
    for (ptrdiff_t s = 0; s < n; s += FEW_VECTORS * LANES) {
        VEC product = (VEC){0} + (REAL)1, sum = {0};
        for (int v = 0; v < FEW_VECTORS; v++) {
            VEC total = NAME(load)(inverse + s + v * LANES), peak = NAME(load)(scores + s + v * LANES);
            VEC t = SELECT(total < smallest, (VEC){0} + smallest, total);
            NAME(store)(inverse + s + v * LANES, 1 / t);
            peak += total - total; /* NaN where a density is */
            if (!summed)
                NAME(store)(scores + s + v * LANES, peak + NAME(log)(t));
            product *= SELECT(t < 1, (VEC){0} + (REAL)1, t);
            sum += peak;
        }
        if (summed)
            NAME(store)(scores + s / FEW_VECTORS, sum + NAME(log)(product));
    }
}

/* Add rows first .. last of sum r y y^T (lower triangle) and of sum r y and, with the first of them, sum r, lane by
 * lane; r = p inverse, those below the cut 0, times the weights. */
ALWAYS_INLINE void NAME(sums_of_few)(
    const int d, const int first, const int last, const int weighted, ptrdiff_t n, REAL cut, const REAL *p,
    const REAL *inverse, const REAL *weights, const REAL *y, REAL *sums)
{
    VEC total = {0}, linear[4], scatter[10];
    REAL *squares = sums + (1 + d + first * (first + 1) / 2) * LANES;
    const int n_squares = last * (last + 1) / 2 - first * (first + 1) / 2;
    if (first == 0)
        total = NAME(load)(sums);
    for (int i = first; i < last; i++)
        linear[i] = NAME(load)(sums + (1 + i) * LANES);
    for (int t = 0; t < n_squares; t++)
        scatter[t] = NAME(load)(squares + t * LANES);
    for (ptrdiff_t s = 0; s < n; s += LANES) {
        VEC r = NAME(load)(p + s) * NAME(load)(inverse + s), z[4];
        r = SELECT(r >= cut, r, (VEC){0});
        if (weighted)
            r *= NAME(load)(weights + s);
        if (first == 0)
            total += r;
        for (int i = 0; i < last; i++)
            z[i] = NAME(load)(y + i * ROWS + s);
        for (int i = first, t = 0; i < last; i++) {
            VEC rz = r * z[i];
            linear[i] += rz;
            for (int b = 0; b <= i; b++, t++)
                scatter[t] += rz * z[b];
        }
    }
    if (first == 0)
        NAME(store)(sums, total);
    for (int i = first; i < last; i++)
        NAME(store)(sums + (1 + i) * LANES, linear[i]);
    for (int t = 0; t < n_squares; t++)
        NAME(store)(squares + t * LANES, scatter[t]);
}

/* With 16 registers the 15 sums of four features leave none for operands: the last row gets a pass of its own. */
#define SUMS(d, weighted) \
    if (d < 4 || TILE_COLUMNS == 4) \
        NAME(sums_of_few)(d, 0, d, weighted, n, cut, p, inverse, weights, y, sums); \
    else { \
        NAME(sums_of_few)(d, 0, d - 1, weighted, n, cut, p, inverse, weights, y, sums); \
        NAME(sums_of_few)(d, d - 1, d, weighted, n, cut, p, inverse, weights, y, sums); \
    }

/* All components; sums (K, 1 + d + d (d + 1) / 2, LANES); weights may be NULL, for 1. */
NO_INLINE void NAME(few_sums)(
    int d, ptrdiff_t n, ptrdiff_t n_components, REAL cut, const REAL *p, const REAL *inverse, const REAL *weights,
    const REAL *y, REAL *sums)
{
#define CALL(d) \
    for (ptrdiff_t k = 0; k < n_components; k++, p += ROWS, y += d * ROWS, sums += (1 + d + PACKED) * LANES) \
        if (weights == NULL) { \
            SUMS(d, 0) \
        } else { \
            SUMS(d, 1) \
        }
    FOR_FEATURES(CALL)
#undef CALL
}

#undef SUMS
#undef ROWS
#undef PACKED
#undef FOR_FEATURES
