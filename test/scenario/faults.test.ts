import { describe, expect, test } from 'vitest';
import { mergeFaults, parseFaults } from '../../src/scenario/faults.ts';
import { printOperation } from '../../src/scenario/print.ts';
import { parseStrace } from '../../src/scenario/strace.ts';

describe('parseFaults', () => {
  test.each([
    [' 8455/8455  1795256315.520908: page-faults:     5646aa6991e0', 'unknown', undefined],
    ['sh 8455/8455 [001] 12.5:     1 minor-faults:u:     5646aa6991e0 ', 'minor', undefined],
    ['8455/8455 12.5: major-faults: 0x5646aa6991e0', 'major', undefined],
    [
      'my sh 8455/8455 12.5: exceptions:page_fault_user: address=0x5646aa6991e0 ip=0x1 error_code=0x7',
      'unknown',
      true,
    ],
    [
      '8455/8455 12.5: exceptions:page_fault_user: address=0x5646aa6991e0 ip=0x1 error_code=0x4',
      'unknown',
      false,
    ],
  ])('%s', (line, kind, isWrite) => {
    const { faults, unreadLines } = parseFaults(`${line}\n`);
    expect(unreadLines).toBe(0);
    expect(faults).toMatchObject([{ pid: 8455, tid: 8455, addr: 0x5646aa6991e0, kind }]);
    expect(faults[0]?.isWrite).toBe(isWrite);
  });

  test('counts lines that are no fault, and not comments', () => {
    const text = '# header\n\nnonsense\n1/1 1.0: cycles: 5\n1/1 x: page-faults: 5\n';
    expect(parseFaults(text)).toEqual({ faults: [], unreadLines: 3 });
  });
});

describe('mergeFaults', () => {
  const log = parseStrace(
    [
      '1 1700000100.000000 mmap(NULL, 8192, PROT_READ, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7000',
      '1 1700000100.500000 fork() = 2',
      '2 1700000101.000000 munmap(0x7000, 8192) = 0',
      '',
    ].join('\n'),
  ).statements;
  const { faults } = parseFaults(
    [
      '2/2 1700000100.7: page-faults: 8000',
      '1/1 1700000100.2: page-faults: 7000',
      '1/1 1700000099.0: page-faults: 1',
      '3/3 1700000100.2: page-faults: 2',
      '1/1 1700000200.0: exceptions:page_fault_user: address=0x9 error_code=0x6',
    ].join('\n'),
  );

  test('puts a touch between the calls around its time', () => {
    const { operations, unplaced } = mergeFaults(log, faults);
    expect(operations.map((operation) => printOperation(operation).slice(0, 21))).toEqual([
      '[pid 1] mmap(NULL, 81',
      '[pid 1] touch(0x7000)',
      '[pid 1] fork() = 2',
      '[pid 2] touch(0x8000)',
      '[pid 2] munmap(0x7000',
      '[pid 1] store(0x9)',
    ]);
    expect(unplaced).toBe(2);
  });

  test('moves the clock of the faults by the offset', () => {
    const { operations } = mergeFaults(log, faults, 0.4);
    expect(operations.slice(0, 3).map((operation) => operation.callee)).toEqual([
      'mmap',
      'fork',
      'touch',
    ]);
  });

  test('keeps the faults of a task behind the call that made it', () => {
    const { statements } = parseStrace(
      [
        '1 1700000100.000000 brk(NULL) = 0x5000',
        '1 1700000100.100000 vfork( <unfinished ...>',
        '9 1700000100.900000 brk(NULL) = 0x5000',
        '2 1700000101.000000 brk(NULL) = 0x5000',
        '1 1700000101.100000 <... vfork resumed>) = 2',
        '',
      ].join('\n'),
    );
    const early = parseFaults('2/2 1700000100.500000: page-faults: 7000');
    const { operations } = mergeFaults(statements, early.faults);
    expect(operations.map((operation) => operation.callee)).toEqual([
      'brk',
      'brk',
      'vfork',
      'touch',
      'brk',
    ]);
  });

  test('places nothing in a log without stamps', () => {
    const plain = parseStrace('1 brk(NULL) = 0x5000\n').statements;
    expect(mergeFaults(plain, faults)).toEqual({ operations: plain, unplaced: faults.length });
  });
});
