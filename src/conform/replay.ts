/**
 * Runs a program of the recording format: makes the world that its header describes (an arena in an
 * otherwise full address space, files in the page cache) and turns each of its operations into
 * operations of the machine.
 */
import { assert } from '../base/assert.ts';
import { bootMachine, spawnInit, spawnKernelThread } from '../linux/boot.ts';
import { fileAt } from '../linux/fs/file.ts';
import { O_RDONLY, O_RDWR } from '../linux/fs/fs.ts';
import type { kernel } from '../linux/kernel.ts';
import { selectKernel } from '../linux/kernels.ts';
import {
  MAP_FIXED,
  MAP_NORESERVE,
  MAP_SHARED,
  MLOCK_ONFAULT,
  PAGE_SIZE,
  PROT_NONE,
  TASK_SIZE,
} from '../linux/mm/mm.ts';
import { readPage } from '../linux/mm/page_cache.ts';
import { PG_dirty } from '../linux/mm/page-flags.ts';
import { folio_put } from '../linux/mm/swap.ts';
import type { address_space, inode, task_struct } from '../linux/mm_types.ts';
import { constantValue, exactOr } from '../scenario/constants.ts';
import { errnoName } from '../scenario/errno.ts';
import { cpu, ENDLESS } from '../sim/cpu.ts';
import { eventAt, eventLog } from '../sim/event.ts';
import type { Machine, Operation } from '../sim/machine.ts';
import { taskBlock } from '../sim/task.ts';
import type { State } from './format.ts';
import {
  type Fields,
  inputNumber,
  listField,
  numberField,
  RecordingError,
  textField,
} from './json.ts';
import type { Header, Result } from './program.ts';
import { StateReader } from './state.ts';

/** The operation needs something that is not simulated. */
export class Unsupported extends Error {
  override readonly name = 'Unsupported';
}

/** The simulated kernel failed: an oops, a failed assertion, an operation that waits for ever. */
export class KernelFailed extends Error {
  override readonly name = 'KernelFailed';
}

/** 128 MiB: twice the arena. */
const MEMORY_PAGES = 32768;
/** 64 MiB. */
const SWAP_PAGES = 16384;
/** Below it mmap() refuses to go. */
const LOWEST = 0x10000;
const INIT = 'P0';
const PR_SET_MEMORY_MERGE = 67;

/** Readahead of the disk that recordings are made on: 8 MiB (read_ahead_kb 8192). */
const RECORDED_RA_PAGES = 2048;

/** Descriptors that the recorder has its files on; an operation may name one by number. */
const descriptors: Readonly<Record<string, number>> = { f0: 4, m0: 5, filler: 6, r0: 7 };
/** The file mapped everywhere outside the arena. */
const FILLER = 'filler';
/** Opened read-only: which file. */
const readOnly: Readonly<Record<string, string>> = { r0: 'f0' };

// ---------------------------------------------------------------- words of an operation

const orZero = (op: Fields, name: string): number =>
  op[name] === undefined || op[name] === null ? 0 : numberField(op, name);

/** Value of a flag: `private`, `anon`, `0x8000000`. */
function flagValue(prefix: string, word: unknown): number {
  const name = word === 'anon' ? 'ANONYMOUS' : String(word).toUpperCase();
  return constantValue(`${prefix}_${name}`) ?? inputNumber(word, 'a flag');
}

function flags(op: Fields, prefix: string): number {
  const value = op.flags ?? [];
  if (typeof value === 'number') return value;
  if (typeof value === 'string') return flagValue(prefix, value);
  return listField(op, 'flags').reduce<number>(
    (sum, word) => exactOr(sum, flagValue(prefix, word)),
    0,
  );
}

const protLetters: Readonly<Record<string, number>> = { r: 1, w: 2, x: 4, '-': 0 };

