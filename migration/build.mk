# Saved state, and the way of a guest from one host to another.
FERRY_SRCS += \
	migration/address.c \
	migration/address_listen.c \
	migration/allow.c \
	migration/channel.c \
	migration/channel_tls.c \
	migration/dest.c \
	migration/file_format.c \
	migration/file_reader.c \
	migration/file_reader_ram.c \
	migration/file_work.c \
	migration/file_writer.c \
	migration/file_writer_ram.c \
	migration/hello.c \
	migration/phase.c \
	migration/preamble.c \
	migration/ram_checksum.c \
	migration/ram_codec.c \
	migration/ram_receiver.c \
	migration/ram_record.c \
	migration/ram_sender.c \
	migration/ram_stream.c \
	migration/section.c \
	migration/section_io.c \
	migration/section_list.c \
	migration/source.c \
	migration/source_policy.c \
	migration/source_ram.c \
	migration/source_settle.c \
	migration/talk.c \
	migration/tls_creds.c \
	migration/vstate.c \
	migration/vstate_decode.c \
	migration/vstate_json.c \
	migration/vstate_read.c \
	migration/vstate_write.c
