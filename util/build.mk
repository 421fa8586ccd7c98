FERRY_SRCS += \
	util/bitmap.c \
	util/clock.c \
	util/cpulist.c \
	util/document.c \
	util/err.c \
	util/fdpass.c \
	util/helper.c \
	util/io.c \
	util/log.c \
	util/notify.c \
	util/new_file.c \
	util/page.c \
	util/printable.c \
	util/thread.c \
	util/token_bucket.c
