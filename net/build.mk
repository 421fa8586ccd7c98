FERRY_SRCS += \
	net/hostif.c \
	net/mac.c \
	net/managed/dhcp.c \
	net/managed/journal.c \
	net/managed/netdef.c \
	net/managed/netlink.c \
	net/managed/netlink_addr.c \
	net/managed/netlink_link.c \
	net/managed/netlink_list.c \
	net/managed/netop.c \
	net/managed/network.c \
	net/managed/network_check.c \
	net/managed/network_lock.c \
	net/managed/network_repair.c \
	net/managed/nft.c \
	net/managed/plan.c \
	net/managed/plan_text.c \
	net/managed/prefix.c \
	net/managed/sysctl.c \
	net/managed/uplink.c \
	net/netdev.c \
	net/tap.c \
	net/user.c \
	net/user_fwd.c \
	net/user_limit.c \
	net/user_poll.c \
	net/user_state.c