/** `rw`, `-`, `0x3000000`. */
function protection(op: Fields): number {
  const value = op.prot;
  if (typeof value !== 'string' || value.startsWith('0x')) return inputNumber(value, 'prot');
  let prot = 0;
  for (const letter of value) {
    const bit = protLetters[letter];
    if (bit === undefined) throw new RecordingError(`prot has an unknown letter: ${value}`);
    prot |= bit;
  }
  return prot;
}

function advice(op: Fields): number {
  const name = textField(op, 'adv');
  return constantValue(`MADV_${name.toUpperCase()}`) ?? inputNumber(name, 'adv');
}

function descriptor(op: Fields): number {
  const { fd } = op;
  if (fd === undefined || fd === null) return -1;
  return typeof fd === 'string' && fd in descriptors
    ? (descriptors[fd] as number)
    : inputNumber(fd, 'fd');
}

const signals: Readonly<Record<number, string>> = { 7: 'BUS', 11: 'SEGV' };
const signalCodes: Readonly<Record<string, string>> = {
  'SEGV 1': 'MAPERR',
  'SEGV 2': 'ACCERR',
  'BUS 2': 'ADRERR',
};

const hex = (value: number): string => `0x${value.toString(16)}`;

const isError = (value: number): boolean => value < 0 && value > -4096;

function plainResult(value: number): Result {
  return isError(value) ? { err: errnoName(-value) } : { ret: value };
}

function addressResult(value: number): Result {
  return isError(value) ? { err: errnoName(-value) } : { ret: hex(value) };
}

// ---------------------------------------------------------------- the run

function checkWorld({ arena, brk, files }: Header): void {
  const [from, to] = arena;
  const inside = from > LOWEST && from < to && to < TASK_SIZE && brk >= from && brk < to;
  if (!inside || [from, to, brk].some((address) => address % PAGE_SIZE !== 0)) {
    throw new RecordingError('the arena and the break in it must be page-aligned user addresses');
  }
  const pages = files.reduce((sum, file) => sum + file.pages, 0);
  if (pages > MEMORY_PAGES / 2) throw new RecordingError(`files of ${pages} pages are too large`);
}

export interface ReplayOptions {
  readonly kernel?: kernel;
  /** Told of each operation of the machine before it begins. */
  readonly onCall?: (task: number, operation: Operation) => void;
}

/** A program being run. */
export class Replay {
  readonly machine: Machine;
  readonly #onCall: ReplayOptions['onCall'];
  readonly #reader: StateReader;
  /** Task of each living process, by slot. */
  readonly #tasks = new Map<number, number>();
  readonly #rcu: number;
  readonly #ksmd: number;

  /** Throws RecordingError for a world that there cannot be. */
  constructor(header: Header, options: ReplayOptions = {}) {
    checkWorld(header);
    eventLog.on = true;
    this.#onCall = options.onCall;
    this.machine = bootMachine({
      kernel: options.kernel ?? selectKernel('v6.18'),
      memoryPages: MEMORY_PAGES,
      swapPages: header.swap ? SWAP_PAGES : 0,
      swapOnDisk: true,
      recording: false,
    });
    const [from, to] = header.arena;
    const task = spawnInit(this.machine, INIT, { brk: header.brk });
    this.#rcu = spawnKernelThread(this.machine, 'rcu');
    this.#ksmd = spawnKernelThread(this.machine, 'ksmd');
    this.#tasks.set(0, task);
    const named = this.#openFiles(task, header);
    const filler = this.#open(task, FILLER, FILLER, 'tmpfs', 1);
    this.#barricade(task, LOWEST, from, filler);
    this.#barricade(task, to, TASK_SIZE, filler);
    this.#reader = new StateReader(this.machine, header.arena, named);
  }

