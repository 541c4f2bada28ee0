# Build, test, measure and ship rudd. `make help` lists the targets.
#
# Every .c of a layer folder goes into the library (kernels nn weights data) or beside a binary (train serve bench); a tests/test_*.c is
# one test program. Files named *_avx2.c and *_avx512.c get their instruction set from their suffix; all else is built for the
# baseline, so that one binary runs on any x86-64 and picks its kernels at start.
#
# Variables: CC (gcc or clang), B (build folder), SAN (e.g. address,undefined), OPT (-O3), PREFIX, DESTDIR, FUZZ_SECONDS, TEST_JOBS
# (test programs side by side), V=1 (show commands). Builds with other flags go into other folders (`make B=build-clang CC=clang`);
# the same folder with other flags is rebuilt.

ifeq ($(origin CC),default)
CC := gcc
endif
B       ?= build
OPT     ?= -O3
PREFIX  ?= /usr/local
FUZZ_SECONDS ?= 20
VERSION := $(shell sed -n 's/.*RUDD_VERSION "\(.*\)".*/\1/p' nn/rudd.h)

# What pkg-config must know, and the Debian package that teaches it. Of OpenBLAS any form will do: rudd runs it on one thread.
DEPS_PC := openblas libjpeg libpng zlib jansson libmicrohttpd sqlite3
TEST_PC := cmocka
PACKAGE_openblas := libopenblas-openmp-dev
PACKAGE_libjpeg := libjpeg-dev
PACKAGE_libpng := libpng-dev
PACKAGE_zlib := zlib1g-dev
PACKAGE_jansson := libjansson-dev
PACKAGE_libmicrohttpd := libmicrohttpd-dev
PACKAGE_sqlite3 := libsqlite3-dev
PACKAGE_cmocka := libcmocka-dev
# Used where they are installed (HAVE_LIBPQ ...); without one, the option that needs it says what is missing. `make deps` installs them along
# with the others, but does not start for their sake.
OPTIONAL_PC := libpq hiredis libcurl libutf8proc libwebp libheif libtiff-4
PACKAGE_libpq := libpq-dev
PACKAGE_hiredis := libhiredis-dev
PACKAGE_libcurl := libcurl4-gnutls-dev
PACKAGE_libutf8proc := libutf8proc-dev
PACKAGE_libwebp := libwebp-dev
PACKAGE_libheif := libheif-dev
PACKAGE_libtiff-4 := libtiff-dev
PACKAGE_giflib := libgif-dev
# From this version on libtiff reports errors to the caller's handler, not to the whole process.
SINCE_libtiff-4 := >= 4.5
# gnutls comes with libmicrohttpd-dev, if that speaks TLS.
HAVE_PC := $(foreach p,$(OPTIONAL_PC) gnutls,$(shell pkg-config --exists '$(p) $(SINCE_$(p))' 2>/dev/null && echo $(p)))
# pkg-config does not know giflib: the compiler says whether its header is there, of version 5.1 or later.
OPTIONAL := $(OPTIONAL_PC) giflib
LIBS_giflib := -lgif
HAVE := $(HAVE_PC) $(shell printf '\043include <gif_lib.h>\nint (*close)(GifFileType *, int *) = DGifCloseFile;\n' | \
    $(CC) -fsyntax-only -x c - 2>/dev/null && echo giflib)
TOOLS   := gcc:gcc ld:binutils pkg-config:pkg-config

# A struct grows a field at its end without a change where it is made: C sets what is not named to 0.
WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-missing-field-initializers -Werror
CFLAGS  += -std=c11 -D_DEFAULT_SOURCE -D_FILE_OFFSET_BITS=64 $(OPT) -g -fPIC -pthread $(WARN) -I. $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
LDFLAGS += -pthread -Wl,--as-needed $(if $(SAN),-fsanitize=$(SAN))
CFLAGS  += $(shell pkg-config --cflags $(DEPS_PC) $(HAVE_PC) $(TEST_PC) 2>/dev/null) $(addprefix -DHAVE_,$(shell echo $(HAVE) | tr a-z- A-Z_))
# LIB_* are linked by the library and by all programs, SERVE_LIBS by those that serve, too, and
# TEST_LIBS by tests, which make pictures. All other libraries are loaded when they are first used:
# kernels/library.h. --as-needed drops from a list what a program does not use.
LIB_PC     := zlib jansson
LIB_LIBS   := -ldl -lm
LDLIBS     += $(shell pkg-config --libs $(LIB_PC) 2>/dev/null) $(LIB_LIBS)
SERVE_LIBS := $(shell pkg-config --libs libmicrohttpd 2>/dev/null)
TEST_LIBS   = $(SERVE_LIBS) $(shell pkg-config --libs libjpeg libpng $(TEST_PC))

