/* Whitening that ends as soon as it can: tiles.h includes this file after tiles_template.h.
 *
 * A block is PANEL_COLUMNS vectors of samples. Its whitened features come PANEL_ROWS at a time, and after each of these
 * panels the block is left if |y|^2 is so large in all lanes that no lane has a share in the component. As sums of
 * squares only grow, also when rounded, what is left has, with the arithmetic of `whiten`, a share below the cut.
 */

/* Registers for two vectors, or for one as long as a line of the cache is many numbers: more samples are alike less. */
#if LANES >= 16
  #define PANEL_COLUMNS 1
#else
  #define PANEL_COLUMNS 2
#endif

/* w holds W in panels of TILE_ROWS rows as `whiten` reads them; here one or two of these are one panel. */
#define EARLIER_COLUMN(j) \
    for (int v = 0; v < PANEL_COLUMNS; v++) \
        zj[v] = NAME(load)(z + (j) * width + v * LANES);
#define NEXT_COLUMN(j) \
    for (int v = 0; v < PANEL_COLUMNS; v++) { \
        zj[v] = NAME(load)(x + (i0 + j) * width + v * LANES) - center[i0 + j]; \
        NAME(store)(z + (i0 + j) * width + v * LANES, zj[v]); \
    }
#define ADD_COLUMN(from, to, weights) \
    for (int a = from; a < to; a++) \
        for (int v = 0; v < PANEL_COLUMNS; v++) \
            acc[a][v] += zj[v] * (weights)[a - (from)];
#define UPPER_COLUMN(j) \
    if (upper > j) { \
        NEXT_COLUMN(j) \
        ADD_COLUMN(j, upper, w) \
        w += upper - j; \
        ADD_COLUMN(upper, m, below) \
        below += m - upper; \
    }
#define LOWER_COLUMN(j) \
    if (m > j) { \
        NEXT_COLUMN(j) \
        ADD_COLUMN(j, m, below) \
        below += m - j; \
    }
ALWAYS_INLINE void NAME(next_panel)(
    const int m, ptrdiff_t i0, const REAL *w, const REAL *c, const REAL *center, const REAL *x, REAL *z, REAL *y,
    VEC *squares)
{
    const int upper = m < TILE_ROWS ? m : TILE_ROWS;
    const ptrdiff_t width = PANEL_COLUMNS * LANES;
    const REAL *below = w + upper * i0 + upper * (upper + 1) / 2;
    VEC acc[PANEL_ROWS][PANEL_COLUMNS], zj[PANEL_COLUMNS];
    for (int a = 0; a < m; a++)
        for (int v = 0; v < PANEL_COLUMNS; v++)
            acc[a][v] = (VEC){0} + c[i0 + a];
    for (ptrdiff_t j = 0; j < i0; j++, w += upper, below += m - upper) {
        EARLIER_COLUMN(j)
        ADD_COLUMN(0, upper, w)
        ADD_COLUMN(upper, m, below)
    }
    UPPER_COLUMN(0) UPPER_COLUMN(1) UPPER_COLUMN(2) UPPER_COLUMN(3)
#if PANEL_ROWS == 8
    LOWER_COLUMN(4) LOWER_COLUMN(5) LOWER_COLUMN(6) LOWER_COLUMN(7)
#endif
    for (int a = 0; a < m; a++)
        for (int v = 0; v < PANEL_COLUMNS; v++) {
            NAME(store)(y + (i0 + a) * width + v * LANES, acc[a][v]);
            squares[v] += acc[a][v] * acc[a][v];
        }
}
#undef EARLIER_COLUMN
#undef NEXT_COLUMN
#undef ADD_COLUMN
#undef UPPER_COLUMN
#undef LOWER_COLUMN

#define LAST_PANEL(m) \
    case m: NAME(next_panel)(m, i0, w, c, center, x, z, y, squares); break;

/* Whiten a block for one component until |y|^2 is beyond its limit in all lanes: returns how many features that took,
 * or 0 where none is left. */
