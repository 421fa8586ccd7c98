# make install and make uninstall: DESTDIR, PREFIX and the GNU directory names.
bindir     ?= $(PREFIX)/bin
# Beside $(bindir), where ferry looks for them (util/helper.c).
helperdir  := $(dir $(patsubst %/,%,$(bindir)))libexec/ferry
# NET_CAPS=yes: users may join the networks that /etc/ferry/net-allow says.
net_caps   := cap_setuid,cap_setgid,cap_net_admin,cap_net_raw=p
mandir     ?= $(PREFIX)/share/man
docdir     ?= $(PREFIX)/share/doc/ferry
unitdir    ?= $(PREFIX)/lib/systemd/system
includedir ?= $(PREFIX)/include
libdir     ?= $(PREFIX)/lib
compdir    ?= $(PREFIX)/share/bash-completion/completions

MAN1 := $(sort $(wildcard docs/man/*.1))
MAN5 := $(sort $(wildcard docs/man/*.5))
MAN7 := $(sort $(wildcard docs/man/*.7))
DOCS := README.md LICENSE $(sort $(wildcard docs/*.md))
COMPLETION := $(wildcard scripts/completion/ferry.bash)

# $(call put,files,directory): as plain files
put = $(if $(1),install -d $(DESTDIR)$(2) && install -m 644 $(1) $(DESTDIR)$(2))
# $(call take,files,directory): and away again
take = $(if $(1),rm -f $(addprefix $(DESTDIR)$(2)/,$(notdir $(1))))

install: $(PROGRAMS) $(CLIENT_LIB) ## install below DESTDIR/PREFIX
	install -d $(DESTDIR)$(bindir)
	install -m 755 $(O)/ferry $(DESTDIR)$(bindir)/ferry
	install -d $(DESTDIR)$(helperdir)
	install -m 755 $(HELPERS:%=$(O)/%) $(DESTDIR)$(helperdir)
	$(if $(filter yes,$(NET_CAPS)),setcap $(net_caps) $(DESTDIR)$(helperdir)/ferry-net)
	$(call put,$(MAN1),$(mandir)/man1)
	$(call put,$(MAN5),$(mandir)/man5)
	$(call put,$(MAN7),$(mandir)/man7)
	$(call put,$(DOCS),$(docdir))
	$(call put,vmm/control/ferry-client.h,$(includedir))
	$(call put,$(CLIENT_LIB),$(libdir))
	install -d $(DESTDIR)$(libdir)/pkgconfig
	sed 's|@prefix@|$(PREFIX)|; s|@includedir@|$(includedir)|; s|@libdir@|$(libdir)|; s|@version@|$(VERSION)|' \
		scripts/ferry-client.pc.in >$(DESTDIR)$(libdir)/pkgconfig/ferry-client.pc
	install -d $(DESTDIR)$(unitdir)
	sed 's|@bindir@|$(bindir)|' scripts/ferry@.service >$(DESTDIR)$(unitdir)/ferry@.service
	sed 's|@bindir@|$(bindir)|' scripts/ferry-networks.service \
		>$(DESTDIR)$(unitdir)/ferry-networks.service
	$(if $(COMPLETION),install -D -m 644 $(COMPLETION) $(DESTDIR)$(compdir)/ferry)

uninstall: ## remove what install put there
	rm -f $(DESTDIR)$(bindir)/ferry $(DESTDIR)$(compdir)/ferry
	rm -f $(DESTDIR)$(unitdir)/ferry-networks.service $(DESTDIR)$(unitdir)/ferry@.service
	rm -f $(addprefix $(DESTDIR),$(includedir)/ferry-client.h $(libdir)/libferry-client.a \
		$(libdir)/pkgconfig/ferry-client.pc)
	rm -f $(HELPERS:%=$(DESTDIR)$(helperdir)/%)
	rmdir $(DESTDIR)$(helperdir) 2>/dev/null || true
	$(call take,$(MAN1),$(mandir)/man1)
	$(call take,$(MAN5),$(mandir)/man5)
	$(call take,$(MAN7),$(mandir)/man7)
	$(call take,$(DOCS),$(docdir))

.PHONY: install uninstall
