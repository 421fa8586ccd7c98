# Saved state, and the way of a guest from one host to another.
FERRY_SRCS += \
	migration/section.c \
	migration/vstate.c \
	migration/vstate_decode.c \
	migration/vstate_json.c \
	migration/vstate_read.c \
	migration/vstate_write.c