# A layer's files lie in its folder and in its rooms, the folders inside.
sources    = $(wildcard $(addsuffix /*.c,$(1)) $(addsuffix /*/*.c,$(1)))
LIB_SRC   := $(call sources,kernels nn weights data)
TRAIN_SRC := $(call sources,train)
SERVE_SRC := $(call sources,serve)
BENCH_SRC := $(wildcard bench/*.c)
TESTS     := $(patsubst %.c,$(B)/%,$(wildcard tests/test_*.c))
FUZZERS   := $(patsubst %.c,$(B)/%,$(wildcard tests/fuzz_*.c))
obj        = $(patsubst %.c,$(B)/%.o,$(1))
SAY        = $(if $(V),,@echo '  $(CC) $@'; )

all: $(B)/rudd $(B)/rudd-serve $(B)/rudd-bench $(B)/librudd.a $(B)/librudd.so ## the three binaries and the library, into build/

# ---- building ----------------------------------------------------------------------------------------------------------------------

$(B)/%.o: %.c $(B)/flags | have-deps
	@mkdir -p $(@D)
	$(SAY)$(CC) $(CFLAGS) $(EXTRA) $(SONAME) -MMD -MP -c $< -o $@
# Kernels read no foreign bytes: fuzzers take them uninstrumented, since clang needs minutes to instrument their unrolled loops.
KERN = $(if $(findstring fuzzer,$(SAN)),-fno-sanitize=all)
$(B)/kernels/%.o: EXTRA = $(KERN)
$(B)/kernels/%_avx2.o: EXTRA = $(KERN) -mavx2 -mfma -ffp-contract=fast
$(B)/kernels/%_avx512.o: EXTRA = $(KERN) -mavx2 -mfma -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512 -ffp-contract=fast

# The libraries that are loaded: where, and by which name. An empty object that is linked to the
# package says which name it needs.
soname = $(or $(shell $(CC) -shared -nostdlib -Wl,--no-as-needed -x c /dev/null -x none $(or $(LIBS_$(1)),$$(pkg-config --libs $(1))) -o $(B)/soname.$(1) && \
    readelf -d $(B)/soname.$(1) | sed -n '/NEEDED/{s/.*\[\(.*\)\].*/\1/p;q}'),$(error rudd: the linker finds no shared library of $(1)))
$(B)/kernels/gemm_blas.o: PACKAGE = openblas
$(B)/data/image/libjpeg.o: PACKAGE = libjpeg
$(B)/data/image/libpng.o: PACKAGE = libpng
$(B)/data/image/libwebp.o: PACKAGE = $(filter libwebp,$(HAVE))
$(B)/data/image/libheif.o: PACKAGE = $(filter libheif,$(HAVE))
$(B)/data/image/libtiff.o: PACKAGE = $(filter libtiff-4,$(HAVE))
$(B)/data/image/libgif.o: PACKAGE = $(filter giflib,$(HAVE))
$(B)/data/libsqlite.o: PACKAGE = sqlite3
$(B)/data/sets/libutf8proc.o: PACKAGE = $(filter libutf8proc,$(HAVE))
$(B)/data/libpq.o: PACKAGE = $(filter libpq,$(HAVE))
$(B)/serve/libhiredis.o: PACKAGE = $(filter hiredis,$(HAVE))
$(B)/weights/hub/libcurl.o: PACKAGE = $(filter libcurl,$(HAVE))
$(B)/serve/libgnutls.o: PACKAGE = $(filter gnutls,$(HAVE))
SONAME = $(if $(PACKAGE),-DSONAME='"$(call soname,$(PACKAGE))"')

