/** What each descriptor of each recorded process is: file, access mode, size. */
import type { Expr, OpenFile, Operation } from './ast.ts';
import { constantValue, exactAnd } from './constants.ts';
import { flagsValue } from './flags.ts';
import type { TraceFile } from './trace-facts.ts';

/** Calls read only because they tell what a descriptor is. */
export const descriptorCalls: ReadonlySet<string> = new Set([
  'open',
  'openat',
  'openat2',
  'creat',
  'close',
  'close_range',
  'dup',
  'dup2',
  'dup3',
  'fcntl',
  'memfd_create',
  'memfd_secret',
  'pipe',
  'pipe2',
  'socket',
  'socketpair',
  'accept',
  'accept4',
  'eventfd',
  'eventfd2',
  'epoll_create',
  'epoll_create1',
  'timerfd_create',
  'signalfd',
  'signalfd4',
  'inotify_init',
  'inotify_init1',
  'userfaultfd',
  'pidfd_open',
  'fstat',
  'newfstatat',
  'statx',
]);

interface Descriptor {
  readonly file: number;
  readonly readable: boolean;
  readonly writable: boolean;
  readonly closesOnExec: boolean;
}

/** One descriptor table; tasks made with CLONE_FILES share it. */
export type Descriptors = Map<number, Descriptor>;

interface KnownFile {
  path: string;
  kind: TraceFile['kind'];
  size: number | undefined;
}

export class TraceFiles {
  readonly #files: KnownFile[] = [];
  readonly #byPath = new Map<string, number>();
  #otherFile: number | undefined;

