/** Reading the words of one statement, with the errors that follow from it. */
import { type ErrorText, ScenarioError } from './errors.ts';
import { shorten, type Token } from './lex.ts';
import type { SourceText, Span } from './source.ts';

export class Cursor {
  readonly source: SourceText;
  /**
   * Words of a recorded program: what strace prints and we do not know is taken as it is. In a
   * script the same is a mistake of the writer.
   */
  readonly lenient: boolean;
  /** Depth and number of operators of the expression being read; see `expr.ts`. */
  depth = 0;
  operators = 0;
  readonly #tokens: readonly Token[];
  #at = 0;

  /** `tokens` must end with an `end` token. */
  constructor(source: SourceText, tokens: readonly Token[], lenient = false) {
    this.source = source;
    this.#tokens = tokens;
    this.lenient = lenient;
  }

  /** The word `ahead` places on, the `end` token beyond the last. */
  peek(ahead = 0): Token {
    const index = Math.min(this.#at + ahead, this.#tokens.length - 1);
    return this.#tokens[index] as Token;
  }

  next(): Token {
    const token = this.peek();
    if (this.#at < this.#tokens.length - 1) this.#at++;
    return token;
  }

  /** Where the cursor stands; setting it to an earlier value goes back. */
  get position(): number {
    return this.#at;
  }

  set position(at: number) {
    this.#at = at;
  }

  isOp(text: string, ahead = 0): boolean {
    const token = this.peek(ahead);
    return token.kind === 'op' && token.text === text;
  }

  /** Takes the operator if it is next. */
  takeOp(text: string): Token | undefined {
    return this.isOp(text) ? this.next() : undefined;
  }

  /** Takes the operator or throws that it was expected, and why. */
  needOp(text: string, expected: string): Token {
    if (this.isOp(text)) return this.next();
    throw this.unexpected(expected);
  }

  /** Where the word before the current one ends: an empty span for something missing. */
  get previousEnd(): Span {
    const before = this.#at > 0 ? (this.#tokens[this.#at - 1] as Token).span : this.peek().span;
    if (this.#at === 0) return { ...before, length: 0 };
    return {
      ...before,
      offset: before.offset + before.length,
      column: before.column + before.length,
      length: 0,
    };
  }

  get previousSpan(): Span {
    return (this.#at > 0 ? (this.#tokens[this.#at - 1] as Token) : this.peek()).span;
  }

  /** The current word does not belong here. */
  unexpected(expected: string, hint?: string): ScenarioError {
    const token = this.peek();
    if (token.kind === 'bad') return this.error(token.span, token);
    if (token.kind === 'end') {
      return this.error(this.previousEnd, { message: 'the line ends too early', expected, hint });
    }
    const message = `unexpected ${shorten(token.text)}`;
    return this.error(token.span, { message, expected, hint });
  }

  error(span: Span, what: ErrorText): ScenarioError {
    return new ScenarioError(this.source, span, {
      message: what.message,
      expected: what.expected,
      hint: what.hint,
    });
  }
}
