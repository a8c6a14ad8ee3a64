/* A plugin of qemu's user emulation that counts instructions.

   Each getppid of the program, which does nothing else, is a mark: a line with the instructions and the system
   calls before it. The declarations are those of qemu's plugin interface that this file needs; PLUGIN_API is the
   version of it that the qemu at hand loads. Instructions of a block count when it is entered. */

#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define EXPORT __attribute__((visibility("default")))
#define NO_REGISTERS 0
#define GETPPID 64 /* of Linux on 32-bit Arm */

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_info;
typedef void on_translation(plugin_id, struct qemu_plugin_tb *);
typedef void on_execution(unsigned cpu, void *data);
typedef void on_system_call(plugin_id, unsigned cpu, int64_t number, uint64_t, uint64_t, uint64_t, uint64_t,
                            uint64_t, uint64_t, uint64_t, uint64_t);

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, on_translation *);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, on_execution *, int flags, void *data);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id, on_system_call *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
void qemu_plugin_outs(const char *);

EXPORT int qemu_plugin_version = PLUGIN_API;

static uint64_t instructions, system_calls;

static void executed(unsigned cpu, void *count)
{
    instructions += (uintptr_t)count;
}

static void translated(plugin_id id, struct qemu_plugin_tb *block)
{
    void *count = (void *)(uintptr_t)qemu_plugin_tb_n_insns(block);
    qemu_plugin_register_vcpu_tb_exec_cb(block, executed, NO_REGISTERS, count);
}

static void called(plugin_id id, unsigned cpu, int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                   uint64_t e, uint64_t f, uint64_t g, uint64_t h)
{
    char line[64];

    if (number != GETPPID) {
        system_calls++;
        return;
    }
    snprintf(line, sizeof line, "%" PRIu64 " %" PRIu64 "\n", instructions, system_calls);
    qemu_plugin_outs(line);
}

EXPORT int qemu_plugin_install(plugin_id id, const struct qemu_info *info, int argc, char **argv)
{
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
