import xterm from '@xterm/headless';
import type { Terminal } from '../../src/tui/terminal.ts';
import { KEY_BYTES } from './key-bytes.ts';

/** A terminal in memory: what the program writes goes through a real emulator and is read as text. */
export class Screen implements Terminal {
  readonly emulator: InstanceType<typeof xterm.Terminal>;
  onInput: (bytes: Uint8Array) => void = () => {};
  onResize: () => void = () => {};
  onResume: () => void = () => {};
  written = 0;
  writes = 0;
  suspended = 0;
  raw = '';

  constructor(columns: number, rows: number) {
    this.emulator = new xterm.Terminal({ cols: columns, rows, allowProposedApi: true });
    // The alternate screen, as terminal.ts enters it: no scrollback, no reflow.
    this.emulator.write('\x1b[?1049h');
  }

  get columns(): number {
    return this.emulator.cols;
  }

  get rows(): number {
    return this.emulator.rows;
  }

  write(data: string): boolean {
    this.written += data.length;
    this.writes++;
    this.raw += data;
    this.emulator.write(data);
    return true;
  }

  once(): void {}
  enableKitty(): void {}
  close(): void {}
  suspend(): void {
    this.suspended++;
  }

  resize(columns: number, rows: number): void {
    this.emulator.resize(columns, rows);
    this.onResize();
  }

  /** Sends keys by name (`down`, `ctrl-c`) or, for anything longer, as typed text. */
  press(...keys: readonly string[]): void {
    for (const key of keys) this.onInput(new TextEncoder().encode(KEY_BYTES[key] ?? key));
  }

  /** The screen once the emulator has taken everything written so far. */
  async text(): Promise<string> {
    await new Promise<void>((resolve) => this.emulator.write('', resolve));
    const { active } = this.emulator.buffer;
    const lines: string[] = [];
    for (let y = 0; y < this.rows; y++) {
      lines.push((active.getLine(y)?.translateToString() ?? '').trimEnd());
    }
    return lines.join('\n');
  }

  /** Waits until the screen satisfies `wanted`; the last screen is the failure's message. */
  async until(wanted: string | RegExp | ((text: string) => boolean)): Promise<string> {
    const holds = (text: string): boolean =>
      typeof wanted === 'string'
        ? text.includes(wanted)
        : wanted instanceof RegExp
          ? wanted.test(text)
          : wanted(text);
    for (let turn = 0; turn < 400; turn++) {
      const text = await this.text();
      if (holds(text)) return text;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    throw new Error(`never on the screen: ${String(wanted)}\n${await this.text()}`);
  }
}