# Changes only when the compiler or its flags do; every object hangs on it, so that objects of two kinds never mix.
$(B)/flags: force
	@mkdir -p $(@D)
	@echo '$(CC) $(CFLAGS) $(LDFLAGS)' | cmp -s - $@ || echo '$(CC) $(CFLAGS) $(LDFLAGS)' > $@

# The commit that is built. Its file changes only when the commit does, and one object hangs on it.
# A copy without git has it in .commit.
COMMIT = $(shell [ -e .git ] && git rev-parse --short=12 HEAD 2>/dev/null || cat .commit 2>/dev/null || echo unknown)
$(B)/commit.h: force
	@mkdir -p $(@D)
	@echo '#define RUDD_COMMIT "$(COMMIT)"' | cmp -s - $@ || echo '#define RUDD_COMMIT "$(COMMIT)"' > $@
$(B)/nn/base/build.o: EXTRA = -include $(B)/commit.h
$(B)/nn/base/build.o: $(B)/commit.h

LIB_OBJ = $(call obj,$(LIB_SRC)) $(B)/weights/imagenet_classes_txt.o
# What the programs here are linked with: every layer's own names are there.
$(B)/libcore.a: $(LIB_OBJ)
	@rm -f $@ && $(AR) rcs $@ $^
# What other programs are linked with: one object, in which all names but rudd_* are local, so that
# none can clash with theirs.
$(B)/librudd.a: $(LIB_OBJ) $(B)/librudd.map
	@rm -f $@ && $(LD) -r -o $(B)/librudd.o $(filter %.o,$^) && \
	    objcopy --wildcard --keep-global-symbol='rudd_*' $(B)/librudd.o && $(AR) rcs $@ $(B)/librudd.o
# Programs that embed rudd see the public interface and nothing else. It stays loaded: so do the libraries that it loads.
$(B)/librudd.so: $(LIB_OBJ) $(B)/librudd.map
	$(SAY)$(CC) -shared -Wl,-soname,librudd.so.0 -Wl,-z,nodelete -Wl,--version-script=$(B)/librudd.map $(LDFLAGS) $(filter %.o,$^) $(LDLIBS) -o $@
$(B)/librudd.map: Makefile
	@mkdir -p $(@D)
	@echo '{ global: rudd_*; local: *; };' > $@
COMPLETION := $(patsubst %,$(B)/train/cli/completion_%.o,bash zsh fish)
$(B)/libtrain.a: $(call obj,$(filter-out train/main.c,$(TRAIN_SRC))) $(COMPLETION)
	@rm -f $@ && $(AR) rcs $@ $^
$(B)/libserve.a: $(call obj,$(filter-out serve/main.c,$(SERVE_SRC))) $(B)/serve/page_html.o $(B)/serve/docs_html.o $(B)/serve/openapi_json.o
	@rm -f $@ && $(AR) rcs $@ $^
$(B)/libbench.a: $(call obj,$(filter-out bench/main.c,$(BENCH_SRC))) $(B)/bench/peer_py.o
	@rm -f $@ && $(AR) rcs $@ $^

# A file inside a program: $(1), the array that header $(2) declares, with a 0 behind it so that it can be read as text.
EMBED = @mkdir -p $(@D); { echo '\#include "$(2)"'; echo 'const unsigned char $(1)[] = {'; \
          od -An -v -tx1 $< | sed 's/\([0-9a-f][0-9a-f]\)/0x\1,/g'; echo '0};'; echo 'const size_t $(1)_size = sizeof $(1) - 1;'; } > $@
$(B)/serve/page_html.c: serve/page.html
	$(call EMBED,serve_page,serve/page.h)
$(B)/serve/docs_html.c: serve/docs.html
	$(call EMBED,serve_docs,serve/page.h)
$(B)/serve/openapi_json.c: serve/openapi.json
	$(call EMBED,serve_openapi,serve/page.h)
$(B)/train/cli/completion_%.c: train/cli/completion.%
	$(call EMBED,train_completion_$*,train/cli/completion.h)
$(B)/bench/peer_py.c: bench/peer.py
	$(call EMBED,bench_peer_py,bench/peer.h)
$(B)/weights/imagenet_classes_txt.c: weights/imagenet_classes.txt
	$(call EMBED,weights_imagenet_text,weights/names/imagenet.h)
