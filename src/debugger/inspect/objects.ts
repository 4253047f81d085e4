/**
 * Reading kernel memory for views. A view may be taken at any step: in the middle of an insertion, of
 * a half initialised object, after a use of freed memory. So everything here tolerates nonsense: a
 * null link ends a list, a damaged tree ends its walk, and nothing reports a finding or writes.
 *
 * The kernel's own list and tree helpers may trust their input; these may not.
 */
import type { kernel } from '../../linux/kernel.ts';
import { type anon_area, anon_area_cachep } from '../../linux/mm/early24/early24_types.ts';
import type { anon_rmap_ops } from '../../linux/mm/rmap/ops.ts';
import {
  type address_space,
  type anon_vma,
  anon_vma_cachep,
  type anon_vma_chain,
  anon_vma_chain_cachep,
  mm_cachep,
  type mm_struct,
  type task_struct,
  task_struct_cachep,
  vm_area_cachep,
  type vm_area_struct,
} from '../../linux/mm_types.ts';
import { cpu } from '../../sim/cpu.ts';
import { findingSink } from '../../sim/finding.ts';
import { activeMachine, type Machine } from '../../sim/machine.ts';
import {
  type Cache,
  heapEnd,
  isLive,
  liveObjects,
  type Obj,
  serialOf,
  structOf,
} from '../../sim/struct.ts';
import { textOf } from '../../sim/text.ts';

/** What is true for the length of one outermost looking(): memory does not change meanwhile. */
const glance: { depth: number; names: ReadonlyMap<mm_struct, string> | null } = {
  depth: 0,
  names: null,
};

/** Runs `look` on the machine's memory: touching a freed object there is no finding. */
export function looking<T>(machine: Machine, look: () => T): T {
  machine.activate();
  const report = findingSink.report;
  findingSink.report = () => {};
  glance.depth++;
  try {
    return look();
  } finally {
    findingSink.report = report;
    glance.depth--;
    if (glance.depth === 0) glance.names = null;
  }
}

/** One word of struct memory; 0 outside of it. */
export function word(at: number): number {
  return cpu.heap[at] ?? 0;
}

/** The object at a heap address if it is a `cache` object, live or freed. */
export function objectAt<T extends Obj>(cache: Cache<T>, addr: number): T | null {
  if (addr <= 0 || addr % 16 !== 0) return null;
  const object = cpu.handles[addr / 16] as Obj | null | undefined;
  return object !== null && object !== undefined && cache.isInstance(object) ? object : null;
}

/** Whether a pointer field leads to a live object. Pointers of half made objects are null or undefined. */
export function alive<T extends Obj>(object: T | null | undefined): object is T {
  return object !== null && object !== undefined && isLive(object);
}

/** Same slot, same allocation: freed or live, but not reused. */
export function isSame(object: Obj | null, serial: number): boolean {
  return object !== null && structOf(object) !== null && serialOf(object) === serial;
}

/** Word addresses of the entries of a list_head, at most as many as memory could hold. */
export function* listEntries(head: number): Generator<number, void, void> {
  let left = heapEnd() / 16;
  for (let at = word(head); at !== head && at > 0 && left > 0; at = word(at)) {
    yield at;
    left--;
  }
}

const LEFT = 2;
const RIGHT = 3;

/** Word addresses of the nodes of a red-black tree in order. */
export function* treeNodes(root: number): Generator<number, void, void> {
  const stack: number[] = [];
  let left = heapEnd() / 16;
  let node = word(root);
  while ((node > 0 || stack.length > 0) && left > 0) {
    if (node > 0) {
      // A damaged tree can be a cycle of left links.
      if (stack.length > 200) return;
      stack.push(node);
      node = word(node + LEFT);
    } else {
      const top = stack.pop() as number;
      yield top;
      left--;
      node = word(top + RIGHT);
    }
  }
}

const vmaOfNode = vm_area_cachep.container('vm_rb');
const avcOfNode = anon_vma_chain_cachep.container('rb');
const avcOfEntry = anon_vma_chain_cachep.container('same_vma');
const avcOfListed = anon_vma_chain_cachep.container('same_anon_vma');
const vmaOfShared = vm_area_cachep.container('shared_rb');
const vmaOfEntry = vm_area_cachep.container('anon_vma_chain');

/** VMAs of an address space in address order. */
export function* vmasOf(mm: mm_struct): Generator<vm_area_struct, void, void> {
  for (const node of treeNodes(mm.mm_rb)) {
    const vma = vmaOfNode(node);
    if (vma instanceof Object && vm_area_cachep.isInstance(vma)) yield vma;
  }
}

