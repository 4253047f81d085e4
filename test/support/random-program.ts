/**
 * Random programs on the real kernel: processes that map, touch, fork and exit in one small arena, so
 * that VMAs split and merge and pages are shared all the time. Deterministic by seed.
 */
import { Prng } from '../../src/base/prng.ts';
import { spawnInit, spawnKernelThread } from '../../src/linux/boot.ts';
import type { kernel } from '../../src/linux/kernel.ts';
import { ENDLESS } from '../../src/sim/cpu.ts';
import type { Machine, Operation } from '../../src/sim/machine.ts';
import { AIMED, hugeOperation, pageOfBlock } from './huge-operations.ts';

const PAGE = 4096;
const MADV_WILLNEED = 3;
const MADV_COLD = 20;
const MADV_PAGEOUT = 21;
/** Pages of a huge page. */
const HUGE = 512;
const ARENA = 0x10_0000_0000;
const FIXED_DROPPABLE = 0x38;
const FIXED_STACK = 0x132;
const FIXED_PRIVATE_ANON = 0x32;
const FIXED_SHARED_ANON = 0x31;
const FIXED_PRIVATE = 0x12;
const FIXED_SHARED = 0x11;
const mappings = [FIXED_PRIVATE_ANON, FIXED_PRIVATE_ANON, FIXED_PRIVATE_ANON, FIXED_SHARED_ANON];
const protections = [0, 1, 3, 3, 3, 3];
const MADV_MERGEABLE = 12;
const MADV_HUGEPAGE = 14;
/** UNMERGEABLE, DONTNEED, FREE, COLD, PAGEOUT, NOHUGEPAGE, COLLAPSE. */
const hugeAdvice = [13, 4, 8, 20, 21, 15, 25];
const ksmSettings = [
  ['run', 2],
  ['use_zero_pages', 1],
  ['use_zero_pages', 0],
  ['max_page_sharing', 2],
] as const;
const advice = [0, 1, 2, 4, 4, 4, 8, 10, 11, 12, 12, 12, 13, 102, 103];

export interface ProgramOptions {
  readonly arenaPages?: number;
  readonly processes?: number;
  /** Leave out what cannot run as one operation from start to end: vfork waits for its child. */
  readonly uninterrupted?: boolean;
  /** Advice given to madvise(), instead of every kind there is. */
  readonly advice?: readonly number[];
  /** Use much memory: large mappings and stores, background reclaim. */
  readonly pressure?: boolean;
  /** Huge pages, and KSM over them. */
  readonly huge?: boolean;
  /** Huge pages, advised, collapsed, split, pinned and swapped out (huge-operations.ts). */
  readonly thp?: boolean;
}

export class RandomProgram {
  readonly machine: Machine;
  readonly prng: Prng;
  readonly #pages: number;
  readonly #processes: number;
  readonly #uninterrupted: boolean;
  readonly #pressure: boolean;
  readonly #advice: readonly number[];
  readonly #huge: boolean;
  readonly #thp: boolean;
  /** Tasks that can be given an operation. */
  alive: number[];
  readonly #kernelThread: number;
  /** Of one task, to be done first. */
  #queue: Operation[] = [];
  #queuer = 0;
  /** Every result, in order. */
  readonly results: number[] = [];

  constructor(machine: Machine, seed: number, options: ProgramOptions = {}) {
    this.machine = machine;
    this.prng = new Prng(seed);
    this.#huge = options.huge === true;
    this.#thp = options.thp === true;
    this.#pages = options.arenaPages ?? (this.#huge || this.#thp ? 4 * HUGE : 24);
    this.#processes = options.processes ?? 6;
    this.#uninterrupted = options.uninterrupted === true;
    this.#pressure = options.pressure === true;
    this.#advice = options.advice ?? advice;
    this.alive = [spawnInit(machine, 'init')];
    this.#kernelThread = spawnKernelThread(machine, 'kcompactd');
    this.#do(1, 'open', ['/tmp/file', 0x42], { size: 16 * PAGE });
    if (this.#thp) {
      this.#do(1, 'mmap', [ARENA, this.#pages * PAGE, 3, FIXED_PRIVATE_ANON, -1, 0]);
      this.#do(1, 'madvise', [ARENA, this.#pages * PAGE, MADV_HUGEPAGE]);
      this.#do(1, 'store', [ARENA, 1]);
    }
    if (this.#pressure) {
      this.#do(1, 'mmap', [ARENA, this.#pages * PAGE, 3, FIXED_PRIVATE_ANON, -1, 0]);
      this.#do(1, 'store', [ARENA, 1, (this.#pages / 2) * PAGE]);
    }
  }

