# slm: one binary, build/slm. GNU make.
#
#   make                 the program           make test      unit, golden, fault and end-to-end tests
#   make check           test + style, layers, sanitizers, short fuzzing
#   make demo            the main job on real input            make bench     tables, beside a peer
#   make install         PREFIX, DESTDIR, GNU's variables
#   make SAN=address,undefined ...   or   SAN=thread           KERNELS=ref    plain C only
#   make unit MODULES="base store"   unit tests of a part, linked with that part alone

BUILD    ?= build$(if $(SAN),/$(subst $(comma),-,$(SAN)))
KERNELS  ?= all
SAN      ?=
CC       ?= cc
comma    := ,
VERSION  := 0.1.0

PREFIX   ?= /usr/local
bindir   ?= $(PREFIX)/bin
datadir  ?= $(PREFIX)/share
mandir   ?= $(datadir)/man
INSTALL  ?= install

PACKAGES := jansson yaml-0.1 sqlite3 libcurl libpcre2-8 libutf8proc libcrypto
PKG_CFLAGS := $(shell pkg-config --cflags $(PACKAGES))
PKG_LIBS   := $(shell pkg-config --libs $(PACKAGES))

# In the order of the layers (tools/check-layers holds the law).
ALL_MODULES := base tensor text kernel model engine provider match store data judge env eval report open train server cli
MODULES  ?= $(ALL_MODULES)

CFLAGS   ?= -O2 -g
WARN     := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes $(if $(WERROR),-Werror)
# No contraction and no value-changing rewrites: numerics must not depend on the compiler's mood.
SLM_CFLAGS := -std=c11 -D_GNU_SOURCE -Isrc -ffp-contract=off -fno-math-errno -pthread \
              -DSLM_VERSION='"$(VERSION)"' $(WARN) $(PKG_CFLAGS) $(CFLAGS)
SLM_LIBS := $(PKG_LIBS) -lm -pthread
ifneq ($(SAN),)
SLM_CFLAGS += -fsanitize=$(SAN) -fno-omit-frame-pointer $(if $(findstring undefined,$(SAN)),-fno-sanitize-recover=undefined)
SLM_LIBS   += -fsanitize=$(SAN)
endif

ARCH := $(shell $(CC) -dumpmachine | cut -d- -f1)
ifeq ($(KERNELS),ref)
KERNEL_SKIP := src/kernel/cpu/%
SLM_CFLAGS += -DSLM_KERNELS_REF_ONLY
else ifneq ($(ARCH),x86_64)
KERNEL_SKIP := src/kernel/cpu/%
SLM_CFLAGS += -DSLM_KERNELS_REF_ONLY
endif

SOURCES := $(sort $(filter-out $(KERNEL_SKIP),$(foreach m,$(MODULES),$(wildcard src/$(m)/*.c src/$(m)/*/*.c))))
OBJECTS := $(SOURCES:src/%.c=$(BUILD)/obj/%.o)
# cli holds main(): everything else is what tests link with.
LIB_OBJECTS := $(filter-out $(BUILD)/obj/cli/main.o,$(OBJECTS))
UNIT_SOURCES := $(sort $(foreach m,$(MODULES),$(wildcard tests/unit/$(m)/test_*.c))) \
                $(if $(filter kernel,$(MODULES)),$(sort $(wildcard tests/kernel/test_*.c)))
UNIT_TESTS := $(UNIT_SOURCES:tests/%.c=$(BUILD)/tests/%)

.PHONY: all test check unit demo bench fuzz install uninstall clean format style layers check-gpu
all: $(BUILD)/slm

$(BUILD)/slm: $(OBJECTS)
	$(CC) $(CFLAGS) -o $@ $(OBJECTS) $(SLM_LIBS) $(LDFLAGS)

# The instruction sets of the fast paths, by file name; everything else is baseline x86-64.
$(BUILD)/obj/%_avx2.o: ISA := -mavx2 -mfma -mf16c
$(BUILD)/obj/%_avx512.o: ISA := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mavx2 -mf16c
$(BUILD)/obj/%_avx512bf16.o: ISA := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512bf16 -mfma -mavx2 -mf16c

$(BUILD)/obj/%.o: src/%.c
	@mkdir -p $(@D)
	$(CC) $(SLM_CFLAGS) $(ISA) -MMD -MP -c -o $@ $<

$(BUILD)/libslm.a: $(LIB_OBJECTS)
	@rm -f $@
	ar rcs $@ $(LIB_OBJECTS)

$(BUILD)/tests/%: tests/%.c $(BUILD)/libslm.a
	@mkdir -p $(@D)
	$(CC) $(SLM_CFLAGS) -Itests -MMD -MP -o $@ $< $(BUILD)/libslm.a $(SLM_LIBS) -lcmocka $(LDFLAGS)

# Runs every unit test program; fails if any failed. SLM_TEST_DATA is where tests find their files.
unit: $(UNIT_TESTS)
	@tools/run-tests $(UNIT_TESTS)

clean:
	rm -rf build

-include $(OBJECTS:.o=.d) $(UNIT_TESTS:=.d)
