/**
 * include/linux/list.h: circular doubly linked lists. A list_head is two heap words, next and prev,
 * each holding the word address of another list_head. container_of() is the cache's
 * `container(field)`. Fidelity: dup.
 *
 * All of these are plain functions: one call is one atomic change, as far as other tasks see it. What
 * must be protected by a lock is said where the list is declared.
 */
import { read_heap, write_heap } from '../../sim/cpu.ts';
import type { list_head } from '../../sim/struct.ts';

const PREV = 1;

/** Marks of list_del(): a deleted entry used again faults in Linux; here the word 0 is never an entry. */
const LIST_POISON = 0;

export function INIT_LIST_HEAD(list: list_head): void {
  write_heap(list, list);
  write_heap(list + PREV, list);
}

/** list->next: also the first entry of a head. */
export function list_next(list: number): list_head {
  return read_heap(list) as list_head;
}

/** list->prev: also the last entry of a head. */
export function list_prev(list: number): list_head {
  return read_heap(list + PREV) as list_head;
}

export function list_empty(head: list_head): boolean {
  return read_heap(head) === head;
}

/** Exactly one entry. */
export function list_is_singular(head: list_head): boolean {
  return !list_empty(head) && read_heap(head) === read_heap(head + PREV);
}

/** list_is_last(): nothing comes after the entry. */
export function list_is_last(list: number, head: list_head): boolean {
  return list_next(list) === head;
}
/** list_is_head(). */
export function list_is_head(list: number, head: list_head): boolean {
  return list === head;
}

function insert_between(entry: number, prev: number, next: number): void {
  write_heap(next + PREV, entry);
  write_heap(entry, next);
  write_heap(entry + PREV, prev);
  write_heap(prev, entry);
}

/** Inserts right after the head: a stack. */
export function list_add(entry: list_head, head: list_head): void {
  insert_between(entry, head, read_heap(head));
}

/** Inserts right before the head: a queue. */
export function list_add_tail(entry: list_head, head: list_head): void {
  insert_between(entry, read_heap(head + PREV), head);
}

function unlink(entry: number): void {
  const next = read_heap(entry);
  const prev = read_heap(entry + PREV);
  write_heap(next + PREV, prev);
  write_heap(prev, next);
}

export function list_del(entry: list_head): void {
  unlink(entry);
  write_heap(entry, LIST_POISON);
  write_heap(entry + PREV, LIST_POISON);
}

export function list_del_init(entry: list_head): void {
  unlink(entry);
  INIT_LIST_HEAD(entry);
}

export function list_move(entry: list_head, head: list_head): void {
  unlink(entry);
  list_add(entry, head);
}

/** Entries of a list in order, as list_head addresses: a snapshot, so that entries may be deleted meanwhile. */
export function list_entries(head: list_head): list_head[] {
  const entries: list_head[] = [];
  for (let at = read_heap(head); at !== head; at = read_heap(at)) {
    entries.push(at as list_head);
  }
  return entries;
}
