# Saved state, and the way of a guest from one host to another.
FERRY_SRCS +=
