import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type InputEvent, KeyDecoder } from '../../src/tui/keys-decoder.ts';
import { KEY_BYTES } from './key-bytes.ts';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

function names(text: string): string[] {
  const decoder = new KeyDecoder();
  const events = [...decoder.push(bytes(text)), ...decoder.flush()];
  return events.map((event) => (event.type === 'key' ? event.name : `${event.type}:${event.text}`));
}

describe('KeyDecoder', () => {
  it('names every key the table of bytes knows', () => {
    for (const [name, sent] of Object.entries(KEY_BYTES)) expect(names(sent)).toEqual([name]);
  });

  it('keeps typed-ahead keys apart', () => {
    expect(names('jjj\x1b[B\x1b[B\r10s')).toEqual([
      ...['j', 'j', 'j', 'down', 'down', 'enter', '1', '0', 's'],
    ]);
  });

  it('reads modifiers of arrows and function keys in every common spelling', () => {
    expect(names('\x1b[1;5C\x1b[1;2A\x1b[1;3D\x1b[1;6B')).toEqual([
      ...['ctrl-right', 'shift-up', 'alt-left', 'ctrl-shift-down'],
    ]);
    expect(names('\x1b[a\x1b[5^\x1b[[E\x1bOP\x1bOH')).toEqual([
      ...['shift-up', 'ctrl-pageup', 'f5', 'f1', 'home'],
    ]);
  });

  it('reads Alt, alone and with other keys', () => {
    expect(names('\x1bb\x1b1\x1b\x7f\x1bé')).toEqual(['alt-b', 'alt-1', 'alt-backspace', 'alt-é']);
  });

  it('takes a lone Escape for Escape only when flushed', () => {
    const decoder = new KeyDecoder();
    expect(decoder.push(bytes('\x1b'))).toEqual([]);
    expect(decoder.waiting).toBe(true);
    expect(decoder.flush()).toEqual([{ type: 'key', name: 'escape', text: '' }]);
    expect(decoder.waiting).toBe(false);
    expect(names('\x1b\x1b[A')).toEqual(['escape', 'up']);
  });

  it('gives a paste as one event, whatever is in it', () => {
    expect(names('a\x1b[200~x\x1b[A\r\x03é\x1b[201~b')).toEqual(['a', 'paste:x\x1b[A\r\x03é', 'b']);
  });

  it('reads the kitty protocol', () => {
    expect(names('\x1b[27u\x1b[99;5u\x1b[97;2u\x1b[13;2u')).toEqual([
      ...['escape', 'ctrl-c', 'A', 'shift-enter'],
    ]);
  });

  it('keeps answers of the terminal away from the keys', () => {
    expect(names('\x1b[?1uq\x1b]11;rgb:0/0/0\x07w\x1bP1$r\x1b\\e')).toEqual([
      ...['reply:\x1b[?1u', 'q', 'reply:\x1b]11;rgb:0/0/0', 'w', 'reply:\x1bP1$r', 'e'],
    ]);
  });

  it('gives the same events however the bytes are cut, and never throws', () => {
    const fragment = fc.oneof(
      fc.constantFrom(...Object.values(KEY_BYTES)),
      fc.constantFrom('\x1b[200~', '\x1b[201~', '\x1b]', '\x1b[', '\x1bO', '\x07', '\x1b[1;'),
      fc.string({ unit: 'binary', maxLength: 6 }),
    );
    const stream = fc.oneof(
      fc.array(fragment, { maxLength: 12 }).map((parts) => bytes(parts.join(''))),
      fc.uint8Array({ maxLength: 40 }),
    );
    fc.assert(
      fc.property(stream, fc.array(fc.nat(40), { maxLength: 10 }), (data, cuts) => {
        const whole = new KeyDecoder();
        const expected: InputEvent[] = [...whole.push(data), ...whole.flush()];
        const decoder = new KeyDecoder();
        const events: InputEvent[] = [];
        const places = [0, ...cuts.sort((a, b) => a - b), data.length];
        for (const [index, end] of places.entries()) {
          events.push(...decoder.push(data.subarray(places[index - 1] ?? 0, end)));
        }
        // Cuts may lie beyond the end; the last place then repeats bytes already read.
        fc.pre(places.every((place) => place <= data.length));
        events.push(...decoder.flush());
        expect(events).toEqual(expected);
      }),
      { numRuns: 2000 },
    );
  });
});
