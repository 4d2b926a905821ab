/* The register tiles: what Cython cannot say. Everything here is compiled once per
 * instruction set and once per precision; the loops around it are in kernels.pyx.
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

#define FASTGMM_CAT_(a, b) a##b
#define FASTGMM_CAT(a, b) FASTGMM_CAT_(a, b)

#if defined(__GNUC__) || defined(__clang__)
  #define ALWAYS_INLINE static inline __attribute__((always_inline))
  #define NO_INLINE static __attribute__((noinline, unused))
  #if defined(__AVX512F__)
    #define VECTOR_BYTES 64
  #elif defined(__AVX__)
    #define VECTOR_BYTES 32
  #else
    #define VECTOR_BYTES 16
  #endif
#else
  #define ALWAYS_INLINE static __forceinline
  #define NO_INLINE static __declspec(noinline)
#endif

/* Tiles are four rows high. Their other side is what the register file holds beside the operands:
 * four vectors with 32 registers (AVX-512, arm64), two with 16. */
#define TILE_ROWS 4
#if defined(__AVX512F__) || defined(__aarch64__)
  #define TILE_COLUMNS 4
#else
  #define TILE_COLUMNS 2
#endif

/* a*b + c, fused where the hardware has it. */
#if defined(__FMA__) || defined(__aarch64__)
  #define FMA_F64(a, b, c) fma(a, b, c)
  #define FMA_F32(a, b, c) fmaf(a, b, c)
#else
  #define FMA_F64(a, b, c) ((a) * (b) + (c))
  #define FMA_F32(a, b, c) ((a) * (b) + (c))
#endif

/* exp(x) for x <= 0 and log(x) for x >= 1, branch-free so that loops around them vectorize.
 * exp: x = n ln2 + r with n rounded by adding a large constant (Cody & Waite 1980), then
 * 1 + r + r^2 q(r), q a Chebyshev interpolant on |r| <= ln2 / 2; below the cut the result is 0.
 * log: x = 2^n m with sqrt(1/2) <= m < sqrt(2), then 2 artanh(s), s = (m-1)/(m+1), as an odd polynomial.
 * ln2 is split so that n times its upper part is exact also without fused multiply-add. */
static inline double exp_f64(double x)
{
    double bounded = x < -708.0 ? -708.0 : x;
    double shifted = FMA_F64(bounded, 0x1.71547652b82fep+0, 0x1.8p52), n = shifted - 0x1.8p52;
    double r = FMA_F64(n, -0x1.62e42feep-1, bounded);
    r = FMA_F64(n, -0x1.a39ef35793c76p-33, r);
    double q = 0x1.af3920b32d609p-26;
    q = FMA_F64(q, r, 0x1.2891867994e0cp-22);
    q = FMA_F64(q, r, 0x1.71de0d69cc3aap-19);
    q = FMA_F64(q, r, 0x1.a019b90c0ffe7p-16);
    q = FMA_F64(q, r, 0x1.a01a01a7decd6p-13);
    q = FMA_F64(q, r, 0x1.6c16c1788c39dp-10);
    q = FMA_F64(q, r, 0x1.1111111110975p-7);
    q = FMA_F64(q, r, 0x1.5555555553d61p-5);
    q = FMA_F64(q, r, 0x1.5555555555556p-3);
    q = FMA_F64(q, r, 0.5);
    double p = FMA_F64(q, r * r, r), scale;
    uint64_t bits;
    memcpy(&bits, &shifted, 8);
    bits = (bits << 52) + 0x3ff0000000000000u;
    memcpy(&scale, &bits, 8);
    double value = FMA_F64(p, scale, scale);
    return x < -708.0 ? 0.0 : value;
}

static inline float exp_f32(float x)
{
    float bounded = x < -87.0f ? -87.0f : x;
    float shifted = FMA_F32(bounded, 0x1.715476p+0f, 0x1.8p23f), n = shifted - 0x1.8p23f;
    float r = FMA_F32(n, -0x1.62e4p-1f, bounded);
    r = FMA_F32(n, -0x1.7f7d1cp-20f, r);
    float q = 0x1.6d110ap-10f;
    q = FMA_F32(q, r, 0x1.120b6ep-7f);
    q = FMA_F32(q, r, 0x1.55551ap-5f);
    q = FMA_F32(q, r, 0x1.5554dcp-3f);
    q = FMA_F32(q, r, 0.5f);
    float p = FMA_F32(q, r * r, r), scale;
    uint32_t bits;
    memcpy(&bits, &shifted, 4);
    bits = (bits << 23) + 0x3f800000u;
    memcpy(&scale, &bits, 4);
    float value = FMA_F32(p, scale, scale);
    return x < -87.0f ? 0.0f : value;
}

