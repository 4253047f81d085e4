/** fork, vfork, clone, exec, exit: who shares what, who waits for whom, and what is left at the end. */
import { beforeEach, describe, expect, test } from 'vitest';
import { mmOfTask, taskIsAlive, taskOf, vmasOf } from '../../../src/linux/describe.ts';
import type { mm_struct } from '../../../src/linux/mm_types.ts';
import { ENDLESS } from '../../../src/sim/cpu.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import {
  begin,
  bootTest,
  call,
  findings,
  liveObjectCounts,
  settle,
  spawnInit,
  spawnKernelThread,
} from '../driver.ts';

const CLONE_VM = 0x100;
const CLONE_FILES = 0x400;
const CLONE_SIGHAND = 0x800;
const CLONE_THREAD = 0x10000;
const THREAD = CLONE_VM | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
const EINVAL = 22;

const ANON = [0, 0x4000, 3, 0x22, -1, 0] as const;

let m: Machine;
let a: number;

function mm(task: number): mm_struct {
  const found = mmOfTask(m, task);
  if (found === null) throw new Error('no mm');
  return found;
}

beforeEach(() => {
  m = bootTest();
  a = spawnInit(m, 'A');
});

describe('spawnInit', () => {
  test('makes a process with an empty address space and three descriptors', () => {
    expect(vmasOf(mm(a))).toEqual([]);
    expect(mm(a).mm_users).toBe(1);
    expect(mm(a).mm_count).toBe(1);
    expect(mm(a).brk).toBe(mm(a).start_brk);
    expect(call(m, a, 'open', ['/tmp/f', 0])).toBe(3);
  });

  test('can be undone and redone', () => {
    const fork = (): number => call(m, a, 'fork');
    begin(m, a, 'mmap', ANON);
    const before = m.hash();
    m.run(a, ENDLESS, null);
    fork();
    fork();
    const after = m.hash();
    m.seekSlice(0);
    expect(m.hash()).toBe(before);
    expect(m.taskCount()).toBe(1);
    m.seek(m.endStep);
    expect(m.hash()).toBe(after);
    expect(m.taskCount()).toBe(3);
  });
});

describe('fork', () => {
  test('gives the child an address space of its own', () => {
    call(m, a, 'mmap', ANON);
    const b = call(m, a, 'fork');
    expect(taskIsAlive(m, b)).toBe(true);
    expect(mm(b)).not.toBe(mm(a));
    expect(vmasOf(mm(b)).length).toBe(1);
    expect(mm(b).map_count).toBe(1);
    expect(taskOf(m, b)?.pid).toBe(b);
    expect(taskOf(m, b)?.real_parent).toBe(taskOf(m, a));
    expect(findings(m)).toEqual([]);
  });

  test('uses the pid of a recording', () => {
    const b = call(m, a, 'fork', [], { pid: 4711, name: 'child' });
    expect(taskOf(m, b)?.pid).toBe(4711);
    expect(m.names[b]).toBe('child');
  });

  test('leaves nothing behind when the child exits', () => {
    call(m, a, 'mmap', ANON);
    const before = liveObjectCounts(m);
    const b = call(m, a, 'fork');
    expect(call(m, b, 'exit', [0])).toBe(0);
    expect(taskIsAlive(m, b)).toBe(false);
    expect(m.block(b).dead).toBe(1);
    settle(m);
    const rcu = liveObjectCounts(m);
    expect(rcu.task_struct).toBe((before.task_struct ?? 0) + 1); // the kernel task rcu
    expect({ ...rcu, task_struct: 0, signal_struct: 0 }).toEqual({
      ...before,
      task_struct: 0,
      signal_struct: 0,
    });
    expect(findings(m)).toEqual([]);
  });

  test('fails with ENOMEM at any allocation and leaves nothing behind', () => {
    call(m, a, 'mmap', ANON);
    spawnKernelThread(m, 'rcu');
    const before = liveObjectCounts(m);
    let failures = 0;
    for (let nth = 0; nth < 40; nth++) {
      let seen = 0;
      m.setChooser((kind) => (kind === 'fail_alloc' && seen++ === nth ? 1 : 0));
      const result = call(m, a, 'fork');
      m.setChooser(() => 0);
      if (result > 0) {
        call(m, result, 'exit', [0]);
        settle(m);
        expect(liveObjectCounts(m)).toEqual(before);
        break;
      }
      failures++;
      expect(result).toBe(-12);
      settle(m);
      expect(liveObjectCounts(m)).toEqual(before);
    }
    expect(failures).toBeGreaterThan(3);
    expect(findings(m)).toEqual([]);
  });

  test('refuses the flag combinations that copy_process() refuses', () => {
    expect(call(m, a, 'clone', [CLONE_THREAD])).toBe(-EINVAL);
    expect(call(m, a, 'clone', [CLONE_THREAD | CLONE_SIGHAND])).toBe(-EINVAL);
    expect(call(m, a, 'clone', [CLONE_SIGHAND])).toBe(-EINVAL);
    expect(call(m, a, 'clone', [0x20000 | 0x200])).toBe(-EINVAL);
  });
});

