/**
 * lib/rbtree.c, include/linux/rbtree_augmented.h: red-black trees with augmented data. Fidelity: dup
 * of the operations (in-order position, colours, which nodes are re-augmented), written from the
 * textbook algorithm.
 *
 * A node is four heap words: parent, colour, left, right; a root two: root node, leftmost node. 0 is
 * NULL. Every tree here keeps its leftmost node (rb_root_cached). Plain functions: a whole insertion
 * or removal is one atomic change; Linux readers of these trees hold the lock of the writers.
 */
import { read_heap, write_heap } from '../../sim/cpu.ts';
import type { rb_node, rb_root } from '../../sim/struct.ts';

const COLOUR = 1;
const LEFT = 2;
const RIGHT = 3;
const LEFTMOST = 1;
const RED = 0;
const BLACK = 1;

/** struct rb_augment_callbacks. Nodes are word addresses. */
export interface rb_augment_callbacks {
  /** Recomputes the data of `node` and of its ancestors, up to but not including `stop`. */
  readonly propagate: (node: number, stop: number) => void;
  /** `to` takes the place of `from` with the same subtree. */
  readonly copy: (from: number, to: number) => void;
  /** `to` has become the parent of `from`: it covers what `from` covered, and `from` is recomputed. */
  readonly rotate: (from: number, to: number) => void;
}

export const rb_no_augment: rb_augment_callbacks = {
  propagate: () => {},
  copy: () => {},
  rotate: () => {},
};

export function rb_parent(node: number): number {
  return read_heap(node);
}

export function rb_left(node: number): number {
  return read_heap(node + LEFT);
}

export function rb_right(node: number): number {
  return read_heap(node + RIGHT);
}

export function rb_is_red(node: number): boolean {
  return read_heap(node + COLOUR) === RED;
}

/** The root node, 0 if the tree is empty. */
export function rb_root_node(root: rb_root): number {
  return read_heap(root);
}

export function rb_empty_root(root: rb_root): boolean {
  return read_heap(root) === 0;
}

export function rb_init_root(root: rb_root): void {
  write_heap(root, 0);
  write_heap(root + LEFTMOST, 0);
}

/** RB_CLEAR_NODE(): a node that is its own parent is in no tree. */
export function rb_clear_node(node: number): void {
  write_heap(node, node);
}

export function rb_empty_node(node: number): boolean {
  return read_heap(node) === node;
}

/** rb_first_cached(). */
export function rb_first(root: rb_root): number {
  return read_heap(root + LEFTMOST);
}

export function rb_last(root: rb_root): number {
  let node = read_heap(root);
  while (node !== 0 && rb_right(node) !== 0) {
    node = rb_right(node);
  }
  return node;
}

export function rb_next(node: number): number {
  let at = rb_right(node);
  if (at !== 0) {
    while (rb_left(at) !== 0) {
      at = rb_left(at);
    }
    return at;
  }
  at = node;
  let parent = rb_parent(at);
  while (parent !== 0 && rb_right(parent) === at) {
    at = parent;
    parent = rb_parent(at);
  }
  return parent;
}

export function rb_prev(node: number): number {
  let at = rb_left(node);
  if (at !== 0) {
    while (rb_right(at) !== 0) {
      at = rb_right(at);
    }
    return at;
  }
  at = node;
  let parent = rb_parent(at);
  while (parent !== 0 && rb_left(parent) === at) {
    at = parent;
    parent = rb_parent(at);
  }
  return parent;
}

function set_parent(node: number, parent: number): void {
  write_heap(node, parent);
}

function set_colour(node: number, colour: number): void {
  if (read_heap(node + COLOUR) !== colour) {
    write_heap(node + COLOUR, colour);
  }
}

/** Makes `to` hang where `from` hangs below `parent`. */
function change_child(from: number, to: number, parent: number, root: rb_root): void {
  if (parent === 0) {
    write_heap(root, to);
  } else if (rb_left(parent) === from) {
    write_heap(parent + LEFT, to);
  } else {
    write_heap(parent + RIGHT, to);
  }
}

/** Turns the edge between `node` and its child on the other side of `side`; the child comes up. */
function rotate(node: number, side: number, root: rb_root, augment: rb_augment_callbacks): void {
  const other = side === LEFT ? RIGHT : LEFT;
  const up = read_heap(node + other);
  const middle = read_heap(up + side);
  const parent = rb_parent(node);
  write_heap(node + other, middle);
  if (middle !== 0) {
    set_parent(middle, node);
  }
  write_heap(up + side, node);
  set_parent(node, up);
  set_parent(up, parent);
  change_child(node, up, parent, root);
  augment.rotate(node, up);
}

/**
 * rb_link_node() and rb_insert_augmented_cached(): hangs `node` below `parent` on the left or right
 * (parent 0: the tree was empty) and rebalances. The caller has augmented the path above it.
 */
