import { beforeEach, describe, expect, test } from 'vitest';
import { cpu, SPACE_HEAP, undo_to } from '../../src/sim/cpu.ts';
import { eventAt } from '../../src/sim/event.ts';
import type { Machine } from '../../src/sim/machine.ts';
import {
  allStructs,
  describeObject,
  isLive,
  liveObjects,
  ownerOf,
  serialOf,
  structOf,
} from '../../src/sim/struct.ts';
import { allocTable, freeTable, tableEnd } from '../../src/sim/table.ts';
import { textId, textOf } from '../../src/sim/text.ts';
import { mini_map, node_cache, pool_cache, tag_cache, the_pool } from './kernel/structs.ts';
import { call, miniMachine } from './mini-machine.ts';

let machine: Machine;
beforeEach(() => {
  machine = miniMachine();
  machine.activate();
});

describe('handles', () => {
  test('are pointers: one per slot, the same after any detour through memory', () => {
    const a = node_cache.alloc();
    const b = node_cache.alloc();
    a.next = b;
    b.next = a;
    expect(a.next).toBe(b);
    expect(a.next?.next).toBe(a);
    a.next = null;
    expect(a.next).toBeNull();
    expect(node_cache.container('lock')(a.lock)).toBe(a);
  });

  test('of a reused slot are the old ones, and the serial tells them apart', () => {
    const a = tag_cache.alloc();
    const serial = serialOf(a);
    const name = describeObject(a);
    tag_cache.free(a);
    const b = tag_cache.alloc();
    expect(b).toBe(a);
    expect(serialOf(b)).toBeGreaterThan(serial);
    expect(describeObject(b)).not.toBe(name);
  });

  test('after an undone allocation are of the type that lives there now', () => {
    const at = cpu.journal_count;
    const pool = pool_cache.alloc();
    const addr = pool.addr;
    undo_to(at);
    const node = node_cache.alloc();
    const second = node_cache.alloc();
    expect(node.addr).toBe(addr);
    expect(node_cache.isInstance(node)).toBe(true);
    node.next = second;
    expect(node.next).toBe(second);
    second.next = node;
    expect(second.next).toBe(node);
  });
});

describe('a slab', () => {
  test('zeroes new objects and hands freed ones out again, last first', () => {
    const a = node_cache.alloc();
    a.value = 7;
    const b = node_cache.alloc();
    node_cache.free(a);
    node_cache.free(b);
    expect(node_cache.alloc()).toBe(b);
    const again = node_cache.alloc();
    expect(again).toBe(a);
    expect(again.value).toBe(0);
    expect(node_cache.live()).toBe(2);
    expect([...liveObjects(node_cache)]).toEqual([a, b]);
  });

  test('that is typesafe constructs each slot once and keeps contents through free and alloc', () => {
    const a = tag_cache.alloc();
    expect(a.value).toBe(-1);
    a.value = 7;
    tag_cache.free(a);
    expect(a.value).toBe(7);
    expect(isLive(a)).toBe(false);
    expect(tag_cache.alloc().value).toBe(7);
  });

  test('shows reuse through a stale pointer, without a finding', () => {
    const task = machine.spawn('A');
    call(machine, task, 'retag', 11);
    const stale = the_pool().last_tag;
    call(machine, task, 'retag', 22);
    expect(the_pool().last_tag).toBe(stale);
    expect(stale?.value).toBe(22);
    expect(machine.findings()).toEqual([]);
  });

  test('reports use after free and double free of the kernel, and survives both', () => {
    const task = machine.spawn('A');
    expect(call(machine, task, 'misuse')).toBe(5);
    const [use, double] = machine.findings();
    expect(use).toMatchObject({ kind: 'use-after-free', task });
    expect(use?.text).toBe('mini_node.value of a freed object');
    expect(double).toMatchObject({ kind: 'double-free', text: 'mini_node freed twice' });
    // One slot, once on the free list.
    expect(node_cache.alloc()).not.toBe(node_cache.alloc());
    expect(node_cache.live()).toBe(2);
  });

  test('does not report a view that looks at a freed object', () => {
    const a = node_cache.alloc();
    node_cache.free(a);
    expect(a.value).toBe(0);
    expect(machine.findings()).toEqual([]);
  });
});

describe('struct types', () => {
  test('are listed without holes, with fields that do not overlap', () => {
    const all = allStructs();
    for (const [n, info] of all.entries()) {
      expect(info.id).toBe(n + 1);
      for (const [i, field] of info.fields.entries()) {
        const next = info.fields[i + 1];
        if (next !== undefined) expect(next.offset).toBeGreaterThan(field.offset);
        expect(field.offset).toBeLessThan(info.granules * 16);
      }
    }
    expect(all.map((s) => s.name)).toContain('mini_pool');
    expect(structOf(the_pool())?.name).toBe('mini_pool');
  });

  test('are found again from any word inside an object', () => {
    const pool = the_pool();
    expect(ownerOf(pool.sem + 2)).toMatchObject({ object: pool, field: { name: 'sem' } });
    expect(ownerOf(pool.big)?.field.name).toBe('big');
    const task = machine.spawn('A');
    const block = machine.block(task);
    expect(ownerOf(block.held + 95)).toMatchObject({ object: block, field: { name: 'held' } });
    expect(ownerOf(2)).toBeNull();
  });

  test('keep heap addresses the same whatever is loaded', () => {
    expect(the_pool().addr).toBe(17 * 16);
  });
});

describe('page frames', () => {
  test('keep an index beyond 32 bits, and pointers between frames', () => {
    const page = mini_map.at(3);
    page.index = 0x7_ffff_ffff;
    page.flags = -1;
    page.next = mini_map.at(9);
    expect(page.index).toBe(0x7_ffff_ffff);
    expect(page.flags).toBe(-1);
    expect(mini_map.at(3).next).toBe(mini_map.at(9));
    page.next = null;
    expect(page.next).toBeNull();
  });
});

describe('page tables', () => {
  test('come zeroed, are reused, and rewind with the pool', () => {
    const end = tableEnd();
    const a = allocTable();
    machine.activate();
    expect(tableEnd()).toBe(end + 512);
    cpu.pte[a * 512 + 5] = 77;
    freeTable(a);
    const b = allocTable();
    expect(b).toBe(a);
    expect(cpu.pte.slice(b * 512, b * 512 + 512).every((word) => word === 0)).toBe(true);
    expect(tableEnd()).toBe(end + 512);
  });
});

describe('texts', () => {
  test('have numbers that depend on nothing but the text', () => {
    expect(textId('')).toBe(0);
    expect(textId('kswapd0')).toBe(textId('kswapd0'));
    expect(textOf(textId('A process'))).toBe('A process');
    expect(textId('a')).toMatchInlineSnapshot(`4011854104283378`);
    expect(Number.isSafeInteger(textId('b'))).toBe(true);
  });

  test('reach events as texts', () => {
    const task = machine.spawn('A');
    call(machine, task, 'add', 1);
    call(machine, task, 'remove', 1);
    const events = Array.from({ length: cpu.event_count }, (_, i) => eventAt(i));
    expect(events.find((e) => e.type.name === 'mini:del')?.values[1]).toBe('remove');
    expect(machine.lastWrite(SPACE_HEAP, the_pool().big)?.old).toBe(task);
  });
});
