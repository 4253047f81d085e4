/**
 * init/main.c, as far as memory management needs it: builds a machine with its page frames, the zero
 * page, swap and the global variables, and makes the first tasks. Fidelity: custom.
 */
import { assert } from '../base/assert.ts';
import { Machine } from '../sim/machine.ts';
import { taskBlock } from '../sim/task.ts';
import { textId, textOf } from '../sim/text.ts';
import { alloc_files, fd_install } from './fs/file.ts';
import { alloc_file_pseudo } from './fs/file_table.ts';
import { FS_NO_MMAP, O_RDWR } from './fs/fs.ts';
import { alloc_inode, linkInode, lookupInode } from './fs/inode.ts';
import { alloc_signal } from './kernel/fork.ts';
import { arch_pick_mmap_layout, mm_init } from './kernel/mm_users.ts';
import { PF_KTHREAD } from './kernel/sched.ts';
import { type kernel, memory_manager } from './kernel.ts';
import { INIT_LIST_HEAD } from './lib/list.ts';
import { DEFAULT_MAX_MAP_COUNT } from './mm/mm.ts';
import { mem_init } from './mm/page_alloc.ts';
import { enableSwap } from './mm/swapfile.ts';
import { vmaGlobals } from './mm/util.ts';
import {
  type inode,
  mm_cachep,
  process_globals_cachep,
  type task_struct,
  task_struct_cachep,
} from './mm_types.ts';
import { ROOT_PROCESS, setRoot } from './roots.ts';

export interface BootOptions {
  readonly kernel: kernel;
  /** Page frames of physical memory, frame 0 (the zero page) included. */
  readonly memoryPages: number;
  /** Slots of the swap area; 0 = no swap. */
  readonly swapPages: number;
  /** vm.max_map_count; default 65530. */
  readonly maxMapCount?: number;
  /** The swap area is on a disk: what is written there stays in the swap cache for another pass; default: a ramdisk. */
  readonly swapOnDisk?: boolean;
  /** Keep a journal (time travel); default true. */
  readonly recording?: boolean;
  /** Journal entries kept, a power of two. */
  readonly historyEntries?: number;
}

function boot(options: BootOptions): void {
  const globals = process_globals_cachep.alloc();
  setRoot(ROOT_PROCESS, globals);
  INIT_LIST_HEAD(globals.mmlist);
  INIT_LIST_HEAD(globals.shmem_swaplist);
  mem_init();
  vmaGlobals().max_map_count = options.maxMapCount ?? DEFAULT_MAX_MAP_COUNT;
  if (options.swapPages > 0) {
    enableSwap(options.swapPages, options.swapOnDisk === true);
  }
  // What descriptors 0, 1 and 2 of the first process refer to.
  const terminal = alloc_inode(TERMINAL, FS_NO_MMAP, 0);
  linkInode(terminal);
  terminal.i_count = 0;
}

const TERMINAL = '/dev/pts/0';

/** Boots a machine; it has no tasks yet. */
export function bootMachine(options: BootOptions): Machine {
  return new Machine({
    frames: options.memoryPages,
    kernel: options.kernel,
    start: options.kernel.startOperation,
    boot: () => boot(options),
    ...(options.recording === undefined ? {} : { recording: options.recording }),
    ...(options.historyEntries === undefined ? {} : { historyEntries: options.historyEntries }),
  });
}

export interface InitOptions {
  /** Where the heap begins; default: where a small program without ASLR has it. */
  readonly brk?: number;
  /** Where mmap() begins to search downwards; default: arch_pick_mmap_layout(). */
  readonly mmapBase?: number;
  /** Pid that a recording dictates; default: the number of the task. */
  readonly pid?: number;
}

/** Heap of a position-independent program without ASLR. */
export const DEFAULT_BRK = 0x555555559000;

function newTask(machine: Machine, name: string, pid?: number): task_struct {
  const id = machine.spawn(name);
  const tsk = task_struct_cachep.alloc();
  tsk.comm = textId(name);
  tsk.sim_id = id;
  tsk.pid = pid ?? id;
  tsk.tgid = tsk.pid;
  tsk.group_leader = tsk;
  tsk.signal = alloc_signal();
  tsk.rcu_users = 2;
  tsk.usage = 1;
  taskBlock(id).context = tsk;
  return tsk;
}

/**
 * Makes a process that nobody forked: an empty address space (no image, no stack) and descriptors 0 to
 * 2 on a terminal. Returns the number of its task. Part of history, like any task's birth.
 */
export function spawnInit(machine: Machine, name: string, options: InitOptions = {}): number {
  machine.activate();
  const tsk = newTask(machine, name, options.pid);
  const mm = mm_init(mm_cachep.alloc(), null);
  arch_pick_mmap_layout(mm);
  mm.mmap_base = options.mmapBase ?? mm.mmap_base;
  mm.start_brk = options.brk ?? DEFAULT_BRK;
  mm.brk = mm.start_brk;
  mm.owner = tsk.comm;
  memory_manager().mm_alloc?.(mm);
  tsk.mm = mm;
  tsk.active_mm = mm;
  const files = alloc_files();
  tsk.files = files;
  const terminal = findTerminal();
  for (let fd = 0; fd < 3; fd++) {
    terminal.i_count = terminal.i_count + 1;
    fd_install(files, fd, alloc_file_pseudo(terminal, O_RDWR), 0);
  }
  return tsk.sim_id;
}

function findTerminal(): inode {
  const inode = lookupInode(TERMINAL);
  assert(inode !== null, 'boot made the terminal');
  inode.i_count = inode.i_count - 1;
  return inode;
}

/** Makes the kernel task `name` (kswapd, kcompactd, rcu, …) or finds it. Returns the number of its task. */
export function spawnKernelThread(machine: Machine, name: string): number {
  machine.activate();
  for (let id = 1; id <= machine.taskCount(); id++) {
    const tsk = taskBlock(id).context as task_struct | null;
    if (tsk !== null && (tsk.flags & PF_KTHREAD) !== 0 && textOf(tsk.comm) === name) {
      return id;
    }
  }
  const tsk = newTask(machine, name);
  tsk.flags = PF_KTHREAD;
  return tsk.sim_id;
}
