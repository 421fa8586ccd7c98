FERRY_SRCS += \
	net/mac.c
