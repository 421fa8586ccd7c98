FERRY_SRCS += \
	net/hostif.c \
	net/mac.c \
	net/netdev.c \
	net/tap.c \
	net/user.c \
	net/user_fwd.c \
	net/user_limit.c \
	net/user_poll.c
