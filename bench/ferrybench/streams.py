# SPDX-License-Identifier: MIT
"""Memory streams against iperf3 on the same path: loopback, as many connections, in turn.

Every pair of runs is compared by itself, because what else the machine does
hits both. Needs /dev/kvm and iperf3; build/bench/ram is made by 'make bench-ram'.
"""
import argparse
import json
import os
import statistics
import subprocess

BUILD = os.environ.get("BUILD", "build")
PORT = 5998


def ram(*options):
    """One run of the sender and its receiver."""
    done = subprocess.run([f"{BUILD}/bench/ram", *map(str, options)], stdout=subprocess.PIPE,
                          text=True, check=True)
    return json.loads(done.stdout)


def iperf(streams, seconds):
    """MiB/s of iperf3, and its CPU seconds for a GiB, both sides."""
    with subprocess.Popen(["iperf3", "-s", "-1", "-p", str(PORT), "--forceflush"],
                          stdout=subprocess.PIPE, text=True) as server:
        for line in server.stdout:
            if "listening" in line:
                break
        done = subprocess.run(["iperf3", "-J", "-c", "127.0.0.1", "-p", str(PORT), "-P",
                               str(streams), "-t", str(seconds)], stdout=subprocess.PIPE,
                              text=True, check=True)
        server.communicate()
    end = json.loads(done.stdout)["end"]
    gib = end["sum_received"]["bytes"] / 2**30
    took = end["sum_received"]["seconds"]
    cpu = end["cpu_utilization_percent"]
    return gib * 1024 / took, (cpu["host_total"] + cpu["remote_total"]) / 100 * took / gib


def pairs_of(streams, pairs, mib, seconds):
    """MiB/s of ferry and of iperf3, as often as asked for."""
    return [(ram("--streams", streams, "--mib", mib, "--used-mib", mib)["again_mib_s"],
             iperf(streams, seconds)[0]) for _ in range(pairs)]


def compare(streams, args):
    """A row of the table: medians over the pairs."""
    pairs = pairs_of(streams, args.pairs, args.mib, args.seconds)
    ratios = [ours / theirs for ours, theirs in pairs]
    return (f"| {streams} | {statistics.median(ours for ours, _ in pairs):.0f} "
            f"| {statistics.median(theirs for _, theirs in pairs):.0f} "
            f"| {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f}) |")


def idle_guest(mib, args):
    """First pass of a guest that uses 64 MiB, and a pass over nothing new."""
    runs = [ram("--streams", 1, "--mib", mib, "--used-mib", 64, "--again", 0)
            for _ in range(args.pairs)]
    return (f"| {mib} | {statistics.median(r['first_ms'] for r in runs):.1f} "
            f"| {statistics.median(r['wire_mib'] for r in runs):.1f} "
            f"| {statistics.median(r['clean_ms_per_gib'] for r in runs):.3f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=5, help="runs of each (default: %(default)s)")
    parser.add_argument("--mib", type=int, default=512, help="memory to send (%(default)s)")
    parser.add_argument("--seconds", type=int, default=2, help="of an iperf3 run (%(default)s)")
    parser.add_argument("--streams", type=int, nargs="*", default=[1, 2, 4, 8])
    args = parser.parse_args()
    print("| streams | ferry MiB/s | iperf3 -P MiB/s | ratio (range) |\n| --- | --- | --- | --- |")
    for streams in args.streams:
        print(compare(streams, args), flush=True)
    print("\n| guest MiB, 64 used | first pass ms | on the wire MiB | clean pass ms/GiB |\n"
          "| --- | --- | --- | --- |")
    for mib in (256, 1024, 4096):
        print(idle_guest(mib, args), flush=True)
