#!/usr/bin/env python3
"""Sconce beside llama.cpp: the same file, the same threads, in turns, as ratios.

    python3 benches/peers/llama_cpp.py MODEL.gguf [--threads 2] [--turns 3] [--rows prefill,decode-1]

Builds both first: Sconce by cargo, llama.cpp from the source that the Python package llama_cpp_python
ships (pip fetches it, and cmake and ninja with it; a C++ compiler must be there). One change is made to
that source: a compiler barrier after the tile configuration of its AMX code, without which gcc 12
builds a program that crashes; leaving AMX out instead would be no fair comparison.

For each row llama.cpp runs with flash attention on and off, and the better of the two counts. A turn
during which the machine did more than a twentieth of its work for somebody else is run again.
"""

import argparse
import contextlib
import json
import os
import re
import resource
import socket
import statistics
import subprocess
import sys
import tarfile
import time
import urllib.request
import venv
from pathlib import Path

PACKAGE = "llama_cpp_python"
VERSION = "0.3.36"
TARGETS = ["llama-bench", "llama-batched-bench", "llama-server"]
ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sconce-peers"
BARRIER = '__asm__ volatile("" : : "r"(&tc) : "memory");'
# The share of a turn's processor time that others may have had.
FOREIGN_MAX = 0.05
# How often a disturbed turn is run again before it is reported as disturbed.
RETRIES = 3


def say(text):
    print(text, file=sys.stderr, flush=True)


def build_peer():
    """The folder of llama.cpp's programs, built once."""
    programs = CACHE / f"{PACKAGE}-{VERSION}-build" / "bin"
    if all((programs / target).exists() for target in TARGETS):
        return programs
    tools = CACHE / "tools"
    if not (tools / "bin" / "cmake").exists():
        venv.create(tools, with_pip=True)
        subprocess.run([tools / "bin" / "pip", "install", "--quiet", "cmake", "ninja"], check=True)
    source = unpack_source(tools)
    build = programs.parent
    say(f"building llama.cpp in {build}, about ten minutes on two cores")
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DGGML_NATIVE=ON", "-DLLAMA_CURL=OFF"]
    options += ["-DLLAMA_OPENSSL=OFF", "-DLLAMA_BUILD_TESTS=OFF", "-DLLAMA_BUILD_EXAMPLES=OFF"]
    options += [f"-DCMAKE_MAKE_PROGRAM={tools / 'bin' / 'ninja'}"]
    cmake = tools / "bin" / "cmake"
    quiet = {"stdout": subprocess.DEVNULL, "check": True}
    subprocess.run([cmake, "-S", source, "-B", build, "-G", "Ninja", *options], **quiet)
    subprocess.run([cmake, "--build", build, "--target", *TARGETS], **quiet)
    return programs


def unpack_source(tools):
    folder = CACHE / f"{PACKAGE}-{VERSION}"
    source = folder / "vendor" / "llama.cpp"
    if not folder.exists():
        fetch = ["download", "--quiet", "--no-deps", "--no-binary", PACKAGE]
        fetch += ["--dest", CACHE, f"{PACKAGE}=={VERSION}"]
        subprocess.run([tools / "bin" / "pip", *fetch], check=True)
        with tarfile.open(CACHE / f"{PACKAGE}-{VERSION}.tar.gz") as archive:
            archive.extractall(CACHE)
        put_barrier(source / "ggml" / "src" / "ggml-cpu" / "amx" / "mmq.cpp")
    return source


def put_barrier(path):
    text = path.read_text()
    call = "_tile_loadconfig(&tc);"
    if text.count(call) != 1:
        sys.exit(f"{path}: expected one {call}, found {text.count(call)}: look at it before measuring")
    path.write_text(text.replace(call, f"{BARRIER} {call}"))
    say(f"put a compiler barrier before {call} in {path}")