/** The VMA that the tree has for an address, or null. During a change it may have other bounds already. */
export function vmaAt(mm: mm_struct, address: number): vm_area_struct | null {
  let node = word(mm.mm_rb);
  for (let depth = 0; node > 0 && depth < 200; depth++) {
    const vma = vmaOfNode(node);
    if (!(vma instanceof Object) || !vm_area_cachep.isInstance(vma)) return null;
    if (address < vma.tree_start) node = word(node + LEFT);
    else if (address >= vma.tree_end) node = word(node + RIGHT);
    else return vma;
  }
  return null;
}

/** The running kernel; machines of tests may have none. */
export function kernelNow(): Partial<kernel> {
  return (activeMachine().config.kernel ?? {}) as Partial<kernel>;
}

/** What the objects of the running kernel's scheme look like. */
export function shapeNow(): anon_rmap_ops['shape'] {
  return kernelNow().anon_rmap?.shape ?? 'avc_tree';
}

/** Whether links (anon_vma_chain) lie between VMAs and anon_vmas in the running kernel. */
function hasLinks(): boolean {
  const shape = shapeNow();
  return shape === 'avc_tree' || shape === 'avc_list';
}

/** Chain of a VMA, newest link first. */
export function* avcsOf(vma: vm_area_struct): Generator<anon_vma_chain, void, void> {
  if (!hasLinks()) return;
  for (const entry of listEntries(vma.anon_vma_chain)) {
    const avc = avcOfEntry(entry);
    if (!(avc instanceof Object) || !anon_vma_chain_cachep.isInstance(avc)) return;
    yield avc;
  }
}

/** Links in the tree or on the list of an anon_vma, in the order in which a walk visits them. */
export function* avcsIn(av: anon_vma): Generator<anon_vma_chain, void, void> {
  if (!hasLinks()) return;
  const onList = shapeNow() === 'avc_list';
  const nodes = onList ? listEntries(av.head) : treeNodes(av.rb_root);
  for (const node of nodes) {
    const avc = onList ? avcOfListed(node) : avcOfNode(node);
    if (avc instanceof Object && anon_vma_chain_cachep.isInstance(avc)) yield avc;
  }
}

/** The objects that private pages name in the running kernel: anon_vma, or the anon_area of 2.3.99-anon in its place. */
export function anchors(): Cache<anon_vma> {
  return shapeNow() === 'anon_area'
    ? (anon_area_cachep as unknown as Cache<anon_vma>)
    : anon_vma_cachep;
}

/** Whether an object is what private pages name. */
export function isAnchor(object: Obj): object is anon_vma {
  return anchors().isInstance(object);
}

/** Granules of VMAs, linked from a word on through a word of each. */
function* vmasFrom(
  head: number,
  links: (vma: vm_area_struct) => number,
): Generator<vm_area_struct, void, void> {
  for (let at = head, left = MANY; left > 0; left--) {
    const vma = cpu.handles[word(at)] as Obj | null | undefined;
    if (vma === null || vma === undefined || !vm_area_cachep.isInstance(vma)) return;
    if (isLive(vma)) yield vma;
    at = links(vma);
  }
}

const MANY = 1_000_000;

/** VMAs that map a file, on its lists or in its tree. */
export function* vmasOfFile(space: address_space): Generator<vm_area_struct, void, void> {
  if (kernelNow().features?.has('i_mmap_lists') === true) {
    for (const list of [space.i_mmap_lists, space.i_mmap_lists + 1]) {
      yield* vmasFrom(list, (vma) => vma.shared_rb);
    }
    return;
  }
  for (const node of nodesOfFile(space)) {
    const vma = vmaOfShared(node);
    if (vma instanceof Object) yield vma;
  }
}

/** Nodes of the VMAs of a file since 2.6.0. */
function nodesOfFile(space: address_space): Iterable<number> {
  const features = kernelNow().features;
  if (features?.has('file_vma_lists') === true) {
    return [...listEntries(space.i_mmap), ...listEntries(space.i_mmap_lists)];
  }
  return features?.has('file_prio_tree') === true
    ? prioNodes(word(space.i_mmap), 0)
    : treeNodes(space.i_mmap);
}

/** Nodes below a node of a prio_tree, which is its own child and parent where it has none; VMAs of its set follow it. */
function* prioNodes(node: number, depth: number): Generator<number, void, void> {
  if (node <= 0 || depth > 200) return;
  yield node;
  const first = word(node + 3);
  if (first > 0) {
    yield first;
    yield* listEntries(first);
  }
  for (const child of [word(node), word(node + 1)]) {
    if (child !== node) yield* prioNodes(child, depth + 1);
  }
}

