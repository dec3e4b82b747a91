# slm: one binary, build/slm. GNU make.
#
#   make                 the program           make test      unit, golden, fault and end-to-end tests
#   make check           style, layers, sanitizers, plain C kernels, short fuzzing
#   make demo            the main job on real input            make bench     this machine's speed
#   make install         PREFIX, DESTDIR, GNU's variables      make format    clang-format in place
#   make SAN=address,undefined ...   or   SAN=thread           KERNELS=ref    plain C only
#   make unit MODULES="base store"   unit tests of a part, linked with that part alone
#   make fuzz FUZZ_SECONDS=60        every fuzzer that long    make test-real tests on real weights

comma    := ,
SAN      ?=
KERNELS  ?= all
BUILD    ?= build$(if $(SAN),/$(if $(findstring thread,$(SAN)),tsan,asan))
CC       ?= cc
VERSION  := 0.1.0

PREFIX   ?= /usr/local
exec_prefix ?= $(PREFIX)
bindir   ?= $(exec_prefix)/bin
datarootdir ?= $(PREFIX)/share
datadir  ?= $(datarootdir)
mandir   ?= $(datarootdir)/man
docdir   ?= $(datarootdir)/doc/slm
INSTALL  ?= install
INSTALL_PROGRAM ?= $(INSTALL) -m 755
INSTALL_DATA ?= $(INSTALL) -m 644

PACKAGES := jansson yaml-0.1 sqlite3 libcurl libpcre2-8 libutf8proc libcrypto libzip libxml-2.0
PKG_CFLAGS := $(shell pkg-config --cflags $(PACKAGES))
PKG_LIBS   := $(shell pkg-config --libs $(PACKAGES))

# In the order of the layers (tools/check-layers holds the law).
ALL_MODULES := base tensor text kernel model engine provider match store data judge env eval report open train server cli
MODULES  ?= $(ALL_MODULES)

CFLAGS   ?= -O2 -g
WARN     ?= -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes $(if $(WERROR),-Werror)
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
                $(if $(filter kernel,$(MODULES)),$(sort $(wildcard tests/kernel/test_*.c))) \
                $(if $(filter $(words $(ALL_MODULES)),$(words $(MODULES))),$(sort $(wildcard tests/golden/test_*.c tests/fault/test_*.c)))
UNIT_TESTS := $(UNIT_SOURCES:tests/%.c=$(BUILD)/tests/%)
E2E_TESTS  := $(sort $(wildcard tests/e2e/test_*))
FUZZERS    := $(patsubst tests/fuzz/%.c,%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))

JOBS     ?= 1
TALLY    ?=
RUN_TESTS = tools/run-tests --jobs $(JOBS) $(if $(TALLY),--tally $(TALLY))

# Short lines, unless V=1.
say = $(if $(V),,@echo "  $(1)  $(2)";)

.PHONY: all test test-real unit e2e check style layers asan tsan ref fuzz fuzzers bench demo format \
        install uninstall clean print-cflags
.DELETE_ON_ERROR:
all: $(BUILD)/slm

$(BUILD)/slm: $(OBJECTS) $(BUILD)/parts
	$(call say,LD,$@)$(CC) $(CFLAGS) -o $@ $(OBJECTS) $(SLM_LIBS) $(LDFLAGS)

# Objects are made again when the flags change: `make`, then `make KERNELS=ref`, is no mixture.
FLAGS := $(CC) $(SLM_CFLAGS) KERNELS=$(KERNELS)
ifneq ($(file < $(BUILD)/flags),$(FLAGS))
$(shell mkdir -p $(BUILD))
$(file > $(BUILD)/flags,$(FLAGS))
endif
# And the program and the library when their parts do: `make unit MODULES=base`, then `make`.
ifneq ($(file < $(BUILD)/parts),$(SOURCES))
$(shell mkdir -p $(BUILD))
$(file > $(BUILD)/parts,$(SOURCES))
endif

