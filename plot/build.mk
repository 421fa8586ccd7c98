# ferry-plot: pictures.
HELPERS += ferry-plot
ferry-plot_MAIN := plot/main.c
ferry-plot_PKGS := cairo jansson
HELPER_SRCS += \
	plot/draw.c \
	plot/plot.c \
	plot/recording.c \
	plot/recording_draw.c \
	plot/scale.c \
	plot/teleport.c
