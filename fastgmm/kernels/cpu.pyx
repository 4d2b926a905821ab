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
    """
    const char* FASTGMM_COMPILER
    const char* FASTGMM_VERSION

cdef extern from "x86_level.h":
    int read_x86_level "x86_level"()

VERSION = FASTGMM_VERSION.decode()
COMPILER = FASTGMM_COMPILER.decode()


def x86_level():
    """Highest x86-64 level (1, 3 or 4) this machine runs; 0 on other architectures."""
    return read_x86_level()
