/* The x86-64 level (psABI) that the processor has and the operating system keeps the registers of; 0 elsewhere. Asked of
 * the processor itself: what compilers have for it stands in libraries of theirs, which are not linked on Windows. */
#ifndef FASTGMM_X86_LEVEL_H
#define FASTGMM_X86_LEVEL_H

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <cpuid.h>

#define BIT(n) (1u << (n))

static int x86_level(void)
{
    /* SSE3, SSSE3, FMA, CMPXCHG16B, SSE4.1, SSE4.2, MOVBE, POPCNT, XGETBV for all, AVX, F16C; LAHF, LZCNT; BMI1, AVX2,
     * BMI2; AVX-512 F, DQ, CD, BW, VL. The state: XMM, YMM; masks and both parts of ZMM. */
    const unsigned first = BIT(0) | BIT(9) | BIT(12) | BIT(13) | BIT(19) | BIT(20) | BIT(22) | BIT(23) | BIT(27)
        | BIT(28) | BIT(29);
    const unsigned extended = BIT(0) | BIT(5);
    const unsigned avx2 = BIT(3) | BIT(5) | BIT(8);
    const unsigned avx512 = BIT(16) | BIT(17) | BIT(28) | BIT(30) | BIT(31);
    const unsigned ymm = BIT(1) | BIT(2), zmm = BIT(5) | BIT(6) | BIT(7);
    unsigned a, b, c, d, state;

    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & first) != first)
        return 1;
    if (!__get_cpuid(0x80000001, &a, &b, &c, &d) || (c & extended) != extended)
        return 1;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (b & avx2) != avx2)
        return 1;
    __asm__("xgetbv" : "=a"(state), "=d"(d) : "c"(0));
    if ((state & ymm) != ymm)
        return 1;
    return (b & avx512) == avx512 && (state & zmm) == zmm ? 4 : 3;
}

#undef BIT
#else
static int x86_level(void) { return 0; }
#endif

#endif
