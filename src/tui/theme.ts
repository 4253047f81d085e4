import { CURSOR, roleOf, SELECTED, STRONG } from './cells.ts';
import type { Role } from './text/row.ts';

/**
 * Roles to SGR sequences. Every meaning also has a glyph or a word, so the levels and themes only
 * change comfort: level `none` keeps bold, underline and inverse, which NO_COLOR does not forbid.
 */

export type ColorLevel = 'none' | '16' | '256' | 'truecolor';
export const THEME_NAMES = ['dark', 'light', 'high-contrast', 'colour-blind'] as const;
export type ThemeName = (typeof THEME_NAMES)[number];

/** A colour as the terminal's own palette (0-15, for level 16) and as red, green, blue. */
interface Color {
  readonly ansi: number;
  readonly rgb: number;
}

interface Look {
  readonly fg?: Color;
  readonly bg?: Color;
  readonly bold?: boolean;
  readonly dim?: boolean;
  readonly underline?: boolean;
  readonly inverse?: boolean;
}

interface Palette {
  readonly grey: Color;
  readonly faint: Color;
  readonly red: Color;
  readonly green: Color;
  readonly yellow: Color;
  readonly blue: Color;
  readonly magenta: Color;
  readonly cyan: Color;
  readonly orange: Color;
  readonly barText: Color;
  readonly barBack: Color;
  readonly cursorBack: Color;
  readonly popupText: Color;
  readonly popupBack: Color;
  readonly accentText: Color;
  readonly accentBack: Color;
}

const color = (ansi: number, rgb: number): Color => ({ ansi, rgb });

const DARK: Palette = {
  grey: color(8, 0x7d8590),
  faint: color(8, 0x4d5561),
  red: color(9, 0xf47067),
  green: color(10, 0x7fc98a),
  yellow: color(11, 0xe3b95f),
  blue: color(12, 0x6cb6ff),
  magenta: color(13, 0xcf9ef5),
  cyan: color(14, 0x5fc8c8),
  orange: color(3, 0xf0925a),
  barText: color(7, 0xc9d1d9),
  barBack: color(0, 0x252c36),
  cursorBack: color(8, 0x2d3b4f),
  popupText: color(15, 0xdde3ea),
  popupBack: color(0, 0x1d242e),
  accentText: color(0, 0x0d1117),
  accentBack: color(12, 0x6cb6ff),
};

const LIGHT: Palette = {
  grey: color(8, 0x6a737d),
  faint: color(7, 0xb6bdc6),
  red: color(1, 0xb3261e),
  green: color(2, 0x1f7a34),
  yellow: color(3, 0x8a5a00),
  blue: color(4, 0x0550ae),
  magenta: color(5, 0x7a3bb5),
  cyan: color(6, 0x0f6f74),
  orange: color(1, 0xb04a00),
  barText: color(0, 0x24292f),
  barBack: color(7, 0xe3e8ee),
  cursorBack: color(7, 0xd3e4fb),
  popupText: color(0, 0x1b1f24),
  popupBack: color(7, 0xeef1f5),
  accentText: color(15, 0xffffff),
  accentBack: color(4, 0x0550ae),
};

const HIGH_CONTRAST: Palette = {
  grey: color(7, 0xd0d0d0),
  faint: color(7, 0xa8a8a8),
  red: color(9, 0xff6b6b),
  green: color(10, 0x5dff7a),
  yellow: color(11, 0xffe75a),
  blue: color(14, 0x7fdcff),
  magenta: color(13, 0xff9cff),
  cyan: color(14, 0x66ffff),
  orange: color(11, 0xffb347),
  barText: color(15, 0xffffff),
  barBack: color(4, 0x003a8c),
  cursorBack: color(4, 0x004fc4),
  popupText: color(15, 0xffffff),
  popupBack: color(0, 0x000000),
  accentText: color(0, 0x000000),
  accentBack: color(11, 0xffe75a),
};

/** Blue, orange and yellow stay apart under every common colour vision; red and green are not used as a pair. */
const COLOR_BLIND: Palette = {
  ...DARK,
  red: color(3, 0xe69f00),
  green: color(12, 0x56b4e9),
  yellow: color(11, 0xf0e442),
  blue: color(12, 0x79c0ff),
  magenta: color(13, 0xcc79a7),
  cyan: color(14, 0x9ad8e8),
  orange: color(3, 0xd55e00),
};

const PALETTES: Record<ThemeName, Palette> = {
  dark: DARK,
  light: LIGHT,
  'high-contrast': HIGH_CONTRAST,
  'colour-blind': COLOR_BLIND,
};