$(B)/serve/page_html.o $(B)/serve/docs_html.o $(B)/serve/openapi_json.o $(B)/bench/peer_py.o $(B)/weights/imagenet_classes_txt.o $(COMPLETION): $(B)/%.o: $(B)/%.c $(B)/flags
	$(SAY)$(CC) $(CFLAGS) -c $< -o $@

$(B)/rudd: $(B)/train/main.o $(B)/libtrain.a $(B)/libcore.a
	$(SAY)$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@
$(B)/rudd-serve: $(B)/serve/main.o $(B)/libserve.a $(B)/libcore.a
	$(SAY)$(CC) $(LDFLAGS) $^ $(SERVE_LIBS) $(LDLIBS) -o $@
$(B)/rudd-bench: $(B)/bench/main.o $(B)/libbench.a $(B)/libtrain.a $(B)/libserve.a $(B)/libcore.a
	$(SAY)$(CC) $(LDFLAGS) $^ $(SERVE_LIBS) $(LDLIBS) -o $@

$(addprefix $(B)/tests/test_,ask serve serve_load batch observe cache_redis guard_serve bench_serve models v2): | $(B)/rudd-serve
$(B)/tests/test_libraries: | $(B)/rudd $(B)/librudd.so
$(B)/tests/test_embed: | $(B)/librudd.so $(B)/librudd.a
$(addprefix $(B)/tests/test_,fetch fetch_hub hub_names): $(B)/tests/pictures.o | $(B)/rudd
$(B)/tests/test_beside $(B)/tests/test_bench_peers: | $(B)/rudd-bench
$(B)/tests/test_feedback: | $(B)/rudd $(B)/rudd-serve
$(B)/tests/test_help: | $(B)/rudd $(B)/rudd-serve $(B)/rudd-bench
$(addprefix $(B)/tests/test_,predict predict_outputs predict_sort progress) $(B)/tests/test_kill $(B)/tests/test_cache $(B)/tests/test_limits: | $(B)/rudd
$(B)/tests/test_mistakes: $(B)/tests/pictures.o | $(B)/rudd $(B)/rudd-serve $(B)/rudd-bench
$(addprefix $(B)/tests/test_,sets near decode reading resize augment loader predict predict_outputs predict_sort runs views engine models libraries formats embed advice): $(B)/tests/pictures.o
$(addprefix $(B)/tests/test_,predict_outputs predict_sort): $(B)/tests/predicting.o
$(addprefix $(B)/tests/test_,train resume recipes kill cache limits export resume_options progress): $(B)/tests/training.o

# One test program per file; archives last, so that it takes only what it names.
$(B)/tests/test_%: $(B)/tests/test_%.o $(B)/libbench.a $(B)/libtrain.a $(B)/libserve.a $(B)/libcore.a
	$(SAY)$(CC) $(LDFLAGS) $(filter %.o,$^) $(filter %.a,$^) $(TEST_LIBS) $(LDLIBS) -o $@
$(B)/tests/kill_serve: $(B)/tests/kill_serve.o $(B)/libserve.a $(B)/libcore.a | $(B)/rudd-serve
	$(SAY)$(CC) $(LDFLAGS) $^ $(TEST_LIBS) $(LDLIBS) -o $@
# The C side of a parity script.
$(B)/tests/parity/%: $(B)/tests/parity/%.o $(B)/libtrain.a $(B)/libcore.a
	$(SAY)$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@
$(B)/tests/fuzz_%: $(B)/tests/fuzz_%.o $(B)/libtrain.a $(B)/libserve.a $(B)/libcore.a
	$(SAY)$(CC) $(LDFLAGS) -fsanitize=fuzzer $^ $(TEST_LIBS) $(LDLIBS) -o $@

# ---- dependencies ------------------------------------------------------------------------------------------------------------------