  get files(): TraceFile[] {
    return this.#files.map(({ path, kind, size }) => ({
      path,
      kind,
      ...(size === undefined ? {} : { size }),
    }));
  }

  /** Follows one of `descriptorCalls` that succeeded. */
  follow(table: Descriptors, call: Operation): void {
    const result = resultNumber(call);
    if (result === undefined || result < 0) return;
    const [first, second, third, fourth] = call.args;
    switch (call.callee) {
      case 'open':
        this.#open(table, call, result, first, second);
        return;
      case 'openat':
        this.#open(table, call, result, second, third, first);
        return;
      case 'openat2':
        this.#open(table, call, result, second, member(third, 'flags'), first);
        return;
      case 'creat':
        this.#create(table, result, call, first);
        return;
      case 'memfd_create':
      case 'memfd_secret':
        this.#memory(table, result, first, second);
        return;
      case 'close':
        table.delete(numberOf(first) ?? -1);
        return;
      case 'close_range':
        closeRange(table, numberOf(first) ?? 0, numberOf(second), numberOf(third) ?? 0);
        return;
      case 'dup':
        duplicate(table, numberOf(first), result, false);
        return;
      case 'dup2':
      case 'dup3':
        if (numberOf(first) !== result) {
          duplicate(table, numberOf(first), result, hasFlag(third, 'O_CLOEXEC'));
        }
        return;
      case 'fcntl':
        this.#fcntl(table, result, first, second, third);
        return;
      case 'fstat':
        this.#setSize(table, first, member(second, 'st_size'));
        return;
      case 'newfstatat':
        this.#setSizeOf(table, first, second, member(third, 'st_size'));
        return;
      case 'statx':
        this.#setSizeOf(table, first, second, member(call.args[4] ?? fourth, 'stx_size'));
        return;
      case 'pipe':
      case 'pipe2':
        this.#pair(table, first);
        return;
      case 'socketpair':
        this.#pair(table, fourth);
        return;
      default:
        // Sockets, event counters and the like: no memory behind them, but the number is taken.
        table.set(result, this.#entry(this.#other(), true, true, false));
    }
  }

  /** The file behind a descriptor argument; undefined for -1 and where the call has none. */
  fileOf(table: Descriptors, fd: Expr | undefined): OpenFile | undefined {
    const number = fd && numberOf(fd);
    if (fd === undefined || number === undefined || number < 0) return undefined;
    let known = table.get(number);
    if (known === undefined) {
      // Open since before the trace, or passed by a socket: its mode is the most it can be.
      const path = fd.kind === 'fd' ? cleanPath(fd.path) : '';
      const file = path === '' ? this.#add('', 'file') : this.#fileAt(path);
      known = this.#entry(file, true, true, false);
      table.set(number, known);
    }
    const { file, readable, writable } = known;
    const size = this.#files[file]?.size;
    return { file, readable, writable, ...(size === undefined ? {} : { size }) };
  }

  /** ftruncate sets the size; fallocate may grow it. */
  resize(file: OpenFile, size: number, onlyGrow: boolean): void {
    const known = this.#files[file.file];
    if (known === undefined) return;
    known.size = onlyGrow ? Math.max(known.size ?? 0, size) : size;
  }

  #open(
    table: Descriptors,
    call: Operation,
    result: number,
    path: Expr | undefined,
    flags: Expr | undefined,
    directory?: Expr,
  ): void {
    const bits = (flags && flagsValue(flags)) ?? 0;
    const mode = exactAnd(bits, 3);
    const name = openedPath(call, path, directory);
    const isNew = hasBits(bits, 'O_CREAT') && hasBits(bits, 'O_EXCL');
    const isUnnamed = hasBits(bits, 'O_TMPFILE');
    const file = isUnnamed ? this.#add(name, 'file') : this.#fileAt(name, isNew);
    const known = this.#files[file];
    if (known && (hasBits(bits, 'O_TRUNC') || isNew || isUnnamed)) known.size = 0;
    const closes = hasBits(bits, 'O_CLOEXEC');
    table.set(result, this.#entry(file, mode !== 1, mode !== 0, closes));
  }

  #create(table: Descriptors, result: number, call: Operation, path: Expr | undefined): void {
    const file = this.#fileAt(openedPath(call, path, undefined));
    const known = this.#files[file];
    if (known) known.size = 0;
    table.set(result, this.#entry(file, false, true, false));
  }

  #memory(table: Descriptors, result: number, name: Expr | undefined, flags?: Expr): void {
    const text = name?.kind === 'string' ? name.value : '';
    const file = this.#add(`memfd:${text}`, 'memory', 0);
    table.set(result, this.#entry(file, true, true, hasFlag(flags, 'MFD_CLOEXEC')));
  }

  #fcntl(
    table: Descriptors,
    result: number,
    fd: Expr | undefined,
    command: Expr | undefined,
    arg: Expr | undefined,
  ): void {
    const name = command?.kind === 'constant' ? command.name : '';
    const number = numberOf(fd);
    if (name === 'F_DUPFD' || name === 'F_DUPFD_CLOEXEC') {
      duplicate(table, number, result, name === 'F_DUPFD_CLOEXEC');
    } else if (name === 'F_SETFD' && number !== undefined) {
      const known = table.get(number);
      const closes = arg?.kind === 'name' && arg.name === 'FD_CLOEXEC';
      const value = arg && flagsValue(arg);
      if (known) table.set(number, { ...known, closesOnExec: closes || value === 1 });
    }
  }

  #setSize(table: Descriptors, fd: Expr | undefined, size: Expr | undefined): void {
    const open = this.fileOf(table, fd);
    const bytes = size && numberOf(size);
    const known = open && this.#files[open.file];
    if (known && bytes !== undefined) known.size = bytes;
  }

  #setSizeOf(
    table: Descriptors,
    fd: Expr | undefined,
    path: Expr | undefined,
    size: Expr | undefined,
  ): void {
    if (path?.kind !== 'string') return;
    if (path.value === '') {
      this.#setSize(table, fd, size);
      return;
    }
    const file = this.#byPath.get(path.value);
    const known = file === undefined ? undefined : this.#files[file];
    const bytes = size && numberOf(size);
    if (known && bytes !== undefined) known.size = bytes;
  }

  #pair(table: Descriptors, pair: Expr | undefined): void {
    const items = pair?.kind === 'array' ? pair.items : [];
    for (const item of items) {
      const fd = numberOf(item);
      if (fd !== undefined) table.set(fd, this.#entry(this.#other(), true, true, false));
    }
  }

  #fileAt(path: string, isNew = false): number {
    const known = isNew || path === '' ? undefined : this.#byPath.get(path);
    if (known !== undefined) return known;
    const isDevice = path.startsWith('/dev/') && !path.startsWith('/dev/shm/');
    const file = this.#add(path, isDevice && path !== '/dev/zero' ? 'other' : 'file');
    if (path !== '') this.#byPath.set(path, file);
    return file;
  }

  #add(path: string, kind: TraceFile['kind'], size?: number): number {
    this.#files.push({ path, kind, size });
    return this.#files.length - 1;
  }

  /** One entry stands for everything without memory behind it. */
  #other(): number {
    this.#otherFile ??= this.#add('', 'other');
    return this.#otherFile;
  }

  #entry(file: number, readable: boolean, writable: boolean, closesOnExec: boolean): Descriptor {
    return { file, readable, writable, closesOnExec };
  }
}