describe('vfork', () => {
  test('blocks the parent until the child exits', () => {
    begin(m, a, 'vfork');
    expect(m.run(a, ENDLESS, null)).toBe('blocked');
    const b = m.taskCount();
    expect(taskIsAlive(m, b)).toBe(true);
    expect(mm(b)).toBe(mm(a));
    expect(m.enabled(a)).toBe(false);
    call(m, b, 'mmap', ANON);
    expect(m.enabled(a)).toBe(false);
    call(m, b, 'exit', [0]);
    expect(m.enabled(a)).toBe(true);
    expect(m.run(a, ENDLESS, null)).toBe('done');
    expect(m.block(a).result).toBe(b);
    expect(vmasOf(mm(a)).length).toBe(1);
    expect(mm(a).mm_users).toBe(1);
    expect(findings(m)).toEqual([]);
  });

  test('blocks the parent until the child execs', () => {
    begin(m, a, 'vfork');
    m.run(a, ENDLESS, null);
    const b = m.taskCount();
    expect(call(m, b, 'execve', ['/bin/true'], { image: false })).toBe(0);
    expect(mm(b)).not.toBe(mm(a));
    expect(m.run(a, ENDLESS, null)).toBe('done');
    call(m, b, 'exit', [0]);
    call(m, a, 'exit', [0]);
    settle(m);
    expect(liveObjectCounts(m)).toMatchObject({ task_struct: 1 });
    expect(liveObjectCounts(m).mm_struct).toBeUndefined();
    expect(liveObjectCounts(m).completion).toBeUndefined();
    expect(findings(m)).toEqual([]);
  });
});