# The instruction sets of the fast paths, by file name; everything else is baseline x86-64.
$(BUILD)/obj/%_avx2.o: ISA := -mavx2 -mfma -mf16c
$(BUILD)/obj/%_avx512.o: ISA := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mavx2 -mf16c
$(BUILD)/obj/%_avx512bf16.o: ISA := -mavx512f -mavx512bw -mavx512vl -mavx512dq -mavx512bf16 -mfma -mavx2 -mf16c

$(BUILD)/obj/%.o: src/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(SLM_CFLAGS) $(ISA) -MMD -MP -c -o $@ $<

$(BUILD)/libslm.a: $(LIB_OBJECTS) $(BUILD)/parts
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $(LIB_OBJECTS)

$(BUILD)/tests/%: tests/%.c $(BUILD)/libslm.a
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(SLM_CFLAGS) -Itests -MMD -MP -MF $@.d -o $@ $< $(BUILD)/libslm.a $(SLM_LIBS) -lcmocka $(LDFLAGS)

# ---- tests ----------------------------------------------------------------------------------------

# ThreadSanitizer wants a fixed address layout where the kernel allows to ask for one.
WRAP := $(if $(findstring thread,$(SAN)),$(shell setarch $$(uname -m) -R true 2>/dev/null && echo setarch $$(uname -m) -R))
export TSAN_OPTIONS ?= halt_on_error=1 second_deadlock_stack=1
export UBSAN_OPTIONS ?= print_stacktrace=1

# Unit test programs of MODULES; the last line is 'N passed, N failed'.
unit: $(UNIT_TESTS)
	@$(RUN_TESTS) $(if $(WRAP),--wrap "$(WRAP)") $(UNIT_TESTS)

e2e: $(BUILD)/slm
	@SLM=$(abspath $(BUILD)/slm) $(RUN_TESTS) $(E2E_TESTS)

test: $(BUILD)/slm $(UNIT_TESTS)
	@SLM=$(abspath $(BUILD)/slm) $(RUN_TESTS) $(UNIT_TESTS) $(E2E_TESTS)

# With SmolLM2's real weights, which tools/fetch-smollm2 puts into the user's cache folder.
test-real: $(BUILD)/slm
	@SLM=$(abspath $(BUILD)/slm) $(RUN_TESTS) tests/e2e/real_model

# ---- checks: style, layers, sanitizers, plain C, fuzzing ------------------------------------------

# What ThreadSanitizer has to look at: the pool, and everything that is called on it.
THREADED := base tensor text kernel model engine provider match store data judge env eval
FUZZ_SECONDS ?= 60

# Each part runs, whatever the one before it said.
check:
	@status=0; for part in style layers asan tsan ref fuzz; do \
	    echo "== $$part"; $(MAKE) --no-print-directory $$part || status=1; done; exit $$status

style:
	@$(RUN_TESTS) "tools/check-style --self-test" tools/check-style

layers:
	@$(RUN_TESTS) "tools/check-layers --self-test" tools/check-layers

# -O1: the sanitizers' own advice.
asan:
	@$(MAKE) --no-print-directory SAN=address,undefined BUILD=build/asan CFLAGS="-O1 -g" test

tsan:
	@$(MAKE) --no-print-directory SAN=thread BUILD=build/tsan CFLAGS="-O1 -g" MODULES="$(THREADED)" unit

ref:
	@$(MAKE) --no-print-directory KERNELS=ref BUILD=build/ref unit

# libFuzzer, in a build of its own by clang, without the fast kernels: none of them reads what is
# fuzzed, and clang takes minutes over them here. A finding stays in build/fuzz/found.
FUZZ_CC ?= $(firstword $(foreach c,clang-14 clang,$(if $(shell command -v $(c)),$(c))))
fuzz:
	@$(if $(FUZZ_CC),,echo "make fuzz wants clang: tools/install-deps check" >&2; exit 1)
	@$(MAKE) --no-print-directory BUILD=build/fuzz CC=$(FUZZ_CC) KERNELS=ref WARN= \
	    CFLAGS="-O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined" fuzzers
	@$(RUN_TESTS) $(foreach f,$(FUZZERS),"tools/run-fuzzer build/fuzz/$(f) $(FUZZ_SECONDS)")

