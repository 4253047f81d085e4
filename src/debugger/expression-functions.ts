/** The functions of expressions. Each takes evaluated arguments and reads machine state only. */

import { held_locks } from '../linux/kernel/locking/lockdep.ts';
import { load_content } from '../linux/mm/page_content.ts';
import { pinnedPageAt } from '../linux/mm/user_pin.ts';
import {
  anon_vma_cachep,
  filp_cachep,
  inode_cachep,
  mem_map,
  mm_cachep,
  type mm_struct,
  vm_area_cachep,
  type vm_area_struct,
} from '../linux/mm_types.ts';
import type { Span } from '../scenario/source.ts';
import { cpu } from '../sim/cpu.ts';
import { allStructs, type Obj } from '../sim/struct.ts';
import { metricNamed, metrics } from './compare.ts';
import type { Scope } from './expression.ts';
import { ExpressionError, unknownName } from './expression-error.ts';
import {
  addressText,
  formatValue,
  kindOf,
  listValue,
  NULL_VALUE,
  numberOf,
  numberValue,
  objectValue,
  pageValue,
  textValue,
  type Value,
} from './expression-value.ts';
import { costsOf } from './inspect/costs.ts';
import { pageMapcount } from './inspect/large-folios.ts';
import { mappingsOf } from './inspect/mappings.ts';
import { avcsIn, avcsOf, isSame, mmOfTask, vmaAt, vmasOf } from './inspect/objects.ts';
import { countPages, leafOf, mappedPage, USER_END } from './inspect/page-walk.ts';
import { anonVmaOfPage, headOf } from './inspect/pages.ts';
import { modeOf } from './inspect/tasks.ts';
import { walkView } from './inspect/walks.ts';

export interface Call {
  readonly scope: Scope;
  readonly args: readonly Value[];
  readonly spans: readonly Span[];
  readonly span: Span;
}

export interface FunctionSpec {
  readonly usage: string;
  readonly help: string;
  readonly least: number;
  readonly most: number;
  readonly run: (call: Call) => Value;
}

// ---------------------------------------------------------------- arguments

function fail(call: Call, index: number, message: string): never {
  throw new ExpressionError(message, call.spans[index] ?? call.span);
}

function argument(call: Call, index: number): Value {
  return call.args[index] ?? NULL_VALUE;
}

/** The object of a value, if it is still there. */
function liveObject(call: Call, index: number): Obj | null {
  const value = argument(call, index);
  if (value.kind !== 'object') return null;
  if (!isSame(value.object, value.serial)) fail(call, index, `${formatValue(value)}`);
  return value.object;
}

/** An address space: of an actor, or itself. */
function mmArgument(call: Call, index: number): mm_struct {
  const value = argument(call, index);
  if (value.kind === 'task') {
    const mm = mmOfTask(call.scope.machine, value.task);
    return mm ?? fail(call, index, `${value.name} has no address space`);
  }
  const object = liveObject(call, index);
  if (object !== null && mm_cachep.isInstance(object)) return object;
  return fail(call, index, `${kindOf(value)} is no process`);
}

function numberArgument(call: Call, index: number): number {
  const number = numberOf(argument(call, index));
  return number ?? fail(call, index, `${kindOf(argument(call, index))} is no address`);
}

/** `(A, p)`, or a VMA itself. */
function vmaArgument(call: Call): vm_area_struct {
  const object = call.args.length === 1 ? liveObject(call, 0) : null;
  if (object !== null && vm_area_cachep.isInstance(object)) return object;
  const address = numberArgument(call, 1);
  const vma = vmaAt(mmArgument(call, 0), address);
  return vma ?? fail(call, 1, `no VMA contains ${addressText(address)}`);
}

/** `(A, p)`, or a page itself; -1 when nothing is mapped there. */
function pageArgument(call: Call): number {
  const value = argument(call, 0);
  if (call.args.length === 1) {
    if (value.kind === 'page') return value.pfn;
    if (value.kind === 'pte') return mappedPage(value.mm, value.address);
    fail(call, 0, `${kindOf(value)} is no page; write page(A, ADDRESS)`);
  }
  return mappedPage(mmArgument(call, 0), numberArgument(call, 1));
}

function mappedPageArgument(call: Call): number {
  const pfn = pageArgument(call);
  return pfn >= 0
    ? pfn
    : fail(call, 1, `no page is mapped at ${addressText(numberArgument(call, 1))}`);
}

const objects = (found: Iterable<Obj>): Value => listValue([...found].map(objectValue));

// ---------------------------------------------------------------- counts

