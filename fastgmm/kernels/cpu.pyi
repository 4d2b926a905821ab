VERSION: str
COMPILER: str

def x86_level() -> int: ...