  /** Opens the files and fills their page cache. Returns their names. */
  #openFiles(task: number, header: Header): Map<address_space, string> {
    const names = new Map<address_space, string>();
    for (const { name, kind, pages } of header.files) {
      const fd = this.#open(task, name, name, kind, pages);
      const mapping = this.#mappingOf(task, fd);
      names.set(mapping, name);
      const inode = mapping.host as inode;
      inode.i_fill = 1;
      inode.i_ra_pages = RECORDED_RA_PAGES;
      for (let index = 0; index < pages; index++) {
        const folio = readPage(mapping, index);
        assert(folio !== null, 'the files fit into memory');
        // Nobody ever wrote a page of tmpfs back.
        if (kind === 'tmpfs') folio.flags = folio.flags | PG_dirty;
        folio_put(folio);
      }
    }
    for (const [name, path] of Object.entries(readOnly)) {
      if (header.files.some((file) => file.name === path)) this.#open(task, name, path, 'file', 0);
    }
    return names;
  }

  #open(task: number, name: string, path: string, kind: string, pages: number): number {
    const mode = name in readOnly ? O_RDONLY : O_RDWR;
    const fd = descriptors[name];
    const options = { kind, size: pages * PAGE_SIZE, ...(fd === undefined ? {} : { fd }) };
    return this.#call(task, 'open', [path, mode], options);
  }

  #mappingOf(task: number, fd: number): address_space {
    const { files } = taskBlock(task).context as task_struct;
    const mapping = files === null ? null : (fileAt(files, fd)?.f_mapping ?? null);
    assert(mapping !== null, 'an open file has an address_space');
    return mapping;
  }

  /**
   * Fills a range of addresses with a file of one page, so that nothing is ever placed there or merges with it.
   * A program may reach over the end of the arena; what it finds there is as in the recorder.
   */
  #barricade(task: number, from: number, to: number, fd: number): void {
    const how = MAP_SHARED | MAP_FIXED | MAP_NORESERVE;
    const at = this.#call(task, 'mmap', [from, to - from, PROT_NONE, how, fd, 0]);
    assert(at === from, 'the world outside the arena is occupied');
  }

  /** Runs an operation of the machine to its end. */
  #call(
    task: number,
    name: string,
    args: readonly unknown[] = [],
    options?: Readonly<Record<string, unknown>>,
  ): number {
    const machine = this.machine;
    const text = `${name}(${args.join(', ')})`;
    const operation = {
      name,
      args,
      text,
      line: 0,
      ...(options === undefined ? {} : { options }),
    };
    this.#onCall?.(task, operation);
    machine.begin(task, operation);
    const end = machine.run(task, ENDLESS, null);
    const findings = machine.findings();
    if (end !== 'done' || findings.length > 0) {
      const told = findings.map((finding) => `${finding.kind}: ${finding.text}`);
      throw new KernelFailed([...told, ...(end === 'done' ? [] : [`${text} ${end}`])].join('; '));
    }
    return machine.block(task).result;
  }

  /**
   * Runs one operation of the program. Throws Unsupported for what is not simulated, KernelFailed when
   * the kernel breaks down, RecordingError for what is no operation.
   */
  run(op: Fields): Result {
    const result = this.#operation(op);
    // The recorder looks when RCU callbacks have run and LRU batches are drained.
    this.#call(this.#rcu, 'settle');
    return result;
  }

  /** The state now. */
  state(): State {
    return this.#reader.read(this.#tasks);
  }

  #taskOf(op: Fields): number {
    const slot = orZero(op, 'p');
    const task = this.#tasks.get(slot);
    if (task === undefined) throw new RecordingError(`there is no process ${slot}`);
    return task;
  }

  #operation(op: Fields): Result {
    const name = textField(op, 'op');
    const range = (): number[] => [numberField(op, 'addr'), numberField(op, 'len')];
    const call = (what: string, args: readonly unknown[]): number =>
      this.#call(this.#taskOf(op), what, args);
    switch (name) {
      case 'mmap': {
        const place = [orZero(op, 'addr'), numberField(op, 'len'), protection(op)];
        const file = [flags(op, 'MAP'), descriptor(op), orZero(op, 'off')];
        return addressResult(call('mmap', [...place, ...file]));
      }
      case 'munmap':
      case 'munlock':
        return plainResult(call(name, range()));
      case 'mseal':
        return plainResult(call(name, [...range(), 0]));
      case 'mprotect':
        return plainResult(call(name, [...range(), protection(op)]));
      case 'mremap': {
        const where = [numberField(op, 'new_len'), flags(op, 'MREMAP'), orZero(op, 'new_addr')];
        return addressResult(call(name, [...range(), ...where]));
      }
      case 'madvise':
        return plainResult(call(name, [...range(), advice(op)]));
      case 'mlock':
        if (op.flags === undefined) return plainResult(call(name, range()));
        return plainResult(call('mlock2', [...range(), mlockFlags(op)]));
      case 'msync':
        return plainResult(call(name, [...range(), flags(op, 'MS')]));
      case 'brk':
        return addressResult(call(name, [numberField(op, 'addr')]));
      case 'load':
        return this.#load(op);
      case 'store':
        return this.#store(op);
      case 'fork':
        return this.#fork(op);
      case 'exit':
        call(name, [0]);
        this.#tasks.delete(orZero(op, 'p'));
        return { ret: 0 };
      case 'ftruncate':
        return plainResult(call(name, [descriptor(op), numberField(op, 'len')]));
      case 'punch': {
        const what = [descriptor(op), orZero(op, 'off'), numberField(op, 'len')];
        return plainResult(call(name, what));
      }
      case 'settle':
      case 'nop':
        return { ret: 0 };
      case 'ksm':
        return plainResult(this.#call(this.#ksmd, 'ksm_scan', [numberField(op, 'passes')]));
      case 'ksm_set':
        return plainResult(this.#call(this.#ksmd, 'ksm_set', [op.name, numberField(op, 'value')]));
      case 'prctl_merge':
        return plainResult(call('prctl', [PR_SET_MEMORY_MERGE, numberField(op, 'on')]));
      default:
        throw new Unsupported(`${name}: no such operation here`);
    }
  }

  #fork(op: Fields): Result {
    const child = numberField(op, 'child');
    if (this.#tasks.has(child)) throw new RecordingError(`process ${child} exists already`);
    const task = this.#call(this.#taskOf(op), 'fork', [], { name: `P${child}` });
    if (isError(task)) return plainResult(task);
    this.#tasks.set(child, task);
    return { child };
  }

  /** Accesses the first byte of each of n pages; tells the page that faulted. */
  #access(op: Fields, one: (address: number) => number): Result | null {
    const from = numberField(op, 'addr');
    const count = op.n === undefined ? 1 : numberField(op, 'n');
    for (let n = 0; n < count; n++) {
      const events = cpu.event_count;
      if (one(from + n * PAGE_SIZE) < 0) return { ...lastSignal(events), n };
    }
    return null;
  }

  #load(op: Fields): Result {
    const task = this.#taskOf(op);
    const vals: number[] = [];
    const fault = this.#access(op, (address) => {
      const byte = this.#call(task, 'load', [address]);
      if (byte >= 0) vals.push(byte);
      return byte;
    });
    return { ...fault, vals };
  }

  #store(op: Fields): Result {
    const task = this.#taskOf(op);
    const byte = numberField(op, 'val');
    const fault = this.#access(op, (address) => this.#call(task, 'store', [address, byte]));
    return fault ?? { n: op.n === undefined ? 1 : numberField(op, 'n') };
  }
}

function mlockFlags(op: Fields): number {
  return listField(op, 'flags').reduce<number>(
    (sum, word) => sum | (word === 'onfault' ? MLOCK_ONFAULT : inputNumber(word, 'a flag')),
    0,
  );
}

/** The signal that was delivered since there were so many events. */
function lastSignal(events: number): Result {
  for (let n = cpu.event_count - 1; n >= events; n--) {
    const { type, values } = eventAt(n);
    if (type.name !== 'signal:signal_deliver') continue;
    const [number, code, at] = values as number[];
    const sig = signals[number as number] ?? String(number);
    return { sig, code: signalCodes[`${sig} ${code}`] ?? String(code), at: hex(at as number) };
  }
  throw new KernelFailed('an access failed without a signal: memory is full');
}
