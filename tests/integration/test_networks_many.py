# SPDX-License-Identifier: MIT
"""A hundred guests on one network: the last ones come as fast as the first ones."""
import contextlib
import statistics
import time

from ferrytest import Guest, NetHost, alone, timeout

GUESTS = 100
EDGE = 10
SLOWER = 4  # so much slower may the last ones be: other things happen on the machine, too


@alone
@timeout(300)
def test_a_hundred_guests():
    with NetHost() as host, host.unchanged():
        host.net_command("create", "lab", "--mode", "nat", "--ipv4", "10.9.0.1/24")
        took_s = []
        with contextlib.ExitStack() as guests:
            for number in range(GUESTS):
                start_s = time.monotonic()
                guest = guests.enter_context(Guest(
                    "idle", net="lab", memory="32M", name=f"g{number}", netns=host,
                    runtime=host.runtime, env=host.env))
                guest.wait_for("^idle ready", 60)
                took_s.append(time.monotonic() - start_s)
            nics = host.net_json("show", "lab")["nics"]
            assert len({nic["ipv4"] for nic in nics}) == GUESTS
            assert len({nic["mac"] for nic in nics}) == GUESTS
            print("ms:", *(f"{took * 1000:.0f}" for took in took_s))
        first, last = (statistics.median(part) for part in (took_s[:EDGE], took_s[-EDGE:]))
        print(f"first {EDGE}: {first * 1000:.1f} ms, last {EDGE}: {last * 1000:.1f} ms, all: "
              f"{statistics.median(took_s) * 1000:.1f} ms")
        assert last < SLOWER * first, f"{first:.3f} s at first, {last:.3f} s at last"
        # All were killed; one command takes back what they left.
        assert host.net_json("repair") == {"repaired": GUESTS}
        host.net_command("delete", "lab")
