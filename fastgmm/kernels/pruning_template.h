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

ALWAYS_INLINE int NAME(all)(MASK mask)
{
    int64_t parts[sizeof mask < 8 ? 1 : sizeof mask / 8];
#if LANES > 1
    memcpy(parts, &mask, sizeof mask);
#else
    parts[0] = mask;
#endif
    for (int i = 1; i < (int)(sizeof parts / 8); i++)
        parts[0] &= parts[i];
    return parts[0] == -1;
}

#define LAST_PANEL(m) \
    case m: NAME(next_panel)(m, i0, w, c, center, x, z, y, squares); break;

/* One component for one block x (d, PANEL_COLUMNS * LANES); z and y likewise. `most` takes |y|^2 beyond which a lane has
 * no share, less `twice_offset`, and `highest` the largest log density of each lane so far: both heed the component if
 * it is complete. Returns how many features were whitened when it was left, or 0 where it is complete; p = offset -
 * |y|^2 / 2 then. */
NO_INLINE ptrdiff_t NAME(whiten_until)(
    ptrdiff_t d, REAL offset, REAL twice_offset, REAL log_cut, const REAL *w, const REAL *c, const REAL *center,
    const REAL *x, REAL *z, REAL *y, REAL *highest, REAL *most, REAL *p)
{
    const REAL slack = (sizeof(REAL) == 8 ? (REAL)0x1p-50 : (REAL)0x1p-21);
    VEC squares[PANEL_COLUMNS], limit[PANEL_COLUMNS];
    ptrdiff_t i0 = 0;
    for (int v = 0; v < PANEL_COLUMNS; v++) {
        squares[v] = (VEC){0};
        limit[v] = NAME(load)(most + v * LANES) + twice_offset;
    }
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
    for (int v = 0; v < PANEL_COLUMNS; v++) {
        VEC value = squares[v] * (REAL)-0.5 + offset, peak = NAME(load)(highest + v * LANES);
        NAME(store)(p + v * LANES, value);
        peak = SELECT(value > peak, value, peak);
        NAME(store)(highest + v * LANES, peak);
        VEC room = (peak + log_cut) * -2;
        NAME(store)(most + v * LANES, room + SELECT(room < 0, -room, room) * slack);
    }
    return 0;
}
#undef LAST_PANEL

/* `normalize` for n samples, a multiple of a block's width. */
NO_INLINE void NAME(normalize_block)(
    ptrdiff_t n_components, REAL cut, REAL lowest, REAL smallest, REAL *p, ptrdiff_t ldp, REAL *scores)
{
    NAME(normalize_tile)(0, PANEL_COLUMNS, n_components, cut, lowest, smallest, p, ldp, scores);
}

enum { NAME(PANEL_LANES) = PANEL_COLUMNS * LANES };
#undef PANEL_COLUMNS