export function rb_insert_augmented(
  node: rb_node,
  parent: number,
  left: boolean,
  root: rb_root,
  augment: rb_augment_callbacks,
): void {
  set_parent(node, parent);
  set_colour(node, RED);
  write_heap(node + LEFT, 0);
  write_heap(node + RIGHT, 0);
  if (parent === 0) {
    write_heap(root, node);
    write_heap(root + LEFTMOST, node);
  } else if (left) {
    write_heap(parent + LEFT, node);
    if (read_heap(root + LEFTMOST) === parent) {
      write_heap(root + LEFTMOST, node);
    }
  } else {
    write_heap(parent + RIGHT, node);
  }

  let at: number = node;
  let up = rb_parent(at);
  while (up !== 0 && rb_is_red(up)) {
    const grand = rb_parent(up);
    const side = rb_left(grand) === up ? LEFT : RIGHT;
    const other = side === LEFT ? RIGHT : LEFT;
    const uncle = read_heap(grand + other);
    if (uncle !== 0 && rb_is_red(uncle)) {
      set_colour(up, BLACK);
      set_colour(uncle, BLACK);
      set_colour(grand, RED);
      at = grand;
      up = rb_parent(at);
      continue;
    }
    if (read_heap(up + other) === at) {
      rotate(up, side, root, augment);
      up = at;
    }
    set_colour(up, BLACK);
    set_colour(grand, RED);
    rotate(grand, other, root, augment);
    break;
  }
  set_colour(read_heap(root), BLACK);
}

/** Restores equal black heights after a black node left the tree above `at` (may be 0), below `parent`. */
function erase_fixup(
  start: number,
  above: number,
  root: rb_root,
  augment: rb_augment_callbacks,
): void {
  let at = start;
  let parent = above;
  while (parent !== 0 && (at === 0 || !rb_is_red(at))) {
    const side = rb_left(parent) === at ? LEFT : RIGHT;
    const other = side === LEFT ? RIGHT : LEFT;
    let sibling = read_heap(parent + other);
    if (rb_is_red(sibling)) {
      set_colour(sibling, BLACK);
      set_colour(parent, RED);
      rotate(parent, side, root, augment);
      sibling = read_heap(parent + other);
    }
    const near = read_heap(sibling + side);
    let far = read_heap(sibling + other);
    const near_red = near !== 0 && rb_is_red(near);
    const far_red = far !== 0 && rb_is_red(far);
    if (!near_red && !far_red) {
      set_colour(sibling, RED);
      at = parent;
      parent = rb_parent(at);
      continue;
    }
    if (!far_red) {
      set_colour(near, BLACK);
      set_colour(sibling, RED);
      rotate(sibling, other, root, augment);
      far = sibling;
      sibling = near;
    }
    set_colour(sibling, read_heap(parent + COLOUR));
    set_colour(parent, BLACK);
    set_colour(far, BLACK);
    rotate(parent, side, root, augment);
    at = read_heap(root);
    break;
  }
  if (at !== 0) {
    set_colour(at, BLACK);
  }
}

/** rb_erase_augmented_cached(). */
export function rb_erase_augmented(
  node: rb_node,
  root: rb_root,
  augment: rb_augment_callbacks,
): void {
  if (read_heap(root + LEFTMOST) === node) {
    write_heap(root + LEFTMOST, rb_next(node));
  }
  const left = rb_left(node);
  const right = rb_right(node);
  const parent = rb_parent(node);
  let child: number;
  let below: number;
  let black: boolean;
  if (left === 0 || right === 0) {
    child = left === 0 ? right : left;
    below = parent;
    black = !rb_is_red(node);
    change_child(node, child, parent, root);
    if (child !== 0) {
      set_parent(child, parent);
    }
    augment.propagate(parent, 0);
  } else {
    // The next node takes this one's place and colour; what leaves the tree is its old position.
    let successor = right;
    while (rb_left(successor) !== 0) {
      successor = rb_left(successor);
    }
    child = rb_right(successor);
    black = !rb_is_red(successor);
    if (successor === right) {
      below = successor;
      augment.copy(node, successor);
    } else {
      below = rb_parent(successor);
      write_heap(below + LEFT, child);
      if (child !== 0) {
        set_parent(child, below);
      }
      write_heap(successor + RIGHT, right);
      set_parent(right, successor);
      augment.copy(node, successor);
      augment.propagate(below, successor);
    }
    write_heap(successor + LEFT, left);
    set_parent(left, successor);
    set_parent(successor, parent);
    change_child(node, successor, parent, root);
    set_colour(successor, read_heap(node + COLOUR));
    augment.propagate(successor, 0);
  }
  if (black) {
    erase_fixup(child, below, root, augment);
  }
}

/** rb_link_node() and rb_insert_color(): without augmented data. */
export function rb_insert(node: rb_node, parent: number, left: boolean, root: rb_root): void {
  rb_insert_augmented(node, parent, left, root, rb_no_augment);
}

/** rb_erase(). */
export function rb_erase(node: rb_node, root: rb_root): void {
  rb_erase_augmented(node, root, rb_no_augment);
}

/** rb_replace_node(): `node` takes the place of `victim`, colour included; nothing is compared. */
export function rb_replace_node(victim: rb_node, node: rb_node, root: rb_root): void {
  const parent = rb_parent(victim);
  for (let i = 0; i <= RIGHT; i++) {
    write_heap(node + i, read_heap(victim + i));
  }
  for (const child of [rb_left(victim), rb_right(victim)]) {
    if (child !== 0) {
      set_parent(child, node);
    }
  }
  change_child(victim, node, parent, root);
  if (read_heap(root + LEFTMOST) === victim) {
    write_heap(root + LEFTMOST, node);
  }
}