  /** Some page; of huge pages mostly one of a few in each, so that operations meet. */
  #page(): number {
    if (this.#thp && this.prng.below(8) > 0) return pageOfBlock(this.prng, ARENA, this.#pages);
    return ARENA + this.prng.below(this.#pages) * PAGE;
  }

  #length(most: number): number {
    return PAGE * (1 + this.prng.below(most));
  }

  /** Operations on huge pages, whole and in parts, whose contents repeat. */
  #hugeOperation(of: (name: string, ...args: unknown[]) => { task: number; operation: Operation }) {
    const { prng } = this;
    const block = ARENA + prng.below(this.#pages / HUGE) * HUGE * PAGE;
    // Near the start of a block, so that operations meet; or anywhere.
    const at = block + prng.below(prng.below(3) === 0 ? HUGE : 8) * PAGE;
    const length = prng.below(3) === 0 ? HUGE * PAGE : this.#length(prng.pick([4, 4, 200]));
    const dice = prng.below(100);
    if (dice < 14) {
      const made = of('mmap', block, HUGE * PAGE, 3, FIXED_PRIVATE_ANON, -1, 0);
      const rest = [
        of('madvise', block, HUGE * PAGE, MADV_HUGEPAGE),
        of('store', at, 3, this.#length(2)),
        of('store', block + prng.below(8) * PAGE, 3, PAGE),
        of('madvise', prng.pick([block, block, at]), HUGE * PAGE, MADV_MERGEABLE),
      ];
      this.#queue = rest.map(({ operation }) => operation);
      this.#queuer = made.task;
      return made;
    }
    if (dice < 34) return of('madvise', prng.pick([block, at]), length, MADV_MERGEABLE);
    if (dice < 38) return of('madvise', at, length, prng.pick(hugeAdvice));
    if (dice < 64) return of('store', at, prng.pick([3, 3, 3, 6, 9]), this.#length(3));
    if (dice < 68) return of('load', at);
    if (dice < 71) return of('munmap', at, length);
    if (dice < 74) return of('mprotect', at, length, prng.pick(protections));
    if (dice < 77) return of('mremap', at, length, length, 3, ARENA + prng.below(4) * HUGE * PAGE);
    if (dice < 80) {
      const [name, value] = prng.pick(ksmSettings);
      return { ...of('ksm_set', name, value), task: this.#kernelThread };
    }
    return { ...of('ksm_scan', 1 + prng.below(2)), task: this.#kernelThread };
  }

  /** The next operation of some process, or of a kernel task for it. */
  next(): { task: number; operation: Operation } {
    const { prng } = this;
    const queued = this.alive.includes(this.#queuer) ? this.#queue.shift() : undefined;
    if (queued !== undefined) return { task: this.#queuer, operation: queued };
    const task = prng.pick(this.alive);
    const of = (name: string, ...args: unknown[]) => ({
      task,
      operation: { name, args, text: `${name}(${args.join(', ')})`, line: 0 },
    });
    const kernel = (name: string) => ({
      ...of(name, task, this.#page()),
      task: this.#kernelThread,
    });
    if (this.#thp && prng.below(4) > 0) {
      const { word, args } = hugeOperation(prng, task, ARENA, this.#pages);
      const isAimed = AIMED.includes(word);
      if (word !== 'fork' || this.alive.length < this.#processes) {
        return { ...of(word, ...args), task: isAimed ? this.#kernelThread : task };
      }
    }
    const rare = prng.below(40);
    if (rare === 0) return { ...of('pin', task, this.#page(), prng.pick([0, 1, 1, 0x100])) };
    if (rare === 1) return kernel('pin');
    if (rare < 4) return kernel('unpin');
    if (rare === 7) {
      const flags = prng.pick([FIXED_DROPPABLE, FIXED_STACK, FIXED_STACK]);
      return of('mmap', this.#page(), this.#length(3), 3, flags, -1, 0);
    }
    if (rare === 8) {
      // The file of descriptor 3 gets a hole, or shorter and as long as it was again.
      const from = prng.below(8) * PAGE;
      return prng.below(3) > 0
        ? of('punch', 3, from, this.#length(4))
        : of('ftruncate', 3, prng.pick([from, 16 * PAGE, 16 * PAGE]));
    }
    if (rare === 5)
      return of('remap_file_pages', this.#page(), this.#length(4), 0, prng.below(8), 0);
    if (rare === 6) {
      const ranges = [0, 1].map(() => [this.#page(), this.#length(4)]);
      const advice = prng.pick([...this.#advice, MADV_COLD, MADV_PAGEOUT, MADV_WILLNEED]);
      return of('process_madvise', prng.pick(this.alive), ranges, 2, advice, 0);
    }
    if (this.#pressure) {
      const hunger = prng.below(100);
      if (hunger < 20) return of('store', this.#page(), prng.below(256), this.#length(120));
      if (hunger < 30)
        return of('mmap', this.#page(), this.#length(200), 3, prng.pick(mappings), -1, 0);
      if (hunger < 38) return { ...of('kswapd', 4), task: this.#kernelThread };
      if (hunger < 40) return { ...of('compact'), task: this.#kernelThread };
    }
    if (rare === 4 && !this.#pressure && prng.below(8) === 0)
      return { ...of('swapoff'), task: this.#kernelThread };
    if (this.#huge && prng.below(3) > 0) return this.#hugeOperation(of);
    const dice = prng.below(100);
    if (dice < 28) return of('store', this.#page(), prng.below(8) * 3, this.#length(2));
    if (dice < 30) return { ...of('ksm_scan', 1 + prng.below(3)), task: this.#kernelThread };
    if (dice < 42) return of('load', this.#page());
    if (dice < 50) return of('mmap', this.#page(), this.#length(6), 3, FIXED_PRIVATE_ANON, -1, 0);
    if (dice < 52) return of('mmap', this.#page(), this.#length(4), 3, FIXED_SHARED_ANON, -1, 0);
    if (dice < 56) {
      const flags = prng.below(2) === 0 ? FIXED_PRIVATE : FIXED_SHARED;
      return of('mmap', this.#page(), this.#length(4), 3, flags, 3, prng.below(8) * PAGE);
    }
    if (dice < 62) return of('munmap', this.#page(), this.#length(3));
    if (dice < 70) return of('mprotect', this.#page(), this.#length(4), prng.pick(protections));
    if (dice < 75) {
      const move = prng.below(2) === 0;
      const size = this.#length(3);
      return move
        ? of('mremap', this.#page(), size, size, 3, this.#page())
        : of('mremap', this.#page(), this.#length(3), this.#length(4), 1, 0);
    }
    if (dice < 80) return of('madvise', this.#page(), this.#length(4), prng.pick(this.#advice));
    if (dice < 83) return kernel('reclaim');
    if (dice < 85) return kernel('referenced');
    if (dice < 89) return kernel('migrate');
    if (dice < 90) return { ...of('settle'), task: this.#kernelThread };
    if (dice < 95 && this.alive.length < this.#processes) {
      return of(!this.#uninterrupted && prng.below(5) === 0 ? 'vfork' : 'fork');
    }
    const child = this.alive.findLast((id) => id !== 1);
    if (child !== undefined && prng.below(2) === 0) return { ...of('exit_group', 0), task: child };
    return of('brk', 0x20_0000_0000 + this.#length(8));
  }

  #do(
    task: number,
    name: string,
    args: readonly unknown[],
    options?: Record<string, unknown>,
  ): void {
    const operation = { name, args, text: name, line: 0, ...(options ? { options } : {}) };
    this.run(task, operation, () => ENDLESS);
  }

  /** Runs one operation, and whatever it wakes, each to its end or until it waits for another process. */
  run(task: number, operation: Operation, fuel: () => number): void {
    const { machine } = this;
    const before = machine.taskCount();
    machine.begin(task, operation);
    for (let at = task; at !== 0; ) {
      const end = machine.run(at, fuel(), null);
      if (end === 'done') this.results.push(machine.block(at).result);
      // A vfork in flight may have been ended by what just ran.
      if (machine.block(at).op === 0 || !machine.enabled(at)) at = this.#runnable();
    }
    for (let id = before + 1; id <= machine.taskCount(); id++) this.alive.push(id);
    this.alive = this.alive.filter((id) => machine.block(id).dead === 0);
  }

  #runnable(): number {
    const { machine } = this;
    for (let id = 1; id <= machine.taskCount(); id++) if (machine.enabled(id)) return id;
    return 0;
  }

  /** One more random operation. Returns its text. */
  step(fuel: () => number = () => ENDLESS): string {
    let { task, operation } = this.next();
    const { missing } = (this.machine.config.kernel as kernel).mm;
    while (this.machine.block(task).op !== 0 || missing[operation.name] !== undefined) {
      ({ task, operation } = this.next());
    }
    this.run(task, operation, fuel);
    return `${this.machine.names[task] ?? task}: ${operation.text}`;
  }
}