# Shell words: the Debian packages of everything missing here.
MISSING = $$(for t in $(TOOLS); do command -v $${t%%:*} >/dev/null || echo $${t\#*:}; done; \
             $(foreach p,$(DEPS_PC) $(TEST_PC),pkg-config --exists $(p) 2>/dev/null || echo $(PACKAGE_$(p));) \
             [ -e /usr/include/stdio.h ] || echo libc6-dev)

have-deps:
	@missing=$(MISSING); [ -z "$$missing" ] || { \
	    echo "rudd: missing Debian packages:" $$missing "(run \`make deps\`)" >&2; exit 1; }

deps: ## installs missing Debian packages (apt-get, as root or by sudo); does nothing when all is there
	@missing=$(MISSING); [ -z "$$missing" ] || { set -e; \
	    missing="$$missing $(foreach p,$(filter-out $(HAVE),$(OPTIONAL)),$(PACKAGE_$(p)))"; \
	    echo "installing" $$missing; sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; $$sudo apt-get update -q -o Acquire::Retries=3; \
	    $$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends $$missing; }

# ---- using and proving -------------------------------------------------------------------------------------------------------------
# Targets that may install packages first then call make again: flags are asked from pkg-config when a Makefile is read. They build with
# every processor, unless told how many jobs to run.
BUILD = +$(MAKE) $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

demo: deps ## the main job: draw the fifteen species, train, evaluate, predict, export; says how to serve
	$(BUILD) all
	B=$(B) ./demo.sh

test: deps ## all tests that need nothing but the packages of `make deps`; ends with `N passed, N failed`
	$(BUILD) run-tests

run-tests: all $(TESTS)
	@tests/run.sh $(B)/log $(sort $(TESTS))

parity: deps ## tests against the real peers (PyTorch, torchvision, timm, Pillow, ONNX Runtime); fetches them into build/peers
	$(BUILD) all $(patsubst %.c,$(B)/%,$(wildcard tests/parity/*.c))
	tests/parity/peers.sh install
	@TEST_JOBS=$(or $(TEST_JOBS),$(shell nproc)) BUILD=$(B) tests/run.sh $(B)/log $(sort $(wildcard tests/parity/parity_*.py))

bench: all ## inference and training times of this machine
	$(B)/rudd-bench infer --arch tf_efficientnetv2_b0 --size 224 --batch 1 --json
	$(B)/rudd-bench infer --arch efficientnet_b4 --size 380 --batch 1 --json
	$(B)/rudd-bench train --arch tf_efficientnetv2_b0 --size 224 --batch 16 --json

peers: deps ## the same work in ONNX Runtime, OpenVINO and PyTorch, side by side, also beside other work; fetches them into build/peers
	$(BUILD) all
	tests/parity/peers.sh install
	tests/parity/peers.sh with $(B)/rudd-bench peers --python /usr/bin/python3

kill-train: deps ## kill -9 at KILLS random moments of training (50; SEED names them), resume: the same run, byte for byte
	$(BUILD) $(B)/tests/test_kill
	$(B)/tests/test_kill $(or $(KILLS),50) $(or $(SEED),$(shell date +%s))

kill-serve: deps ## kill -9 of the server, of its PostgreSQL and of its Redis under load, KILLS times each (20): nothing acknowledged is lost, nothing twice
	$(BUILD) $(B)/tests/kill_serve
	$(B)/tests/kill_serve $(or $(KILLS),20) $(or $(SEED),$(shell date +%s))

check: ## format, layers and the rules of the code
	clang-format --dry-run -Werror $(filter-out build%,$(wildcard */*.[ch] */*/*.[ch]))
	tests/check_layers.sh

# Instrumented code keeps one core busy at best: two programs at a time.
asan: ## the tests under AddressSanitizer and UndefinedBehaviorSanitizer
	$(BUILD) TEST_JOBS=$(or $(TEST_JOBS),2) B=$(B)-asan SAN=address,undefined OPT=-O1 run-tests

ubsan: ## the tests under UndefinedBehaviorSanitizer alone, at full optimisation
	$(BUILD) B=$(B)-ubsan SAN=undefined run-tests

# Libraries that are not instrumented, OpenBLAS' own threads among them, are left out.
tsan: ## the tests under ThreadSanitizer (needs clang)
	$(BUILD) TSAN_OPTIONS="ignore_noninstrumented_modules=1 $(TSAN_OPTIONS)" B=$(B)-tsan CC=clang SAN=thread OPT=-O1 run-tests

fuzz: ## every fuzzer for FUZZ_SECONDS (needs clang); corpora stay under build-fuzz/corpus
	$(BUILD) B=$(B)-fuzz CC=clang SAN=fuzzer-no-link,address,undefined OPT=-O1 run-fuzzers

run-fuzzers: $(FUZZERS)
	@TEST_JOBS=$(or $(TEST_JOBS),$(shell nproc)) FUZZ_SECONDS=$(FUZZ_SECONDS) CORPUS=$(B)/corpus tests/run.sh $(B)/log $(sort $(FUZZERS))

# ---- shipping ----------------------------------------------------------------------------------------------------------------------

# A page for each command: the programs print them from their option tables.
man: $(B)/rudd $(B)/rudd-serve $(B)/rudd-bench ## pages of the manual, into build/man
	@rm -rf $(B)/man && mkdir -p $(B)/man && cd $(B) && set -e; \
	commands() { "$$@" | sed -n 's/\tCOMMAND\t.*//p'; }; page() { ./$$1 --help=man $$2 $$3 > man/$$(echo $$* | tr ' ' -).1; }; \
	page rudd; page rudd-serve; page rudd-bench; \
	for p in rudd rudd-bench; do for c in $$(commands ./$$p --help=words); do page $$p $$c; \
	    for s in $$(commands ./$$p --help=words $$c); do page $$p $$c $$s; done; done; done

# Where things go. A package of Debian has other LIBDIR and UNITDIR (deploy/debian/rules).
LIBDIR     ?= $(PREFIX)/lib
SHARE       = $(PREFIX)/share
SYSCONFDIR ?= $(if $(filter /usr /usr/local,$(PREFIX)),/etc,$(PREFIX)/etc)
UNITDIR    ?= $(PREFIX)/lib/systemd/system
MANUAL      = $(shell echo $(B)/man/*.1)
DOC         = $(SHARE)/doc/rudd
# All that `make install` brings: MODE:TO:FROM, in this order.
SHIPPED = $(foreach p,rudd rudd-serve rudd-bench,755:$(PREFIX)/bin/$(p):$(B)/$(p)) \
    644:$(LIBDIR)/librudd.so.$(VERSION):$(B)/librudd.so link:$(LIBDIR)/librudd.so.0:librudd.so.$(VERSION) \
    link:$(LIBDIR)/librudd.so:librudd.so.0 644:$(LIBDIR)/librudd.a:$(B)/librudd.a \
    644:$(LIBDIR)/pkgconfig/rudd.pc:$(B)/ship/rudd.pc 644:$(PREFIX)/include/rudd.h:nn/rudd.h \
    644:$(SHARE)/rudd/python/rudd.py:bindings/python/rudd.py \
    $(foreach f,$(MANUAL),644:$(SHARE)/man/man1/$(notdir $(f)):$(f)) \
    $(foreach p,rudd rudd-serve rudd-bench,644:$(SHARE)/bash-completion/completions/$(p):train/cli/completion.bash \
        644:$(SHARE)/zsh/site-functions/_$(p):train/cli/completion.zsh 644:$(SHARE)/fish/vendor_completions.d/$(p).fish:train/cli/completion.fish) \
    $(foreach f,LICENSE README.md $(wildcard docs/*),644:$(DOC)/$(f):$(f)) \
    $(foreach f,$(wildcard deploy/*.yml deploy/*.json),644:$(DOC)/examples/$(notdir $(f)):$(f)) \
    644:$(UNITDIR)/rudd-serve.service:$(B)/ship/rudd-serve.service \
    conf:$(SYSCONFDIR)/rudd/rudd-serve.conf:deploy/rudd-serve.conf conf:$(SYSCONFDIR)/logrotate.d/rudd-serve:deploy/rudd-serve.logrotate
INSTALLED = $(DESTDIR)$(SHARE)/rudd/installed

# What is made for the place it goes to.
.PHONY: ship
ship: all man
	@mkdir -p $(B)/ship
	@printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$(LIBDIR)' 'includedir=$${prefix}/include' '' 'Name: rudd' \
	    'Description: image classifiers on CPUs: load, predict' 'Version: $(VERSION)' 'Requires.private: $(LIB_PC)' \
	    'Libs: -L$${libdir} -lrudd' 'Libs.private: $(LIB_LIBS) -pthread' 'Cflags: -I$${includedir}' > $(B)/ship/rudd.pc
	@sed 's|/usr/local/bin|$(PREFIX)/bin|; s| /etc/rudd| $(SYSCONFDIR)/rudd|' deploy/rudd-serve.service > $(B)/ship/rudd-serve.service

install: ship ## into DESTDIR and PREFIX: programs, library, manual, completion, systemd's unit; make uninstall removes them
	@umask 022; mkdir -p $(dir $(INSTALLED)) && : > $(INSTALLED); for f in $(SHIPPED); do \
	    mode=$${f%%:*}; from=$${f##*:}; to=$${f#*:}; to=$${to%:*}; at="$(DESTDIR)$$to"; mkdir -p "$$(dirname "$$at")"; case $$mode in \
	    link) ln -sf "$$from" "$$at" ;; \
	    conf) [ -e "$$at" ] || install -m 644 "$$from" "$$at"; continue ;; \
	    755) install $(STRIP) -m 755 "$$from" "$$at" ;; \
	    *) install -m $$mode "$$from" "$$at" ;; esac || exit 1; echo "$$to" >> $(INSTALLED); done
	@echo "rudd is installed: $$(wc -l < $(INSTALLED)) files below $(DESTDIR)$(PREFIX), their list is $(INSTALLED)"
STRIP ?= -s

uninstall: ## removes what make install brought; configuration stays
	@[ -e $(INSTALLED) ] || { echo "rudd: $(INSTALLED) is not there: nothing to remove; say the PREFIX of make install" >&2; exit 1; }
	@while read -r f; do rm -f "$(DESTDIR)$$f"; done < $(INSTALLED); rm -f $(INSTALLED); \
	    rmdir $(addprefix $(DESTDIR),$(SHARE)/rudd/python $(SHARE)/rudd $(DOC)/docs $(DOC)/examples $(DOC)) 2> /dev/null; true

# The packages rudd, rudd-serve, librudd0 and librudd-dev: deploy/debian, beside a copy of the sources that git knows.
deb: ## packages for this Debian, into build/deb (needs debhelper)
	@command -v dh dpkg-buildpackage > /dev/null || { echo "rudd: debhelper is missing; apt-get install build-essential debhelper" >&2; exit 1; }
	@rm -rf $(B)/deb && mkdir -p $(B)/deb/rudd-$(VERSION)
	@git ls-files -z | xargs -0 cp --parents -t $(B)/deb/rudd-$(VERSION) && cp -r deploy/debian $(B)/deb/rudd-$(VERSION)
	@echo $(COMMIT) > $(B)/deb/rudd-$(VERSION)/.commit
	@cd $(B)/deb/rudd-$(VERSION) && sed -i 's/@BUILD_DEPENDS@/$(BUILD_DEPENDS)/' debian/control && \
	    sed -i 's/@VERSION@/$(VERSION)/; s/@DATE@/$(shell git log -1 --format=%cD)/' debian/changelog && \
	    sed -n 's/^function \(.*\)/ \1@Base $(VERSION)/p' tests/abi.txt | sed '1i librudd.so.0 librudd0 #MINVER#\n* Build-Depends-Package: librudd-dev' > debian/librudd0.symbols
	cd $(B)/deb/rudd-$(VERSION) && env -u MAKEFLAGS -u MAKELEVEL -u B dpkg-buildpackage -us -uc -b
	@ls -l $(B)/deb/*.deb
BUILD_DEPENDS = $(shell echo $(foreach p,$(DEPS_PC) $(TEST_PC) $(OPTIONAL),$(PACKAGE_$(p)),) pkg-config | sed 's/,\? \+/, /g')

clean: ## removes what was built, and the demo
	rm -rf $(B) $(B)-asan $(B)-ubsan $(B)-tsan $(B)-fuzz $(B)-clang demo

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/    make \1 \2/p' Makefile | awk '{ printf "    make %-10s", $$2; $$1 = $$2 = ""; print }'

force:
.PHONY: all have-deps deps demo test run-tests parity bench peers check asan ubsan tsan fuzz run-fuzzers kill-train kill-serve install uninstall deb clean help man force
.SECONDARY:
-include $(wildcard $(B)/*/*.d $(B)/*/*/*.d)