def build_ours():
    command = ["cargo", "build", "--release", "--locked", "-p", "sconce", "-p", "sconce-benches"]
    subprocess.run(command, cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
    return target / "release"


def output(command):
    """What a command prints; its processor time is charged to our children."""
    result = subprocess.run([str(it) for it in command], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"{command[0]} ended with {result.returncode}:\n{result.stderr[-2000:]}")
    return result.stdout


# Each figure is a function of a setting; it returns a number and is run once a turn.


def ours_speed(setup, workload):
    printed = output([setup.ours / "decoder_speed", setup.model, setup.threads, workload])
    return float(re.search(r":\s+([\d.]+) tok/s", printed).group(1))


def peer_prefill(setup, flash, tokens):
    command = [setup.peer / "llama-bench", "-m", setup.model, "-t", setup.threads, "-r", 5]
    command += ["-p", tokens, "-n", 0, "-fa", flash, "-o", "json"]
    return json.loads(output(command))[0]["avg_ts"]


def peer_decode(setup, flash, sequences, context):
    command = [setup.peer / "llama-batched-bench", "-m", setup.model, "-t", setup.threads]
    command += ["-tb", setup.threads, "-c", sequences * (context + 32) + 512, "-b", 2048]
    command += ["-npp", context, "-ntg", 32, "-npl", sequences, "-fa", flash]
    printed = output([*command, "--output-format", "jsonl"])
    rows = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    return rows[-1]["speed_tg"]


@contextlib.contextmanager
def server(command, ready_path, port):
    """A running server, told with the seconds from its start until it was ready."""
    begun = time.monotonic()
    process = subprocess.Popen(
        [str(it) for it in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            with contextlib.suppress(OSError):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{ready_path}", timeout=1):
                    break
            if process.poll() is not None or time.monotonic() - begun > 60:
                sys.exit(f"{command[0]} did not get ready; it ended with {process.poll()}")
            time.sleep(0.005)
        yield process, time.monotonic() - begun
    finally:
        process.terminate()
        process.wait()


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def served(setup, command, ready_path, port, clients, requests):
    """Aggregate tok/s, time to the first token p95 (ms), peak resident MB, seconds until ready."""
    with server(command, ready_path, port) as (process, ready_s):
        printed = output([setup.ours / "load", f"127.0.0.1:{port}", clients, requests, 128])
        status = Path(f"/proc/{process.pid}/status").read_text()
    rate = float(re.search(r"([\d.]+) tok/s", printed).group(1))
    first = float(re.search(r"first token: .*?p95 ([\d.]+)", printed).group(1))
    peak_mb = int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) / 1000
    return {"rate": rate, "first": first, "peak": peak_mb, "ready": ready_s * 1000}


def ours_served(setup, clients, requests):
    port = free_port()
    command = [setup.ours / "sconce", "serve", "--model", setup.model]
    command += ["--listen", f"127.0.0.1:{port}", "--threads", setup.threads]
    return served(setup, command, "/ready", port, clients, requests)


def peer_served(setup, flash, clients, requests):
    port = free_port()
    command = [setup.peer / "llama-server", "-m", setup.model, "--port", port, "-fa", flash]
    command += ["-t", setup.threads, "-tb", setup.threads]
    command += ["--parallel", clients, "-c", clients * 1024, "--cont-batching"]
    return served(setup, command, "/health", port, clients, requests)


# A row: its name, the unit, whether less is better, ours and the peer's.
def decode_row(sequences, context=128):
    ours = f"d{sequences}" if context == 128 else f"d{sequences}@{context}"
    return (
        "tok/s",
        False,
        lambda setup: ours_speed(setup, ours),
        lambda setup, flash: peer_decode(setup, flash, sequences, context),
    )


def prefill_row(tokens):
    return (
        "tok/s",
        False,
        lambda setup: ours_speed(setup, f"p{tokens}"),
        lambda setup, flash: peer_prefill(setup, flash, tokens),
    )


def served_row(unit, less, figure, clients, requests):
    return (
        unit,
        less,
        lambda setup: ours_served(setup, clients, requests)[figure],
        lambda setup, flash: peer_served(setup, flash, clients, requests)[figure],
    )


ROWS = {
    "prefill-512": prefill_row(512),
    "decode-1": decode_row(1),
    "decode-8": decode_row(8),
    "decode-16": decode_row(16),
    "decode-32": decode_row(32),
    "decode-1-at-8000": decode_row(1, 8000),
    "http-8-rate": served_row("tok/s", False, "rate", 8, 4),
    "http-32-rate": served_row("tok/s", False, "rate", 32, 1),
    "http-32-first-p95": served_row("ms", True, "first", 32, 1),
    "peak-memory": served_row("MB", True, "peak", 8, 4),
    "start-to-ready": served_row("ms", True, "ready", 1, 1),
}


def undisturbed(work):
    """Runs `work` until the machine was ours while it ran; tells whether it was."""
    for _ in range(RETRIES):
        before = machine_seconds(), own_seconds()
        value = work()
        after = machine_seconds(), own_seconds()
        all_seconds = after[0] - before[0]
        foreign = all_seconds - (after[1] - before[1])
        if foreign <= FOREIGN_MAX * all_seconds:
            return value, True
        say(f"others had {foreign / all_seconds:.0%} of the busy time: once more")
    return value, False


def machine_seconds():
    """Busy processor seconds of the whole machine, stolen ones among them."""
    fields = [int(it) for it in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    user, nice, system, _idle, _wait, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def own_seconds():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(it.ru_utime + it.ru_stime for it in used)


def measure(setup, name):
    unit, less, ours, peer = ROWS[name]
    figures = {"ours": [], "on": [], "off": []}
    quiet = True
    for turn in range(setup.turns):
        runs = {
            "ours": lambda: ours(setup),
            "on": lambda: peer(setup, "on"),
            "off": lambda: peer(setup, "off"),
        }
        for who, work in runs.items():
            say(f"{name}, turn {turn + 1} of {setup.turns}: {who}")
            value, alone = undisturbed(work)
            figures[who].append(value)
            quiet &= alone
    medians = {who: statistics.median(values) for who, values in figures.items()}
    best = (min if less else max)(("on", "off"), key=lambda flash: medians[flash])
    return {
        "row": name,
        "unit": unit,
        "less_is_better": less,
        "ratio": medians["ours"] / medians[best],
        "flash_attention": best,
        "undisturbed": quiet,
        "ours": figures["ours"],
        "peer": figures[best],
    }


def told(values):
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--rows", default=",".join(ROWS), help="of " + ", ".join(ROWS))
    parser.add_argument("--ours", type=Path, help="a folder of our programs, instead of building them")
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    setup = parser.parse_args()
    names = setup.rows.split(",")
    for name in names:
        if name not in ROWS:
            parser.error(f"there is no row {name!r}; there are {', '.join(ROWS)}")
    setup.peer = build_peer()
    setup.ours = setup.ours or build_ours()
    print("| row | unit | Sconce | llama.cpp, the better of flash attention on and off | ratio |")
    print("|---|---|---|---|---|", flush=True)
    results = []
    for name in names:
        it = measure(setup, name)
        results.append(it)
        note = "" if it["undisturbed"] else ", the machine was busy"
        unit = it["unit"] + (", less is better" if it["less_is_better"] else "")
        peer = f"{told(it['peer'])}, {it['flash_attention']}"
        print(f"| {name} | {unit} | {told(it['ours'])} | {peer} | {it['ratio']:.2f}{note} |", flush=True)
    if setup.json:
        setup.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
