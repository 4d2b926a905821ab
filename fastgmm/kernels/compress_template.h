/* Samples that have a share are packed: out of a block, and of each of its rows, come their lanes side by side. tiles.h
 * includes this file for each precision after vectors_template.h.
 *
 * Vectors in which some lane is active are listed first, so that the many others where few are cost nothing: the place
 * of each with the mask of its lanes. Where no instruction packs a vector, lanes are listed.
 */
#if defined(VECTOR_BYTES) && defined(__AVX512F__)
ALWAYS_INLINE int32_t NAME(positive)(VEC v)
{
    #if LANES == 8
    return _mm512_cmp_pd_mask((__m512d)v, _mm512_setzero_pd(), _CMP_GT_OQ);
    #else
    return _mm512_cmp_ps_mask((__m512)v, _mm512_setzero_ps(), _CMP_GT_OQ);
    #endif
}
  #define PERMUTATION(mask) (mask)
  #if LANES == 8
    #define PACK(v, mask) (VEC)_mm512_maskz_compress_pd((__mmask8)(mask), (__m512d)(v))
  #else
    #define PACK(v, mask) (VEC)_mm512_maskz_compress_ps((__mmask16)(mask), (__m512)(v))
  #endif
  #define COUNT(mask) __builtin_popcount((unsigned)(mask))
#elif defined(VECTOR_BYTES) && defined(__AVX2__)
/* Words of 32 bits are what moves; a double is two of them. */
ALWAYS_INLINE int32_t NAME(positive)(VEC v) { return _mm256_movemask_ps((__m256)(MASK)(v > 0)); }
  #define PERMUTATION(mask) _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)&set_places[mask]))
  #define PACK(v, permutation) (VEC)_mm256_permutevar8x32_ps((__m256)(v), permutation)
  #define COUNT(mask) (__builtin_popcount((unsigned)(mask)) / (int)(sizeof(REAL) / 4))
#endif

/* How many of n numbers are above 0, n a multiple of LANES. */
NO_INLINE ptrdiff_t NAME(count_active)(ptrdiff_t n, const REAL *p)
{
    MASK count = {0};
    BITS lanes[LANES];
    for (ptrdiff_t s = 0; s < n; s += LANES)
        count -= MASK_OF(NAME(load)(p + s) > 0);
    memcpy(lanes, &count, sizeof count);
    for (int lane = 1; lane < LANES; lane++)
        lanes[0] += lanes[lane];
    return (ptrdiff_t)lanes[0];
}

/* r (active,) and y (d, active) from the lanes of p (n,) and x (d, n) where p is above 0, in their order; n at most 256
 * and as in `count_active`, which tells `active`. Whole vectors are written, past `active` but not past n, and never
 * over what is still to be read where y is x. */
NO_INLINE void NAME(pack_active)(
    ptrdiff_t n, ptrdiff_t d, ptrdiff_t active, const REAL *p, const REAL *x, ptrdiff_t ldx, REAL *r, REAL *y,
    ptrdiff_t ldy)
{
    int32_t list[256];
    ptrdiff_t listed = 0, done = 0;
#ifdef PACK
    for (ptrdiff_t s = 0; s < n; s += LANES) {
        int32_t mask = NAME(positive)(NAME(load)(p + s));
        list[listed] = (int32_t)(s << 16) | mask;
        listed += mask != 0;
    }
    for (ptrdiff_t t = 0; done < active; t++) {
        const ptrdiff_t s = list[t] >> 16, mask = list[t] & 0xffff;
        const REAL *from = x + s;
        REAL *to = y + done;
        const __auto_type order = PERMUTATION(mask);
        NAME(store)(r + done, PACK(NAME(load)(p + s), order));
        for (ptrdiff_t i = 0; i < d; i++, from += ldx, to += ldy)
            NAME(store)(to, PACK(NAME(load)(from), order));
        done += COUNT(mask);
    }
#else
    for (ptrdiff_t s = 0; s < n; s++) {
        list[listed] = (int32_t)s;
        listed += p[s] > 0;
    }
    for (; done < active; done++)
        r[done] = p[list[done]];
    for (ptrdiff_t i = 0; i < d; i++, x += ldx, y += ldy)
        for (ptrdiff_t t = 0; t < active; t++)
            y[t] = x[list[t]];
#endif
}
#undef PERMUTATION
#undef PACK
#undef COUNT
