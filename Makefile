# SPDX-License-Identifier: GPL-2.0
# make [all]      programs and module, all below build/
# make check      unit tests under sanitizers
# make fuzz-decoders [SECONDS=60]  each decoder of user/ under libFuzzer, so long
# make test       installs what is missing, builds, unit tests, live tests in a guest
# make test-kernels   the live tests on every kernel of scripts/kernels, and a table
# make test-readers   the exports in Prometheus and go's pprof (90 MB of packages)
# make test-debug abuse of the module, long, on a debug kernel that it builds
# make demo       the main job on a real program; make tour: how memory is got, in ten experiments
# make style      clang-format, checkpatch, direction of the includes, sparse; make format
# make install    programs; install-module: the module for KDIR's kernel, and depmod;
#                 install-source: its source for dkms; DESTDIR, PREFIX; make uninstall
# make deb        Debian packages of both, in build/deb/; make clean
# make bench      what the allocator side costs, beside its peers (half an hour), on this machine
# make bench-attach   what attaching costs a running process (minutes), on this machine
# make bench-kernel   what the module costs, beside its peers (minutes), in a guest

MAKEFLAGS += --no-builtin-rules
.DELETE_ON_ERROR:
.SECONDARY:

PREFIX ?= /usr/local
# Debian 12's kernel, as scripts/deps installs its headers; for modules loaded natively:
# make KDIR=/lib/modules/$(uname -r)/build
KDIR ?= $(shell ls -d /usr/src/linux-headers-6.1.*-cloud-amd64 2>/dev/null | sort -V | tail -n 1)
KVER = $(shell sed -n 's/.*UTS_RELEASE "\(.*\)"/\1/p' $(KDIR)/include/generated/utsrelease.h)
KMOD ?= build/kmod

CC = gcc
CLANG = clang
CFLAGS = -std=gnu11 -O2 -g -Wall -Wextra -Wshadow -Wstrict-prototypes -Werror
# _GNU_SOURCE is empty, so that a source may define it as well.
CPPFLAGS = -D_GNU_SOURCE= -Iuser -Ikmod -Ibuild
LDLIBS = -lmnl -lcap-ng -ljansson -lprotobuf-c -lsqlite3 -lz -lncursesw -liberty -ldw -lelf -lbpf -lpthread
SAN = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
DEPS = -MMD -MP