ALWAYS_INLINE ptrdiff_t NAME(whiten_until)(
    ptrdiff_t d, const REAL *w, const REAL *c, const REAL *center, const REAL *x, REAL *z, REAL *y, const VEC *limit,
    VEC *squares)
{
    ptrdiff_t i0 = 0;
    for (int v = 0; v < PANEL_COLUMNS; v++)
        squares[v] = (VEC){0};
    for (; i0 + PANEL_ROWS <= d; i0 += PANEL_ROWS) {
        NAME(next_panel)(PANEL_ROWS, i0, w, c, center, x, z, y, squares);
        w += PANEL_ROWS * i0 + PANEL_ROWS * (PANEL_ROWS + 1) / 2;
        MASK beyond = MASK_OF(squares[0] > limit[0]);
        for (int v = 1; v < PANEL_COLUMNS; v++)
            beyond &= MASK_OF(squares[v] > limit[v]);
        if (NAME(all)(beyond))
            return i0 + PANEL_ROWS;
    }
    switch (d - i0) {
        LAST_PANEL(1) LAST_PANEL(2) LAST_PANEL(3)
#if PANEL_ROWS == 8
        LAST_PANEL(4) LAST_PANEL(5) LAST_PANEL(6) LAST_PANEL(7)
#endif
    }
    return 0;
}
#undef LAST_PANEL

/* The same where y = s (x - center), or x - center without scales. In each panel features take turns in two sums, so that
 * additions wait less for each other. */
ALWAYS_INLINE ptrdiff_t NAME(distance_until)(
    const int scaled, ptrdiff_t d, const REAL *center, const REAL *scales, const REAL *x, const VEC *limit, VEC *squares)
{
    const ptrdiff_t width = PANEL_COLUMNS * LANES;
    ptrdiff_t i = 0;
    for (int v = 0; v < PANEL_COLUMNS; v++)
        squares[v] = (VEC){0};
    while (i + DISTANCE_ROWS <= d) {
        VEC part[2][PANEL_COLUMNS];
        for (int v = 0; v < PANEL_COLUMNS; v++)
            part[0][v] = part[1][v] = (VEC){0};
        for (int j = 0; j < DISTANCE_ROWS; j++, i++)
            for (int v = 0; v < PANEL_COLUMNS; v++) {
                VEC t = NAME(load)(x + i * width + v * LANES) - center[i];
                if (scaled)
                    t *= scales[i];
                part[j % 2][v] += t * t;
            }
        MASK beyond = {0};
        for (int v = 0; v < PANEL_COLUMNS; v++) {
            squares[v] += part[0][v] + part[1][v];
            beyond = v == 0 ? MASK_OF(squares[v] > limit[v]) : beyond & MASK_OF(squares[v] > limit[v]);
        }
        if (NAME(all)(beyond))
            return i;
    }
    for (; i < d; i++)
        for (int v = 0; v < PANEL_COLUMNS; v++) {
            VEC t = NAME(load)(x + i * width + v * LANES) - center[i];
            if (scaled)
                t *= scales[i];
            squares[v] += t * t;
        }
    return 0;
}

/* What |y| is at least in all lanes, from sums of squares or parts of them, as a code that is not too large. */
ALWAYS_INLINE void NAME(find_code)(const Pruning *at, ptrdiff_t k, const VEC *squares)
{
    REAL lanes[LANES], least = (REAL)INFINITY;
    for (int v = 0; v < PANEL_COLUMNS; v++) {
        NAME(store)(lanes, SELECT(squares[v] >= 0, squares[v], (VEC){0}));
        for (int lane = 0; lane < LANES; lane++)
            least = lanes[lane] < least ? lanes[lane] : least;
    }
    float code = 4 * (sqrtf((float)least) * (1 - 1e-5f) + at->passed[k]) / at->unit[k] * (1 - 1e-5f);
    uint8_t rounded = code < 255 ? (uint8_t)code : 255;
    if (rounded < at->found[k])
        at->found[k] = rounded;
}

/* Whiten the block for component k, under a limit or without, where no lane has more room; what is complete is appended to the active components and
 * raises the limits of all. Returns the number of features where it was left, or 0. */
