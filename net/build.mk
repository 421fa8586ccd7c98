FERRY_SRCS += \
	net/hostif.c \
	net/mac.c \
	net/managed/jsonfile.c \
	net/managed/netdef.c \
	net/managed/prefix.c \
	net/netdev.c \
	net/port.c \
	net/tap.c \
	net/tap_host.c \
	net/user.c \
	net/user_fwd.c \
	net/user_limit.c \
	net/user_poll.c \
	net/user_state.c

# Managed networks are ferry-net's; a guest's process knows their names alone.
HELPER_SRCS += \
	net/managed/dhcp.c \
	net/managed/fault.c \
	net/managed/journal.c \
	net/managed/macvtap.c \
	net/managed/netdef_forward.c \
	net/managed/netlink.c \
	net/managed/netlink_addr.c \
	net/managed/netlink_link.c \
	net/managed/netlink_list.c \
	net/managed/netlink_object.c \
	net/managed/netop.c \
	net/managed/netop_holds.c \
	net/managed/network.c \
	net/managed/network_check.c \
	net/managed/network_forward.c \
	net/managed/network_lock.c \
	net/managed/network_mend.c \
	net/managed/network_repair.c \
	net/managed/nft.c \
	net/managed/plan.c \
	net/managed/plan_text.c \
	net/managed/sysctl.c \
	net/managed/uplink.c
