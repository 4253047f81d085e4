import { describe, expect, test } from 'vitest';
import { judge } from '../../../src/check/judges.ts';
import { ENOMEM } from '../../../src/linux/errno.ts';
import { R, RW, World } from './world.ts';

/** Fails the k-th allocation of `run`, for every k until none fails any more. Returns how many there were. */
function failEach(prepare: (w: World) => void, run: (w: World) => void): number {
  for (let k = 0; k < 200; k++) {
    const w = new World();
    prepare(w);
    let seen = 0;
    let failed = false;
    w.m.setChooser((kind) => {
      if (kind !== 'fail_alloc') return 0;
      seen++;
      if (seen - 1 !== k) return 0;
      failed = true;
      return 1;
    });
    run(w);
    w.m.setChooser(() => 0);
    expect(w.problems(), `allocation ${k} failed`).toEqual([]);
    expect(judge(w.m, 'operation-end'), `allocation ${k} failed`).toEqual([]);
    w.call('exit', 0);
    expect(w.findings(), `exit after allocation ${k} failed`).toEqual([]);
    if (!failed) return k;
  }
  throw new Error('allocations without end');
}

describe('a failed allocation leaves the address space whole', () => {
  const faulted = (w: World): void => {
    w.map(0, 6);
    w.write(0, 3);
  };
  test('mprotect: split in three', () => {
    expect(failEach(faulted, (w) => w.protect(2, 2, R))).toBeGreaterThan(3);
  });
  test('mprotect: merge of three with a chain to copy', () => {
    const prepare = (w: World): void => {
      w.map(0, 3, R);
      w.map(3, 3, RW, 0x4000);
      w.map(6, 3, R);
      w.unmap(0, 3);
      w.unmap(6, 3);
      w.map(0, 3, R, 0x4000);
      w.map(6, 3, R, 0x4000);
      w.write(3);
    };
    expect(failEach(prepare, (w) => w.protect(3, 3, R))).toBeGreaterThan(1);
  });
  test('MAP_FIXED over the middle', () => {
    expect(failEach(faulted, (w) => w.map(2, 2))).toBeGreaterThan(3);
  });
  test('munmap of the middle', () => {
    expect(failEach(faulted, (w) => w.unmap(2, 2))).toBeGreaterThan(3);
  });
  test('mremap of a piece', () => {
    expect(failEach(faulted, (w) => w.move(2, 20, 2))).toBeGreaterThan(4);
  });
  /** What mremap() did not move is where it was, with its content; what it moved has left. */
  const kept = (w: World, pages: readonly number[], to: (page: number) => number): void => {
    for (const page of pages) {
      const places = [page, to(page)].map((at) => w.call('load', w.at(at)));
      expect(places, `page ${page}`).toContain(1 + (page % 200));
      expect(places.filter((byte) => byte === 1 + (page % 200))).toHaveLength(1);
    }
  };
  const MAYMOVE = 1;
  const SHARED_FIXED_ANON = 0x31;
  test('mremap of several VMAs: each is at the one place or at the other', () => {
    const prepare = (w: World): void => {
      w.map(0, 8);
      w.write(0, 1, 3, 4, 7);
      w.protect(2, 2, R);
      w.protect(6, 1, R);
    };
    const many = failEach(prepare, (w) => {
      const ret = w.move(0, 20, 8);
      expect([w.at(20), -ENOMEM]).toContain(ret);
      w.m.setChooser(() => 0);
      kept(w, [0, 1, 3, 4, 7], (page) => page + 20);
    });
    expect(many).toBeGreaterThan(8);
  });
  test('mremap that grows and has to move', () => {
    const prepare = (w: World): void => {
      w.map(0, 4);
      w.write(0, 1, 2, 3);
      w.map(4, 1, R);
    };
    const many = failEach(prepare, (w) => {
      const ret = w.resize(0, 4, 7, MAYMOVE);
      w.m.setChooser(() => 0);
      if (ret < 0) expect(ret).toBe(-ENOMEM);
      const moved = ret < 0 ? 0 : (ret - w.at(0)) / 4096;
      kept(w, [0, 1, 2, 3], (page) => (ret < 0 ? 300 : page + moved));
    });
    expect(many).toBeGreaterThan(2);
  });
  // The second target is as far from a boundary of a table as the source, so that whole tables move.
  test.each([2100, 2548])('mremap of more than one page table, to page %i', (target) => {
    const written = [500, 511, 512, 1023, 1024, 1099];
    const prepare = (w: World): void => {
      w.map(500, 600);
      w.write(...written);
    };
    const many = failEach(prepare, (w) => {
      const ret = w.move(500, target, 600);
      expect([w.at(target), -ENOMEM]).toContain(ret);
      w.m.setChooser(() => 0);
      kept(w, written, (page) => page + target - 500);
    });
    expect(many).toBeGreaterThan(3);
  });
  const HUGEPAGE = 14;
  test('the first store to a huge page, and to a small page of a new table', () => {
    const prepare = (w: World): void => {
      w.map(0, 1024);
      w.advise(0, 512, HUGEPAGE);
    };
    const many = failEach(prepare, (w) => {
      w.write(3, 600);
      w.m.setChooser(() => 0);
      w.write(3, 600);
      kept(w, [3, 600], (page) => page + 1);
    });
    expect(many).toBeGreaterThan(4);
  });
  test('fork of huge pages', () => {
    const prepare = (w: World): void => {
      w.map(0, 2048);
      w.advise(0, 2048, HUGEPAGE);
      w.write(3, 600, 1200, 1600);
      w.protect(600, 1, R);
      w.unmap(1030, 300);
    };
    const many = failEach(prepare, (w) => {
      w.call('fork');
      w.m.setChooser(() => 0);
      kept(w, [3, 600, 1600], (page) => page + 1);
    });
    expect(many).toBeGreaterThan(6);
  });
  test('MREMAP_DONTUNMAP', () => {
    const many = failEach(faulted, (w) => {
      const ret = w.dontunmap(0, 20, 6);
      expect([w.at(20), -ENOMEM]).toContain(ret);
      w.m.setChooser(() => 0);
      kept(w, [0, 3], (page) => page + 20);
    });
    expect(many).toBeGreaterThan(2);
  });
  test('shared memory over the middle', () => {
    const many = failEach(faulted, (w) => {
      w.call('mmap', w.at(1), 4 * 4096, RW, SHARED_FIXED_ANON, -1, 0);
      w.m.setChooser(() => 0);
      expect(w.call('load', w.at(0))).toBe(1);
    });
    expect(many).toBeGreaterThan(3);
  });
  test('private memory of /dev/zero and of a file over the middle', () => {
    for (const path of ['/dev/zero', '/tmp/file']) {
      let fd = -1;
      const prepare = (w: World): void => {
        faulted(w);
        fd = w.call('open', path, 2);
      };
      const many = failEach(prepare, (w) => {
        w.call('mmap', w.at(1), 4 * 4096, RW, 0x12, fd, 0);
      });
      expect(many, path).toBeGreaterThan(3);
    }
  });
  test('fork', () => {
    expect(
      failEach(faulted, (w) => {
        w.call('fork');
      }),
    ).toBeGreaterThan(4);
  });
});
