/** Many things at once on one family, on the kernels before 2.6.9: no judge has anything to say. */
import { expect, test } from 'vitest';
import { openSession } from '../../../src/debugger/open.ts';

const race = `
config memory=16M swap=1M
A: p = mmap(NULL, 16p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: store(p, 1, 16p)
A: B = fork()
A: C = fork()
B: store(p+3p, 4)
kernel: settle()
kswapd: reclaim(A, p+9p)
kswapd: reclaim(A, p+9p)
race {
  A: munmap(p+2p, 2p)
  A: q = mremap(p+8p, 4p, 4p, MREMAP_MAYMOVE|MREMAP_FIXED, p+64p)
  B: D = fork()
  B: store(p+5p, 7, 2p)
  C: mprotect(p+4p, 4p, PROT_READ)
  C: store(p+9p, 9)
  C: exit_group(0)
  kswapd: reclaim(A, p+5p)
  kswapd: reclaim(B, p+5p)
  kswapd: reclaim(B, p+6p)
  kcompactd: referenced(B, p+6p)
  kcompactd: reclaim(A, p+10p)
  kcompactd: referenced(A, p+1p)
}
kernel: settle()
expect byte(B, p+5p) == 7
expect byte(A, q+1p) == 1
`;

/** The two bugs of 2.6.7 that 2.6.8 mended. */
const fixes = ['links_importer', 'prepare_locks_adopted'];

const kernels: readonly (readonly [string, readonly string[]])[] = [
  ['v2.6.0', []],
  ['v2.6.6-anonmm', []],
  ['v2.6.5-aa', ['extend_links', 'extend_locks']],
  ['v2.6.7', fixes],
];

/** Kinds of all findings over `seeds` seeds, and checks of the scenario that failed. */
function run(
  text: string,
  kernel: string,
  patch: readonly string[],
  seeds: number,
): { readonly kinds: Set<string>; readonly failures: number } {
  const kinds = new Set<string>();
  let failures = 0;
  for (let seed = 1; seed <= seeds; seed++) {
    const session = openSession(text, {
      file: 'race.mm',
      seed,
      kernel,
      patch,
      stopOnFinding: false,
    });
    if ('errors' in session) throw session.errors[0];
    session.execute('continue');
    while (session.pump(1_000_000) === 'running');
    for (const { kind } of session.findings()) kinds.add(kind);
    failures += session.failures;
  }
  return { kinds, failures };
}

test.each(
  kernels,
)('%s %j: fork, mremap, munmap, mprotect, exit and reclaim leave no finding under 60 seeds', (kernel, patch) => {
  expect(run(race, kernel, patch, 60)).toEqual({ kinds: new Set(), failures: 0 });
});

const lastTwo = `
config memory=16M
A: p = mmap(NULL, 1p, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0)
A: B = fork()
A: C = fork()
A: exit_group(0)
race {
  B: exit_group(0)
  C: exit_group(0)
}
`;

test('anonmm: two members that exit at once free the head twice if its count is read outside its lock', () => {
  expect(run(lastTwo, 'v2.6.6-anonmm', [], 100).kinds).toEqual(new Set());
  const { kinds } = run(lastTwo, 'v2.6.6-anonmm', ['count_outside_lock'], 100);
  expect(kinds.has('use-after-free') || kinds.has('double-free')).toBe(true);
});
