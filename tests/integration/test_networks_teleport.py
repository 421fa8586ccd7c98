# SPDX-License-Identifier: MIT
"""Guests on managed networks teleport: same name there, address and MAC kept."""
import socket

from ferrytest import Lab, timeout

UP = r"^net: up ip=(\S+)/\d+ "


def net_command(lab, host, *argv):
    """`ferry net ...` on a host of the lab, which has definitions of its own."""
    host.env["FERRY_NETWORKS"] = str(lab.folder / f"{host.name}-networks")
    return host.ferry("net", *argv)


def ask(sock, text):
    """The guest's echo."""
    sock.sendall(text)
    assert sock.recv(100) == text


@timeout(180)
def test_connection_survives_on_a_bridge():
    """A managed network on the bridge that joins both hosts."""
    with Lab() as lab:
        for host in lab.hosts:
            net_command(lab, host, "create", "lan", "--mode", "bridge", "--bridge", "br0",
                        "--existing")
        with lab.host1.guest("net", net="lan", append="ip=10.77.0.50/24", env=lab.host1.env), \
                lab.host2.receive() as receive, \
                lab.peer.net.socket(socket.SOCK_STREAM) as sock:
            lab.console().wait_for(UP, 60)
            sock.connect(("10.77.0.50", 7))
            ask(sock, b"before")
            result = lab.host1.teleport("g", receive).result()
            assert result["status"] == "completed", result
            ask(sock, b"after")
            receive.arrived("g")
            assert '"guest": "g"' in net_command(lab, lab.host2, "show", "lan", "--json")
            assert '"nics": []' in net_command(lab, lab.host1, "show", "lan", "--json")


@timeout(180)
def test_nat_keeps_address_and_needs_the_network():
    """The destination refuses a guest whose network it does not have."""
    with Lab() as lab:
        net_command(lab, lab.host1, "create", "lab", "--mode", "nat")
        net_command(lab, lab.host2, "list")
        with lab.host1.guest("net", net="lab", append="ip=dhcp", env=lab.host1.env), \
                lab.host2.receive() as receive:
            address = lab.console().wait_for(UP, 60)[1]
            result = lab.host1.teleport("g", receive).result()
            assert result["status"] != "completed" and "network lab" in result["error"], result
            net_command(lab, lab.host2, "create", "lab", "--mode", "nat")
            result = lab.host1.teleport("g", receive).result()
            assert result["status"] == "completed", result
            receive.arrived("g")
            lab.host2.net.run("ping", "-c", "3", "-i", "0.2", "-w", "20", address)
            lab.copies[0].stop()
        for host in lab.hosts:
            net_command(lab, host, "delete", "lab")