function mapcount(call: Call): Value {
  if (argument(call, 0).kind === 'null') return numberValue(0);
  return numberValue(pageMapcount(mem_map.at(mappedPageArgument(call))));
}

function refcount(call: Call): Value {
  const object = liveObject(call, 0);
  if (object === null) {
    if (argument(call, 0).kind === 'null') return numberValue(0);
    return numberValue(headOf(mem_map.at(mappedPageArgument(call)))._refcount);
  }
  if (anon_vma_cachep.isInstance(object)) return numberValue(object.refcount);
  if (mm_cachep.isInstance(object)) return numberValue(object.mm_users);
  if (filp_cachep.isInstance(object)) return numberValue(object.f_count);
  if (inode_cachep.isInstance(object)) return numberValue(object.i_count);
  if (vm_area_cachep.isInstance(object)) return numberValue(object.vm_refcnt);
  return fail(call, 0, `${kindOf(argument(call, 0))} has no reference count`);
}

function walkCost(call: Call): Value {
  const pfn = mappedPageArgument(call);
  const { machine, walks } = call.scope;
  const walk = walks.lastOf(pfn);
  if (walk === null) {
    throw new ExpressionError(
      `no reverse-map walk of page ${pfn.toString(16)} has ended`,
      call.span,
    );
  }
  const { visited, hits, wasted, ptes, locksTaken, steps } = walkView(machine, walk);
  const fields = new Map(Object.entries({ visited, hits, wasted, ptes, locks: locksTaken, steps }));
  return { kind: 'record', value: visited, fields };
}

function held(call: Call): Value {
  const value = argument(call, 0);
  if (value.kind !== 'task') fail(call, 0, `${kindOf(value)} is no task`);
  const block = call.scope.machine.block(value.task);
  const locks = held_locks(block).map(
    ({ lock, mode }): Value => ({ kind: 'lock', lock, mode: modeOf(mode) }),
  );
  return listValue(locks);
}

/** What the owner of the mapping would read: pages that are not present are said to be so. */
function byteAt(call: Call): Value {
  const address = numberArgument(call, 1);
  const pfn = mappedPage(mmArgument(call, 0), address);
  if (pfn < 0) fail(call, 1, `no page is mapped at ${addressText(address)}`);
  return numberValue(load_content(mem_map.at(pfn).content, address % 4096));
}

/** Live objects of a struct type, by its name. */
function live(call: Call): Value {
  const value = argument(call, 0);
  const name = value.kind === 'text' ? value.value : '';
  const found = allStructs().find((info) => info.name === name);
  if (found === undefined) {
    const known = allStructs().map((info) => info.name);
    throw unknownName('struct', name || kindOf(value), known, call.spans[0] ?? call.span);
  }
  const all: Obj[] = [];
  for (const handle of cpu.handles) {
    const object = handle as Obj | null | undefined;
    if (object === null || object === undefined) continue;
    if (cpu.heap[object.addr] === found.id * 4 + 1) all.push(object);
  }
  return objects(all);
}

/** A number that `compare` would show, at this step. */
function cost(call: Call): Value {
  const value = argument(call, 0);
  const name = value.kind === 'text' ? value.value : '';
  const metric = metricNamed(name);
  if (metric === undefined) {
    const known = metrics.map((each) => each.name);
    throw unknownName('metric', name || kindOf(value), known, call.spans[0] ?? call.span);
  }
  return numberValue(metric.of(costsOf(call.scope.machine, call.scope.walks)));
}

// ---------------------------------------------------------------- the table

