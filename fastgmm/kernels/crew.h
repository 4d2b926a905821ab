/* Whole numbers that several threads read and change, each access in one order that all of them see. */
#ifndef FASTGMM_CREW_H
#define FASTGMM_CREW_H

#include <stdint.h>

#if defined(__GNUC__) || defined(__clang__)
static inline int64_t shared_value(int64_t *number)
{
    return __atomic_load_n(number, __ATOMIC_SEQ_CST);
}

static inline int64_t shared_exchange(int64_t *number, int64_t value)
{
    return __atomic_exchange_n(number, value, __ATOMIC_SEQ_CST);
}

/* Returns the sum. */
static inline int64_t shared_add(int64_t *number, int64_t value)
{
    return __atomic_add_fetch(number, value, __ATOMIC_SEQ_CST);
}

static inline int shared_replace(int64_t *number, int64_t from, int64_t to)
{
    return __atomic_compare_exchange_n(number, &from, to, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* Let the other thread of this core, if it has one, come first. */
static inline void stand_aside(void)
{
  #if defined(__SSE2__)
    __builtin_ia32_pause();
  #elif defined(__aarch64__)
    __asm__ __volatile__("isb" ::: "memory");
  #else
    __asm__ __volatile__("" ::: "memory");
  #endif
}
#else
  #include <intrin.h>
static inline int64_t shared_value(int64_t *number)
{
    return _InterlockedExchangeAdd64(number, 0);
}

static inline int64_t shared_exchange(int64_t *number, int64_t value)
{
    return _InterlockedExchange64(number, value);
}

static inline int64_t shared_add(int64_t *number, int64_t value)
{
    return _InterlockedExchangeAdd64(number, value) + value;
}

static inline int shared_replace(int64_t *number, int64_t from, int64_t to)
{
    return _InterlockedCompareExchange64(number, to, from) == from;
}

static inline void stand_aside(void)
{
  #if defined(_M_X64)
    _mm_pause();
  #else
    __yield();
  #endif
}
#endif

#endif