fuzzers: $(FUZZERS:%=$(BUILD)/%)
$(BUILD)/fuzz_%: tests/fuzz/fuzz_%.c $(BUILD)/libslm.a
	$(call say,CC,$<)$(CC) $(SLM_CFLAGS) -Itests -fsanitize=fuzzer -MMD -MP -MF $@.d -o $@ $< $(BUILD)/libslm.a $(SLM_LIBS)

format:
	clang-format -i $(shell git ls-files -co --exclude-standard '*.c' '*.h')

print-cflags:
	@echo "$(subst ",\",$(SLM_CFLAGS))"

# ---- the main job, and speed ----------------------------------------------------------------------

demo: $(BUILD)/slm
	@SLM=$(abspath $(BUILD)/slm) tools/run-demo

# Programs over single parts (bench/bench_*.c), then slm itself on real weights.
BENCHES := $(patsubst %.c,$(BUILD)/%,$(sort $(wildcard bench/bench_*.c)))
bench: $(BUILD)/slm $(BENCHES)
	@set -e; for program in $(BENCHES); do echo "== $${program##*/}"; $$program; done
	@echo "== slm"; SLM=$(abspath $(BUILD)/slm) bench/run
$(BUILD)/bench/%: bench/%.c $(BUILD)/libslm.a
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(SLM_CFLAGS) -MMD -MP -MF $@.d -o $@ $< $(BUILD)/libslm.a $(SLM_LIBS) $(LDFLAGS)

# ---- install --------------------------------------------------------------------------------------

DOCUMENTS := $(BUILD)/slm.1 $(BUILD)/slm.bash $(BUILD)/_slm
$(BUILD)/slm.1: $(BUILD)/slm
	$(BUILD)/slm man > $@
$(BUILD)/slm.bash: $(BUILD)/slm
	$(BUILD)/slm completion bash > $@
$(BUILD)/_slm: $(BUILD)/slm
	$(BUILD)/slm completion zsh > $@

CASE_FILES   := $(wildcard data/*/*.jsonl)
RECIPE_FILES := $(wildcard recipes/*.yaml)

install: $(BUILD)/slm $(DOCUMENTS)
	$(INSTALL) -d $(DESTDIR)$(bindir) $(DESTDIR)$(mandir)/man1 $(DESTDIR)$(docdir) \
	    $(DESTDIR)$(datadir)/bash-completion/completions $(DESTDIR)$(datadir)/zsh/site-functions
	$(INSTALL_PROGRAM) $(BUILD)/slm $(DESTDIR)$(bindir)/slm
	$(INSTALL_DATA) $(BUILD)/slm.1 $(DESTDIR)$(mandir)/man1/slm.1
	$(INSTALL_DATA) $(BUILD)/slm.bash $(DESTDIR)$(datadir)/bash-completion/completions/slm
	$(INSTALL_DATA) $(BUILD)/_slm $(DESTDIR)$(datadir)/zsh/site-functions/_slm
	$(INSTALL_DATA) $(wildcard LICENSE README.md CHANGELOG.md) $(DESTDIR)$(docdir)
	@set -e; for file in $(CASE_FILES) $(RECIPE_FILES); do \
	    target=$(DESTDIR)$(datadir)/slm/$$file; \
	    $(INSTALL) -d "$${target%/*}"; $(INSTALL_DATA) "$$file" "$$target"; done

uninstall:
	rm -f $(DESTDIR)$(bindir)/slm $(DESTDIR)$(mandir)/man1/slm.1 \
	    $(DESTDIR)$(datadir)/bash-completion/completions/slm $(DESTDIR)$(datadir)/zsh/site-functions/_slm
	rm -rf $(DESTDIR)$(datadir)/slm $(DESTDIR)$(docdir)

clean:
	rm -rf build

-include $(OBJECTS:.o=.d) $(UNIT_TESTS:=.d) $(FUZZERS:%=$(BUILD)/%.d) $(BENCHES:=.d)
