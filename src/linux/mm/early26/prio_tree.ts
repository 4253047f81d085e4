/**
 * mm/prio_tree.c v2.6.7: radix priority search trees (Rajesh Venkatasubramanian, after McCreight). A node has a radix
 * index, which says where below a node it hangs, and a heap index, of which no node has less than one below it: all nodes
 * that overlap an interval are found without a look at most others.
 *
 * A node is three heap words: left, right, parent; no child, and no parent, is the node itself. A root is two words: the
 * topmost node, 0 for none, and the number of bits that the radix index of a node has here. Each function is one atomic
 * change. Fidelity: dup; indexes are numbers, so that bits are taken with divisions.
 */
import { read_heap, write_heap } from '../../../sim/cpu.ts';

const RIGHT = 1;
const PARENT = 2;
const INDEX_BITS = 1;
/** iter->mask = ULONG_MAX: below a node that all bits of both indexes have led to. */
const ALL_BITS = Number.POSITIVE_INFINITY;

/** get_index(): the radix index and the heap index of the node at a word address. */
export type index_of = (node: number) => readonly [radix: number, heap: number];

const leftEmpty = (node: number): boolean => read_heap(node) === node;
const rightEmpty = (node: number): boolean => read_heap(node + RIGHT) === node;
const isRoot = (node: number): boolean => read_heap(node + PARENT) === node;
const bitSet = (index: number, mask: number): boolean => Math.floor(index / mask) % 2 === 1;

/** INIT_PRIO_TREE_NODE(). */
function initNode(node: number): void {
  write_heap(node, node);
  write_heap(node + RIGHT, node);
  write_heap(node + PARENT, node);
}

/** root->index_bits: a root that was never used is all zero here. */
const indexBits = (root: number): number => read_heap(root + INDEX_BITS) || 1;

/** prio_tree_maxindex(). */
const maxIndex = (bits: number): number => 2 ** bits - 1;

function setChild(parent: number, from: number, to: number): void {
  write_heap(parent + (read_heap(parent) === from ? 0 : RIGHT), to);
}

/** prio_tree_replace(): `node` takes the place of `old`, which is returned. */
export function prio_tree_replace(root: number, old: number, node: number): number {
  initNode(node);
  if (isRoot(old)) {
    write_heap(root, node);
  } else {
    const parent = read_heap(old + PARENT);
    write_heap(node + PARENT, parent);
    setChild(parent, old, node);
  }
  for (const side of [0, RIGHT]) {
    const child = read_heap(old + side);
    if (child !== old) {
      write_heap(node + side, child);
      write_heap(child + PARENT, node);
    }
  }
  return old;
}

/** prio_tree_expand(): a node whose heap index needs more bits becomes the root; earlier roots hang to its left. */
function expand(root: number, node: number, heap: number, index: index_of): void {
  let first = 0;
  let last = 0;
  if (heap > maxIndex(indexBits(root))) {
    write_heap(root + INDEX_BITS, indexBits(root) + 1);
  }
  while (heap > maxIndex(indexBits(root))) {
    const bits = indexBits(root) + 1;
    write_heap(root + INDEX_BITS, bits);
    const top = read_heap(root);
    if (top === 0) {
      continue;
    }
    prio_tree_remove(root, top, index);
    write_heap(root + INDEX_BITS, bits);
    initNode(top);
    if (first === 0) {
      first = top;
    } else {
      write_heap(last, top);
      write_heap(top + PARENT, last);
    }
    last = top;
  }
  initNode(node);
  if (first === 0) {
    last = node;
  } else {
    write_heap(node, first);
    write_heap(first + PARENT, node);
  }
  const top = read_heap(root);
  if (top !== 0) {
    write_heap(last, top);
    write_heap(top + PARENT, last);
  }
  write_heap(root, node);
}

/** prio_tree_insert(): `node`, or the node in the tree that has the same two indexes. */
export function prio_tree_insert(root: number, node: number, index: index_of): number {
  let moving = node;
  let [radix, heap] = index(node);
  if (read_heap(root) === 0 || heap > maxIndex(indexBits(root))) {
    expand(root, node, heap, index);
    return node;
  }
  let cur = read_heap(root);
  let mask = 2 ** (indexBits(root) - 1);
  let sized = false;
  for (;;) {
    const [r, h] = index(cur);
    if (r === radix && h === heap) {
      return cur;
    }
    if (h < heap || (h === heap && r > radix)) {
      const lower = moving;
      moving = prio_tree_replace(root, cur, lower);
      cur = lower;
      [radix, heap] = [r, h];
    }
    const side = bitSet(sized ? heap - radix : radix, mask) ? RIGHT : 0;
    const child = read_heap(cur + side);
    if (child === cur) {
      initNode(moving);
      write_heap(cur + side, moving);
      write_heap(moving + PARENT, cur);
      return node;
    }
    cur = child;
    mask /= 2;
    if (mask < 1) {
      mask = 2 ** (indexBits(root) - 1);
      sized = true;
    }
  }
}