static inline double log_f64(double x)
{
    uint64_t bits, exponent;
    memcpy(&bits, &x, 8);
    bits += 0x3ff0000000000000u - 0x3fe6a09e667f3bcdu; /* carries into the exponent from sqrt(1/2) on */
    exponent = (bits >> 52) + 0x4330000000000000u;
    bits = (bits & 0x000fffffffffffffu) + 0x3fe6a09e667f3bcdu;
    double n, m;
    memcpy(&n, &exponent, 8);
    memcpy(&m, &bits, 8);
    n -= 0x1p52 + 1023.0;
    double f = m - 1.0, s = f / (2.0 + f), z = s * s;
    double q = 0x1.0c039c49989c6p-4;
    q = FMA_F64(q, z, 0x1.0fbe95d716020p-4);
    q = FMA_F64(q, z, 0x1.3b1c355a8f7a2p-4);
    q = FMA_F64(q, z, 0x1.745cf9048dd95p-4);
    q = FMA_F64(q, z, 0x1.c71c720159177p-4);
    q = FMA_F64(q, z, 0x1.2492492476cccp-3);
    q = FMA_F64(q, z, 0x1.9999999999a38p-3);
    q = FMA_F64(q, z, 0x1.5555555555555p-2);
    /* 2 artanh(s) = f - s (f - 2 z q), the leading term f being exact */
    double tail = FMA_F64(n, 0x1.a39ef35793c76p-33, -s * FMA_F64(-2.0 * z, q, f));
    return FMA_F64(n, 0x1.62e42feep-1, f + tail);
}

static inline float log_f32(float x)
{
    uint32_t bits, exponent;
    memcpy(&bits, &x, 4);
    bits += 0x3f800000u - 0x3f3504f3u;
    exponent = (bits >> 23) + 0x4b000000u;
    bits = (bits & 0x007fffffu) + 0x3f3504f3u;
    float n, m;
    memcpy(&n, &exponent, 4);
    memcpy(&m, &bits, 4);
    n -= 0x1p23f + 127.0f;
    float f = m - 1.0f, s = f / (2.0f + f), z = s * s;
    float q = 0x1.ddced8p-4f;
    q = FMA_F32(q, z, 0x1.245c44p-3f);
    q = FMA_F32(q, z, 0x1.9999ecp-3f);
    q = FMA_F32(q, z, 0x1.555554p-2f);
    float tail = FMA_F32(n, 0x1.7f7d1cp-20f, -s * FMA_F32(-2.0f * z, q, f));
    return FMA_F32(n, 0x1.62e4p-1f, f + tail);
}

/* The lanes at even and at odd places of two vectors side by side. */
#define EVEN_2 0, 2
#define ODD_2 1, 3
#define EVEN_4 0, 2, 4, 6
#define ODD_4 1, 3, 5, 7
#define EVEN_8 0, 2, 4, 6, 8, 10, 12, 14
#define ODD_8 1, 3, 5, 7, 9, 11, 13, 15
#define EVEN_16 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD_16 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31

#define REAL double
#define NAME(stem) stem##_f64
#ifdef VECTOR_BYTES
  #if VECTOR_BYTES == 64
    #define LANES 8
  #elif VECTOR_BYTES == 32
    #define LANES 4
  #else
    #define LANES 2
  #endif
#else
  #define LANES 1
#endif
#include "tiles_template.h"
enum { LANES_F64 = LANES };
#undef REAL
#undef NAME
#undef LANES

#define REAL float
#define NAME(stem) stem##_f32
#ifdef VECTOR_BYTES
  #if VECTOR_BYTES == 64
    #define LANES 16
  #elif VECTOR_BYTES == 32
    #define LANES 8
  #else
    #define LANES 4
  #endif
#else
  #define LANES 1
#endif
#include "tiles_template.h"
enum { LANES_F32 = LANES };
#undef REAL
#undef NAME
#undef LANES

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
