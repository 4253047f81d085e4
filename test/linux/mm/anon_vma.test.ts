import { describe, expect, test } from 'vitest';
import { Prng } from '../../../src/base/prng.ts';
import { avcsOfVma, mmOfTask, taskIsAlive, vmaAt, vmasOf } from '../../../src/linux/describe.ts';
import {
  type anon_vma,
  anon_vma_cachep,
  type vm_area_struct,
} from '../../../src/linux/mm_types.ts';
import type { Machine } from '../../../src/sim/machine.ts';
import { bootTest, call, findings, settle, spawnInit } from '../driver.ts';
import { brokenInvariants } from './invariants.ts';

const PAGE = 4096;
const P = 0x10_0000_0000;
const at = (page: number): number => P + page * PAGE;
const RW = 3;
const ANON_FIXED = 0x32;

/** A world whose anon_vmas get letters in the order in which they are first drawn. */
class World {
  readonly m: Machine = bootTest();
  readonly #letters = new Map<anon_vma, string>();

  start(): number {
    return spawnInit(this.m, 'P', { mmapBase: P + 64 * PAGE });
  }
  map(task: number, page: number, n: number, prot = RW): void {
    expect(call(this.m, task, 'mmap', [at(page), n * PAGE, prot, ANON_FIXED, -1, 0])).toBe(
      at(page),
    );
  }
  store(task: number, page: number, value = 1): void {
    expect(call(this.m, task, 'store', [at(page), value])).toBe(0);
  }
  load(task: number, page: number): number {
    return call(this.m, task, 'load', [at(page)]);
  }
  fork(task: number): number {
    const child = call(this.m, task, 'fork');
    expect(child).toBeGreaterThan(0);
    return child;
  }
  exit(task: number): void {
    call(this.m, task, 'exit', [0]);
  }
  vma(task: number, page: number): vm_area_struct {
    const mm = mmOfTask(this.m, task);
    const vma = mm === null ? null : vmaAt(mm, at(page));
    if (vma === null) throw new Error(`task ${task} has nothing at page ${page}`);
    return vma;
  }
  letter(av: anon_vma): string {
    const known = this.#letters.get(av);
    if (known !== undefined) return known;
    const letter = String.fromCharCode(65 + this.#letters.size);
    this.#letters.set(av, letter);
    return letter;
  }
  /** `A{root,parent,children,active,ref}` along the chain, newest first. */
  chain(task: number, page: number): string {
    this.m.activate();
    const avs = avcsOfVma(this.vma(task, page)).map((avc) => avc.anon_vma);
    return avs.map((av) => this.draw(av)).join(' ');
  }
  draw(av: anon_vma): string {
    const parent = av.parent === null ? '-' : this.letter(av.parent);
    return `${this.letter(av)}{${this.letter(av.root)},${parent},${av.num_children},${av.num_active_vmas},${av.refcount}}`;
  }
  check(): void {
    expect(findings(this.m)).toEqual([]);
    expect(brokenInvariants(this.m)).toEqual([]);
  }
}

describe('anon_vma_fork', () => {
  test('gives the child an anon_vma below the parent, which is unlinked at exit', () => {
    const w = new World();
    const parent = w.start();
    w.map(parent, 0, 2);
    w.store(parent, 0);
    expect(w.chain(parent, 0)).toBe('A{A,A,1,1,1}');
    const child = w.fork(parent);
    expect(w.chain(parent, 0)).toBe('A{A,A,2,1,2}');
    expect(w.chain(child, 0)).toBe('B{A,A,0,1,1} A{A,A,2,1,2}');
    w.check();
    w.exit(child);
    expect(w.chain(parent, 0)).toBe('A{A,A,1,1,1}');
    w.check();
  });

  test('reuses an ancestor that lost its VMA and has one child', () => {
    const w = new World();
    const p = w.start();
    w.map(p, 0, 2);
    w.store(p, 0);
    expect(w.chain(p, 0)).toBe('A{A,A,1,1,1}');
    const c1 = w.fork(p);
    expect(w.chain(c1, 0)).toBe('B{A,A,0,1,1} A{A,A,2,1,2}');
    const c2 = w.fork(c1);
    w.exit(c1);
    expect(w.chain(c2, 0)).toBe('C{A,B,0,1,1} B{A,A,1,0,1} A{A,A,2,1,3}');
    const before = anon_vma_cachep.live();
    const c3 = w.fork(c2);
    expect(anon_vma_cachep.live()).toBe(before);
    expect(w.letter(w.vma(c3, 0).anon_vma as anon_vma)).toBe('B');
    expect(w.chain(c3, 0)).toBe('C{A,B,0,1,1} B{A,A,1,1,1} A{A,A,2,1,3}');
    const c4 = w.fork(c3);
    expect(w.chain(c4, 0)).toBe('D{A,B,0,1,1} C{A,B,0,1,1} B{A,A,2,1,1} A{A,A,2,1,4}');
    w.check();
    w.exit(c3);
    w.exit(c4);
    expect(w.chain(c2, 0)).toBe('C{A,B,0,1,1} B{A,A,1,0,1} A{A,A,2,1,3}');
    w.check();
  });

  test('never reuses a root, even one without a VMA', () => {
    const w = new World();
    const p = w.start();
    w.map(p, 0, 2);
    w.store(p, 0);
    expect(w.chain(p, 0)).toBe('A{A,A,1,1,1}');
    const c1 = w.fork(p);
    const c2 = w.fork(p);
    expect(w.chain(p, 0)).toBe('A{A,A,3,1,3}');
    w.exit(c2);
    call(w.m, p, 'munmap', [at(0), 2 * PAGE]);
    expect(w.chain(c1, 0)).toBe('B{A,A,0,1,1} A{A,A,2,0,2}');
    const grandchild = w.fork(c1);
    expect(w.chain(grandchild, 0)).toBe('C{A,B,0,1,1} B{A,A,1,1,1} A{A,A,2,0,3}');
    w.check();
  });

  test('gives two VMAs of the child two anon_vmas, where the parent shares one', () => {
    const w = new World();
    const p = w.start();
    w.map(p, 0, 4);
    w.store(p, 0);
    call(w.m, p, 'mprotect', [at(2), 2 * PAGE, 1]);
    expect(w.chain(p, 0)).toBe('A{A,A,1,2,1}');
    expect(w.vma(p, 2).anon_vma).toBe(w.vma(p, 0).anon_vma);
    const c = w.fork(p);
    expect(w.chain(c, 0)).toBe('B{A,A,0,1,1} A{A,A,3,2,3}');
    expect(w.chain(c, 2)).toBe('C{A,A,0,1,1} A{A,A,3,2,3}');
    w.check();
    for (const task of [c, p]) call(w.m, task, 'mprotect', [at(2), 2 * PAGE, RW]);
    expect(vmasOf(w.vma(c, 0).vm_mm as never).length).toBe(2);
    expect(vmasOf(w.vma(p, 0).vm_mm as never).length).toBe(1);
    w.check();
  });

  test('leaves a WIPEONFORK VMA unfaulted and a DONTFORK VMA out', () => {
    const w = new World();
    const p = w.start();
    w.map(p, 0, 2);
    w.map(p, 4, 2);
    w.store(p, 0, 9);
    w.store(p, 4, 9);
    call(w.m, p, 'madvise', [at(0), 2 * PAGE, 18]);
    call(w.m, p, 'madvise', [at(4), 2 * PAGE, 10]);
    const c = w.fork(p);
    expect(w.chain(c, 0)).toBe('');
    expect(w.vma(c, 0).anon_vma).toBeNull();
    expect(w.load(c, 0)).toBe(0);
    expect(w.vma(c, 0).anon_vma).toBeNull();
    w.store(c, 0);
    expect(w.chain(c, 0)).toBe('A{A,A,1,1,1}');
    expect(() => w.vma(c, 4)).toThrow('nothing');
    w.check();
  });
});

describe('the counters of the anon_vma forest', () => {
  test('agree with a brute-force count after random fork, fault and exit programs', () => {
    for (let seed = 1; seed <= 60; seed++) {
      const w = new World();
      const prng = new Prng(seed);
      const tasks = [w.start()];
      const log: string[] = [];
      for (let i = 0; i < 60; i++) {
        const alive = tasks.filter((t) => taskIsAlive(w.m, t));
        const task = prng.pick(alive);
        const page = prng.below(12);
        const length = (1 + prng.below(5)) * PAGE;
        const kind = prng.below(12);
        if (kind < 3) call(w.m, task, 'mmap', [at(page), length, RW, ANON_FIXED, -1, 0]);
        else if (kind < 7) call(w.m, task, 'store', [at(page), 1 + prng.below(9)]);
        else if (kind < 8) call(w.m, task, 'load', [at(page)]);
        else if (kind < 9) call(w.m, task, 'mprotect', [at(page), length, 1 + 2 * prng.below(2)]);
        else if (kind < 10) call(w.m, task, 'munmap', [at(page), length]);
        else if (kind < 11 && alive.length < 7) tasks.push(w.fork(task));
        else if (alive.length > 1) w.exit(task);
        log.push(`${kind} ${task} ${page}`);
        expect({ seed, i, log, broken: brokenInvariants(w.m) }).toEqual({
          seed,
          i,
          log,
          broken: [],
        });
      }
      settle(w.m);
      w.check();
    }
  });
});
