/** Reading fields of JSON that somebody else wrote: what is not as expected is the user's error. */

/** Bad input; the message says what is wrong and where. */
export class RecordingError extends Error {
  override readonly name = 'RecordingError';
}

/** An object of JSON: what it has is to be seen. */
export type Fields = Readonly<Record<string, unknown>>;

export function objectOf(value: unknown, what: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields;
  throw new RecordingError(`${what} is not an object`);
}

/** A number, or the text of one: `0x1000`, `12`. */
export function inputNumber(value: unknown, what: string): number {
  const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  if (typeof number === 'number' && Number.isFinite(number)) return number;
  throw new RecordingError(`${what} is not a number: ${JSON.stringify(value)}`);
}

export function numberField(object: Fields, name: string): number {
  return inputNumber(object[name], name);
}

export function textField(object: Fields, name: string): string {
  const value = object[name];
  if (typeof value === 'string') return value;
  throw new RecordingError(`${name} is not a text: ${JSON.stringify(value)}`);
}

/** A list; none when it is absent. */
export function listField(object: Fields, name: string): readonly unknown[] {
  const value = object[name] ?? [];
  if (Array.isArray(value)) return value;
  throw new RecordingError(`${name} is not a list`);
}
