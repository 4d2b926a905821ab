/* The register tiles, in C because Cython has no vector types. Everything here is compiled once
 * per instruction set and once per precision; the loops around it are in the .pxd files.
 *
 * A vector holds LANES numbers. With GCC and Clang it is a GNU vector type, as wide as the
 * registers of the instruction set the file is compiled for. Any other compiler gets vectors of
 * one number: the same source, plain scalar code.
 */
#ifndef FASTGMM_TILES_H
#define FASTGMM_TILES_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
  #include <immintrin.h>
#endif

#define FASTGMM_CAT_(a, b) a##b
#define FASTGMM_CAT(a, b) FASTGMM_CAT_(a, b)

#if defined(__GNUC__) || defined(__clang__)
  #define ALWAYS_INLINE static inline __attribute__((always_inline))
  #define NO_INLINE static __attribute__((noinline, unused))
  #define PREFETCH(address) __builtin_prefetch(address)
  #if defined(__AVX512F__)
    #define VECTOR_BYTES 64
    #define FASTGMM_LANES_F64 8
    #define FASTGMM_LANES_F32 16
  #elif defined(__AVX__)
    #define VECTOR_BYTES 32
    #define FASTGMM_LANES_F64 4
    #define FASTGMM_LANES_F32 8
  #else
    #define VECTOR_BYTES 16
    #define FASTGMM_LANES_F64 2
    #define FASTGMM_LANES_F32 4
  #endif
#else
  #define FASTGMM_LANES_F64 1
  #define FASTGMM_LANES_F32 1
  #define ALWAYS_INLINE static __forceinline
  #define NO_INLINE static __declspec(noinline)
  #define PREFETCH(address)
#endif

/* Tiles are four rows high. Their other side is what the register file holds beside the operands:
 * four vectors with 32 registers (AVX-512, arm64), two with 16. */
#define TILE_ROWS 4
#if defined(__AVX512F__) || defined(__aarch64__)
  #define TILE_COLUMNS 4
  #define PANEL_ROWS 8
#else
  #define TILE_COLUMNS 2
  #define PANEL_ROWS 4
#endif

/* How many features a distance grows by until it is looked at. */
#define DISTANCE_ROWS 8

/* Rows of a block that lie near each other (boxes_template.h): whole vectors of any width. */
#define BOX_ROWS 32

/* A row of a block of few features (few_features_template.h), and how many vectors of exp take their steps together:
 * enough for the steps of one not to wait for each other. */
#define FEW_BYTES 512
#define FEW_VECTORS 4

/* The lanes at even and at odd places of two vectors side by side. */
#define EVEN_2 0, 2
#define ODD_2 1, 3
#define EVEN_4 0, 2, 4, 6
#define ODD_4 1, 3, 5, 7
#define EVEN_8 0, 2, 4, 6, 8, 10, 12, 14
#define ODD_8 1, 3, 5, 7, 9, 11, 13, 15
#define EVEN_16 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD_16 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31

/* The lower, and the upper, halves of two vectors, lane by lane in turn. */
#define LOWER_2 0, 2
#define UPPER_2 1, 3
#define LOWER_4 0, 4, 1, 5
#define UPPER_4 2, 6, 3, 7
#define LOWER_8 0, 8, 1, 9, 2, 10, 3, 11
#define UPPER_8 4, 12, 5, 13, 6, 14, 7, 15
#define LOWER_16 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define UPPER_16 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31

#if defined(VECTOR_BYTES) && defined(__AVX2__)
/* The places of the bits that are set in a byte, from the lowest on, a byte each (compress_template.h). */
#define PLACE(rest, bits, place) \
    ((rest) << 8 * ((bits) >> place & 1) | (uint64_t)place * ((bits) >> place & 1))
#define PLACES_UPPER(bits) PLACE(PLACE(PLACE(PLACE((uint64_t)0, bits, 7), bits, 6), bits, 5), bits, 4)
#define PLACES(bits) PLACE(PLACE(PLACE(PLACE(PLACES_UPPER(bits), bits, 3), bits, 2), bits, 1), bits, 0)
#define PLACES_4(bits) PLACES(bits), PLACES(bits + 1), PLACES(bits + 2), PLACES(bits + 3)
#define PLACES_16(bits) PLACES_4(bits), PLACES_4(bits + 4), PLACES_4(bits + 8), PLACES_4(bits + 12)
#define PLACES_64(bits) PLACES_16(bits), PLACES_16(bits + 16), PLACES_16(bits + 32), PLACES_16(bits + 48)
static const uint64_t set_places[256] = {PLACES_64(0), PLACES_64(64), PLACES_64(128), PLACES_64(192)};
#endif

/* ln2 is split so that n times its upper part is exact also without fused multiply-add. The polynomials are
 * Chebyshev interpolants: exp_terms of (e^r - 1 - r) / r^2 on |r| <= ln2 / 2, log_terms of
 * (artanh(s) / s - 1) / s^2 on |s| <= (sqrt 2 - 1) / (sqrt 2 + 1), highest power first. */
static const double exp_terms_f64[] = {
    0x1.af3920b32d609p-26, 0x1.2891867994e0cp-22, 0x1.71de0d69cc3aap-19, 0x1.a019b90c0ffe7p-16,
    0x1.a01a01a7decd6p-13, 0x1.6c16c1788c39dp-10, 0x1.1111111110975p-7,  0x1.5555555553d61p-5,
    0x1.5555555555556p-3,  0x1p-1};
