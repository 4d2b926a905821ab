"""How rows are cut into groups: by number, size and model alone, so that bits do not depend on threads."""

from ..kernels import COMMON_FRAME, DIAGONAL, TRIANGULAR

__all__ = ["BLOCK", "DIAGONAL", "GROUP_WORK", "ISOTROPIC", "TRIANGULAR", "cut", "work_per_row"]

ISOTROPIC = COMMON_FRAME

GROUP_WORK = 1 << 23  # multiply-adds below which cutting rows into groups costs more than threads bring
MOST_GROUPS = 64
MOST_GROUP_WORK = 1 << 30  # above which Ctrl-C would have to wait too long
MOST_GROUP_BYTES = 1 << 24  # above which a few groups would be much memory where rows are read from files
BLOCK = 512  # groups are whole blocks of the kernels


def work_per_row(kind: int, n_features: int, n_components: int) -> int:
    """Multiply-adds for one row, with 20 for exp and the sum over components."""
    per_component = ((n_features + 5) * n_features, 6 * n_features, 3 * n_features)  # by kind
    return n_components * (per_component[kind] + 20)


def cut(n_samples: int, work: int, row_bytes: int) -> list[slice]:
    """Groups of whole blocks: a power of two of them, so that they spread evenly over threads."""
    if n_samples * work < GROUP_WORK and n_samples * row_bytes <= MOST_GROUP_BYTES:
        return [slice(0, n_samples)]
    wanted = n_samples * work // GROUP_WORK
    most = max(BLOCK, MOST_GROUP_BYTES // row_bytes // BLOCK * BLOCK)
    n_groups = min(1 << wanted.bit_length(), MOST_GROUPS)
    rows = max(BLOCK, min(-(-n_samples // n_groups), MOST_GROUP_WORK // work))
    rows = min(-(-rows // BLOCK) * BLOCK, most)
    return [slice(start, min(start + rows, n_samples)) for start in range(0, n_samples, rows)]
