"""The version and compiler of this build, and the level of this processor; for the baseline instruction set."""

cdef extern from *:
    """
    #if defined(__clang__)
      #define FASTGMM_COMPILER "clang " __clang_version__
    #elif defined(__GNUC__)
      #define FASTGMM_COMPILER "gcc " __VERSION__
    #elif defined(_MSC_VER)
      #define FASTGMM_STRING_(x) #x
      #define FASTGMM_STRING(x) FASTGMM_STRING_(x)
      #define FASTGMM_COMPILER "msvc " FASTGMM_STRING(_MSC_VER)
    #else
      #define FASTGMM_COMPILER "unknown"
    #endif

    /* The x86-64 level (psABI) that the processor and the operating system support, 0 elsewhere. */
    #if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    static int fastgmm_x86_level(void)
    {
        __builtin_cpu_init();
        if (!(__builtin_cpu_supports("avx") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
              && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2")))
            return 1;
        if (!(__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
              && __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq")
              && __builtin_cpu_supports("avx512vl")))
            return 3;
        return 4;
    }
    #else
    static int fastgmm_x86_level(void) { return 0; }
    #endif
    """
    const char* FASTGMM_COMPILER
    const char* FASTGMM_VERSION
    int fastgmm_x86_level()

VERSION = FASTGMM_VERSION.decode()
COMPILER = FASTGMM_COMPILER.decode()


def x86_level():
    """Highest x86-64 level (1, 3 or 4) this machine runs; 0 on other architectures."""
    return fastgmm_x86_level()
