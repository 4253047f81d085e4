import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { calls, signatureOf } from '../../src/scenario/calls.ts';
import {
  constantNames,
  constantValue,
  exactAnd,
  exactOr,
  familyPrefixOf,
  flagNames,
} from '../../src/scenario/constants.ts';
import { errnoByName, errnoName } from '../../src/scenario/errno.ts';
import { parseExpression } from '../../src/scenario/expr.ts';
import { flagsValue } from '../../src/scenario/flags.ts';
import { editDistance, nearestName } from '../../src/scenario/suggest.ts';
import { isSystemCall } from '../../src/scenario/syscalls.ts';

const exact = fc.nat({ max: Number.MAX_SAFE_INTEGER });

describe('flags', () => {
  test('| and & are exact beyond 32 bits', () => {
    fc.assert(
      fc.property(exact, exact, (a, b) => {
        expect(BigInt(exactOr(a, b))).toBe(BigInt(a) | BigInt(b));
        expect(BigInt(exactAnd(a, b))).toBe(BigInt(a) & BigInt(b));
      }),
    );
  });

  test.each([
    ['PROT_READ|PROT_WRITE', 3],
    ['MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE|MAP_FIXED_NOREPLACE', 0x104022],
    ['CLONE_IO|CLONE_CLEAR_SIGHAND', 0x180000000],
    ['CLONE_IO|SIGCHLD', 0x80000011],
    ['MAP_HUGETLB|MAP_HUGE_1GB', 0x78040000],
    ['MADV_GUARD_INSTALL', 102],
    ['MREMAP_MAYMOVE|MREMAP_FIXED|MREMAP_DONTUNMAP', 7],
    ['PR_SET_MEMORY_MERGE', 67],
    ['O_RDWR|O_CREAT|O_CLOEXEC', 0o2000102],
    ['FALLOC_FL_PUNCH_HOLE|FALLOC_FL_KEEP_SIZE', 3],
    ['-1', -1],
    ['4p + 16K*2', 16384 + 32768],
    ['NULL', 0],
    ['p|1', undefined],
  ])('%s', (text, value) => {
    expect(flagsValue(parseExpression(text))).toBe(value);
  });

  test('names of a value mean the value', () => {
    fc.assert(
      fc.property(
        fc.nat(0x1fffff),
        fc.constantFrom('PROT_', 'MAP_', 'CLONE_', 'O_'),
        (value, prefix) => {
          expect(flagsValue(parseExpression(flagNames(prefix, value)))).toBe(value);
        },
      ),
    );
  });
});

describe('constants', () => {
  test('belong to the family of their prefix, so that a near miss finds its family', () => {
    for (const name of constantNames()) {
      if (name !== 'NULL') expect(familyPrefixOf(name), name).toBeDefined();
    }
  });

  test('include the errno names, which have numbers in both directions', () => {
    expect(constantValue('ENOMEM')).toBe(12);
    for (const number of [1, 11, 12, 22, 75, 133]) {
      expect(errnoByName.get(errnoName(number))).toBe(number);
    }
    expect(errnoName(999)).toBe('E#999');
  });
});

describe('calls', () => {
  test('that strace knows are real, the others are not', () => {
    for (const spec of calls.values()) {
      // The real one takes a path; ours means all of swap.
      if (spec.name === 'swapoff') continue;
      expect(isSystemCall(spec.name), spec.name).toBe(spec.isSystemCall);
    }
  });

  test('have a signature and a line of help', () => {
    expect(signatureOf(calls.get('mremap') ?? fail())).toBe(
      'mremap(addr, old_length, new_length, [flags], [new_addr])',
    );
    expect([...calls.values()].filter((spec) => spec.help.length < 10)).toEqual([]);
  });
});

function fail(): never {
  throw new Error('no such call');
}

describe('nearestName', () => {
  test('finds a name with one slip', () => {
    const names = [...calls.keys()].filter((name) => name.length > 3);
    fc.assert(
      fc.property(fc.constantFrom(...names), fc.nat(20), (name, at) => {
        const i = at % (name.length - 1);
        const slipped = name.slice(0, i) + name[i + 1] + name[i] + name.slice(i + 2);
        const found = nearestName(slipped, calls.keys()) ?? '';
        expect(editDistance(slipped, found)).toBeLessThanOrEqual(1);
      }),
    );
  });

  test('finds nothing where nothing is near', () => {
    expect(nearestName('xyzzy', calls.keys())).toBeUndefined();
    expect(nearestName('m'.repeat(10_000), calls.keys())).toBeUndefined();
  });
});