shim_src := $(filter-out %/shim_inject.c,$(wildcard user/probe/shim*.c))
inject_src := $(filter-out %/shim_next.c %/shim_got.c,$(wildcard user/probe/shim*.c))
bpf_src := $(wildcard user/probe/*.bpf.c)
lib_src := $(filter-out user/probe/%,$(wildcard user/*/*.c))
pb_src := $(patsubst user/%.proto,build/%.pb-c.c,$(wildcard user/export/*.proto))
main_src := $(wildcard user/vmaheap.c user/vmaheapd.c)
unit_src := $(wildcard tests/unit/*_test.c)
victim_src := $(wildcard tests/victims/*.c)
live_src := $(wildcard tests/live/*.c)
fuzz_src := $(wildcard tests/fuzz/*_fuzz.c)

skels := $(bpf_src:user/probe/%.bpf.c=build/probe/%.skel.h)
lib_obj := $(lib_src:%.c=build/%.o) $(pb_src:.c=.o)
san_obj := $(lib_src:%.c=build/san/%.o) $(pb_src:%.c=build/san/%.o)
sql_h := $(patsubst user/%,build/%.h,$(wildcard user/export/*.sql))
generated := $(skels) $(pb_src) $(sql_h)
programs := $(main_src:user/%.c=build/%) build/vmaheap-rehearse
shim := $(if $(shim_src),build/libvmaheap-shim.so)
unit := $(unit_src:%.c=build/%)
victims := $(victim_src:%.c=build/%) build/tests/victims/room-32 \
	$(patsubst %,build/tests/victims/alloc_ops-%,jemalloc tcmalloc mimalloc own own-sysv static stripped musl musl-static) \
	$(patsubst %,build/tests/victims/alloc_ops-beside-%,je_ _rjem_ mi_) \
	build/tests/victims/holds-musl build/tests/victims/holds-musl-static \
	build/tests/victims/holds-musl-stripped \
	build/tests/victims/plug_a.so build/tests/victims/plug_b.so build/tests/victims/late.so \
	build/tests/victims/moving.so build/tests/victims/stuck.so
live := $(live_src:%.c=build/%)
decoders := $(fuzz_src:%.c=build/%)

all: user module
user: build/libvmaheap.a $(shim) $(programs) $(victims) $(live)

# --- user space

build/libvmaheap.a: $(lib_obj)
	$(RM) $@
	$(AR) rcs $@ $^

$(main_src:user/%.c=build/%): build/%: build/user/%.o build/libvmaheap.a
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# It brings a malloc of its own, and nothing else of ours.
build/vmaheap-rehearse: build/user/rehearse.o
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ -lpthread

# A loop over each word that a ring brings: vector operations halve its cost.
build/user/intake/words.o: CFLAGS += -O3

build/user/vmaheap.o: kmod/vh.h
build/user/vmaheap.o: CPPFLAGS += -DVERSION='"$(VERSION)"'

build/user/%.o: user/%.c | $(generated)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(DEPS) -c -o $@ $<

# X.proto becomes export/X.pb-c.h and .c.
build/export/%.pb-c.c build/export/%.pb-c.h: user/export/%.proto
	@mkdir -p $(@D)
	protoc-c --proto_path=user/export --c_out=$(@D) $<

# X.sql becomes a string, X_sql.
build/export/%.sql.h: user/export/%.sql
	@mkdir -p $(@D)
	{ echo 'static const char $*_sql[] ='; sed 's/["\\]/\\&/g; s/.*/"&\\n"/' $<; echo ';'; } >$@

build/export/%.o: build/export/%.c
	$(CC) $(CPPFLAGS) $(CFLAGS) $(DEPS) -c -o $@ $<

# The shim lives in other people's programs: nothing of ours but its own files, every internal
# call bound inside, and thread data that never calls malloc (initial-exec).
build/libvmaheap-shim.so: $(shim_src:%.c=build/shim/%.o)
	$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,-Bsymbolic -Wl,-z,defs -o $@ $^ -ldl -lpthread

build/shim/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -fvisibility=hidden -ftls-model=initial-exec $(DEPS) -c -o $@ $<

# The same for running programs: no loader will help it, so no thread data and no libraries. It
# goes into intake/inject_image.o, stripped of all but its symbols.
build/inject.so: $(inject_src:%.c=build/inject/%.o)
	$(CC) $(CFLAGS) -shared -nostdlib -Wl,-Bsymbolic -Wl,-z,now -Wl,-z,norelro -Wl,--strip-debug -o $@ $^
	@! readelf -lW $@ | grep TLS || { echo "$@: thread variables cannot be injected" >&2; false; }

build/inject/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -DSHIM_INJECTED -fPIC -fno-plt -fvisibility=hidden -fno-builtin $(DEPS) -c -o $@ $<

build/user/intake/inject_image.o build/san/user/intake/inject_image.o \
	build/fuzz/user/intake/inject_image.o: build/inject.so

# The page's own files, linked in.
build/user/output/asset.o build/san/user/output/asset.o build/fuzz/user/output/asset.o: $(wildcard user/output/html/*)

# The multiarch folder holds asm/, which clang does not look for when its target is bpf.
build/probe/%.bpf.o: user/probe/%.bpf.c
	@mkdir -p $(@D)
	$(CLANG) -target bpf -D__TARGET_ARCH_x86 -O2 -g -Wall -Werror $(CPPFLAGS) \
		-idirafter /usr/include/$(shell $(CC) -dumpmachine) $(DEPS) -c -o $@ $<

# X.bpf.c becomes probe/X.skel.h with struct X_bpf.
build/probe/%.skel.h: build/probe/%.bpf.o
	bpftool gen skeleton $< name $*_bpf > $@

# --- tests

build/san/%.o: %.c | $(generated)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(SAN) $(DEPS) -c -o $@ $<

build/san/libvmaheap.a: $(san_obj)
	@mkdir -p $(@D)
	$(RM) $@
	$(AR) rcs $@ $^

build/tests/unit/%: tests/unit/%.c build/san/libvmaheap.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(SAN) $(DEPS) -o $@ $< build/san/libvmaheap.a -lcmocka $(LDLIBS)

# Victims keep their calls as written: no optimiser that removes a malloc.
VICTIM = -std=gnu11 -O1 -g -fno-builtin -Wall -Wextra -Werror -D_GNU_SOURCE= -Iuser -pthread $(DEPS)

build/tests/victims/%: tests/victims/%.c
	@mkdir -p $(@D)
	$(CC) $(VICTIM) -o $@ $< $(VICTIM_LIBS)

# Without a C library, so that 32 bits need none of their own.
build/tests/victims/room build/tests/victims/room-32: tests/victims/room.c
	@mkdir -p $(@D)
	$(CC) $(VICTIM) -nostdlib -static -no-pie -fno-pic -ffreestanding -fno-stack-protector \
		$(if $(filter %-32,$@),-m32) -o $@ $<

# For reload, which finds them by its RUNPATH: two libraries that differ in one number.
build/tests/victims/reload: VICTIM_LIBS = -Wl,-rpath,'$$ORIGIN'
build/tests/victims/plug_a.so: FRAME = 1000
build/tests/victims/plug_b.so: FRAME = 3000
build/tests/victims/plug_%.so: tests/victims/plug/plug.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -fPIC -shared -DFRAME=$(FRAME) -o $@ $<

# For late, in the same way.
build/tests/victims/late: VICTIM_LIBS = -Wl,-rpath,'$$ORIGIN'
build/tests/victims/late.so: tests/victims/late/late.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -fPIC -shared -o $@ $<

# For the shims' own tests: allocators that move the stamp, and that do not come back.
build/tests/victims/moving.so: tests/victims/moving/moving.c
build/tests/victims/stuck.so: tests/victims/stuck/stuck.c
build/tests/victims/moving.so build/tests/victims/stuck.so:
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(DEPS) -fPIC -shared -o $@ $<

# One victim with several allocators. A C++ library is on every Debian (apt is linked with it).
build/tests/victims/alloc_ops: VICTIM_LIBS = -l:libstdc++.so.6

build/tests/victims/alloc_ops-%alloc: tests/victims/alloc_ops.c
	$(CC) $(VICTIM) -o $@ $< -Wl,--no-as-needed -l:$(notdir $(firstword $(wildcard \
		$(foreach l,$*alloc $*alloc_minimal,/usr/lib/$(shell $(CC) -dumpmachine)/lib$(l).so.?)))) -l:libstdc++.so.6

# As linkers wrote it before they had the other table (DT_GNU_HASH).
build/tests/victims/alloc_ops-own-sysv: HASH = -Wl,--hash-style=sysv
build/tests/victims/alloc_ops-own build/tests/victims/alloc_ops-own-sysv: tests/victims/alloc_ops.c tests/victims/own/own.c
	$(CC) $(VICTIM) -o $@ $^ $(HASH) -l:libstdc++.so.6

build/tests/victims/alloc_ops-static: tests/victims/alloc_ops.c
	$(CC) $(VICTIM) -DNO_CXX -static -o $@ $<

build/tests/victims/alloc_ops-stripped: build/tests/victims/alloc_ops-static
	strip -o $@ $<

# An allocator under names of its own beside C's: jemalloc as redis and as Rust have it, and one that
# is called as mimalloc is.
beside = $(foreach f,malloc free calloc realloc posix_memalign aligned_alloc memalign valloc mallctl \
	mallocx rallocx xallocx dallocx sdallocx,--redefine-sym $(f)=$*$(f))
build/tests/victims/alloc_ops-beside-%: tests/victims/alloc_ops.c tests/victims/own/own.c
	$(CC) $(VICTIM) -DNO_CXX -c -o $@.o $<
	objcopy $(beside) $@.o
	$(if $(filter mi_,$*),$(CC) $(CFLAGS) -c -o $@.a tests/victims/own/own.c,\
		cp $$($(CC) -print-file-name=libjemalloc.a) $@.a)
	objcopy $(beside) $@.a
	$(CC) -pthread -o $@ $@.o $@.a -lm -ldl

build/tests/victims/alloc_ops-musl: tests/victims/alloc_ops.c
	musl-gcc $(VICTIM) -DNO_CXX -o $@ $<

build/tests/victims/alloc_ops-musl-static: tests/victims/alloc_ops.c
	musl-gcc $(VICTIM) -DNO_CXX -static -o $@ $<

build/tests/victims/holds-musl build/tests/victims/holds-musl-static: tests/victims/holds.c
	musl-gcc $(VICTIM) $(if $(filter %-static,$@),-static) -o $@ $<

build/tests/victims/holds-musl-stripped: build/tests/victims/holds-musl-static
	strip -o $@ $<

# Clients of the live tests share nothing with user/.
build/tests/live/%: tests/live/%.c
	@mkdir -p $(@D)
	$(CC) -D_GNU_SOURCE= -Ikmod $(CFLAGS) $(DEPS) -o $@ $< -lmnl

unit: $(unit)

check: $(unit) $(shim) $(victims)
	@CMOCKA_MESSAGE_OUTPUT=TAP UBSAN_OPTIONS=print_stacktrace=1 tests/prove $(unit)

# The decoders under libFuzzer: everything of user/ with clang's instrumentation. A target includes
# the source that it is about; the linker finds the rest in the archive.
FUZZ = -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
SECONDS ?= 60

build/fuzz/%.o: %.c | $(generated)
	@mkdir -p $(@D)
	$(CLANG) $(CPPFLAGS) -std=gnu11 -O1 -g -Wall $(FUZZ) -fsanitize=fuzzer-no-link $(DEPS) -c -o $@ $<

build/fuzz/libvmaheap.a: $(lib_src:%.c=build/fuzz/%.o) $(pb_src:%.c=build/fuzz/%.o)
	$(RM) $@
	$(AR) rcs $@ $^

build/tests/fuzz/%: tests/fuzz/%.c build/fuzz/libvmaheap.a
	@mkdir -p $(@D)
	$(CLANG) $(CPPFLAGS) -std=gnu11 -O1 -g -Wall $(FUZZ) -fsanitize=fuzzer $(DEPS) -o $@ $< \
		build/fuzz/libvmaheap.a $(LDLIBS)

decoders: $(decoders)

fuzz-decoders: decoders
	tests/fuzz/run --seconds $(SECONDS) $(decoders)

# The module with which the test machine's own test makes the kernel complain.
warn: build/tests/warn/warn.ko
build/tests/warn/warn.ko: $(wildcard tests/vm/warn/*)
	@mkdir -p $(@D)
	@cp -sf $(abspath $^) $(@D)/
	$(MAKE) -C $(KDIR) M=$(abspath $(@D)) modules

test:
	scripts/deps
	+tests/all

test-kernels:
	scripts/deps
	scripts/kernels prepare
	$(MAKE) user
	tests/kernels

# The exports in Prometheus and in go's pprof, which are too large for every run.
test-readers: user
	scripts/deps readers
	tests/prove tests/readers

# The abuse of the module in its long form, on a kernel that notices: an hour or more.
test-debug: user
	scripts/debug-kernel >build/debug-kernel
	$(MAKE) module KDIR="$$(cat build/debug-kernel)" KMOD=build/kmod-debug
	VMAHEAP_ABUSE=100 VMAHEAP_VM="-k debug --mem 1G --timeout 28800" \
		tests/run-live --seconds 14400 tests/abuse/*.t tests/abuse/debug/*.t

demo:
	scripts/deps
	$(MAKE) all
	scripts/demo

tour:
	scripts/deps
	$(MAKE) all
	scripts/tour

# One million operations of the fuzzer (OPS=, SEED=, KERNEL=6.1), its figures at the end.
KERNEL ?= 6.1
OPS ?= 1000000
fuzz:
	OUT= VMAHEAP_FUZZ_OPS=$(OPS) VMAHEAP_FUZZ_SEED=$(SEED) \
		tests/vm/run -k $(KERNEL) --mem 2G --timeout 10800 -- tests/live/60-mmfuzz.t

# --- the module

kmod_src = $(if $(wildcard kmod/*.c),$(KMOD)/vmaheap.ko)

module: $(kmod_src)

# kbuild decides itself what is out of date.
$(KMOD)/vmaheap.ko: FORCE
	@test -n "$(KDIR)" || { echo "no kernel headers: run scripts/deps, or give KDIR=" >&2; exit 1; }
	@mkdir -p $(KMOD)
	@find $(KMOD) -xtype l -delete
	@cp -rsf $(CURDIR)/kmod/. $(CURDIR)/Kbuild $(KMOD)/
	$(MAKE) -C $(KDIR) M=$(abspath $(KMOD)) modules

# As the module, with a parameter that leaves out one hook (tests/live/61-hooks.t).
module-test:
	@$(MAKE) --no-print-directory $(KMOD)-test/vmaheap.ko KMOD=$(KMOD)-test KCFLAGS=-DVMAHEAP_TEST

# Every warning that gcc W=1 and sparse know is an error.
module-check:
	@$(MAKE) --no-print-directory $(KMOD)-check/vmaheap.ko KMOD=$(KMOD)-check W=1 C=2 KCFLAGS=-Werror \
		CF="-Wsparse-error -D__CHECK_ENDIAN__"

format:
	scripts/style --fix

style:
	@scripts/deps style
	@scripts/style
	@$(MAKE) --no-print-directory module-check

# --- installation

VERSION = $(shell sed -n 's/.*VH_VERSION "\(.*\)"/\1/p' kmod/vh.h)
MODDIR = $(DESTDIR)/lib/modules/$(KVER)/updates
SRCDIR = $(DESTDIR)/usr/src/vmaheap-$(VERSION)
MANDIR = $(DESTDIR)$(PREFIX)/share/man

pages = $(wildcard user/*.[1-8])
UNITDIR = $(DESTDIR)$(PREFIX)/lib/systemd/system
USERDIR = $(DESTDIR)$(PREFIX)/lib/sysusers.d
BASHDIR = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
ZSHDIR = $(DESTDIR)$(PREFIX)/share/zsh/vendor-completions

install: user
	install -D -t $(DESTDIR)$(PREFIX)/bin build/vmaheap
	install -D -t $(DESTDIR)$(PREFIX)/sbin build/vmaheapd
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/lib/vmaheap build/libvmaheap-shim.so
	install -D -t $(DESTDIR)$(PREFIX)/lib/vmaheap build/vmaheap-rehearse
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/vmaheap scripts/grafana.json user/vmaheap.schema.json
	$(foreach p,$(pages),install -D -m 644 -t $(MANDIR)/man$(subst .,,$(suffix $p)) $p && ):
	install -d $(UNITDIR) && sed 's,@SBINDIR@,$(PREFIX)/sbin,' \
		scripts/systemd/vmaheapd.service >$(UNITDIR)/vmaheapd.service
	install -D -m 644 -t $(USERDIR) scripts/systemd/vmaheap.conf
	install -D -m 644 scripts/completion/vmaheap.bash $(BASHDIR)/vmaheap
	install -D -m 644 -t $(ZSHDIR) scripts/completion/_vmaheap

# Not in a package's scratch root: depmod runs where the module is used.
install-module: module
	install -D -m 644 -t $(MODDIR) $(KMOD)/vmaheap.ko
	$(if $(DESTDIR),,depmod $(KVER))

# Everything that kbuild needs, in one folder, as dkms wants it.
install-source:
	install -d $(SRCDIR)
	cp -r kmod/. Kbuild $(SRCDIR)/
	sed 's/#MODULE_VERSION#/$(VERSION)/' scripts/debian/vmaheap-dkms.dkms >$(SRCDIR)/dkms.conf
	$(if $(DESTDIR),,@echo "now run: dkms install vmaheap/$(VERSION)")

uninstall:
	$(RM) $(DESTDIR)$(PREFIX)/bin/vmaheap $(DESTDIR)$(PREFIX)/sbin/vmaheapd
	$(RM) -r $(DESTDIR)$(PREFIX)/lib/vmaheap $(DESTDIR)$(PREFIX)/share/vmaheap
	$(RM) $(foreach p,$(pages),$(MANDIR)/man$(subst .,,$(suffix $p))/$(notdir $p))
	$(RM) $(UNITDIR)/vmaheapd.service $(USERDIR)/vmaheap.conf $(BASHDIR)/vmaheap $(ZSHDIR)/_vmaheap
	$(RM) $(DESTDIR)/lib/modules/*/updates/vmaheap.ko

deb: user
	scripts/deb

bench-kernel: user module build/bench/calls
	scripts/deps bench
	tests/bench/kernel

build/bench/calls: tests/bench/calls.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $<

bench_alloc := build/bench/measure build/bench/loops build/bench/counter.so

bench: user build/bench/hot $(bench_alloc)
	scripts/deps bench
	build/bench/hot build/libvmaheap-shim.so
	tests/bench/alloc

# Not to be preloaded into.
build/bench/measure: LDFLAGS += -static
build/bench/counter.so: LDFLAGS += -shared -fPIC
build/bench/measure build/bench/loops: build/bench/%: tests/bench/%.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -fno-builtin $(LDFLAGS) -pthread -o $@ $<
build/bench/counter.so: tests/bench/counter.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -fno-builtin $(LDFLAGS) -o $@ $<

# What attaching costs a running process, by injection and by uprobes; and, for hours, whether it
# can be done again and again.
bench-attach: user build/bench/pairs
	tests/bench/attach

build/bench/pairs: tests/bench/pairs.c
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -fno-builtin -o $@ $<

CYCLES ?= 10000
attach-cycles: build/bench/inject_test $(victims)
	VMAHEAP_CYCLES=$(CYCLES) $< test_cycles
	VMAHEAP_CYCLES=$(CYCLES) $< 'test_killed*'

build/bench/inject_test: tests/unit/inject_test.c build/libvmaheap.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -o $@ $^ -lcmocka $(LDLIBS)

# What the shim's hot path costs, choice by choice.
bench-hot: build/bench/hot build/bench/stacks $(shim)
	build/bench/hot build/libvmaheap-shim.so
	build/bench/stacks build/libvmaheap-shim.so

build/bench/hot build/bench/stacks: build/bench/%: tests/bench/%.c build/libvmaheap.a
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -fno-builtin-malloc -fno-builtin-free -o $@ $^ $(LDLIBS)

# ns an event of the daemon: see tests/bench/README.md
build/bench/ingest: tests/bench/ingest.c build/libvmaheap.a $(shim)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) $(DEPS) -o $@ $< build/libvmaheap.a $(LDLIBS)

clean:
	$(RM) -r build

FORCE:
.PHONY: all user module module-check module-test decoders fuzz-decoders fuzz unit check warn test test-kernels \
	test-readers test-debug demo tour format style install install-module install-source uninstall deb bench bench-kernel bench-hot bench-attach \
	attach-cycles clean FORCE

-include $(shell find build -path build/kmod\* -prune -o -type f -name '*.d' -print 2>/dev/null)
