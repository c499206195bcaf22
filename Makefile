# peft.h: `make help` lists the targets. Needs a C compiler and make, nothing else.
CC ?= cc
CFLAGS ?= -O2
PEFT_SHARED ?= ../shared
STD = -std=c11 -Wall -Wextra
LIBS = -DPEFT_USE_PTHREADS -pthread -lm
TESTS := $(patsubst tests/test_%.c,build/test_%,$(wildcard tests/test_*.c))
MPICC := $(shell command -v mpicc)
PROGRAMS := $(filter-out $(if $(MPICC),,build/data_parallel),$(patsubst examples/%.c,build/%,$(wildcard examples/*.c)))
$(shell mkdir -p build)

all: build/peft examples

help:
	@echo "make           the command line tool build/peft and the examples"
	@echo "make demo      fine-tune a small model on dialogue summaries, before and after (2 minutes)"
	@echo "make test      all tests"
	@echo "make bench     speed, as JSON lines"
	@echo "make four-bits what weights in few bits cost and save: the tables of the README (15 minutes)"
	@echo "make book      peft.h as HTML pages, in build/book: names are links, comments stand beside the code"
	@echo "make golden    comparison with the reference cases in PEFT_SHARED"
	@echo "make peers     comparison with today's Hugging Face libraries, both ways (installs them under build/peers with pip)"
	@echo "make model     makes the project's own model anew (half an hour to hours); the result is in build/model/out"
	@echo "make models    the same in three sizes, for peft compare: build/models/small, medium and large (EXAMPLES=2000: a trial)"
	@echo "make wasm      own_network for WebAssembly (needs emcc): build/own_network.js, to be run by node or a page"
	@echo "make web       a page that fine-tunes in the browser (needs emcc): static files in build/web; make test-web drives it"
	@echo "make cortex-m  fine-tunes on a microcontroller without an operating system (needs arm-none-eabi-gcc and qemu-system-arm)"
	@echo "make install   peft.h, build/peft, peft.pc and a CMake package to PREFIX (/usr/local)"
	@echo "make clean     remove build/"

examples: $(PROGRAMS)

# The header is compiled twice for all programs: to build/peft.o, for those that use nothing but its interface (PEFT_IMPLEMENTED
# says that the implementation is elsewhere), and to build/open.o for tests that look inside: there its functions are not static,
# and build/open/peft.h declares them (tests/open.awk makes both; its kernels of bf16 and of bytes run on every machine with AVX-512, by
# emulation where that lacks the instruction). What remains
# compiles the header itself: test_files and test_threads put other functions into it, and so do the tool and some of tools/.
ALONE := build/test_files build/test_threads build/peft $(patsubst %.c,build/%,$(notdir $(shell grep -lE "peft__" tools/*.c examples/*.c)))
OPEN := $(filter-out $(ALONE),$(patsubst tests/%.c,build/%,$(shell grep -lE "peft__|tools/(scores|benchmarks)" tests/*.c)))
LINKED = $(if $(filter $@,$(ALONE)),,-DPEFT_IMPLEMENTED $(if $(filter $@,$(OPEN)),build/open.o,build/peft.o))
EMULATE := $(if $(shell grep -sm1 avx512_bf16 /proc/cpuinfo),,-DPEFT__EMULATE_BF16)
EMULATE += $(if $(shell grep -sm1 avx512_vnni /proc/cpuinfo),,-DPEFT__EMULATE_VNNI)
COMPILE = $(CC) $(STD) $(CFLAGS) $(if $(filter $@,$(OPEN)),-Ibuild/open) -I. -o $@ $< $(LINKED) $(LIBS)

build/peft.o: peft.h
	$(CC) $(STD) $(CFLAGS) -DPEFT_IMPLEMENTATION -DPEFT_USE_PTHREADS -x c -c -o $@ $<
build/open.c build/open/peft.h: peft.h tests/open.awk
	@mkdir -p build/open
	awk $(if $(filter %.h,$@),-v declare=1) -f tests/open.awk peft.h > $@
build/open.o: build/open.c
	$(CC) $(STD) $(CFLAGS) $(EMULATE) -DPEFT_IMPLEMENTATION -DPEFT_USE_PTHREADS -c -o $@ $<
$(OPEN): build/open.o build/open/peft.h
$(filter-out $(OPEN) $(ALONE),$(TESTS) $(PROGRAMS)): build/peft.o

build/%: tests/%.c $(wildcard tests/*.h) tools/scores.h tools/benchmarks.h peft.h
	$(COMPILE)
build/%: tools/%.c peft.h $(wildcard tools/*.h)
	$(COMPILE)
build/%: examples/%.c peft.h
	$(COMPILE)
build/data_parallel: examples/data_parallel.c peft.h  # of the examples only where there is an mpicc
	$(COMPILE:$(CC)%=$(MPICC)%)
build/picture: tools/report.h
build/make_data build/picture: build/%: tools/%.c  # these two are about no model
	$(CC) $(STD) $(CFLAGS) -o $@ $< -lm

test: $(TESTS) $(PROGRAMS) build/golden build/peft build/make_data build/picture
	@PEFT_SHARED=$(PEFT_SHARED) sh tests/run.sh $(TESTS)

# The demonstration: data from the generator (three splits, and old tasks), the model that comes with the project.
MODEL = examples/model
DEMO = build/demo/train.jsonl build/demo/validation.jsonl build/demo/test.jsonl \
    build/demo/old.train.jsonl build/demo/old.test.jsonl build/demo/names.txt
build/demo/old.%.jsonl: build/make_data
	@mkdir -p build/demo
	@for task in form entity arithmetic copy; do \
	    build/make_data $$task $(if $(filter train,$*),150,30) 2 --split $* || exit 1; done > $@
build/demo/%.jsonl: build/make_data
	@mkdir -p build/demo
	@build/make_data dialogsum $(if $(filter train,$*),1200,120) 1 --split $* > $@
build/demo/names.txt: build/make_data
	@mkdir -p build/demo
	@build/make_data --lists > $@

build/demo_run: tools/demo.c tools/cli.h tools/report.h build/peft.o
	$(CC) $(STD) $(CFLAGS) -I. -o $@ $< -DPEFT_IMPLEMENTED build/peft.o $(LIBS)

demo: $(DEMO)  # first what it is about: peft.h takes a while to compile
	@echo "What is to be learned, one of 1,200 examples:"; echo
	@printf '%b\n\n' "$$(sed -n '1s/^{"dialogue":"\(.*\)","summary":"\(.*\)"}$$/\1\\n\\n  in short: \2/p' build/demo/train.jsonl)"
	@$(MAKE) --no-print-directory build/demo_run
	@build/demo_run $(MODEL) build/demo

four-bits: build/peft demo
	sh tools/four_bits.sh

bench: build/bench
	build/bench

build/book_pages: tools/book.c  # build/book is the folder of its pages
	$(CC) $(STD) $(CFLAGS) -o $@ $<

book: build/book_pages
	@mkdir -p build/book
	build/book_pages peft.h build/book

golden: build/golden
	build/golden $(PEFT_SHARED)/golden/*

build/peers/%: tests/peers/%.c peft.h
	@mkdir -p build/peers
	$(CC) $(STD) $(CFLAGS) -I. -o $@ $< $(LIBS)

peers: build/golden build/peft build/peers/write_adapters build/peers/encode_texts build/peers/render_templates
	@sh tests/peers/run.sh

build/set_positions: build/peft.o
MAKES_MODELS = build/peft build/make_data build/train_tokenizer build/set_positions
model: $(MAKES_MODELS)
	sh tools/make_model.sh build/model/out
models: $(MAKES_MODELS)
	for size in small medium large; do SIZE=$$size sh tools/make_model.sh build/models/$$size || exit 1; done

# WebAssembly. clang 14 (emscripten 3.1.6) makes wrong code of the portable product when it pairs up scalars by itself: not that.
# Debian's emcc finds its JavaScript packages through NODE_PATH; in one file, the module is not fetched, which node cannot.
export NODE_PATH ?= /usr/share/nodejs
EMCC = emcc -std=c11 -O2 -msimd128 -fno-slp-vectorize -I. -sALLOW_MEMORY_GROWTH
wasm: build/own_network.js
build/own_network.js: examples/own_network.c peft.h
	$(EMCC) -sSINGLE_FILE -o $@ $<

# The page that fine-tunes, as static files for any web server: python3 -m http.server -d build/web
# Where the server sends Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp, it takes the module with threads.
web: build/web/peft.js build/web/threads.js build/make_data
	cp examples/web/index.html examples/web/page.js examples/web/worker.js build/web/
	mkdir -p build/web/model && cp $(MODEL)/*.json $(MODEL)/*.model $(MODEL)/*.safetensors build/web/model/ 2> /dev/null || true
	cd build/web/model && ls > ../model.txt
	build/make_data dialogsum 200 1 --split train > build/web/dialogues.jsonl
build/web/threads.js: THREADS = -pthread -DPEFT_USE_PTHREADS -sPTHREAD_POOL_SIZE=Module.threads -Wno-pthreads-mem-growth
build/web/peft.js build/web/threads.js: examples/web/web.c peft.h
	@mkdir -p build/web
	$(EMCC) -sENVIRONMENT=worker -sFORCE_FILESYSTEM -sEXPORTED_RUNTIME_METHODS=ccall,FS $(THREADS) -o $@ $<
build/web_native: examples/web/web.c peft.h
	$(CC) $(STD) $(CFLAGS) -DPEFT_NO_SIMD -I. -o $@ $< -lm
test-web: web build/web_native build/peft
	node tests/web.js

# Bare metal: a small Llama is trained here, put into flash, and adapted on a Cortex-M4 that qemu plays.
CORTEX = arm-none-eabi-gcc -std=c11 -Os -mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16 -ffunction-sections -fdata-sections
QEMU_CORTEX = qemu-system-arm -M mps2-an386 -display none -monitor none -serial none -semihosting-config enable=on,target=native
build/cortex-m/model/model.safetensors: build/peft examples/cortex-m/config.json
	@mkdir -p build/cortex-m/init
	cp examples/cortex-m/config.json tests/data/chat/tokenizer.json tests/data/chat/tokenizer_config.json build/cortex-m/init/
	awk 'BEGIN { split("stop go wait look turn run sit up", a, " "); split("red green amber off blue white dark on", c, " "); \
	    for (i = 0; i < 1600; i++) printf "{\"prompt\": \"%s?\", \"completion\": \"%s\"}\n", c[1 + i % 8], a[1 + int(i / 8) % 8] }' > build/cortex-m/words.jsonl
	build/peft train build/cortex-m/init --init --method full --data build/cortex-m/words.jsonl --epochs 1 --batch 16 --lr 3e-3 --seed 1 --samples 0 \
	    --type bf16 --out build/cortex-m/model --force
build/cortex-m/main.elf: examples/cortex-m/main.c examples/cortex-m/startup.c examples/cortex-m/data.S examples/cortex-m/mps2-an386.ld \
    examples/own_network.c peft.h build/cortex-m/model/model.safetensors
	$(CORTEX) -Wall -Wextra -Werror=frame-larger-than=4096 -I. -Ibuild/cortex-m/model -T examples/cortex-m/mps2-an386.ld -nostartfiles -Wl,--gc-sections,--no-warn-execstack \
	    --specs=nano.specs --specs=nosys.specs -u _printf_float -o $@ $(filter %.c %.S,$(filter-out %own_network.c,$^)) -lm
build/cortex-m/native: examples/cortex-m/main.c examples/cortex-m/data.S examples/own_network.c peft.h build/cortex-m/model/model.safetensors
	$(CC) $(STD) $(CFLAGS) -I. -Ibuild/cortex-m/model -o $@ examples/cortex-m/main.c examples/cortex-m/data.S -lm
cortex-m: build/cortex-m/main.elf build/cortex-m/native
	@sh examples/cortex-m/run.sh "$(QEMU_CORTEX)"

PREFIX ?= /usr/local
VERSION := $(shell sed -n 's/^.define PEFT_VERSION "\(.*\)"/\1/p' peft.h)
install: build/peft
	install -d $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/lib/cmake/peft
	install -m 644 peft.h $(DESTDIR)$(PREFIX)/include/
	install -m 755 build/peft $(DESTDIR)$(PREFIX)/bin/
	install -m 644 tools/peft-config.cmake $(DESTDIR)$(PREFIX)/lib/cmake/peft/
	printf 'set(PACKAGE_VERSION $(VERSION))\nif(NOT PACKAGE_FIND_VERSION VERSION_GREATER PACKAGE_VERSION)\n  set(PACKAGE_VERSION_COMPATIBLE TRUE)\nendif()\n' \
	    > $(DESTDIR)$(PREFIX)/lib/cmake/peft/peft-config-version.cmake
	printf 'prefix=$(PREFIX)\nName: peft\nDescription: Fine-tuning of language models on CPUs, as one C header\nVersion: $(VERSION)\n\
	Cflags: -I$${prefix}/include -DPEFT_USE_PTHREADS -pthread\nLibs: -pthread -lm\n' > $(DESTDIR)$(PREFIX)/lib/pkgconfig/peft.pc

clean:
	rm -rf build

.SECONDARY:
.DELETE_ON_ERROR:
.PHONY: all help examples demo four-bits test bench book golden peers model models wasm web test-web cortex-m install clean
