"""Check the compiled register tiles: packed multiply-adds in the hot loops, and nothing that does not belong there.

Run `python bench/disassembly.py`; bench/README.md says what is looked for. Exits with 1 when a hot loop is not clean,
and with 2 when there is nothing to look at.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

TILES = r"^(whiten|products|triangle|distances|moments|sum_weights|normalize)_f(32|64)|^multiply"
WITHOUT = re.compile(r"normalize")  # functions with loops that have no multiply-add by nature
FUSED = ("v3", "v4")  # variants of x86-64 with fused multiply-adds: these must be clean, and what is for arm64


@dataclass(frozen=True)
class Machine:
    """How instructions of an architecture look: names and, of those that name their width there, operands."""

    fma: str
    multiply: str
    add: str
    scalar: str
    shuffle: str
    jump: str
    ends: str  # nothing comes after it
    switch: str  # a jump through a table
    vector: str  # operands
    framed: str  # an instruction that sets a frame pointer
    frame: str  # operands on the stack, then
    stack: str  # and otherwise


MACHINES = {
    "x86-64": Machine(
        fma=r"vfn?m(add|sub)\d+p[sd] ",
        multiply=r"v?mulp[sd] ",
        add=r"v?(add|sub)p[sd] ",
        scalar=r"v?(add|sub|mul|div|sqrt|min|max|fn?m(add|sub)\d+|u?comi|cvt\w+2)s[sd] ",
        # a broadcast from memory is an ordinary load
        shuffle=r"v?(p?shuf\w*|perm\w+|p?unpck\w+|p?(insert|insr|extract|extr)\w*|p?align\w+|p?alignr|h(add|sub)p\w"
        r"|mov(hl|lh)ps|movs[lh]dup|p?compress\w+|p?expand\w+|p?gather\w+|ps[lr]ldq) "
        r"|v?(p?broadcast\w+|movddup) (?!.*\()",
        jump=r"(notrack )?j\w+ ",
        ends=r"jmp|ret|hlt|ud2",
        switch=r"jmp \*",
        vector=r"%[xyz]mm\d+",
        framed=r"mov %rsp,%rbp",
        frame=r"[-\w]*\(%r[sb]p\b[^)]*\)",
        stack=r"[-\w]*\(%rsp\b[^)]*\)",
    ),
    "aarch64": Machine(
        fma=r"fml[as] v",
        multiply=r"fmul v",
        add=r"f(add|sub) v",
        scalar=r"f(n?m?(add|sub)|n?mul|div|sqrt|min\w*|max\w*|cmpe?|cvt\w*) [sd]\d",
        shuffle=r"(zip|uzp|trn)[12] |(tbl|ext|ins|umov|f\w+p|addp) v|mov v\d+\.[sd]\[",
        jump=r"(b|b\.\w+|cbn?z|tbn?z) ",
        ends=r"(b|br|ret) |ret$|brk|udf",
        switch=r"br ",
        vector=r"\b[vqds]\d+\b",
        framed=r"mov x29, sp",
        frame=r"\[(sp|x29)[^\]]*\]",
        stack=r"\[sp[^\]]*\]",
    ),
}


class Instruction(NamedTuple):
    """One line of a disassembly."""

    machine: Machine
    address: int
    name: str
    operands: str
    target: int | None  # of a jump

    def __str__(self) -> str:
        return f"{self.address:8x}:  {self.name:<14} {self.operands}"

    def like(self, pattern: str) -> bool:
        """Whether name and operands begin so."""
        return bool(re.match(pattern, f"{self.name} {self.operands}"))

    @property
    def memory(self) -> bool:
        """Whether an operand is in memory."""
        return bool(re.search(r"[(\[](?!\d)", self.operands)) and not self.name.startswith(("lea", "nop", "pr"))

    @property
    def writes(self) -> bool:
        """Whether it writes to memory: the last operand, on x86-64."""
        if not self.operands.endswith(")"):
            return self.memory and self.name.startswith("st")
        return self.memory and not self.name.startswith(("cmp", "test"))

    @property
    def vector(self) -> bool:
        """Whether it touches a vector register."""
        return bool(re.search(self.machine.vector, self.operands))


@dataclass
class Loop:
    """An innermost loop of a function, and what is in it."""

    function: str
    instructions: list[Instruction]
    frame: re.Pattern[str]  # how an operand on the stack looks in this function

    def counts(self) -> dict[str, int]:
        """What the check is about, and the memory traffic beside it.

        What does not change in the loop may be read from the stack: as the operand of an instruction it costs nothing.
        """
        body = self.instructions
        stack = [(i, place[0]) for i in body if i.memory and (place := self.frame.search(i.operands))]
        written = {place for i, place in stack if i.writes}
        machine = body[0].machine
        pairs = min(sum(i.like(machine.multiply) for i in body), sum(i.like(machine.add) for i in body))
        vector_memory = [i for i in body if i.memory and i.vector]
        return {
            "instructions": len(body),
            "FMAs": sum(i.like(machine.fma) for i in body),
            "pairs": pairs,
            "loads": sum(not i.writes for i in vector_memory),
            "stores": sum(i.writes for i in vector_memory),
            "shuffles": sum(i.like(machine.shuffle) for i in body),
            "scalar": sum(i.like(machine.scalar) for i in body),
            "constants": sum(i.vector and place not in written for i, place in stack),
            "spills": sum(i.vector and place in written for i, place in stack),
            "reloads": sum(not i.vector for i, _ in stack),
        }

    def faults(self) -> list[str]:
        """Why the loop is not what one would write by hand, where there are fused multiply-adds."""
        counts = self.counts()
        names = {
            "shuffles": "shuffles between lanes",
            "scalar": "scalar arithmetic",
            "spills": "moves of vectors to and from the stack",
            "reloads": "moves of integers to and from the stack",
        }
        found = [f"{counts[key]} {text}" for key, text in names.items() if counts[key]]
        return found if counts["FMAs"] or WITHOUT.match(self.function) else ["no packed multiply-add", *found]

    def __str__(self) -> str:
        return "\n".join(map(str, self.instructions))


def machine_of(listing: str) -> Machine | None:
    """The architecture that a disassembly is of, if it is one that is read here."""
    kind = re.search(r"file format (.*)", listing)
    return next((machine for name, machine in MACHINES.items() if kind and kind[1].endswith(name)), None)


def parse(listing: str, machine: Machine) -> Iterator[tuple[str, list[Instruction]]]:
    """Functions of a disassembly, on x86-64 in the syntax of AT&T, by symbol."""
    name, body = "", list[Instruction]()
    for line in listing.splitlines():
        if head := re.match(r"[0-9a-f]+ <(.+)>:$", line):
            if body:
                yield name, body
            name, body = head[1], []
        elif found := re.match(r"\s*([0-9a-f]+):\s+(?:(?:notrack|bnd|rep|repz|lock|data16|cs) )*(\S+)\s*(.*)", line):
            operands = re.split(r"\s*(?://| #|^#)", found[3])[0].strip()
            target = re.match(machine.jump, f"{found[2]} ") and re.search(r"([0-9a-f]+) <", operands)
            body.append(
                Instruction(machine, int(found[1], 16), found[2], operands, int(target[1], 16) if target else None)
            )
    if body:
        yield name, body


def natural_loops(body: list[Instruction]) -> list[set[int]]:
    """Indices of the instructions of each natural loop: a backward jump whose target every path to it passes."""
    index = {instruction.address: place for place, instruction in enumerate(body)}
    before: list[set[int]] = [set() for _ in body]
    for place, instruction in enumerate(body):
        if instruction.target in index:
            before[index[instruction.target]].add(place)
        if not instruction.like(instruction.machine.ends) and place + 1 < len(body):
            before[place + 1].add(place)
    switches = {place for place, i in enumerate(body) if i.like(i.machine.switch)}
    for place in range(1, len(body)):
        before[place] = before[place] or switches  # a case of a switch that jumps through a table
    loops: dict[int, set[int]] = {}
    for tail, instruction in enumerate(body):
        if instruction.target not in index or instruction.target > instruction.address:
            continue
        head = index[instruction.target]
        members, waiting = {head, tail}, [tail] if tail != head else []
        while waiting:
            fresh = before[waiting.pop()] - members
            members |= fresh
            waiting += fresh
        if head == 0 or 0 not in members:
            loops.setdefault(head, set()).update(members)
    return list(loops.values())


def innermost_loops(function: str, body: list[Instruction], enclosing: bool = False) -> list[Loop]:
    """Loops without another inside (or those with one), in the order of their addresses."""
    loops = natural_loops(body)
    machine = body[0].machine
    frame = re.compile(machine.frame if any(i.like(machine.framed) for i in body) else machine.stack)
    chosen = [loop for loop in loops if any(other < loop for other in loops) == enclosing]
    return [Loop(function, [body[place] for place in sorted(loop)], frame) for loop in sorted(chosen, key=min)]


def disassemble(library: Path, objdump: str) -> str:
    """The listing of a compiled module."""
    tool = shutil.which(objdump)
    if tool is None:
        raise FileNotFoundError(f"{objdump} is not installed (it comes with binutils); there is nothing to check with")
    command = [tool, "--disassemble", "--no-show-raw-insn", str(library)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def libraries(variants: list[str], folder: Path | None) -> dict[str, Path]:
    """The compiled modules by variant: those beside the installed package, or in a folder."""
    if folder is None:
        spec = importlib.util.find_spec("fastgmm.kernels")
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError("fastgmm is not installed for this Python; install it, or give --folder")
        folder = Path(spec.origin).parent
    found = {name: sorted(folder.glob(f"_{name}.*")) for name in variants}
    return {name: paths[0] for name, paths in found.items() if paths}


def table(loops: list[Loop]) -> str:
    """What each loop holds, as a Markdown table."""
    heads = [name if name != "pairs" else "packed mul + add" for name in loops[0].counts()]
    lines = ["| loop | " + " | ".join(heads) + " |", "| --- |" + " ---: |" * len(heads)]
    for loop in loops:
        cells = " | ".join(map(str, loop.counts().values()))
        lines.append(f"| {loop.function} {loop.instructions[0].address:x} | {cells} |")
    return "\n".join(lines)


def summary(loops: list[Loop], checked: bool) -> str:
    """One line per function as a Markdown table: its loops, those that are clean, and its largest."""
    heads = ("function", "loops", "clean", "largest: instructions", "multiply-adds", "loads", "stores")
    lines = ["| " + " | ".join(heads) + " |", "| --- |" + " ---: |" * (len(heads) - 1)]
    for function, group in groupby(loops, lambda loop: loop.function):
        mine = list(group)
        largest = max((loop.counts() for loop in mine), key=lambda counts: counts["FMAs"] + counts["pairs"])
        clean = sum(not loop.faults() for loop in mine) if checked else "not checked"
        numbers = (largest["instructions"], largest["FMAs"] + largest["pairs"], largest["loads"], largest["stores"])
        lines.append(f"| {function} | {len(mine)} | {clean} | {' | '.join(map(str, numbers))} |")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variants", nargs="+", default=["base", *FUSED], help="variants to look at (default: all)")
    parser.add_argument("--functions", default=TILES, metavar="REGEX", help="symbols to look at (default: the tiles)")
    parser.add_argument("--folder", type=Path, help="where the compiled modules are (default: the installed package)")
    parser.add_argument("--objdump", default="objdump", help="that of a cross compiler reads other architectures")
    parser.add_argument("--enclosing", action="store_true", help="show the loops around the innermost ones instead")
    parser.add_argument("--loops", action="store_true", help="count in every loop, not the largest of each function")
    parser.add_argument("--listing", action="store_true", help="print the instructions of every loop, clean or not")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write what was counted as JSON")
    return parser.parse_args()


def main() -> int:
    """Look at every variant, print tables and the loops that are not clean."""
    options = arguments()
    wanted = re.compile(options.functions)
    try:
        found = libraries(options.variants, options.folder)
    except ModuleNotFoundError as error:
        print(error)
        return 2
    record, bad = {}, 0
    for variant, path in found.items():
        try:
            listing = disassemble(path, options.objdump)
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            print(error)
            return 2
        machine = machine_of(listing)
        if machine is None:
            print(f"{path.name} is for none of {', '.join(MACHINES)}, whose instructions this check reads")
            return 2
        functions = {name: body for name, body in parse(listing, machine) if wanted.search(name)}
        if not functions:
            print(f"{path.name} holds no symbol like {options.functions}: was it stripped? Build without stripping")
            return 2
        loops = [x for name, body in functions.items() for x in innermost_loops(name, body, options.enclosing)]
        fused = variant in FUSED or machine is MACHINES["aarch64"]
        checked = fused and not options.enclosing
        print(f"## {variant}: {len(functions)} functions, {len(loops)} loops\n")
        if loops:
            print(table(loops) if options.loops or options.enclosing else summary(loops, checked), end="\n\n")
        for loop in loops:
            faults = loop.faults() if checked else []
            bad += bool(faults)
            if faults:
                print(f"{variant} {loop.function}: {', '.join(faults)}\n{loop}\n")
            elif options.listing:
                print(f"{variant} {loop.function}\n{loop}\n")
        record[variant] = [
            {"function": loop.function, "address": loop.instructions[0].address, **loop.counts()} for loop in loops
        ]
    if options.output:
        options.output.write_text(json.dumps(record, indent=1) + "\n")
    if not record:
        print(f"no compiled module of {', '.join(options.variants)} found")
        return 2
    print(f"{bad} loops are not clean" if bad else "every loop is clean")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