function looks(p: Palette): Record<Role, Look> {
  return {
    text: {},
    dim: { fg: p.grey },
    label: { fg: p.grey },
    border: { fg: p.faint },
    title: { bold: true },
    titleFocused: { fg: p.accentText, bg: p.accentBack, bold: true },
    bar: { fg: p.barText, bg: p.barBack },
    barStrong: { fg: p.barText, bg: p.barBack, bold: true },
    barDim: { fg: p.grey, bg: p.barBack },
    barAlert: { fg: p.red, bg: p.barBack, bold: true },
    keyword: { fg: p.magenta },
    comment: { fg: p.grey },
    string: { fg: p.green },
    number: { fg: p.cyan },
    function: { fg: p.blue },
    address: { fg: p.cyan },
    ref: { fg: p.blue },
    process: { bold: true },
    current: { fg: p.yellow, bold: true },
    breakpoint: { fg: p.red, bold: true },
    breakpointOff: { fg: p.grey },
    changed: { fg: p.yellow, bold: true },
    added: { fg: p.green, bold: true },
    hit: { fg: p.green, bold: true },
    miss: { fg: p.orange, bold: true },
    visiting: { fg: p.yellow, bold: true },
    next: { fg: p.grey },
    running: { fg: p.green, bold: true },
    blocked: { fg: p.orange, bold: true },
    idle: { fg: p.grey },
    dead: { fg: p.grey, dim: true },
    write: { fg: p.orange },
    read: { fg: p.cyan },
    error: { fg: p.red, bold: true },
    stop: { fg: p.yellow },
    echo: { bold: true },
    hint: { fg: p.grey },
    prompt: { fg: p.blue, bold: true },
    match: { fg: p.accentText, bg: p.yellow },
    popup: { fg: p.popupText, bg: p.popupBack },
    popupStrong: { fg: p.blue, bg: p.popupBack, bold: true },
    popupSelected: { fg: p.accentText, bg: p.accentBack },
  };
}

const ROLES_SHOWN_INVERSE = new Set<Role>(['titleFocused', 'match', 'popupSelected']);
const ROLES_OF_BARS = new Set<Role>(['bar', 'barStrong', 'barDim', 'barAlert']);

/** SGR sequence of a style, each computed once. It always resets first, so order never matters. */
export function sgrTable(theme: ThemeName, level: ColorLevel): (style: number) => string {
  const palette = PALETTES[theme];
  const table = looks(palette);
  const cache: string[] = [];
  return (style) => {
    let sequence = cache[style];
    if (sequence === undefined) {
      sequence = sgr(table, palette, level, style);
      cache[style] = sequence;
    }
    return sequence;
  };
}

function sgr(
  table: Record<Role, Look>,
  palette: Palette,
  level: ColorLevel,
  style: number,
): string {
  const role = roleOf(style);
  const look = table[role];
  const atCursor = (style & CURSOR) !== 0;
  const codes = ['0'];
  if (look.bold || style & STRONG) codes.push('1');
  if (look.dim && !atCursor) codes.push('2');
  if (look.underline || style & SELECTED) codes.push('4');
  if (level === 'none' || level === '16') {
    // Few colours: the cursor row and bars are inverse, which every terminal can do and can be read.
    const inverse = atCursor || ROLES_SHOWN_INVERSE.has(role) || ROLES_OF_BARS.has(role);
    if (inverse) codes.push('7');
    else if (level === '16') {
      if (look.fg) codes.push(foreground(look.fg, level));
      if (look.bg && role !== 'popup' && role !== 'popupStrong') {
        codes.push(background(look.bg, level));
      }
    }
    return `\x1b[${codes.join(';')}m`;
  }
  if (look.fg) codes.push(foreground(look.fg, level));
  if (look.bg) codes.push(background(look.bg, level));
  else if (atCursor) codes.push(background(palette.cursorBack, level));
  return `\x1b[${codes.join(';')}m`;
}

function foreground(value: Color, level: ColorLevel): string {
  if (level === '16') return String(value.ansi < 8 ? 30 + value.ansi : 82 + value.ansi);
  return `38;${extended(value.rgb, level)}`;
}

function background(value: Color, level: ColorLevel): string {
  if (level === '16') return String(value.ansi < 8 ? 40 + value.ansi : 92 + value.ansi);
  return `48;${extended(value.rgb, level)}`;
}

function extended(rgb: number, level: ColorLevel): string {
  const red = rgb >> 16;
  const green = (rgb >> 8) & 0xff;
  const blue = rgb & 0xff;
  return level === 'truecolor' ? `2;${red};${green};${blue}` : `5;${nearest256(red, green, blue)}`;
}

/** The xterm colour cube and grey ramp; the closer of the two wins. */
function nearest256(red: number, green: number, blue: number): number {
  const steps = [0, 95, 135, 175, 215, 255];
  const place = (value: number): number => {
    let best = 0;
    for (let i = 1; i < steps.length; i++) {
      const better = Math.abs((steps[i] ?? 0) - value) < Math.abs((steps[best] ?? 0) - value);
      if (better) best = i;
    }
    return best;
  };
  const distance = (r: number, g: number, b: number): number =>
    (r - red) ** 2 + (g - green) ** 2 + (b - blue) ** 2;
  const [r, g, b] = [place(red), place(green), place(blue)];
  const grey = Math.max(0, Math.min(23, Math.round(((red + green + blue) / 3 - 8) / 10)));
  const level = 8 + grey * 10;
  const cube = distance(steps[r] ?? 0, steps[g] ?? 0, steps[b] ?? 0);
  return distance(level, level, level) < cube ? 232 + grey : 16 + 36 * r + 6 * g + b;
}