ALWAYS_INLINE ptrdiff_t NAME(look_at)(const Pruning *at, const int limited, REAL room, ptrdiff_t k, ptrdiff_t n_active)
{
    const REAL slack = sizeof(REAL) == 8 ? (REAL)0x1p-50 : (REAL)0x1p-21, log_cut = (REAL)at->log_cut;
    const ptrdiff_t d = at->d, width = PANEL_COLUMNS * LANES;
    const ptrdiff_t tile = n_active < at->n_tiles ? n_active : at->n_tiles - 1;
    REAL *most = at->most, *highest = at->highest, *p = (REAL *)at->p + n_active * width;
    VEC squares[PANEL_COLUMNS], limit[PANEL_COLUMNS];
    for (int v = 0; v < PANEL_COLUMNS; v++)
        limit[v] = limited ? NAME(load)(most + v * LANES) + ((const REAL *)at->twice)[k] : (VEC){0} + (REAL)INFINITY;
    if (limited && at->kind > 0 && at->found != NULL) { /* so far that what is found spares the next pass the block */
        REAL beyond = (room + ((const REAL *)at->twice)[k]) * (REAL)1.2;
        for (int v = 0; v < PANEL_COLUMNS; v++)
            limit[v] = (VEC){0} + (beyond > 0 ? beyond : 0);
    }
    ptrdiff_t left;
    const REAL *center = (const REAL *)at->centers + k * d, *factors = at->factors;
    if (at->kind == 0)
        left = NAME(whiten_until)(
            d, factors + k * at->packed, (const REAL *)at->rounding + k * d, center, at->x, at->z,
            (REAL *)at->y + tile * d * width, limit, squares);
    else if (at->kind == 1)
        left = NAME(distance_until)(1, d, center, factors + k * d, at->x, limit, squares);
    else {
        REAL precision = factors[k] * factors[k];
        for (int v = 0; v < PANEL_COLUMNS; v++)
            limit[v] *= ((const REAL *)at->inverse)[k];
        left = NAME(distance_until)(0, d, center, NULL, at->x, limit, squares);
        for (int v = 0; v < PANEL_COLUMNS; v++) {
            NAME(store)((REAL *)at->y + tile * width + v * LANES, squares[v]);
            squares[v] *= precision;
        }
    }
    if (at->found != NULL)
        NAME(find_code)(at, k, squares);
    if (left > 0)
        return left;
    at->active[n_active] = (int32_t)k;
    for (int v = 0; v < PANEL_COLUMNS; v++) {
        VEC value = squares[v] * (REAL)-0.5 + ((const REAL *)at->offsets)[k], peak = NAME(load)(highest + v * LANES);
        NAME(store)(p + v * LANES, value);
        peak = SELECT(value > peak, value, peak);
        NAME(store)(highest + v * LANES, peak);
        VEC room = (peak + log_cut) * -2;
        NAME(store)(most + v * LANES, room + SELECT(room < 0, -room, room) * slack);
    }
    return 0;
}

/* A component whose log densities are wanted whatever they are. */
NO_INLINE void NAME(evaluate_own)(const Pruning *at, ptrdiff_t k, ptrdiff_t n_active)
{
    NAME(look_at)(at, 0, 0, k, n_active);
}

ALWAYS_INLINE REAL NAME(widest)(const REAL *most)
{
    VEC wider = NAME(load)(most);
    for (int v = 1; v < PANEL_COLUMNS; v++) {
        VEC next = NAME(load)(most + v * LANES);
        wider = SELECT(next > wider, next, wider);
    }
    REAL lanes[LANES], found;
    NAME(store)(lanes, wider);
    found = lanes[0];
    for (int n = 1; n < LANES; n++)
        found = lanes[n] > found ? lanes[n] : found;
    return found;
}

/* All components that have not been seen. Returns how many are active then, and adds multiply-adds of a row. */
NO_INLINE ptrdiff_t NAME(evaluate_others)(
    const Pruning *at, ptrdiff_t n_components, const uint8_t *seen, ptrdiff_t n_active, int64_t *multiply_adds)
{
    const REAL *twice = at->twice, *surpassed = at->surpassed;
    REAL room = NAME(widest)(at->most);
    for (ptrdiff_t k = 0; k < n_components; k++) {
        if (seen[k])
            continue;
        if (twice[k] + room < surpassed[k]) {
            if (at->found != NULL && at->known[k] < at->found[k])
                at->found[k] = at->known[k];
            continue;
        }
        ptrdiff_t left = NAME(look_at)(at, 1, room, k, n_active);
        *multiply_adds += left > 0 ? at->kind > 0 ? left : left * (left + 1) / 2 : at->packed;
        if (left == 0) {
            n_active++;
            room = NAME(widest)(at->most);
        }
    }
    return n_active;
}

/* `normalize` for one block, where what is below the cut does not count in sums either: a lane is then the same beside
 * any others. */
NO_INLINE void NAME(normalize_block)(
    ptrdiff_t n_components, REAL cut, REAL lowest, REAL smallest, REAL *p, REAL *scores)
{
    NAME(normalize_tile)(0, PANEL_COLUMNS, cut, n_components, cut, lowest, smallest, p, PANEL_COLUMNS * LANES, scores);
}

enum { NAME(PANEL_LANES) = PANEL_COLUMNS * LANES };
#undef PANEL_COLUMNS
