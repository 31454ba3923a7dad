/* A plugin of qemu 7.2: counts the instructions that a program executes. For scripts/check-arm64.
   The declarations are those of qemu-plugin.h, which Debian does not ship. */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>

struct block;
extern size_t qemu_plugin_tb_n_insns(const struct block *block);
extern void qemu_plugin_register_vcpu_tb_trans_cb(uint64_t id, void (*call)(uint64_t, struct block *));
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct block *block, int add, void *to, uint64_t number);
extern void qemu_plugin_register_atexit_cb(uint64_t id, void (*call)(uint64_t, void *), void *data);

int qemu_plugin_version = 1;
static uint64_t count;

static void translated(uint64_t id, struct block *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_inline(block, 0, &count, qemu_plugin_tb_n_insns(block));
}

static void ended(uint64_t id, void *data)
{
    (void)id;
    (void)data;
    fprintf(stderr, "instructions: %" PRIu64 "\n", count);
}

int qemu_plugin_install(uint64_t id, const void *qemu, int arguments, char **values)
{
    (void)qemu;
    (void)arguments;
    (void)values;
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, ended, NULL);
    return 0;
}
