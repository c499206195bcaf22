// build/golden on a Cortex-M4 without an operating system: what there is before main, files of the machine that runs qemu by semihosting
// (newlib's rdimon), and the command line from there. tests/portability.sh builds and runs it.
#include <stdint.h>
#include <stdio.h>
#include <string.h>

extern uint32_t data_load[], data_begin[], data_end[], bss_begin[], bss_end[], stack_end[];
int golden(int argc, char **argv);
void initialise_monitor_handles(void);
void _exit(int code);
int rmdir(const char *path);

static int host(int operation, const void *argument) {
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

// What newlib does without.
int rmdir(const char *path) { return (void)path, -1; }
int rename(const char *from, const char *to) {
    const struct { const char *from; size_t from_size; const char *to; size_t to_size; } block = {from, strlen(from), to, strlen(to)};
    return host(0x0F, &block) ? -1 : 0;
}

static void fault(void) {
    host(0x04, "fault\n");
    _exit(99);
}

void reset(void);
void reset(void) {
    static char line[4000], *argv[64];
    const struct { char *text; int size; } block = {line, sizeof line};
    int argc = 0;
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20;  // the FPU may be used
    __asm__ volatile("dsb\n isb");
    memcpy(data_begin, data_load, (size_t)((char *)data_end - (char *)data_begin));
    memset(bss_begin, 0, (size_t)((char *)bss_end - (char *)bss_begin));
    initialise_monitor_handles();
    if (host(0x15, &block)) _exit(98);  // SYS_GET_CMDLINE
    for (char *word = strtok(line, " "); word && argc < 63; word = strtok(NULL, " ")) argv[argc++] = word;
    int code = golden(argc, argv);
    fflush(stdout);
    _exit(code);
}

__attribute__((section(".vectors"), used)) static void (*const vectors[])(void) = {
    (void (*)(void))(uintptr_t)stack_end, reset, fault, fault, fault, fault, fault, 0, 0, 0, 0, fault, fault, 0, fault, fault};