export const FUNCTIONS: Readonly<Record<string, FunctionSpec>> = {
  vmas: {
    usage: 'vmas(A)',
    help: 'VMAs of a process; as a number, how many',
    least: 1,
    most: 1,
    run: (call) => objects(vmasOf(mmArgument(call, 0))),
  },
  vma: {
    usage: 'vma(A, p)',
    help: 'the VMA that contains an address, or NULL',
    least: 2,
    most: 2,
    run: (call) => objectValue(vmaAt(mmArgument(call, 0), numberArgument(call, 1))),
  },
  avcs: {
    usage: 'avcs(A, p)',
    help: 'anon_vma_chain links of the VMA at an address (or of a VMA or anon_vma given)',
    least: 1,
    most: 2,
    run: (call) => {
      const object = call.args.length === 1 ? liveObject(call, 0) : null;
      if (object !== null && anon_vma_cachep.isInstance(object)) return objects(avcsIn(object));
      return objects(avcsOf(vmaArgument(call)));
    },
  },
  anon_vma: {
    usage: 'anon_vma(A, p)',
    help: 'anon_vma of the VMA at an address, or of a page; NULL while it is unfaulted',
    least: 1,
    most: 2,
    run: (call) => {
      const value = argument(call, 0);
      if (value.kind === 'page') return objectValue(anonVmaOfPage(value.pfn));
      return objectValue(vmaArgument(call).anon_vma);
    },
  },
  page: {
    usage: 'page(A, p)',
    help: 'the page mapped at an address, or NULL',
    least: 2,
    most: 2,
    run: (call) => pageValue(pageArgument(call)),
  },
  pfn: {
    usage: 'pfn(N)',
    help: 'the page frame with this number',
    least: 1,
    most: 1,
    run: (call) => {
      const pfn = numberArgument(call, 0);
      const { frames } = call.scope.machine.config;
      if (pfn < 0 || pfn >= frames) fail(call, 0, `there are ${frames} page frames`);
      return pageValue(pfn);
    },
  },
  pte: {
    usage: 'pte(A, p)',
    help: 'the page-table entry of an address: .present .write .dirty .pfn .page .migration ...',
    least: 2,
    most: 2,
    run: (call) => {
      const mm = mmArgument(call, 0);
      const address = numberArgument(call, 1);
      const leaf = leafOf(mm, address);
      return { kind: 'pte', mm, address, at: leaf?.at ?? -1, value: leaf?.value ?? 0 };
    },
  },
  mapcount: {
    usage: 'mapcount(page(A, p))',
    help: 'how many page-table entries map a page, as the kernel counts; 0 for NULL',
    least: 1,
    most: 2,
    run: mapcount,
  },
  mappings: {
    usage: 'mappings(page(A, p))',
    help: 'how many page-table entries map a page, by brute force',
    least: 1,
    most: 2,
    run: (call) =>
      numberValue(mappingsOf(mappedPageArgument(call)).filter((each) => each.present).length),
  },
  pinned: {
    usage: 'pinned(A, p)',
    help: 'the page that a device has pinned at an address, or NULL',
    least: 2,
    most: 2,
    run: (call) => {
      const value = argument(call, 0);
      if (value.kind !== 'task') return fail(call, 0, `${kindOf(value)} is no task`);
      return pageValue(pinnedPageAt(value.task, numberArgument(call, 1))?.pfn ?? -1);
    },
  },
  refcount: {
    usage: 'refcount(X)',
    help: 'reference count of a page, anon_vma, mm, file; 0 for NULL',
    least: 1,
    most: 2,
    run: refcount,
  },
  walk_cost: {
    usage: 'walk_cost(A, p)',
    help: 'the last reverse-map walk of a page: visits; .hits .wasted .ptes .locks .steps',
    least: 1,
    most: 2,
    run: walkCost,
  },
  held: {
    usage: 'held(A)',
    help: 'locks that a task holds, oldest first',
    least: 1,
    most: 1,
    run: held,
  },
  byte: {
    usage: 'byte(A, p)',
    help: 'the byte at an address, without touching it',
    least: 2,
    most: 2,
    run: byteAt,
  },
  len: {
    usage: 'len(X)',
    help: 'length of a list',
    least: 1,
    most: 1,
    run: (call) => {
      const value = argument(call, 0);
      if (value.kind === 'text') return numberValue(value.value.length);
      return value.kind === 'list'
        ? numberValue(value.items.length)
        : fail(call, 0, `${kindOf(value)} is no list`);
    },
  },
  rss: {
    usage: 'rss(A)',
    help: 'pages present in an address space, counted in its page tables',
    least: 1,
    most: 1,
    run: (call) => numberValue(countPages(mmArgument(call, 0), 0, USER_END).present),
  },
  live: {
    usage: 'live("anon_vma")',
    help: 'live objects of a struct type',
    least: 1,
    most: 1,
    run: live,
  },
  findings: {
    usage: 'findings()',
    help: 'kinds of the findings so far',
    least: 0,
    most: 0,
    run: (call) => listValue(call.scope.machine.findings().map(({ kind }) => textValue(kind))),
  },
  cost: {
    usage: 'cost("visits")',
    help: 'what the reverse mapping has cost so far: a metric of `rmapdbg compare`',
    least: 1,
    most: 1,
    run: cost,
  },
  step: {
    usage: 'step()',
    help: 'statements executed so far',
    least: 0,
    most: 0,
    run: (call) => numberValue(call.scope.machine.step),
  },
};

export const functionNames: readonly string[] = Object.keys(FUNCTIONS);
