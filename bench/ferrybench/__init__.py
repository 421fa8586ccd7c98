# SPDX-License-Identifier: MIT
"""Side by side: the same guests under ferry and QEMU, in turn."""
