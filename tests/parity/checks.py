"""What the parity scripts share: how they find rudd, say their verdicts and end. They import it; `make parity` runs parity_*.py alone.

    from checks import BUILD, check, finish, need_peers, rudd
    need_peers()               before anything from pip is imported: a machine that reaches no package index skips the script
    check("name", 1 + 1 == 2)
    sys.exit(finish())         the line `N passed, N failed[, N skipped]` that tests/run.sh counts
"""
import os
import subprocess
import sys

BUILD = sys.argv[1] if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else "build"

counts = {"passed": 0, "failed": 0, "skipped": 0}


def check(name, good, detail=""):
    counts["passed" if good else "failed"] += 1
    print("ok    " if good else "FAILED", name, detail, flush=True)


def skip(name, reason):
    counts["skipped"] += 1
    print("skipped:", name, reason, flush=True)


def finish():
    """Prints the sum; 1 if anything failed."""
    parts = [f"{n} {word}" for word, n in counts.items() if word != "skipped" or n]
    print(", ".join(parts))
    return 1 if counts["failed"] else 0


def need_peers():
    """Ends the script as skipped where peers.sh could not fetch what comes from pip."""
    unreachable = os.path.join(os.environ.get("PEERS", "build/peers"), "unreachable")
    if os.path.exists(unreachable):
        with open(unreachable) as reason:
            skip("all of it:", reason.read().strip())
        sys.exit(finish())


def rudd(*args):
    """What `rudd args` prints."""
    done = subprocess.run([os.path.join(BUILD, "rudd"), *args], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"rudd {' '.join(args)}: exit status {done.returncode}: {done.stderr.strip()}")
    return done.stdout


# Run by a small process of its own: what a process counts as its peak begins with that of whoever forked it.
SPEND = """
import os, sys, time
start = time.time()
child = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])
_, status, used = os.wait4(child, 0)
print(status, time.time() - start, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)
"""


def spend(*args):
    """Of `rudd args`: wait status, seconds by the clock, seconds of a processor, peak bytes of memory."""
    said = subprocess.run([sys.executable, "-S", "-c", SPEND, os.path.join(BUILD, "rudd"), *args], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    return [float(x) for x in said.split()]


def difference(found, expected):
    """The largest one, as a share of the largest number expected; infinite between arrays of other shapes."""
    return float(abs(found - expected).max() / abs(expected).max()) if found.shape == expected.shape else float("inf")