static const double log_terms_f64[] = {
    0x1.0c039c49989c6p-4, 0x1.0fbe95d716020p-4, 0x1.3b1c355a8f7a2p-4, 0x1.745cf9048dd95p-4,
    0x1.c71c720159177p-4, 0x1.2492492476cccp-3, 0x1.9999999999a38p-3, 0x1.5555555555555p-2};
static const float exp_terms_f32[] = {
    0x1.6d110ap-10f, 0x1.120b6ep-7f, 0x1.55551ap-5f, 0x1.5554dcp-3f, 0x1p-1f};
static const float log_terms_f32[] = {0x1.ddced8p-4f, 0x1.245c44p-3f, 0x1.9999ecp-3f, 0x1.555554p-2f};

/* A mixture as whitening reads it, and a block of rows on its way, in either precision: y (n_tiles, d, width) are
 * whitened blocks, the last of them for all components for which there is no room, or (n_tiles, width) squared distances
 * where components have a frame in common; p (., width) log densities of the
 * components in `active`; `highest` the largest of each lane, and `most` the |y|^2 beyond which a lane has no share,
 * less 2 c_k. */
typedef struct {
    int kind;                           /* of geometry, as in blocks.pxd */
    ptrdiff_t d, packed, n_tiles;
    double log_cut;                     /* of responsibilities */
    const void *offsets, *twice;        /* c_k, and 2 c_k rounded up */
    const void *rounding, *centers, *factors;
    const void *x;
    void *z, *y, *p, *highest, *most;
    int32_t *active;
    const void *inverse;                /* 1 / s_k^2, rounded up, where components have a frame in common */
    const void *surpassed;              /* |y|^2 that all rows of the block are known to surpass, or zeros; */
    const uint8_t *known;               /* as codes in each component's unit, |y| + passed >= code / 4 unit, */
    uint8_t *found;                     /* and what has come to be known, or NULL */
    const float *unit, *passed;
} Pruning;

#define REAL double
#define BITS int64_t
#define UNSIGNED_BITS uint64_t
#define NAME(stem) stem##_f64
#define LANES FASTGMM_LANES_F64
#define LN2_HIGH 0x1.62e42feep-1
#define LN2_LOW 0x1.a39ef35793c76p-33
#define EXP_CUT -708.0
#define SHIFT 0x1.8p52              /* adding it rounds to whole numbers */
#define MANTISSA_BITS 52
#define ONE 0x3ff0000000000000
#define SQRT_HALF 0x3fe6a09e667f3bcd
#define WHOLE 0x4330000000000000    /* 2^52: whole numbers in the mantissa */
#define WHOLE_BIAS (0x1p52 + 1023.0)
#include "vectors_template.h"
#include "compress_template.h"
#include "boxes_template.h"
#include "tiles_template.h"
#include "few_features_template.h"
#include "pruning_template.h"
#include "pairs_template.h"
#include "undefine.h"

#define REAL float
#define BITS int32_t
#define UNSIGNED_BITS uint32_t
#define NAME(stem) stem##_f32
#define LANES FASTGMM_LANES_F32
#define LN2_HIGH 0x1.62e4p-1f
#define LN2_LOW 0x1.7f7d1cp-20f
#define EXP_CUT -87.0f
#define SHIFT 0x1.8p23f
#define MANTISSA_BITS 23
#define ONE 0x3f800000
#define SQRT_HALF 0x3f3504f3
#define WHOLE 0x4b000000
#define WHOLE_BIAS (0x1p23f + 127.0f)
#include "vectors_template.h"
#include "compress_template.h"
#include "boxes_template.h"
#include "tiles_template.h"
#include "few_features_template.h"
#include "pruning_template.h"
#include "pairs_template.h"
#include "undefine.h"

enum { LANES_F64 = FASTGMM_LANES_F64, LANES_F32 = FASTGMM_LANES_F32 };

/* ---- dense algebra, in double only: C = A B for one tile of four rows by TILE_COLUMNS vectors ---- */

/* Rows of A are `sa` apart and its columns `ta`, so that A may be read as its transpose. */
ALWAYS_INLINE void multiply_tile(
    const int m, ptrdiff_t depth, const double *a, ptrdiff_t sa, ptrdiff_t ta,
    const double *b, ptrdiff_t ldb, double *c, ptrdiff_t ldc)
{
    vector_f64 acc[TILE_ROWS][TILE_COLUMNS];
    for (int i = 0; i < m; i++)
        for (int v = 0; v < TILE_COLUMNS; v++)
            acc[i][v] = (vector_f64){0};
    for (ptrdiff_t j = 0; j < depth; j++, a += ta, b += ldb)
        for (int v = 0; v < TILE_COLUMNS; v++) {
            vector_f64 bj = load_f64(b + v * LANES_F64);
            for (int i = 0; i < m; i++)
                acc[i][v] += bj * a[i * sa];
        }
    for (int i = 0; i < m; i++)
        for (int v = 0; v < TILE_COLUMNS; v++)
            store_f64(c + i * ldc + v * LANES_F64, acc[i][v]);
}

/* m rows (1 to 4) by TILE_COLUMNS * LANES_F64 columns. */
NO_INLINE void multiply(
    int m, ptrdiff_t depth, const double *a, ptrdiff_t sa, ptrdiff_t ta,
    const double *b, ptrdiff_t ldb, double *c, ptrdiff_t ldc)
{
    switch (m) {
    case 1: multiply_tile(1, depth, a, sa, ta, b, ldb, c, ldc); break;
    case 2: multiply_tile(2, depth, a, sa, ta, b, ldb, c, ldc); break;
    case 3: multiply_tile(3, depth, a, sa, ta, b, ldb, c, ldc); break;
    default: multiply_tile(4, depth, a, sa, ta, b, ldb, c, ldc);
    }
}

#endif
