/* Sums over pairs of a row and a component that has a share in it, row by row: tiles.h includes this file after
 * tiles_template.h. Here lanes are features, and rows stand side by side, each a whole number of vectors long.
 */

/* Four vectors of features: out[i] = sum_n r_n z_i and, with `second`, out[4 LANES + i] = sum_n r_n z_i^2, where z is the
 * row less the center; without it z is the row. */
ALWAYS_INLINE void NAME(pair_tile)(
    const int columns, const int second, ptrdiff_t n_pairs, const REAL *shares, const int32_t *places,
    const REAL *rows, ptrdiff_t length, const REAL *center, REAL *out)
{
    VEC first[4], squares[4];
    for (int v = 0; v < columns; v++)
        first[v] = squares[v] = (VEC){0};
    for (ptrdiff_t n = 0; n < n_pairs; n++) {
        const REAL *row = rows + places[n] * length;
        for (int v = 0; v < columns; v++) {
            VEC z = NAME(load)(row + v * LANES);
            if (second) {
                z -= NAME(load)(center + v * LANES);
                VEC weighted = z * shares[n];
                first[v] += weighted;
                squares[v] += weighted * z;
            } else
                first[v] += z * shares[n];
        }
    }
    for (int v = 0; v < columns; v++) {
        NAME(store)(out + v * LANES, first[v]);
        if (second)
            NAME(store)(out + (4 + v) * LANES, squares[v]);
    }
}

#define PAIRS(columns, second) \
    NAME(pair_tile)(columns, second, n_pairs, shares, places, rows + i0, length, middle, tile)

/* Add the first moments of d features, and about a center the second, of these pairs; the center may be NULL. */
NO_INLINE void NAME(add_pairs)(
    ptrdiff_t n_pairs, ptrdiff_t d, const REAL *shares, const int32_t *places, const REAL *rows, ptrdiff_t length,
    const REAL *center, double *first, double *second)
{
    REAL tile[8 * LANES], middle[4 * LANES] = {0};
    for (ptrdiff_t i0 = 0; i0 < d; i0 += 4 * LANES) {
        ptrdiff_t count = d - i0 < 4 * LANES ? d - i0 : 4 * LANES;
        if (center != NULL)
            memcpy(middle, center + i0, count * sizeof(REAL));
        switch (2 * ((count + LANES - 1) / LANES) + (center != NULL)) {
        case 2: PAIRS(1, 0); break;
        case 3: PAIRS(1, 1); break;
        case 4: PAIRS(2, 0); break;
        case 5: PAIRS(2, 1); break;
        case 6: PAIRS(3, 0); break;
        case 7: PAIRS(3, 1); break;
        case 8: PAIRS(4, 0); break;
        default: PAIRS(4, 1);
        }
        for (ptrdiff_t i = 0; i < count; i++)
            first[i0 + i] += tile[i];
        if (center != NULL)
            for (ptrdiff_t i = 0; i < count; i++)
                second[i0 + i] += tile[4 * LANES + i];
    }
}
#undef PAIRS
