/**
 * Terminal bytes to key events: a state machine fed one byte at a time, so however reads cut the
 * stream the events are the same. It knows nothing of time: the owner calls `flush` when nothing
 * followed a lone Escape for a while.
 */

export type InputEvent =
  /** `name` as in the key table (`a`, `S`, `ctrl-c`, `shift-f11`, `alt-left`); `text` is what it types, if anything. */
  | { readonly type: 'key'; readonly name: string; readonly text: string }
  | { readonly type: 'paste'; readonly text: string }
  /** An answer of the terminal to a question: kitty keyboard flags, device attributes. */
  | { readonly type: 'reply'; readonly text: string };

type State = 'ground' | 'escape' | 'csi' | 'ss3' | 'string' | 'paste' | 'utf8';

/** A control string or paste longer than this loses its middle rather than our memory. */
const LIMIT = 1 << 20;
const CSI_LIMIT = 64;
const PASTE_END = '\x1b[201~';

const CSI_LETTERS: Record<string, string> = {
  A: 'up',
  B: 'down',
  C: 'right',
  D: 'left',
  E: 'begin',
  F: 'end',
  H: 'home',
  P: 'f1',
  Q: 'f2',
  R: 'f3',
  S: 'f4',
  Z: 'backtab',
};

const CSI_TILDE: Record<number, string> = {
  1: 'home',
  2: 'insert',
  3: 'delete',
  4: 'end',
  5: 'pageup',
  6: 'pagedown',
  7: 'home',
  8: 'end',
  11: 'f1',
  12: 'f2',
  13: 'f3',
  14: 'f4',
  15: 'f5',
  17: 'f6',
  18: 'f7',
  19: 'f8',
  20: 'f9',
  21: 'f10',
  23: 'f11',
  24: 'f12',
  25: 'f13',
  26: 'f14',
  28: 'f15',
  29: 'f16',
  31: 'f17',
  32: 'f18',
  33: 'f19',
  34: 'f20',
};

/** The Linux console sends `CSI [ A` to `CSI [ E` for F1 to F5. */
const CONSOLE_FUNCTION: Record<string, string> = { A: 'f1', B: 'f2', C: 'f3', D: 'f4', E: 'f5' };

const KITTY_KEYS: Record<number, string> = {
  9: 'tab',
  13: 'enter',
  27: 'escape',
  127: 'backspace',
};

export class KeyDecoder {
  #state: State = 'ground';
  #alt = false;
  #sequence = '';
  #bytes: number[] = [];
  #needed = 0;
  #out: InputEvent[] = [];

  /** True while an Escape waits for what follows: the owner should flush after a short silence. */
  get waiting(): boolean {
    return this.#state === 'escape' || this.#state === 'csi' || this.#state === 'ss3';
  }

  push(bytes: Uint8Array): InputEvent[] {
    this.#out = [];
    for (const byte of bytes) this.#byte(byte);
    return this.#out;
  }

  /** Nothing more came: what waits is all there is. */
  flush(): InputEvent[] {
    this.#out = [];
    if (this.#state === 'escape') this.#key('escape');
    else if (this.#state === 'csi' && this.#sequence === '') this.#key('alt-[');
    else if (this.#state === 'ss3') this.#key('alt-O');
    if (this.waiting) this.#reset();
    return this.#out;
  }

  #reset(): void {
    this.#state = 'ground';
    this.#alt = false;
    this.#sequence = '';
    this.#bytes = [];
  }

  #key(name: string, text = ''): void {
    this.#out.push({ type: 'key', name, text });
  }

  #byte(byte: number): void {
    switch (this.#state) {
      case 'ground':
        this.#ground(byte);
        return;
      case 'escape':
        this.#escape(byte);
        return;
      case 'csi':
        this.#csi(byte);
        return;
      case 'ss3':
        this.#ss3(byte);
        return;
      case 'string':
        this.#string(byte);
        return;
      case 'paste':
        this.#paste(byte);
        return;
      case 'utf8':
        this.#utf8(byte);
        return;
    }
  }