/** execve closes the descriptors that were marked so. */
export function closeOnExec(table: Descriptors): Descriptors {
  return new Map([...table].filter(([, descriptor]) => !descriptor.closesOnExec));
}

function duplicate(
  table: Descriptors,
  from: number | undefined,
  to: number,
  closesOnExec: boolean,
): void {
  const known = from === undefined ? undefined : table.get(from);
  if (known) table.set(to, { ...known, closesOnExec });
  else table.delete(to);
}

function closeRange(table: Descriptors, first: number, last: number | undefined, flags: number) {
  for (const [fd, descriptor] of table) {
    if (fd < first || (last !== undefined && fd > last)) continue;
    // CLOSE_RANGE_CLOEXEC only marks them.
    if (exactAnd(flags, 4) === 4) table.set(fd, { ...descriptor, closesOnExec: true });
    else table.delete(fd);
  }
}

/** The path that strace -y shows for the new descriptor, else the argument, under its directory. */
function openedPath(call: Operation, path: Expr | undefined, directory: Expr | undefined): string {
  const result = call.expectedResult;
  if (result?.kind === 'value' && result.value.kind === 'fd') return cleanPath(result.value.path);
  const written = path?.kind === 'string' ? path.value : '';
  if (written === '' || written.startsWith('/') || directory?.kind !== 'fd') return written;
  return `${directory.path}/${written}`;
}

/** -yy adds device numbers, and the kernel says when a file has no name any more. */
function cleanPath(path: string): string {
  const remark = path.indexOf('<');
  const bare = remark > 0 ? path.slice(0, remark) : path;
  return bare.endsWith(' (deleted)') ? bare.slice(0, -' (deleted)'.length) : bare;
}

function hasFlag(flags: Expr | undefined, name: string): boolean {
  return hasBits((flags && flagsValue(flags)) ?? 0, name);
}

function hasBits(value: number, name: string): boolean {
  const bits = constantValue(name) ?? 0;
  return value >= 0 && exactAnd(value, bits) === bits;
}

function member(struct: Expr | undefined, label: string): Expr | undefined {
  if (struct?.kind !== 'struct') return undefined;
  const found = struct.members.find((part) => part.kind === 'labelled' && part.label === label);
  return found?.kind === 'labelled' ? found.value : undefined;
}

function numberOf(expr: Expr | undefined): number | undefined {
  return expr && flagsValue(expr);
}

/** The number a call returned; undefined for errors and unknown results. */
export function resultNumber(call: Operation): number | undefined {
  const result = call.expectedResult;
  return result?.kind === 'value' ? flagsValue(result.value) : undefined;
}
