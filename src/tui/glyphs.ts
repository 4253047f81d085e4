/** Every symbol the screen uses beyond letters, twice: `--ascii` swaps the whole set. */
export interface Glyphs {
  readonly ascii: boolean;
  readonly current: string;
  readonly breakpoint: string;
  readonly breakpointOff: string;
  readonly hit: string;
  readonly miss: string;
  readonly visiting: string;
  readonly next: string;
  readonly own: string;
  readonly linked: string;
  readonly empty: string;
  readonly branch: string;
  readonly branchLast: string;
  readonly trunk: string;
  readonly horizontal: string;
  readonly vertical: string;
  readonly teeDown: string;
  readonly teeUp: string;
  readonly teeRight: string;
  readonly teeLeft: string;
  readonly cross: string;
  readonly topLeft: string;
  readonly topRight: string;
  readonly bottomLeft: string;
  readonly bottomRight: string;
  readonly cursor: string;
  readonly selected: string;
  readonly arrow: string;
  readonly more: string;
  readonly moreLeft: string;
  readonly up: string;
  readonly down: string;
  readonly separator: string;
  /** Fills a bar of a chart. */
  readonly bar: string;
}

export const UNICODE: Glyphs = {
  ascii: false,
  current: '▶',
  breakpoint: '●',
  breakpointOff: '○',
  hit: '✓',
  miss: '✗',
  visiting: '▶',
  next: '·',
  own: '●',
  linked: '○',
  empty: ' ',
  branch: '├─ ',
  branchLast: '└─ ',
  trunk: '│  ',
  horizontal: '─',
  vertical: '│',
  teeDown: '┬',
  teeUp: '┴',
  teeRight: '├',
  teeLeft: '┤',
  cross: '┼',
  topLeft: '╭',
  topRight: '╮',
  bottomLeft: '╰',
  bottomRight: '╯',
  cursor: '▸',
  selected: '◆',
  arrow: '→',
  more: '›',
  moreLeft: '‹',
  up: '↑',
  down: '↓',
  separator: '·',
  bar: '█',
};

export const ASCII: Glyphs = {
  ascii: true,
  current: '>',
  breakpoint: '*',
  breakpointOff: 'o',
  hit: '+',
  miss: 'x',
  visiting: '>',
  next: '.',
  own: '@',
  linked: 'o',
  empty: ' ',
  branch: '|- ',
  branchLast: '`- ',
  trunk: '|  ',
  horizontal: '-',
  vertical: '|',
  teeDown: '+',
  teeUp: '+',
  teeRight: '+',
  teeLeft: '+',
  cross: '+',
  topLeft: '+',
  topRight: '+',
  bottomLeft: '+',
  bottomRight: '+',
  cursor: '>',
  selected: '*',
  arrow: '->',
  more: '>',
  moreLeft: '<',
  up: '^',
  down: 'v',
  separator: '-',
  bar: '#',
};

/** For a listener: marks as words. */
export const SPOKEN: Glyphs = {
  ...ASCII,
  current: 'here:',
  breakpoint: 'breakpoint ',
  breakpointOff: 'disabled breakpoint ',
  hit: 'hit ',
  miss: 'miss ',
  visiting: 'visiting ',
  next: 'next ',
  own: 'own ',
  linked: 'chained ',
  separator: 'none ',
  bar: '',
  branch: '',
  branchLast: '',
  trunk: '',
  arrow: 'to',
  moreLeft: '',
};
