import { beforeEach, describe, expect, it } from 'vitest';
import {
  ExpressionError,
  evaluate,
  formatValue,
  isTrue,
  placeOf,
  type Scope,
} from '../../src/debugger/expression.ts';
import { WalkIndex } from '../../src/debugger/inspect/walks.ts';
import { trace_walk_visit } from '../../src/linux/mm/events.ts';
import { vmaTreeClear } from '../../src/linux/mm/vma_tree.ts';
import { mem_map, vm_area_cachep } from '../../src/linux/mm_types.ts';
import { parseExpression } from '../../src/scenario/expr.ts';
import { eventAt } from '../../src/sim/event.ts';
import { BASE, family, newMachine, run, walkActions } from './inspect/world.ts';

let world: ReturnType<typeof family>;
let scope: Scope;

beforeEach(() => {
  world = family(newMachine());
  scope = {
    machine: world.m,
    walks: new WalkIndex(world.m),
    variables: new Map([['p', BASE]]),
    actors: new Map([
      ['A', world.a.task],
      ['B', world.b.task],
    ]),
  };
});

const print = (text: string, at: Scope = scope): string =>
  formatValue(evaluate(parseExpression(text), at));
const holds = (text: string, at: Scope = scope): boolean =>
  isTrue(evaluate(parseExpression(text), at));

function errorOf(text: string): string {
  try {
    print(text);
  } catch (error) {
    if (error instanceof ExpressionError) return error.message;
    throw error;
  }
  return 'no error';
}

describe('evaluate', () => {
  it('has C operators with exact 53-bit numbers', () => {
    expect(print('p + 2p')).toBe('0x7f0000002000');
    expect(holds('(p | 1) == p + 1 && !(p & 1)')).toBe(true);
    expect(print('7 / 2')).toBe('3');
    expect(print('-3 < 0 || nonsense')).toBe('true');
  });

  it('counts VMAs and links, as lists that are numbers too', () => {
    expect(holds('vmas(A) == 2 && vmas(B) == 1')).toBe(true);
    expect(holds('avcs(B, p) == 2 && len(avcs(A, p)) == 1')).toBe(true);
    expect(holds('vmas(A)[0].start == p && vmas(A)[-1].end > p')).toBe(true);
  });

  it('follows fields by kernel names and by the short ones', () => {
    expect(holds('vma(B, p).anon_vma.root == vma(A, p).anon_vma')).toBe(true);
    expect(holds('vma(B, p).vm_mm == B.mm && vma(B, p).mm == B.mm')).toBe(true);
    expect(holds('anon_vma(B, p).parent.vmas == 2')).toBe(true);
    expect(print('vma(A, p).perms')).toBe('rw-p');
    expect(print('vma(A, p).vm_flags')).toBe('VM_READ|VM_WRITE|VM_MAYREAD|VM_MAYWRITE|VM_ACCOUNT');
    expect(holds('vma(A, p).flags & VM_WRITE')).toBe(true);
    expect(print('vma(A, p+50p)')).toBe('NULL');
    expect(print('A.mm.owner')).toBe('A');
  });

  it('looks at pages and page-table entries', () => {
    const { pfn } = world;
    expect(holds(`page(A, p+1p).pfn == ${pfn} && page(A, p+1p) == page(B, p+1p)`)).toBe(true);
    expect(holds('mapcount(page(A, p+1p)) == 2 && mappings(page(A, p+1p)) == 2')).toBe(true);
    expect(holds('page(A, p+1p).anon_vma == anon_vma(A, p) && page(A, p+1p).anon')).toBe(true);
    expect(holds('page(A, p) == NULL && mapcount(page(A, p)) == 0')).toBe(true);
    expect(holds('pte(A, p+1p).present && pte(A, p+1p).write && pte(A, p).none')).toBe(true);
    expect(print('pte(A, p+1p)')).toBe('pfn 14 PRESENT RW ACCESSED');
    expect(holds('refcount(page(A, p+1p)) == 1 && refcount(anon_vma(A, p)) == 1')).toBe(true);
    expect(holds('byte(A, p+1p) == 0 && rss(A) == 1 && live("anon_vma") == 2')).toBe(true);
  });

  it('has the fields of an event as names', () => {
    const { m, a, pfn, root, vmaB } = world;
    run(m, a.task, [
      () => trace_walk_visit({ page: mem_map.at(pfn), vma: vmaB, anon_vma: root, address: BASE }),
    ]);
    const at = { ...scope, event: eventAt(0) };
    expect(holds('vma.mm == B.mm && vma.mm != A.mm && address == p', at)).toBe(true);
    expect(holds('page.index == anon_vma.vmas[0].pgoff + 1', at)).toBe(true);
    vmaTreeClear(world.b.mm, vmaB.vm_start, vmaB.vm_end);
    vm_area_cachep.free(vmaB);
    vm_area_cachep.alloc();
    expect(() => holds('vma.mm == B.mm', at)).toThrow(/gone/);
    expect(m.findings()).toEqual([]);
  });

  it('tells the cost of the last walk of a page', () => {
    const { m, a, pfn, root, vmaA, vmaB } = world;
    expect(errorOf('walk_cost(A, p+1p)')).toMatch(/no reverse-map walk/);
    const visits = [
      { vma: vmaA, hit: true },
      { vma: vmaB, hit: false },
    ];
    run(m, a.task, walkActions(pfn, root, visits));
    expect(holds('walk_cost(A, p+1p) == 2 && walk_cost(A, p+1p).wasted == 1')).toBe(true);
    expect(print('walk_cost(A, p+1p)')).toBe(
      '2 {visited=2 hits=1 wasted=1 ptes=1 locks=0 steps=5}',
    );
  });

  it('suggests the nearest name', () => {
    expect(errorOf('vmaz(A)')).toBe('no function vmaz; did you mean vmas?');
    expect(errorOf('vma(A, p).vm_strat')).toMatch(/did you mean vm_start\?$/);
    expect(errorOf('page(A, p+1p).mapcnt')).toMatch(/did you mean mapcount\?$/);
    expect(errorOf('pp + 1')).toMatch(/did you mean p\?$/);
    expect(errorOf('VM_WRTE')).toMatch(/did you mean VM_WRITE\?$/);
  });

  it('says what is wrong with a value', () => {
    expect(errorOf('vmas(p)')).toBe('a number is no process');
    expect(errorOf('vma(A)')).toBe('vma is used as vma(A, p)');
    expect(errorOf('vma(A, p+50p).start')).toBe('NULL has no field start');
    expect(errorOf('anon_vma(A, p+50p)')).toBe('no VMA contains 0x7f0000032000');
    expect(errorOf('vmas(A)[7]')).toBe('no item 7 in a list of 2');
    expect(errorOf('A == vmas(A)')).toMatch(/cannot be compared/);
    expect(errorOf('1 / 0')).toBe('division by zero');
  });
});

describe('placeOf', () => {
  it('finds the word of a field, a page field and an entry', () => {
    const { m, vmaA } = world;
    const place = placeOf(parseExpression('vma(A, p).start'), scope);
    m.activate();
    expect(place).toEqual({ space: 0, location: vmaA.addr + 3 });
    expect(placeOf(parseExpression('page(A, p+1p)._mapcount'), scope)?.location).toBe(20 * 9 + 2);
    expect(placeOf(parseExpression('pte(A, p+1p)'), scope)?.space).toBe(1);
    expect(placeOf(parseExpression('1 + 1'), scope)).toBeNull();
  });
});