  #ground(byte: number): void {
    const prefix = this.#alt ? 'alt-' : '';
    if (byte === 0x1b) {
      this.#state = 'escape';
      return;
    }
    if (byte >= 0x80) {
      this.#startUtf8(byte);
      return;
    }
    this.#alt = false;
    if (byte === 0x0d || byte === 0x0a) {
      // Raw mode sends Enter as CR; LF is Ctrl-J, which no one means as anything else.
      this.#key(`${prefix}enter`);
    } else if (byte === 0x09) this.#key(`${prefix}tab`);
    else if (byte === 0x7f || byte === 0x08) this.#key(`${prefix}backspace`);
    else if (byte === 0x00) this.#key(`ctrl-${prefix}space`);
    else if (byte < 0x20) this.#key(`ctrl-${prefix}${controlName(byte)}`);
    else if (byte === 0x20) this.#key(`${prefix}space`, prefix === '' ? ' ' : '');
    else {
      const char = String.fromCharCode(byte);
      this.#key(prefix + char, prefix === '' ? char : '');
    }
  }

  #escape(byte: number): void {
    this.#state = 'ground';
    if (byte === 0x5b) this.#state = 'csi';
    else if (byte === 0x4f) this.#state = 'ss3';
    else if (byte === 0x5d || byte === 0x50 || byte === 0x5f || byte === 0x5e) {
      // OSC, DCS, APC, PM: answers to questions; they end with BEL or ST.
      this.#state = 'string';
      this.#sequence = String.fromCharCode(byte);
    } else if (byte === 0x1b) {
      this.#key('escape');
      this.#state = 'escape';
    } else {
      this.#alt = true;
      this.#ground(byte);
    }
  }

  #ss3(byte: number): void {
    const char = String.fromCharCode(byte);
    this.#reset();
    if (byte === 0x1b) {
      this.#key('alt-O');
      this.#state = 'escape';
      return;
    }
    const name = CSI_LETTERS[char];
    if (name) this.#key(name);
    else if (char === 'M') this.#key('enter');
    else {
      // Not a sequence after all: Alt-O and then that byte.
      this.#key('alt-O');
      this.#ground(byte);
    }
  }

  #csi(byte: number): void {
    if (byte === 0x1b) {
      // A sequence cut short: what was read of it is dropped, the Escape starts anew.
      if (this.#sequence === '') this.#key('alt-[');
      this.#reset();
      this.#state = 'escape';
      return;
    }
    const char = String.fromCharCode(byte);
    if (this.#sequence === '[') {
      this.#reset();
      const name = CONSOLE_FUNCTION[char];
      if (name) this.#key(name);
      return;
    }
    if (this.#sequence === '' && char === '[') {
      this.#sequence = '[';
      return;
    }
    const isFinal = byte >= 0x40 && byte <= 0x7e;
    if (!isFinal && byte >= 0x20 && byte < 0x40 && this.#sequence.length < CSI_LIMIT) {
      this.#sequence += char;
      return;
    }
    const parameters = this.#sequence;
    this.#reset();
    if (isFinal) this.#sequenceEnd(parameters, char);
    // Neither parameter nor final byte: not a sequence; the byte may still be a key.
    else this.#ground(byte);
  }

  #sequenceEnd(parameters: string, final: string): void {
    if (final === '~' && parameters === '200') {
      this.#state = 'paste';
      return;
    }
    if (parameters.startsWith('?') || parameters.startsWith('>')) {
      this.#out.push({ type: 'reply', text: `\x1b[${parameters}${final}` });
      return;
    }
    // Mouse and focus reports are never asked for; should they come they mean nothing here.
    if (parameters.startsWith('<') || final === 'I' || final === 'O') return;
    const numbers = parameters.split(';').map((part) => Number.parseInt(part, 10) || 0);
    const modifiers = modifierPrefix(numbers[1] ?? 1);
    if (final === 'u') {
      this.#kitty(numbers[0] ?? 0, numbers[1] ?? 1);
      return;
    }
    if (final === '~') {
      const number = numbers[0] ?? 0;
      const name = CSI_TILDE[number];
      if (name) this.#key(modifiers + unshiftedFunction(name));
      return;
    }
    // rxvt: Shift with an arrow is a lower-case letter, and `$` and `^` end shifted and control keys.
    const upper = CSI_LETTERS[final.toUpperCase()];
    if (final === 'Z') this.#key('shift-tab');
    else if (final >= 'a' && final <= 'd' && upper) this.#key(`shift-${upper}`);
    else if ((final === '$' || final === '^') && CSI_TILDE[numbers[0] ?? 0]) {
      const name = CSI_TILDE[numbers[0] ?? 0] ?? '';
      this.#key(`${final === '$' ? 'shift' : 'ctrl'}-${name}`);
    } else if (CSI_LETTERS[final]) this.#key(modifiers + CSI_LETTERS[final]);
  }

  #kitty(code: number, modifier: number): void {
    const named = KITTY_KEYS[code];
    if (named) {
      this.#key(modifierPrefix(modifier) + named);
      return;
    }
    if (code < 0x20 || code > 0x10ffff || (code >= 0xe000 && code <= 0xf8ff)) return;
    if (code >= 0xd800 && code <= 0xdfff) return;
    const bits = (modifier - 1) & 7;
    const shifted = (bits & 1) !== 0;
    const char = String.fromCodePoint(code);
    const shown = shifted ? char.toUpperCase() : char;
    const prefix = modifierPrefix((bits & ~1) + 1);
    this.#key(prefix + (char === ' ' ? 'space' : shown), prefix === '' ? shown : '');
  }

  #string(byte: number): void {
    if (byte === 0x07 || byte === 0x9c) {
      this.#endString();
    } else if (byte === 0x5c && this.#sequence.endsWith('\x1b')) {
      this.#sequence = this.#sequence.slice(0, -1);
      this.#endString();
    } else if (this.#sequence.length < LIMIT) {
      this.#sequence += String.fromCharCode(byte);
    }
  }

  #endString(): void {
    const text = `\x1b${this.#sequence}`;
    this.#reset();
    this.#out.push({ type: 'reply', text });
  }

  #paste(byte: number): void {
    this.#bytes.push(byte);
    if (byte !== 0x7e || !this.#endsPaste()) {
      if (this.#bytes.length > LIMIT) this.#bytes.splice(LIMIT / 2, LIMIT / 4);
      return;
    }
    const content = this.#bytes.slice(0, this.#bytes.length - PASTE_END.length);
    this.#reset();
    const text = decodeUtf8(content);
    this.#out.push({ type: 'paste', text });
  }

  #endsPaste(): boolean {
    const start = this.#bytes.length - PASTE_END.length;
    if (start < 0) return false;
    for (let i = 0; i < PASTE_END.length; i++) {
      if (this.#bytes[start + i] !== PASTE_END.charCodeAt(i)) return false;
    }
    return true;
  }

  #startUtf8(byte: number): void {
    if (byte >= 0xc2 && byte <= 0xdf) this.#needed = 2;
    else if (byte >= 0xe0 && byte <= 0xef) this.#needed = 3;
    else if (byte >= 0xf0 && byte <= 0xf4) this.#needed = 4;
    else {
      // A stray continuation or an impossible byte is not a key.
      this.#alt = false;
      return;
    }
    this.#state = 'utf8';
    this.#bytes = [byte];
  }

  #utf8(byte: number): void {
    if ((byte & 0xc0) !== 0x80) {
      this.#reset();
      this.#ground(byte);
      return;
    }
    this.#bytes.push(byte);
    if (this.#bytes.length < this.#needed) return;
    const char = decodeUtf8(this.#bytes);
    const prefix = this.#alt ? 'alt-' : '';
    this.#reset();
    if (char.includes('\ufffd')) return;
    this.#key(prefix + char, prefix === '' ? char : '');
  }
}

function decodeUtf8(bytes: readonly number[]): string {
  return new TextDecoder().decode(Uint8Array.from(bytes));
}

function controlName(byte: number): string {
  return byte <= 26 ? String.fromCharCode(byte + 0x60) : String.fromCharCode(byte + 0x40);
}

/** xterm's modifier parameter less one is a bit set: shift 1, alt 2, ctrl 4. */
function modifierPrefix(parameter: number): string {
  const bits = parameter - 1;
  if (bits <= 0) return '';
  return `${bits & 4 ? 'ctrl-' : ''}${bits & 2 ? 'alt-' : ''}${bits & 1 ? 'shift-' : ''}`;
}

/** F13 to F20 are Shift-F1 to Shift-F8 on terminals that do not send modifiers; keyboards have no such keys. */
function unshiftedFunction(name: string): string {
  const number = Number(/^f(\d+)$/.exec(name)?.[1] ?? 0);
  return number < 13 ? name : `shift-f${number - 12}`;
}
