import { FakeSession } from '../tui/fake-session.ts';

/**
 * Key to frame without a pseudo terminal: from the bytes of a key to the write of its frame, all
 * panes live at 200x60. Prints median and 95th percentile in milliseconds, and bytes a frame.
 */
export async function measure(
  runTui: typeof import('../../src/tui/run.tsx').runTui,
  keys: number,
): Promise<{ median: number; p95: number; bytes: number; first: number }> {
  let wrote: (size: number) => void = () => {};
  const terminal = {
    columns: 200,
    rows: 60,
    write: (data: string) => {
      wrote(data.length);
      return true;
    },
    once: () => {},
    onInput: (_bytes: Uint8Array) => {},
    onResize: () => {},
    onResume: () => {},
    suspend: () => {},
    enableKitty: () => {},
    close: () => {},
  };
  const frame = (): Promise<number> =>
    new Promise((resolve) => {
      wrote = resolve;
    });
  const started = performance.now();
  const firstFrame = frame();
  const exit = runTui(new FakeSession(), terminal, {
    theme: 'dark',
    color: 'truecolor',
    ascii: false,
    showHints: false,
    loadHistory: () => [],
    appendHistory: () => {},
    saveScreen: () => {},
    hintsDismissed: () => {},
  });
  await firstFrame;
  const first = performance.now() - started;
  const times: number[] = [];
  let bytes = 0;
  const cycle = ['s', 's', '\t', 's', '4', 'S', '1', 'n'];
  for (let i = 0; i < keys; i++) {
    await new Promise((resolve) => setImmediate(resolve));
    const key = new TextEncoder().encode(cycle[i % cycle.length] ?? 's');
    const done = frame();
    const from = performance.now();
    terminal.onInput(key);
    bytes += await done;
    times.push(performance.now() - from);
  }
  terminal.onInput(new TextEncoder().encode('\x03'));
  terminal.onInput(new TextEncoder().encode('\x03'));
  await exit;
  const kept = times.slice(Math.min(30, times.length >> 2)).sort((a, b) => a - b);
  const at = (share: number): number => kept[Math.floor(kept.length * share)] ?? 0;
  return { median: at(0.5), p95: at(0.95), bytes: bytes / keys, first };
}
