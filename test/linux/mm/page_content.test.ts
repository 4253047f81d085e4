import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  compare_content,
  content_runs,
  fill_content,
  hash_content,
  load_content,
  store_content,
  ZERO_CONTENT,
} from '../../../src/linux/mm/page_content.ts';

const PAGE = 4096;
const writes = fc.array(
  fc.record({
    offset: fc.integer({ min: 0, max: PAGE - 1 }),
    length: fc.integer({ min: 0, max: PAGE }),
    byte: fc.integer({ min: 0, max: 3 }),
  }),
  { maxLength: 8 },
);

function apply(list: { offset: number; length: number; byte: number }[]): [number, Uint8Array] {
  let content = ZERO_CONTENT;
  const bytes = new Uint8Array(PAGE);
  for (const { offset, length, byte } of list) {
    const n = Math.min(length, PAGE - offset);
    content = store_content(content, offset, n, byte);
    bytes.fill(byte, offset, offset + n);
  }
  return [content, bytes];
}

describe('store_content', () => {
  test('is what writing into an array of bytes gives', () => {
    fc.assert(
      fc.property(writes, (list) => {
        const [content, bytes] = apply(list);
        const back = new Uint8Array(PAGE);
        for (const { start, end, byte } of content_runs(content)) back.fill(byte, start, end);
        expect(back).toEqual(bytes);
        for (const at of [0, 1, 77, PAGE - 1]) expect(load_content(content, at)).toBe(bytes[at]);
      }),
    );
  });

  test('gives equal contents the same id, however they came about', () => {
    const a = store_content(store_content(ZERO_CONTENT, 0, 10, 1), 10, 10, 1);
    const b = store_content(ZERO_CONTENT, 0, 20, 1);
    expect(a).toBe(b);
    expect(store_content(a, 0, 20, 0)).toBe(ZERO_CONTENT);
    expect(store_content(ZERO_CONTENT, 0, PAGE, 7)).toBe(fill_content(7));
  });
});

describe('compare_content', () => {
  test('is memcmp', () => {
    fc.assert(
      fc.property(writes, writes, (left, right) => {
        const [a, x] = apply(left);
        const [b, y] = apply(right);
        let expected = 0;
        for (let i = 0; i < PAGE && expected === 0; i++) {
          expected = Math.sign((x[i] as number) - (y[i] as number));
        }
        expect(Math.sign(compare_content(a, b))).toBe(expected);
        if (expected === 0) {
          expect(a).toBe(b);
          expect(hash_content(a)).toBe(hash_content(b));
        }
      }),
    );
  });
});