describe('threads', () => {
  test('share address space, descriptors and pid of the process', () => {
    const t = call(m, a, 'clone', [THREAD]);
    expect(mm(t)).toBe(mm(a));
    expect(mm(a).mm_users).toBe(2);
    expect(taskOf(m, t)?.tgid).toBe(taskOf(m, a)?.tgid);
    const fd = call(m, t, 'open', ['/tmp/f', 0]);
    expect(call(m, a, 'close', [fd])).toBe(0);
    call(m, t, 'mmap', ANON);
    expect(vmasOf(mm(a)).length).toBe(1);
    call(m, t, 'exit', [0]);
    expect(mm(a).mm_users).toBe(1);
    expect(taskIsAlive(m, a)).toBe(true);
    expect(findings(m)).toEqual([]);
  });

  test('all end with exit_group, idle or not', () => {
    const t = call(m, a, 'clone', [THREAD]);
    const busy = call(m, a, 'clone', [THREAD]);
    begin(m, busy, 'mmap', ANON);
    m.run(busy, 5, null);
    call(m, a, 'exit_group', [0]);
    expect(m.block(t).dead).toBe(1);
    expect(m.block(busy).dead).toBe(0);
    expect(m.run(busy, ENDLESS, null)).toBe('done');
    expect(m.block(busy).dead).toBe(1);
    settle(m);
    expect(liveObjectCounts(m).mm_struct).toBeUndefined();
    expect(liveObjectCounts(m).task_struct).toBe(1);
    expect(findings(m)).toEqual([]);
  });

  test('keep a leader that exits first as a zombie until the last one goes', () => {
    const t = call(m, a, 'clone', [THREAD]);
    call(m, a, 'exit', [0]);
    settle(m);
    expect(taskOf(m, a)?.exit_state).toBe(0x20);
    call(m, t, 'exit', [0]);
    settle(m);
    expect(taskOf(m, a)).toBeNull();
    expect(liveObjectCounts(m).signal_struct).toBe(1);
    expect(findings(m)).toEqual([]);
  });

  test('die when another one execs, which becomes the leader', () => {
    const t = call(m, a, 'clone', [THREAD]);
    const pid = taskOf(m, a)?.pid;
    expect(call(m, t, 'execve', ['/bin/true'], { image: false })).toBe(0);
    expect(m.block(a).dead).toBe(1);
    expect(taskOf(m, t)?.pid).toBe(pid);
    expect(mm(t).mm_users).toBe(1);
    settle(m);
    expect(liveObjectCounts(m).mm_struct).toBe(1);
    expect(findings(m)).toEqual([]);
  });

  test('in the kernel hold up an exec until they have left it', () => {
    const t = call(m, a, 'clone', [THREAD]);
    begin(m, t, 'mmap', ANON);
    m.run(t, 5, null);
    begin(m, a, 'execve', ['/bin/true'], { image: false });
    expect(m.run(a, ENDLESS, null)).toBe('blocked');
    expect(m.run(t, ENDLESS, null)).toBe('done');
    expect(m.block(t).dead).toBe(1);
    expect(m.run(a, ENDLESS, null)).toBe('done');
    expect(m.block(a).result).toBe(0);
    expect(findings(m)).toEqual([]);
  });
});

describe('execve', () => {
  test('installs a small image: text, data, heap, stack', () => {
    call(m, a, 'mmap', ANON);
    expect(call(m, a, 'execve', ['/bin/true', [], []])).toBe(0);
    const vmas = vmasOf(mm(a));
    expect(vmas.length).toBe(4);
    expect(vmas.map((vma) => (vma.vm_end - vma.vm_start) / 4096)).toEqual([4, 1, 33, 33]);
    expect(mm(a).mm_users).toBe(1);
    expect(findings(m)).toEqual([]);
  });

  test('leaves nothing of the old address space', () => {
    call(m, a, 'mmap', ANON);
    call(m, a, 'execve', ['/bin/true']);
    const before = liveObjectCounts(m);
    call(m, a, 'execve', ['/bin/true']);
    expect(liveObjectCounts(m)).toEqual(before);
    call(m, a, 'exit', [0]);
    settle(m);
    const after = liveObjectCounts(m);
    for (const name of ['mm_struct', 'vm_area_struct', 'anon_vma', 'anon_vma_chain', 'file']) {
      expect(after[name], name).toBeUndefined();
    }
    expect(findings(m)).toEqual([]);
  });

  test('closes descriptors opened with O_CLOEXEC', () => {
    expect(call(m, a, 'open', ['/tmp/f', 0o2000000])).toBe(3);
    expect(call(m, a, 'open', ['/tmp/f', 0])).toBe(4);
    call(m, a, 'execve', ['/bin/true'], { image: false });
    expect(call(m, a, 'close', [3])).toBe(-9);
    expect(call(m, a, 'close', [4])).toBe(0);
  });

  test('of a missing or unsuitable file fails and changes nothing', () => {
    const before = mm(a);
    expect(call(m, a, 'execve', ['/nowhere'], { missing: true })).toBe(-2);
    expect(call(m, a, 'execve', ['/dev/zero'])).toBe(-13);
    expect(mm(a)).toBe(before);
  });
});
