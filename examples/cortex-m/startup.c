// What there is before main: the vectors, memory made ready, and semihosting, by which qemu prints and ends.
#include <stdint.h>
#include <stdio.h>
#include <string.h>

extern uint32_t data_load[], data_begin[], data_end[], bss_begin[], bss_end[], stack_begin[], stack_end[];
int main(void);

static int host(int operation, const void *argument) {
    register int r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xAB" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

__attribute__((noreturn)) void _exit(int code) {
    const uint32_t block[2] = {0x20026, (uint32_t)code};  // ADP_Stopped_ApplicationExit
    for (;;) host(0x20, block);
}

int _write(int file, const char *text, int n) {  // newlib's printf
    (void)file;
    for (int i = 0; i < n; i++) host(0x03, &text[i]);
    return n;
}

void fault(void) {
    _write(1, "fault\n", 6);
    _exit(99);
}

__attribute__((noreturn)) void reset(void) {
    *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20;  // the FPU may be used
    __asm__ volatile("dsb\n isb");
    memcpy(data_begin, data_load, (size_t)((char *)data_end - (char *)data_begin));
    memset(bss_begin, 0, (size_t)((char *)bss_end - (char *)bss_begin));
    for (volatile uint32_t *p = stack_begin; (uintptr_t)p < (uintptr_t)__builtin_frame_address(0) - 64; p++) *p = 0x57AC57AC;
    setvbuf(stdout, NULL, _IOLBF, 256);  // no line is lost, however the program ends
    _exit(main());
}

__attribute__((section(".vectors"), used)) static void (*const vectors[])(void) = {
    (void (*)(void))(uintptr_t)stack_end, (void (*)(void))reset, fault, fault, fault, fault, fault, 0, 0, 0, 0, fault, fault, 0, fault, fault};

int stack_used(void) {
    const uint32_t *p = stack_begin;
    while (p < stack_end && *p == 0x57AC57AC) p++;
    return (int)((const char *)stack_end - (const char *)p);
}