/** prio_tree_remove(): the nodes on the way down to a leaf, the greater heap index first, move up by one place each. */
export function prio_tree_remove(root: number, node: number, index: index_of): void {
  let cur = node;
  while (!leftEmpty(cur) || !rightEmpty(cur)) {
    const left = leftEmpty(cur) ? 0 : index(read_heap(cur))[1];
    const right = rightEmpty(cur) ? 0 : index(read_heap(cur + RIGHT))[1];
    cur = read_heap(left >= right ? cur : cur + RIGHT);
  }
  if (isRoot(cur)) {
    write_heap(root, 0);
    write_heap(root + INDEX_BITS, 1);
    return;
  }
  const parent = read_heap(cur + PARENT);
  write_heap(parent + (read_heap(parent + RIGHT) === cur ? RIGHT : 0), parent);
  while (cur !== node) {
    cur = prio_tree_replace(root, read_heap(cur + PARENT), cur);
  }
}

/** struct prio_tree_iter: where a search for the nodes that overlap [radix, heap] is. */
export interface prio_tree_iter {
  readonly root: number;
  readonly radix: number;
  readonly heap: number;
  readonly index: index_of;
  /** 0 before the first node. */
  cur: number;
  mask: number;
  /** The least radix index below `cur`. */
  value: number;
  /** Levels below those that the radix index decides. */
  size_level: number;
}

/** prio_tree_iter_init(). */
export function prio_tree_iter_init(
  root: number,
  radix: number,
  heap: number,
  index: index_of,
): prio_tree_iter {
  return { root, radix, heap, index, cur: 0, mask: 0, value: 0, size_level: 0 };
}

/** One level down, to a child in which something may overlap. */
function descend(iter: prio_tree_iter, child: number): boolean {
  if (iter.radix > iter.index(child)[1]) {
    return false;
  }
  iter.cur = child;
  iter.mask /= 2;
  if (iter.mask >= 1) {
    iter.size_level += iter.size_level > 0 ? 1 : 0;
  } else if (iter.size_level > 0) {
    iter.size_level++;
    iter.mask = ALL_BITS;
  } else {
    iter.size_level = 1;
    iter.mask = 2 ** (indexBits(iter.root) - 1);
  }
  return true;
}

/** prio_tree_left(). */
function goLeft(iter: prio_tree_iter): boolean {
  return !leftEmpty(iter.cur) && descend(iter, read_heap(iter.cur));
}

/** prio_tree_right(). */
function goRight(iter: prio_tree_iter): boolean {
  if (rightEmpty(iter.cur)) {
    return false;
  }
  const value = iter.value + (iter.size_level > 0 ? 0 : iter.mask);
  if (iter.heap < value || !descend(iter, read_heap(iter.cur + RIGHT))) {
    return false;
  }
  iter.value = value;
  return true;
}

/** prio_tree_parent(). */
function goUp(iter: prio_tree_iter): void {
  iter.cur = read_heap(iter.cur + PARENT);
  iter.mask = iter.mask === ALL_BITS || iter.size_level === 1 ? 1 : iter.mask * 2;
  if (iter.size_level > 0) {
    iter.size_level--;
  }
  if (iter.size_level === 0 && bitSet(iter.value, iter.mask)) {
    iter.value -= iter.mask;
  }
}

function overlaps(iter: prio_tree_iter): boolean {
  const [radix, heap] = iter.index(iter.cur);
  return iter.heap >= radix && iter.radix <= heap;
}

/** To the next node in pre-order below which something may overlap. */
function step(iter: prio_tree_iter): boolean {
  if (iter.cur === 0) {
    iter.cur = read_heap(iter.root);
    iter.mask = 2 ** (indexBits(iter.root) - 1);
    return iter.cur !== 0 && iter.radix <= iter.index(iter.cur)[1];
  }
  if (goLeft(iter)) {
    return true;
  }
  while (!goRight(iter)) {
    while (!isRoot(iter.cur) && read_heap(read_heap(iter.cur + PARENT) + RIGHT) === iter.cur) {
      goUp(iter);
    }
    if (isRoot(iter.cur)) {
      return false;
    }
    goUp(iter);
  }
  return true;
}

/** prio_tree_first(), prio_tree_next(): the next node that overlaps, or 0. The tree must not have changed. */
export function prio_tree_next(iter: prio_tree_iter): number {
  while (step(iter)) {
    if (overlaps(iter)) {
      return iter.cur;
    }
  }
  return 0;
}
