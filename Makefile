# Build, test, measure and ship rudd. `make help` lists the targets.
#
# Every .c of a layer folder goes into librudd.a (kernels nn weights data) or beside a binary (train serve bench); a tests/test_*.c is
# one test program. Files named *_avx2.c and *_avx512.c get their instruction set from their suffix; all else is built for the
# baseline, so that one binary runs on any x86-64 and picks its kernels at start.
#
# Variables: CC (gcc or clang), B (build folder), SAN (e.g. address,undefined), OPT (-O3).

CC      ?= gcc
B       ?= build
OPT     ?= -O3
DEPS_PC := openblas libjpeg libpng zlib jansson libmicrohttpd
TEST_PC := cmocka

WARN    := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror
CFLAGS  += -std=c11 -D_DEFAULT_SOURCE -D_FILE_OFFSET_BITS=64 $(OPT) -g -fPIC -pthread $(WARN) -I. $(if $(SAN),-fsanitize=$(SAN) -fno-omit-frame-pointer)
LDFLAGS += -pthread $(if $(SAN),-fsanitize=$(SAN))
PC_CFLAGS := $(shell pkg-config --cflags $(DEPS_PC) $(TEST_PC) 2>/dev/null)
LDLIBS  += $(shell pkg-config --libs $(DEPS_PC) 2>/dev/null) -fopenmp -lm
CFLAGS  += $(PC_CFLAGS)

LIB_SRC   := $(wildcard kernels/*.c nn/*.c weights/*.c data/*.c)
TRAIN_SRC := $(wildcard train/*.c)
SERVE_SRC := $(wildcard serve/*.c)
BENCH_SRC := $(wildcard bench/*.c)
TEST_SRC  := $(wildcard tests/test_*.c)
obj        = $(patsubst %.c,$(B)/%.o,$(1))

all: $(B)/rudd $(B)/rudd-serve $(B)/rudd-bench $(B)/librudd.a $(B)/librudd.so

$(B)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(EXTRA) -MMD -MP -c $< -o $@
$(B)/kernels/%.o: EXTRA = -fopenmp
$(B)/kernels/%_avx2.o: EXTRA = -fopenmp -mavx2 -mfma -ffp-contract=fast
$(B)/kernels/%_avx512.o: EXTRA = -fopenmp -mavx2 -mfma -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512 -ffp-contract=fast

$(B)/librudd.a: $(call obj,$(LIB_SRC))
	rm -f $@ && $(AR) rcs $@ $^
$(B)/librudd.so: $(call obj,$(LIB_SRC))
	$(CC) -shared $(LDFLAGS) $^ $(LDLIBS) -o $@
$(B)/libtrain.a: $(call obj,$(filter-out train/main.c,$(TRAIN_SRC)))
	rm -f $@ && $(AR) rcs $@ $^
$(B)/libserve.a: $(call obj,$(filter-out serve/main.c,$(SERVE_SRC)))
	rm -f $@ && $(AR) rcs $@ $^
$(B)/rudd: $(B)/train/main.o $(B)/libtrain.a $(B)/librudd.a
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@
$(B)/rudd-serve: $(B)/serve/main.o $(B)/libserve.a $(B)/librudd.a
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@
$(B)/rudd-bench: $(call obj,$(BENCH_SRC)) $(B)/libtrain.a $(B)/libserve.a $(B)/librudd.a
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -o $@

# One test program per file; archives last, so that it takes only what it names.
$(B)/tests/test_%: $(B)/tests/test_%.o $(B)/libtrain.a $(B)/libserve.a $(B)/librudd.a
	$(CC) $(LDFLAGS) $^ $(LDLIBS) $$(pkg-config --libs $(TEST_PC)) -o $@

clean:
	rm -rf $(B)

.PHONY: all clean
.SECONDARY:
-include $(shell find $(B) -name '*.d' 2>/dev/null)
