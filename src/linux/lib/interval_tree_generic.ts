/**
 * include/linux/interval_tree_generic.h v3.7..v6.18: interval trees, an augmented rb tree ordered by
 * the first key, each node carrying the largest last key of its subtree. Fidelity: dup.
 *
 * Nodes with equal first keys stand in the order of insertion (a new one goes after), which is the
 * order in which a reverse-map walk visits them.
 */
import type { rb_node, rb_root } from '../../sim/struct.ts';
import {
  type rb_augment_callbacks,
  rb_erase_augmented,
  rb_first,
  rb_insert_augmented,
  rb_left,
  rb_parent,
  rb_right,
  rb_root_node,
} from './rbtree.ts';

/** What INTERVAL_TREE_DEFINE() takes: how an object is a node with two keys. Keys are inclusive. */
export interface interval_tree_definition<T> {
  readonly node: (object: T) => rb_node;
  readonly entry: (node: number) => T;
  readonly start: (object: T) => number;
  readonly last: (object: T) => number;
  readonly get_subtree_last: (object: T) => number;
  readonly set_subtree_last: (object: T, last: number) => void;
}

export interface interval_tree<T> {
  readonly insert: (object: T, root: rb_root) => void;
  /** Inserts right after `prev`, which has the same first key. */
  readonly insert_after: (object: T, prev: T, root: rb_root) => void;
  readonly remove: (object: T, root: rb_root) => void;
  /** First node, in order, that overlaps [start, last]; null if none. */
  readonly iter_first: (root: rb_root, start: number, last: number) => T | null;
  /** The one after `object` that overlaps [start, last]. */
  readonly iter_next: (object: T, start: number, last: number) => T | null;
}

/** INTERVAL_TREE_DEFINE(). */
export function define_interval_tree<T>(def: interval_tree_definition<T>): interval_tree<T> {
  const compute = (object: T): number => {
    let max = def.last(object);
    const node = def.node(object);
    const left = rb_left(node);
    if (left !== 0) {
      max = Math.max(max, def.get_subtree_last(def.entry(left)));
    }
    const right = rb_right(node);
    if (right !== 0) {
      max = Math.max(max, def.get_subtree_last(def.entry(right)));
    }
    return max;
  };

  const augment: rb_augment_callbacks = {
    propagate: (from, stop) => {
      for (let node = from; node !== stop && node !== 0; node = rb_parent(node)) {
        const object = def.entry(node);
        const max = compute(object);
        if (def.get_subtree_last(object) === max) {
          break;
        }
        def.set_subtree_last(object, max);
      }
    },
    copy: (from, to) => {
      def.set_subtree_last(def.entry(to), def.get_subtree_last(def.entry(from)));
    },
    rotate: (from, to) => {
      def.set_subtree_last(def.entry(to), def.get_subtree_last(def.entry(from)));
      def.set_subtree_last(def.entry(from), compute(def.entry(from)));
    },
  };

  const raise = (from: number, last: number): void => {
    for (let node = from; node !== 0; node = rb_parent(node)) {
      const object = def.entry(node);
      if (def.get_subtree_last(object) >= last) {
        break;
      }
      def.set_subtree_last(object, last);
    }
  };

  const insert = (object: T, root: rb_root): void => {
    const start = def.start(object);
    const last = def.last(object);
    let parent = 0;
    let left = true;
    for (let node = rb_root_node(root); node !== 0; ) {
      parent = node;
      const at = def.entry(node);
      if (def.get_subtree_last(at) < last) {
        def.set_subtree_last(at, last);
      }
      left = start < def.start(at);
      node = left ? rb_left(node) : rb_right(node);
    }
    def.set_subtree_last(object, last);
    rb_insert_augmented(def.node(object), parent, left, root, augment);
  };

  const insert_after = (object: T, prev: T, root: rb_root): void => {
    const last = def.last(object);
    let parent: number = def.node(prev);
    let left = false;
    if (rb_right(parent) !== 0) {
      parent = rb_right(parent);
      while (rb_left(parent) !== 0) {
        parent = rb_left(parent);
      }
      left = true;
    }
    raise(parent, last);
    def.set_subtree_last(object, last);
    rb_insert_augmented(def.node(object), parent, left, root, augment);
  };

  /** Leftmost overlapping node of the subtree of `from`, which is known to reach `start`. */
  const search = (from: number, start: number, last: number): T | null => {
    let node = from;
    for (;;) {
      const left = rb_left(node);
      if (left !== 0 && start <= def.get_subtree_last(def.entry(left))) {
        // Something on the left reaches `start`: if its start is past `last`, so is everything right of it.
        node = left;
        continue;
      }
      const object = def.entry(node);
      if (def.start(object) > last) {
        return null;
      }
      if (start <= def.last(object)) {
        return object;
      }
      node = rb_right(node);
      if (node === 0 || def.get_subtree_last(def.entry(node)) < start) {
        return null;
      }
    }
  };

  const iter_first = (root: rb_root, start: number, last: number): T | null => {
    const top = rb_root_node(root);
    if (top === 0 || def.get_subtree_last(def.entry(top)) < start) {
      return null;
    }
    if (def.start(def.entry(rb_first(root))) > last) {
      return null;
    }
    return search(top, start, last);
  };

  const iter_next = (object: T, start: number, last: number): T | null => {
    let node: number = def.node(object);
    let right = rb_right(node);
    for (;;) {
      if (right !== 0 && start <= def.get_subtree_last(def.entry(right))) {
        return search(right, start, last);
      }
      // Up until we come from a left child: that parent is the next in order.
      let from: number;
      do {
        from = node;
        node = rb_parent(node);
        if (node === 0) {
          return null;
        }
        right = rb_right(node);
      } while (right === from);
      const at = def.entry(node);
      if (def.start(at) > last) {
        return null;
      }
      if (start <= def.last(at)) {
        return at;
      }
    }
  };

  return {
    insert,
    insert_after,
    remove: (object, root) => rb_erase_augmented(def.node(object), root, augment),
    iter_first,
    iter_next,
  };
}