/** VMAs that an anon_vma leads to, in the order in which a walk visits them. */
export function* vmasIn(av: anon_vma): Generator<vm_area_struct, void, void> {
  if (shapeNow() === 'anon_area') {
    yield* vmasFrom((av as unknown as anon_area).i_mmap, (vma) => vma.anon_vma_chain);
    return;
  }
  if (shapeNow() !== 'vma_list') {
    for (const avc of avcsIn(av)) if (alive(avc.vma)) yield avc.vma;
    return;
  }
  for (const entry of listEntries(av.head)) {
    const vma = vmaOfEntry(entry);
    if (vma instanceof Object && vm_area_cachep.isInstance(vma) && isLive(vma)) yield vma;
  }
}

/** anon_vmas that a VMA is linked to, newest first. */
export function* anonVmasOf(vma: vm_area_struct): Generator<anon_vma, void, void> {
  if (hasLinks()) {
    for (const avc of avcsOf(vma)) if (alive(avc.anon_vma)) yield avc.anon_vma;
  } else if (alive(vma.anon_vma)) {
    yield vma.anon_vma;
  }
}

/** First and last page offset of a VMA, both inclusive. */
export function pgoffRange(vma: vm_area_struct): readonly [number, number] {
  const pages = Math.max(1, Math.floor((vma.vm_end - vma.vm_start) / 4096));
  return [vma.vm_pgoff, vma.vm_pgoff + pages - 1];
}

/**
 * Slots ever seen of each struct type, so that asking for its live objects does not scan all memory.
 * Only a memo: the cache's own count of live objects tells when it misses one.
 */
const slots = new WeakMap<Machine, Map<number, number[]>>();

/** Live objects of a cache, in no particular order. */
export function liveOf<T extends Obj>(cache: Cache<T>): readonly T[] {
  const count = cache.live();
  if (count === 0) return [];
  const machine = activeMachine();
  const known = slots.get(machine) ?? new Map<number, number[]>();
  slots.set(machine, known);
  const found: T[] = [];
  const tag = cache.info.id * 4 + 1;
  for (const granule of known.get(cache.info.id) ?? []) {
    const handle = cpu.handles[granule] as Obj | null | undefined;
    if (cpu.heap[granule * 16] !== tag || handle === null || handle === undefined) continue;
    if (cache.isInstance(handle)) found.push(handle);
  }
  if (found.length === count) return found;
  const all = [...liveObjects(cache)];
  // A slot keeps its type: the free ones are remembered too.
  const seen = new Set(known.get(cache.info.id));
  for (const object of all) seen.add(object.addr / 16);
  known.set(cache.info.id, [...seen]);
  return all;
}

/** Live objects of a cache, oldest allocation first. */
function liveBySerial<T extends Obj>(cache: Cache<T>): T[] {
  return [...liveOf(cache)].sort((a, b) => serialOf(a) - serialOf(b));
}

/** Every address space, those of half made and dying processes too, oldest first. */
export function allMms(): mm_struct[] {
  return liveBySerial(mm_cachep);
}

export function allAnonVmas(): anon_vma[] {
  return liveBySerial(anchors());
}

/** The task_struct behind a task of the machine; null for tasks without one. */
export function contextOf(machine: Machine, task: number): task_struct | null {
  if (task < 1 || task > machine.taskCount()) return null;
  const context = machine.block(task).context;
  return alive(context) && task_struct_cachep.isInstance(context) ? context : null;
}

/** Address space of a task, or null. */
export function mmOfTask(machine: Machine, task: number): mm_struct | null {
  const mm = contextOf(machine, task)?.mm;
  return alive(mm) ? mm : null;
}

/** Name of the first task of each address space that some task has, or had until it began to exit. */
function processNames(machine: Machine): ReadonlyMap<mm_struct, string> {
  const names = new Map<mm_struct, string>();
  const add = (mm: mm_struct | null | undefined, name: string | undefined): void => {
    if (alive(mm) && !names.has(mm)) names.set(mm, name ?? '');
  };
  for (let id = 1; id <= machine.taskCount(); id++) {
    add(contextOf(machine, id)?.mm, machine.names[id]);
  }
  for (let id = 1; id <= machine.taskCount(); id++) {
    add(contextOf(machine, id)?.active_mm, machine.names[id]);
  }
  return names;
}

/**
 * Name of the process that an address space belongs to. `A'` is one that A made and that no task has:
 * not yet, in the middle of fork or exec, or no more.
 */
export function processOf(mm: mm_struct | null | undefined): string {
  if (mm === null || mm === undefined) return '';
  const names = glance.names ?? processNames(activeMachine());
  if (glance.depth > 0) glance.names = names;
  const name = names.get(mm);
  return name ?? `${textOf(mm.owner) || `mm${mm.mm_id}`}'`;
}
