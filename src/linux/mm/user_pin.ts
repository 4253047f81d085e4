/**
 * A device that reads and writes pinned pages: the callers of mm/gup.c, as gup_test, io_uring and direct I/O
 * are. Fidelity: custom (which pins there are), the pins themselves are mm/gup.ts.
 *
 * Lock tree: mmap_lock for read, then mm/gup.ts.
 */
import { taskBlock } from '../../sim/task.ts';
import type { K } from '../../sim/wait.ts';
import { EFAULT, EINVAL, ENOENT, ENOMEM, ESRCH } from '../errno.ts';
import { current } from '../kernel/current.ts';
import { mmget_not_zero, mmput } from '../kernel/mm_users.ts';
import { memory_manager } from '../kernel.ts';
import { type folio, mem_map, type mm_struct, type page, type task_struct } from '../mm_types.ts';
import { trace_pin, trace_unpin } from './events.ts';
import { should_failslab } from './failslab.ts';
import {
  pin_user_pages_fast,
  pin_user_pages_remote,
  unpin_user_page,
  unpin_user_page_dirty_lock,
} from './gup_pin.ts';
import { FOLL_FORCE, FOLL_LONGTERM, FOLL_WRITE } from './gup_ref.ts';
import { PAGE_SIZE } from './mm.ts';
import { mmap_read_lock, mmap_read_unlock } from './mmap_lock.ts';
import { NODE_DATA } from './node.ts';
import type { device_pin_ops } from './ops.ts';
import { is_zero_pfn } from './page_alloc.ts';
import { load_content, store_content } from './page_content.ts';
import { type user_pin, user_pin_cachep } from './user_pin_types.ts';

function mmOfTask(task: number): mm_struct | null {
  return (taskBlock(task).context as task_struct | null)?.mm ?? null;
}

/** The newest pin of `address` in the address space of a task, and the one before it in the list. */
function findPin(task: number, address: number): { pin: user_pin; newer: user_pin | null } | null {
  const mm_id = mmOfTask(task)?.mm_id ?? 0;
  const start = address - (address % PAGE_SIZE);
  let newer: user_pin | null = null;
  let pin = NODE_DATA().user_pins as user_pin | null;
  while (pin !== null) {
    if (pin.address === start && (pin.task === task || pin.mm_id === mm_id)) {
      return { pin, newer };
    }
    newer = pin;
    pin = pin.next;
  }
  return null;
}

/** The page that a device has pinned at an address of a task, or null. */
export function pinnedPageAt(task: number, address: number): page | null {
  const found = findPin(task, address);
  return found === null ? null : mem_map.at(found.pin.pfn);
}

function addPin(task: number, mm_id: number, address: number, flags: number, page: page): void {
  const node = NODE_DATA();
  const pin = user_pin_cachep.alloc();
  pin.pfn = page.pfn;
  pin.flags = flags;
  pin.task = task;
  pin.mm_id = mm_id;
  pin.address = address;
  pin.next = node.user_pins as user_pin | null;
  node.user_pins = pin;
}

/** Pins the page at `start` of an address space that is not the caller's, as a driver does for a virtual machine. */
function* pinRemote(mm: mm_struct, start: number, flags: number, pages: page[]): K<number> {
  if (!mmget_not_zero(mm)) {
    return -ESRCH;
  }
  yield* mmap_read_lock(mm);
  const ret = yield* pin_user_pages_remote(mm, start, 1, flags, pages);
  mmap_read_unlock(mm);
  yield* mmput(mm);
  return ret;
}

/** As kernels before 5.6 do it. */
function* pinOwn(
  own: device_pin_ops,
  mm: mm_struct,
  start: number,
  flags: number,
  pages: page[],
): K<number> {
  if (!mmget_not_zero(mm)) {
    return -ESRCH;
  }
  const ret = yield* own.pin(mm, start, flags, pages);
  yield* mmput(mm);
  return ret;
}

/**
 * Pins the page at `address` of task number `task`: in the task's own context without mmap_lock if that is
 * possible, in another's with it. `flags`: FOLL_WRITE if the device will write, FOLL_LONGTERM, FOLL_FORCE.
 * Returns 1 (pages pinned) or a negative errno.
 */
export function* pinAt(task: number, address: number, flags: number): K<number> {
  const mm = mmOfTask(task);
  if ((flags & ~(FOLL_WRITE | FOLL_LONGTERM | FOLL_FORCE)) !== 0) {
    return -EINVAL;
  }
  if (mm === null) {
    return -ESRCH;
  }
  if (should_failslab()) {
    return -ENOMEM;
  }
  const start = address - (address % PAGE_SIZE);
  const mm_id = mm.mm_id;
  const pages: page[] = [];
  let ret = 0;
  const own = memory_manager().device_pins;
  if (own !== undefined) {
    ret = yield* pinOwn(own, mm, start, flags, pages);
  } else if (mm === current().mm) {
    ret = yield* pin_user_pages_fast(start, flags, pages);
  } else {
    ret = yield* pinRemote(mm, start, flags, pages);
  }
  const page = pages[0];
  if (page === undefined) {
    return ret;
  }
  addPin(task, mm_id, start, flags, page);
  trace_pin({ page, address: start, flags });
  return ret;
}

/** Drops the newest pin of `address`; a page that the device could write becomes dirty. 0 or -ENOENT. */
export function* unpinAt(task: number, address: number): K<number> {
  const found = findPin(task, address);
  if (found === null) {
    return -ENOENT;
  }
  const { pin, newer } = found;
  const page: folio = mem_map.at(pin.pfn);
  const write = (pin.flags & FOLL_WRITE) !== 0;
  const start = pin.address;
  if (newer === null) {
    NODE_DATA().user_pins = pin.next;
  } else {
    newer.next = pin.next;
  }
  user_pin_cachep.free(pin);
  trace_unpin({ page, address: start });
  const own = memory_manager().device_pins;
  if (own !== undefined) {
    yield* own.unpin(page, write);
  } else if (write) {
    yield* unpin_user_page_dirty_lock(page, true);
  } else {
    yield* unpin_user_page(page);
  }
  return 0;
}

/** The device writes a byte to the page that it has pinned. -ENOENT without a pin, -EFAULT if it is for reading. */
export function* deviceStore(task: number, address: number, byte: number): K<number> {
  const found = findPin(task, address);
  if (found === null) {
    return -ENOENT;
  }
  if ((found.pin.flags & FOLL_WRITE) === 0 || is_zero_pfn(found.pin.pfn)) {
    return -EFAULT;
  }
  const page = mem_map.at(found.pin.pfn);
  page.content = store_content(page.content, address % PAGE_SIZE, 1, byte);
  return 0;
}

/** The device reads a byte of the page that it has pinned: the byte or -ENOENT. */
export function* deviceLoad(task: number, address: number): K<number> {
  const found = findPin(task, address);
  if (found === null) {
    return -ENOENT;
  }
  return load_content(mem_map.at(found.pin.pfn).content, address % PAGE_SIZE);
}
